//! Ways in for fuzzing (`fuzz/fuzz_targets/pickle.rs`), compiled for nothing else.

use std::path::Path;

use super::model_files::{ModelDirectory, TensorFiles, pickle};

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
