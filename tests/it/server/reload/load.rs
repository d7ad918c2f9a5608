//! Checkpoints change under load, and every call is answered by the one that it names.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use dynamar::server::proto::inference_client::InferenceClient;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::*;

/// Callers that ask all the time, each one call after the other.
const CALLERS: usize = 8;

/// What each checkpoint must say, by its id.
type Said = Arc<BTreeMap<String, Vec<[f32; 2]>>>;

/// Checkpoints to go through: heads on one encoder, and others on another.
fn prepare(home: &Path) -> (Vec<PathBuf>, Said) {
    let encoder = other_encoder(home);
    let ways = [(2.0, false), (3.0, true), (4.0, true), (5.0, false), (6.0, true)];
    let write = |(seed, is_other): (f32, bool)| {
        let path = home.join(format!("checkpoint-{seed}"));
        let variant = Variant { seed, encoder: is_other.then_some(&encoder) };
        checkpoints::write_as(&path, &[POLARITY, INTENSITY], variant);
        path
    };
    let written: Vec<PathBuf> = ways.into_iter().map(write).collect();
    let said = written.iter().map(|path| (id(path), expected(path))).collect();
    (written, Arc::new(said))
}

/// Asks until told to stop; how often each checkpoint answered.
async fn call(
    mut client: InferenceClient<Channel>,
    said: Said,
    stop: Arc<AtomicBool>,
) -> BTreeMap<String, usize> {
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let request = classify("polarity", texts(&TEXTS));
        let answer = client.classify(request).await.expect("answered").into_inner();
        let model = answer.metadata.expect("told").model;
        assert!(is_near(&answer.results, &said[&model]), "{model} {:?}", answer.results);
        *answered.entry(model).or_default() += 1;
        let request = stage::predict(&["intensity", "polarity"], texts(&TEXTS));
        let answer = client.predict(request).await.expect("answered").into_inner();
        // Empty if two checkpoints had answered.
        let model = answer.metadata.expect("told").model;
        let Some(proto::task_prediction::Answer::Classify(polarity)) =
            &answer.predictions[1].answer
        else {
            panic!("a classification was asked");
        };
        assert!(is_near(&polarity.results, &said[&model]), "{model}");
    }
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_checkpoints_change() {
    let home = tempfile::tempdir().expect("a directory");
    let (checkpoints, said) = prepare(home.path());
    let models = tempfile::tempdir().expect("a directory");
    let reviews = models.path().join("reviews");
    copy(&checkpoints[0], &reviews);
    let stage = Stage::ready_over(models, config(), None).await;
    let alive = stage.control.alive();
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call(stage.client().await, Arc::clone(&said), Arc::clone(&stop)));
    }
    for checkpoint in checkpoints.iter().cycle().skip(1).take(2 * checkpoints.len()) {
        replace(&reviews, |at| copy(checkpoint, at));
        let reloads = stage.reload().await;
        assert_eq!(reloads.failed, 0, "{reloads:?}");
        // Whoever asks after the reload is answered by the new one.
        assert_answers(&stage, "polarity", checkpoint).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut answered: BTreeMap<String, usize> = BTreeMap::new();
    for one in soon(callers.join_all()).await {
        one.into_iter().for_each(|(model, count)| *answered.entry(model).or_default() += count);
    }
    assert_eq!(answered.len(), checkpoints.len(), "each has answered: {answered:?}");
    soon(stage.control.until_alive(alive)).await;
    stage.stop().await;
}
