//! The log as whoever configures it sees it.

use std::{
    fs,
    num::{NonZeroU32, NonZeroU64},
    path::Path,
    time::{Duration, SystemTime},
};

use super::*;

fn config(path: &Path, inputs: LoggedInputs) -> PredictionLogConfig {
    PredictionLogConfig {
        path: Some(path.to_owned()),
        sample_one_in: NonZeroU64::MIN,
        inputs,
        hash_key_file: None,
        max_file_bytes: 1 << 20,
        max_files: NonZeroU32::MIN,
    }
}

fn entry(text: &str, answer: Answer) -> Entry {
    Entry {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_250),
        request_id: "r-1".to_owned(),
        trace_id: String::new(),
        caller: String::new(),
        task: "mood".to_owned(),
        checkpoint: "0123".to_owned(),
        templates: vec!["it-was".to_owned()],
        fields: vec![("title".to_owned(), text.to_owned()), ("brand".to_owned(), "b".to_owned())],
        answer,
        truncated: false,
        windows: None,
    }
}

/// What the file holds after these.
fn lines(config: &PredictionLogConfig, entries: Vec<Entry>) -> Vec<String> {
    let (log, writer) = PredictionLog::open(config).expect("opened").expect("on");
    let count = entries.len() as u64;
    entries.into_iter().for_each(|entry| log.put(entry));
    let counts = Arc::clone(&log.counts);
    drop(log);
    writer.join();
    assert_eq!(counts.written.load(Ordering::Relaxed), count);
    let text = fs::read_to_string(config.path.as_ref().expect("set")).expect("read");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_line_has_what_was_asked_and_answered() {
    let place = tempfile::tempdir().expect("a directory");
    let labels = [("bad", 0.25_f32), ("good", 0.75)].map(|(label, p)| (label.to_owned(), p));
    let entries = vec![
        entry("a \"quoted\"\nline", Answer::Labels(labels.to_vec())),
        Entry {
            trace_id: "t-1".to_owned(),
            caller: "shop".to_owned(),
            windows: Some(3),
            ..entry("t", Answer::Value(2.5))
        },
    ];
    let head = r#"{"time":"2026-09-21T14:13:20.250Z","request_id":"r-1","#;
    let rest = r#""task":"mood","checkpoint":"0123","templates":["it-was"],"#;
    let found = lines(&config(&place.path().join("full"), LoggedInputs::Full), entries.clone());
    let first = r#""fields":{"title":"a \"quoted\"\nline","brand":"b"},"label":"good","probabilities":{"bad":0.25,"good":0.75},"truncated":false}"#;
    let second = r#""fields":{"title":"t","brand":"b"},"value":2.5,"truncated":false,"windows":3}"#;
    let ids = r#""trace_id":"t-1","caller":"shop","#;
    let expected = [format!("{head}{rest}{first}"), format!("{head}{ids}{rest}{second}")];
    assert_eq!(found, expected);

    let off = lines(&config(&place.path().join("off"), LoggedInputs::Off), entries);
    assert!(off.iter().all(|line| !line.contains("fields") && !line.contains("quoted")), "{off:?}");
}

#[test]
fn hashed_texts_can_be_compared_and_not_read() {
    let place = tempfile::tempdir().expect("a directory");
    let mut config = config(&place.path().join("log"), LoggedInputs::Hash);
    let refusal = PredictionLog::open(&config).err().expect("no key");
    assert!(refusal.to_string().contains("hash_key_file is not set"), "{refusal}");
    let key = place.path().join("key");
    config.hash_key_file = Some(key.clone());
    fs::write(&key, "short").expect("written");
    let refusal = PredictionLog::open(&config).err().expect("a short key");
    assert!(refusal.to_string().contains("has 5 bytes; expected 16"), "{refusal}");

    // The first of RFC 4231's test cases.
    fs::write(&key, [0x0b; 20]).expect("written");
    let of = |text: &str| entry(text, Answer::Value(1.0));
    let found = lines(&config, vec![of("Hi There"), of("Hi There"), of("other")]);
    let code = "hmac-sha256:b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
    assert!(found[0].contains(&format!("\"title\":\"{code}\"")), "{found:?}");
    assert_eq!(found[0], found[1]);
    assert!(!found[2].contains(code) && !found[2].contains("other"), "{found:?}");
}

#[test]
fn more_than_the_disk_takes_is_counted_and_holds_up_nobody() {
    let counts = Arc::new(Counts::default());
    let (sender, entries) = sync_channel(2);
    let sample = Arc::new(Sample::one_in(NonZeroU64::MIN));
    let log = PredictionLog { sender, counts, sample, keeps_inputs: false };
    (0..5).for_each(|_| log.put(entry("t", Answer::Value(1.0))));
    assert_eq!((log.written(), log.dropped(), log.counts.waiting()), (0, 3, 2));
    drop(entries);
    log.put(entry("t", Answer::Value(1.0)));
    assert_eq!(log.dropped(), 4);
}

#[test]
fn without_a_path_there_is_no_log() {
    let off = PredictionLogConfig { path: None, ..config(Path::new("x"), LoggedInputs::Off) };
    assert!(PredictionLog::open(&off).expect("nothing to open").is_none());
}
