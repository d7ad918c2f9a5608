//! Any bytes as an encoder's graph.

#![no_main]

use std::path::Path;

use dynamar::{architecture::ALL, export::EncoderGraph};
use libfuzzer_sys::fuzz_target;

const WEIGHTS_BYTES: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("encoder.onnx");
    let Ok(mut graph) = EncoderGraph::from_bytes(bytes, path) else { return };
    for family in ALL {
        let _ = graph.check_shapes(&(family.tiny)());
    }
    // What ONNX Runtime is given is what was checked.
    let again = EncoderGraph::from_bytes(&graph.to_bytes(), path).expect("it was good before");
    assert_eq!(again.to_bytes(), graph.to_bytes());
    if let Ok(Some(file)) = graph.weights_file() {
        assert!(!file.is_empty() && !file.contains('/') && file != "..");
    }
    if let Ok(stored) = graph.stored(WEIGHTS_BYTES) {
        let total: usize = stored.iter().map(|one| one.range.len()).sum();
        assert!(total <= WEIGHTS_BYTES);
        for one in &stored {
            let numbers: usize = one.shape.iter().product();
            assert_eq!(one.range.len(), numbers * one.element.bytes());
            assert!(one.range.end <= WEIGHTS_BYTES);
        }
        for (stored_as, _) in graph.widen() {
            assert!(stored.iter().filter(|one| one.name == stored_as).count() <= 1);
        }
    }
});
