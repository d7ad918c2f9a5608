//! Any bytes as a task's head.

#![no_main]

use dynamar::{inference::Head, task::Kind};
use libfuzzer_sys::fuzz_target;

const HIDDEN: usize = 4;

fuzz_target!(|bytes: &[u8]| {
    let labels = ["no", "yes"].map(str::to_owned).to_vec();
    let kinds = [Kind::Classification { labels }, Kind::Regression { min: None, max: None }];
    for kind in kinds {
        let Ok(head) = Head::from_bytes(bytes, HIDDEN, kind.outputs()) else { continue };
        let logits = head.logits(&[0.5, -0.25, 0.0, 1.0]);
        assert_eq!(logits.len(), kind.outputs());
        let _ = head.output(&kind, &logits);
        let written = head.to_bytes().expect("it was finite");
        assert_eq!(Head::from_bytes(&written, HIDDEN, kind.outputs()).expect("our own"), head);
    }
});
