//! Ways in for fuzzing (`fuzz/fuzz_targets/{pickle,head}.rs`), compiled for nothing else.

use std::path::Path;

use super::{
    head,
    model_files::{ModelDirectory, TensorFiles, pickle},
};
use crate::task::Task;

/// Reads the bytes as a head that was trained elsewhere. Panics where one is taken that cannot be written.
pub fn read_head(bytes: &[u8], hidden: usize, task: &Task) {
    if let Ok(head) = head::from_bytes(bytes, hidden, task) {
        assert!(head.to_bytes().is_ok());
    }
}

/// Reads the bytes as the pickle of a file of torch.save.
pub fn read_pickle(bytes: &[u8]) {
    let _ = pickle::read(bytes);
}

/// Reads all tensors of a directory. Panics where one has not the shape that was told before.
pub fn read_tensors(directory: &Path) {
    let Ok(files) = ModelDirectory::locate(directory).and_then(|found| TensorFiles::open(&found))
    else {
        return;
    };
    for name in files.names() {
        let shape = files.shape(name).unwrap_or_default();
        let Ok(Some(array)) = files.read(name) else { continue };
        assert_eq!(array.shape, shape);
        assert_eq!(array.data.len(), shape.iter().product::<usize>());
    }
}
