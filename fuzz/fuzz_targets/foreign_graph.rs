//! Any bytes as a graph that another program exported.

#![no_main]

use std::path::Path;

use dynamar::foreign_graph::{ForeignGraphError, ForeignModel};
use libfuzzer_sys::fuzz_target;

/// Of each file that a graph names.
const FILE_BYTES: u64 = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("model.onnx");
    let Ok(mut model) = ForeignModel::from_bytes(bytes.to_vec(), path) else { return };
    if let Ok(signature) = model.signature() {
        model.keep_output(&signature.output);
    }
    check_again(&model, path);
    let (is_together, precision) = (model.is_scaled_together(), model.precision());
    let gathered = model.gather::<ForeignGraphError>(
        "w",
        |file| {
            assert!(!file.is_empty() && !file.starts_with('/') && !file.split('/').any(|x| x == ".."));
            Ok(FILE_BYTES)
        },
        |range| Ok(vec![7; usize::try_from(range.bytes).expect("small")]),
    );
    let Ok(content) = gathered else { return };
    check_again(&model, path);
    assert_eq!((model.is_scaled_together(), model.precision()), (is_together, precision));
    let stored = model.stored("w", content.len()).expect("where they were put");
    for one in &stored {
        let numbers: usize = one.shape.iter().product();
        assert_eq!(one.range.len(), numbers * one.element.bytes());
        assert!(one.range.start % 4096 == 0 && one.range.end <= content.len());
    }
    model.relocate("null");
    assert!(stored.is_empty() || model.stored("w", content.len()).is_err());
});

/// What ONNX Runtime is given is what was checked.
fn check_again(model: &ForeignModel, path: &Path) {
    let again = ForeignModel::from_bytes(model.to_bytes(), path).expect("it was good before");
    assert_eq!(again.to_bytes(), model.to_bytes());
}
