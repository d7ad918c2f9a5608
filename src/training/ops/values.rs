//! Contiguous `f32` values of tensors, the only form in which the kernels read them.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, Tensor, bail};

/// The values of a forward pass's input, which its public function has made contiguous.
pub(super) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = contiguous_range(layout)?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// The values of a whole tensor, readable while the guard lives. Refuses tensors that are strided,
/// not `f32`, or not on the CPU.
pub(super) fn read(tensor: &Tensor) -> Result<impl Deref<Target = [f32]>> {
    let (storage, layout) = tensor.storage_and_layout();
    let (start, end) = contiguous_range(layout)?;
    match &*storage {
        Storage::Cpu(CpuStorage::F32(_)) => Ok(ReadGuard { storage, range: start..end }),
        _ => bail!("expected f32 values on the CPU, got {:?}", tensor.dtype()),
    }
}

/// A part of a storage that `S` holds locked.
struct ReadGuard<S> {
    storage: S,
    range: Range<usize>,
}

impl<S: Deref<Target = Storage>> Deref for ReadGuard<S> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            _ => unreachable!("checked before, and the lock forbids changes"),
        }
    }
}

/// A new CPU tensor that owns `values`.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// The rows and columns of a forward pass's input; refuses other ranks.
pub(super) fn matrix_dims(layout: &Layout) -> Result<(usize, usize)> {
    layout.shape().dims2()
}

fn contiguous_range(layout: &Layout) -> Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some(range) => Ok(range),
        None => bail!("expected contiguous values, got {layout:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_offset_view_and_refuses_a_strided_one() -> Result<()> {
        let matrix = tensor(vec![1., 2., 3., 4., 5., 6.], (3, 2))?;
        let below = matrix.narrow(0, 1, 2)?;
        assert_eq!(read(&below)?.to_vec(), [3., 4., 5., 6.]);
        assert!(read(&matrix.t()?).is_err());
        Ok(())
    }

    #[test]
    fn refuses_other_types() -> Result<()> {
        let integers = Tensor::new(&[1u32, 2], &Device::Cpu)?;
        assert!(read(&integers).is_err());
        Ok(())
    }
}
