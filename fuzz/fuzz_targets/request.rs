//! Any bytes as a call, up to what is asked of the tasks.

#![no_main]

use std::{
    num::NonZeroUsize,
    sync::{Arc, LazyLock},
};

use dynamar::{
    architecture::{ALL, Architecture},
    checkpoint::{Draft, EncoderEntry, Provenance, TOKENIZER_FILE},
    config::Config,
    inference::Head,
    registry::{NewEncoder, Registry},
    server::fuzzing,
    weights::Precision,
};
use dynamar_fuzz::{HIDDEN, TASK, TOKENIZER, Zeros, directory};
use libfuzzer_sys::fuzz_target;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let home = directory();
    let place = home.path().join("a");
    let mut draft = Draft::new(&place, false).expect("begun");
    draft.add_encoder(b"graph", b"weights").expect("written");
    draft.add(TOKENIZER_FILE, TOKENIZER).expect("written");
    let other = TASK.replace("\"polarity\"", "\"other\"");
    for (name, text) in [("polarity", TASK), ("other", &other)] {
        let head = Head::blank(HIDDEN, 2).to_bytes().expect("finite");
        draft.add_task(name, text, &head, b"{}").expect("written");
    }
    let architecture = Architecture {
        hidden_size: HIDDEN,
        layers: 1,
        heads: 1,
        intermediate_size: 4,
        vocabulary_size: 1000,
        max_positions: 64,
        ..(ALL[0].tiny)()
    };
    let entry = EncoderEntry::new("zeros", architecture, Precision::Fp32);
    draft.publish(entry, TOKENIZER_FILE, Provenance::new("fuzzing")).expect("written");
    let loaded = Config::load_from(home.path(), None, [], &[]).expect("good defaults");
    let mut config = loaded.config;
    config.batching.workers = NonZeroUsize::new(1);
    let new_encoder: NewEncoder = Arc::new(|_, _| Ok(Box::new(Zeros)));
    Registry::load(&place, &config, None, &new_encoder).expect("loaded").registry
});

fuzz_target!(|bytes: &[u8]| fuzzing::ask(&REGISTRY, bytes));
