//! An encoder's matrices, read into memory and lent to ONNX Runtime.
//!
//! ONNX Runtime packs the matrices of products into a layout of its own when a session is made,
//! shares that between sessions, and does not look at the originals afterwards. So they are read into
//! memory of ours, where nobody can change them between being verified and being packed, and when no
//! more session is made that memory is given back. What is looked at while serving, the embeddings,
//! is not lent from here but copied.

// Two calls into what the compiler cannot check, each with its reason: lending memory to ONNX
// Runtime, and giving it back.
#![allow(unsafe_code)]

use std::{fs::File, io, os::fd::AsRawFd, ptr};

use memmap2::MmapMut;
use ort::{
    AsPointer,
    memory::{Allocator, MemoryInfo},
    sys::{ONNXTensorElementDataType, OrtValue},
    value::DynValue,
};

use crate::export::{Element, Stored};

/// The content of a file, in memory that begins at a page.
pub(super) struct LentWeights {
    memory: MmapMut,
    file: File,
}

impl LentWeights {
    /// Takes memory for a file of so many bytes and lets it be filled. `fill` gives the file back
    /// that it read.
    ///
    /// # Errors
    ///
    /// Those of `fill`, and if there is not as much memory.
    pub fn read<E: From<io::Error>>(
        bytes: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<File, E>,
    ) -> Result<Self, E> {
        let mut memory = MmapMut::map_anon(bytes)?;
        let file = fill(&mut memory)?;
        Ok(Self { memory, file })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.memory
    }

    /// Lends a matrix of the file. It must lie at a multiple of its number's size.
    ///
    /// # Safety
    ///
    /// The value, and every session that it is given to, must be dropped before this is.
    pub unsafe fn lend(&self, stored: &Stored) -> ort::Result<DynValue> {
        let bytes = &self.memory[stored.range.clone()];
        let element = match stored.element {
            Element::F32 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
            Element::F16 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
            Element::I8 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
            Element::U8 => ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
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

    /// Gives the memory back and puts the file itself in its place, of which nothing is read until
    /// somebody looks at it. Nobody does: `tests/it/files.rs` shows it with a file that has been cut
    /// short, where a look would be the end. A version of ONNX Runtime that does find something to look at
    /// finds what it was lent, as long as the file is what it was.
    pub fn give_back(&self) {
        let (start, bytes) = (self.memory.as_ptr().cast_mut(), self.memory.len());
        // SAFETY: the range is a mapping of ours, begins at a page, and is unmapped as a whole when
        // this is dropped, whatever is mapped there. No reference into it is alive: `bytes` is not
        // used by a source that is being dropped, and what was lent is known to ONNX Runtime alone.
        let mapped = unsafe {
            let (access, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_FIXED);
            libc::mmap(start.cast(), bytes, access, flags, self.file.as_raw_fd(), 0)
        };
        if mapped == libc::MAP_FAILED {
            // Only memory is lost.
            let error = io::Error::last_os_error();
            tracing::debug!(%error, "the memory of the weights was not given back");
        }
    }
}
