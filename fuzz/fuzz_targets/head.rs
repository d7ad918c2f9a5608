//! Any bytes as a task's head, ours or one that was trained elsewhere.

#![no_main]

use dynamar::{
    import::fuzzing,
    inference::Head,
    task::{Example, Field, Kind, Task, Truncate},
};
use libfuzzer_sys::fuzz_target;

const HIDDEN: usize = 4;

fuzz_target!(|bytes: &[u8]| {
    let labels = ["no", "yes"].map(str::to_owned).to_vec();
    let kinds = [Kind::Classification { labels }, Kind::Regression { min: None, max: None }];
    for kind in kinds {
        let fields = ["left", "right"].map(field).to_vec();
        let task = Task { name: "task".to_owned(), kind, fields };
        fuzzing::read_head(bytes, HIDDEN, &task);
        let Ok(head) = Head::from_bytes(bytes, HIDDEN, &task) else { continue };
        let example = Example { values: ["one text".to_owned(), "another text".to_owned()].to_vec() };
        let logits = head.logits(&[0.5, -0.25, 0.0, 1.0], &head.offsets(&example));
        assert_eq!(logits.len(), task.kind.outputs());
        let _ = head.output(&task.kind, &logits);
        let written = head.to_bytes().expect("it was finite");
        assert_eq!(Head::from_bytes(&written, HIDDEN, &task).expect("our own"), head);
    }
});

fn field(name: &str) -> Field {
    let truncate = Truncate::Tail;
    Field { name: name.to_owned(), min_tokens: 1, truncate, priority: 1, optional: false }
}
