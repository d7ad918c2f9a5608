//! What encoders compute on, and what becomes of a wish for a GPU.

use std::{
    fmt,
    num::NonZeroU64,
    path::{Path, PathBuf},
};

/// What an encoder computes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    #[default]
    Cpu,
    Cuda(CudaDevice),
}

/// A GPU, and what may be taken of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CudaDevice {
    /// As CUDA numbers them, from 0.
    pub number: u32,
    /// Bytes of its memory for one session; `None` is as many as there are.
    pub memory_limit_bytes: Option<NonZeroU64>,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(device) => write!(f, "cuda:{}", device.number),
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// A GPU if one can be used.
    Auto,
    /// No GPU: nothing is looked for.
    Cpu,
    /// A GPU or nothing.
    Cuda,
}

/// What a wish comes to.
#[derive(Debug, PartialEq, Eq)]
pub struct Chosen {
    pub device: Device,
    /// Why it is the CPU, where a GPU was looked for.
    pub lack: Option<CudaLack>,
}

/// Why no GPU can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CudaLack {
    /// The library was built for CPUs.
    #[error(
        "{} is a build of ONNX Runtime for CPUs alone; set onnxruntime.path to the libonnxruntime.so \
         of the package onnxruntime-gpu, or inference.execution_provider to \"cpu\"",
        library.display()
    )]
    NotInLibrary {
        /// ONNX Runtime's.
        library: PathBuf,
    },
    /// The library was built for CUDA, but a part of it is not where it looks.
    #[error(
        "{} is not there, which ONNX Runtime needs for CUDA; put it beside {}, from the same package, \
         or set inference.execution_provider to \"cpu\"",
        file.display(), library.display()
    )]
    NoProvider {
        /// ONNX Runtime's.
        library: PathBuf,
        /// What is missing.
        file: PathBuf,
    },
    /// The part of it that is for CUDA, or what that needs, cannot be loaded.
    #[error(
        "the libraries of CUDA cannot be loaded ({message}); install those that this ONNX Runtime was \
         built with and name their directories in LD_LIBRARY_PATH, or set \
         inference.execution_provider to \"cpu\""
    )]
    Libraries {
        /// ONNX Runtime's words.
        message: String,
    },
    /// There is no such GPU, or it does not compute.
    #[error(
        "the GPU {number} cannot be used ({message}); see whether nvidia-smi lists it and cuda.device \
         names it, or set inference.execution_provider to \"cpu\""
    )]
    Device {
        /// Its number.
        number: u32,
        /// ONNX Runtime's words.
        message: String,
    },
}

/// A GPU was asked for, and none can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("inference.execution_provider is \"cuda\", but {0}")]
pub struct CudaRefused(pub CudaLack);

/// What a wish comes to. `look` sees whether the GPU can be used, and is not asked for the CPU.
pub(super) fn choose(
    wish: Wish,
    gpu: CudaDevice,
    look: impl FnOnce() -> Result<(), CudaLack>,
) -> Result<Chosen, CudaRefused> {
    if wish == Wish::Cpu {
        return Ok(Chosen { device: Device::Cpu, lack: None });
    }
    match look() {
        Ok(()) => Ok(Chosen { device: Device::Cuda(gpu), lack: None }),
        Err(lack) if wish == Wish::Cuda => Err(CudaRefused(lack)),
        Err(lack) => Ok(Chosen { device: Device::Cpu, lack: Some(lack) }),
    }
}

/// The files that ONNX Runtime loads from its own directory for CUDA.
const PROVIDERS: [&str; 2] =
    ["libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"];

/// The first of them that is not beside the library.
pub(super) fn missing_provider(library: &Path) -> Option<CudaLack> {
    // It looks beside the file itself, wherever a link to it lies.
    let real = std::fs::canonicalize(library).unwrap_or_else(|_| library.to_owned());
    let beside = |name| real.with_file_name(name);
    let file = PROVIDERS.into_iter().map(beside).find(|file| !file.exists())?;
    Some(CudaLack::NoProvider { library: library.to_owned(), file })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPU: CudaDevice = CudaDevice { number: 1, memory_limit_bytes: None };

    fn lacks() -> Vec<CudaLack> {
        let (library, message) = (PathBuf::from("/x/libonnxruntime.so"), "why".to_owned());
        vec![
            CudaLack::NotInLibrary { library: library.clone() },
            CudaLack::NoProvider { library, file: PathBuf::from("/x/cuda.so") },
            CudaLack::Libraries { message: message.clone() },
            CudaLack::Device { number: 1, message },
        ]
    }

    #[test]
    fn the_cpu_looks_for_nothing() {
        let chosen = choose(Wish::Cpu, GPU, || panic!("looked for"));
        assert_eq!(chosen, Ok(Chosen { device: Device::Cpu, lack: None }));
    }

    #[test]
    fn a_gpu_that_can_be_used_is_used_unless_the_cpu_was_asked_for() {
        for wish in [Wish::Auto, Wish::Cuda] {
            let chosen = choose(wish, GPU, || Ok(()));
            assert_eq!(chosen, Ok(Chosen { device: Device::Cuda(GPU), lack: None }), "{wish:?}");
        }
    }

    #[test]
    fn without_a_gpu_auto_is_the_cpu_and_tells_why_and_cuda_is_refused() {
        for lack in lacks() {
            let chosen = choose(Wish::Auto, GPU, || Err(lack.clone()));
            let cpu = Chosen { device: Device::Cpu, lack: Some(lack.clone()) };
            assert_eq!(chosen, Ok(cpu), "{lack}");
            let refused = choose(Wish::Cuda, GPU, || Err(lack.clone()));
            assert_eq!(refused, Err(CudaRefused(lack)));
        }
    }

    #[test]
    fn every_lack_is_one_line_that_says_what_to_do() {
        for lack in lacks() {
            let text = CudaRefused(lack).to_string();
            assert!(text.starts_with("inference.execution_provider is \"cuda\", but "), "{text}");
            assert!(text.ends_with("inference.execution_provider to \"cpu\""), "{text}");
            assert!(!text.contains(['\n', '\t']) && !text.contains("  "), "{text}");
        }
    }

    #[test]
    fn the_providers_are_looked_for_beside_the_file_and_not_beside_a_link_to_it() {
        let (real, linked) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (library, link) = (real.path().join("lib.so.1"), linked.path().join("lib.so"));
        std::fs::write(&library, "").unwrap();
        std::os::unix::fs::symlink(&library, &link).unwrap();
        for missing in PROVIDERS {
            let Some(CudaLack::NoProvider { file, .. }) = missing_provider(&link) else {
                panic!("{missing} is not missed")
            };
            assert_eq!(file.file_name().unwrap(), missing);
            let real = std::fs::canonicalize(real.path()).unwrap();
            assert_eq!(file.parent(), Some(real.as_path()));
            std::fs::write(file, "").unwrap();
        }
        assert_eq!(missing_provider(&link), None);
    }
}
