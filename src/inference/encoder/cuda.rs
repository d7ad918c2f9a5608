//! NVIDIA's GPUs: whether one can be used, and what a session needs to run on it.

use ort::{
    ep::{ArenaExtendStrategy, CUDA, ExecutionProvider},
    session::{Session, builder::SessionBuilder},
    value::TensorRef,
};

use super::{
    super::device::{self, Chosen, CudaDevice, CudaLack, CudaRefused, Wish},
    Runtime,
};
use crate::export::{TRIAL, trial_graph};

/// How ONNX Runtime begins to say that a library is not there or needs another that is not.
const LOADING_FAILED: &str = "Failed to load library";

impl Runtime {
    /// What encoders shall compute on. Unless that is the CPU in any case, it is tried whether the GPU
    /// computes.
    ///
    /// # Errors
    ///
    /// If a GPU is asked for and none can be used.
    pub fn choose(&self, wish: Wish, gpu: CudaDevice) -> Result<Chosen, CudaRefused> {
        device::choose(wish, gpu, || self.look_for(gpu))
    }

    fn look_for(&self, gpu: CudaDevice) -> Result<(), CudaLack> {
        let library = self.library();
        if !CUDA::is_available().unwrap_or(false) {
            return Err(CudaLack::NotInLibrary { library: library.to_owned() });
        }
        if let Some(lack) = device::missing_provider(library) {
            return Err(lack);
        }
        let builder = Session::builder(&self.environment);
        builder.and_then(|builder| try_out(on_gpu(builder, gpu)?)).map_err(|error| {
            let message = one_line(&error);
            // The libraries are loaded when they are first called.
            match message.contains(LOADING_FAILED) {
                true => CudaLack::Libraries { message },
                false => CudaLack::Device { number: gpu.number, message },
            }
        })
    }
}

/// Lets a session compute on this GPU.
pub(super) fn on_gpu(builder: SessionBuilder, gpu: CudaDevice) -> ort::Result<SessionBuilder> {
    Ok(builder.with_execution_providers([provider(gpu).build().error_on_failure()])?)
}

fn provider(gpu: CudaDevice) -> CUDA {
    let provider = CUDA::default()
        .with_device_id(i32::try_from(gpu.number).unwrap_or(i32::MAX))
        // Every batch has another shape: doubling would take far more than any of them needs.
        .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
        // On by default there, whatever its interface's documents say: 10 bits of 23.
        .with_tf32(false);
    match gpu.memory_limit_bytes {
        None => provider,
        Some(limit) => {
            provider.with_memory_limit(usize::try_from(limit.get()).unwrap_or(usize::MAX))
        }
    }
}

/// Multiplies on the GPU. That there is one is known when a session is made, that it runs the kernels
/// of this library only when it does.
fn try_out(builder: SessionBuilder) -> ort::Result<()> {
    let mut session = builder.with_disable_cpu_fallback()?.commit_from_memory(&trial_graph())?;
    let (x, y) = TRIAL;
    let input = TensorRef::from_array_view(([1usize, 1], &[3.0f32][..]))?;
    let outputs = session.run(ort::inputs![x => input])?;
    let (_, product) = outputs[y].try_extract_tensor::<f32>()?;
    match product {
        [9.0] => Ok(()),
        other => Err(ort::Error::new(format!("3 times 3 is {other:?}"))),
    }
}

/// What ONNX Runtime says, on one line of bearable length.
fn one_line(error: &ort::Error) -> String {
    let words: Vec<&str> = error.message().split_whitespace().collect();
    in_short(&words.join(" ")).to_owned()
}

/// Without the places in ONNX Runtime's own source: what follows "[ONNXRuntimeError] : 1 : FAIL : ",
/// up to " ; GPU=0 ; hostname=".
fn in_short(message: &str) -> &str {
    const MAX_BYTES: usize = 400;
    let inner = message.rsplit_once("[ONNXRuntimeError] : ").map(|(_, inner)| inner);
    let said = inner.and_then(|inner| inner.splitn(3, " : ").nth(2)).unwrap_or(message);
    let said = said.split(" ; GPU=").next().unwrap_or(said);
    &said[..said.floor_char_boundary(MAX_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_given_without_the_places_in_foreign_source() {
        let said = "/src/bridge.cc:2043 Get() [ONNXRuntimeError] : 1 : FAIL : it is : not there";
        assert_eq!(in_short(said), "it is : not there");
        assert_eq!(
            in_short("CUDA failure 100: none ; GPU=-1 ; file=/a.cc"),
            "CUDA failure 100: none"
        );
        assert_eq!(in_short("[ONNXRuntimeError] : 1"), "[ONNXRuntimeError] : 1");
        assert_eq!(in_short(&"ä".repeat(1000)).len(), 400);
    }
}
