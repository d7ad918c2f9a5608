//! Any bytes as an encoder's config.json, and as the files beside it that say where its tensors lie.

#![no_main]

use dynamar::{
    architecture::{Architecture, family_of},
    import::fuzzing,
};
use dynamar_fuzz::{directory, written};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for file in ["modules.json", "model.safetensors.index.json", "pytorch_model.bin.index.json"] {
        let home = directory();
        written(&home, "config.json", b"{}");
        written(&home, file, bytes);
        fuzzing::read_tensors(home.path());
    }
    let Ok(config) = serde_json::from_slice(bytes) else { return };
    let Ok((family, architecture)) = family_of(config) else { return };
    assert_eq!(family.name, architecture.family);
    architecture.check().expect("it was good before");
    for parameter in architecture.parameters() {
        assert!(family.source(&parameter.name).is_some(), "{}", parameter.name);
        assert!(parameter.shape.iter().product::<usize>() > 0, "{}", parameter.name);
    }
    assert!(architecture.derived().iter().all(|(_, shape)| !shape.contains(&0)));
    assert!(!architecture.inputs().is_empty());
    // A manifest keeps it as it is.
    let kept = serde_json::to_string(&architecture).expect("serialised");
    assert_eq!(serde_json::from_str::<Architecture>(&kept).expect("read again"), architecture);
});
