//! The file of an encoder's matrices, mapped into memory and lent to ONNX Runtime.
//!
//! ONNX Runtime packs the matrices of products into a layout of its own when the first session is
//! made, shares that between sessions, and never looks at the originals again. Mapped, they cost
//! memory only for that moment: afterwards their pages are given back. What is looked at while
//! serving, the embeddings, is not lent from here but copied, so that a file that is cut short
//! under a running server cannot end it.

// Three calls into what the compiler cannot check, each with its reason: mapping a file, giving
// its pages back, and lending a part of it to ONNX Runtime.
#![allow(unsafe_code)]

use std::{fs::File, io, path::Path, ptr};

use memmap2::{Mmap, UncheckedAdvice};
use ort::{
    AsPointer,
    memory::{Allocator, MemoryInfo},
    sys::{ONNXTensorElementDataType, OrtValue},
    value::DynValue,
};

use crate::export::{Element, Stored};

/// A file, mapped for reading.
pub(super) struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the bytes must not change while they are mapped. Files of a checkpoint are
        // written once, under another name, and never changed; whoever does it all the same gets
        // weights that are wrong or, if the file is cut short while it is being loaded, SIGBUS.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Lends a matrix of the file. It must lie at a multiple of its number's size.
    ///
    /// # Safety
    ///
    /// The value, and every session that it is given to, must be dropped before this is.
    pub unsafe fn lend(&self, stored: &Stored) -> ort::Result<DynValue> {
        let bytes = &self.map[stored.range.clone()];
        let element = match stored.element {
            Element::F32 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            Element::F16 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
            Element::I8 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        };
        let shape: Vec<i64> = stored.shape.iter().map(|&dimension| dimension as i64).collect();
        let memory = MemoryInfo::default();
        let mut value: *mut OrtValue = ptr::null_mut();
        // SAFETY: the pointers are valid for the call. `bytes` has as many bytes as type and shape
        // say (`EncoderGraph::stored`), and lives long enough (the caller's promise). It is lent
        // as mutable because the interface knows nothing else; an initialiser is only read.
        let status = unsafe {
            (ort::api().CreateTensorWithDataAsOrtValue)(
                memory.ptr(),
                bytes.as_ptr().cast_mut().cast(),
                bytes.len(),
                shape.as_ptr(),
                shape.len(),
                element,
                &raw mut value,
            )
        };
        // SAFETY: the status was just returned by the API, and is used once.
        unsafe { ort::Error::result_from_status(status)? };
        let value = ptr::NonNull::new(value)
            .ok_or_else(|| ort::Error::new("ONNX Runtime gave no tensor"))?;
        // SAFETY: a valid tensor that nobody else owns.
        Ok(unsafe { DynValue::from_ptr(value, Some(&Allocator::default())) })
    }

    /// Gives the pages back. Whoever reads them again gets them from the file.
    pub fn give_back(&self) {
        // SAFETY: the mapping is of a file and never written, so that nothing is lost.
        let advised = unsafe { self.map.unchecked_advise(UncheckedAdvice::DontNeed) };
        if let Err(error) = advised {
            // Only memory is lost.
            tracing::debug!(%error, "pages of the weights were not given back");
        }
    }
}
