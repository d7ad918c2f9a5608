//! How the server starts and stops.

use std::{future::poll_fn, path::Path, sync::mpsc, task::Poll, time::Duration};

use dynamar::{
    batching::BatchError,
    config::Config,
    registry::{Loader, Registry, RegistryError},
    server::{ServeError, health},
};
use tokio::sync::oneshot;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;

use super::{
    checkpoints::{self, INTENSITY, POLARITY},
    encoder::{Control, Mode},
    stage::{Stage, classify, config, count, load, soon, texts},
};
use crate::fixtures;

/// Longer than any test may take.
const AN_HOUR_MS: u64 = 60 * 60 * 1000;

const SERVICES: [&str; 2] = ["", "dynamar.v1.Inference"];

#[tokio::test(flavor = "multi_thread")]
async fn while_it_loads_it_says_so_and_then_it_serves() {
    let config = config();
    let (models, control) = (checkpoints::models(), Control::new());
    let (release, wait) = mpsc::channel::<()>();
    let directory = models.path().to_owned();
    let (serving, controlled) = (config.clone(), control.clone());
    let loads = move |previous: Option<&Registry>| {
        // An error means that the test is over.
        let _ = wait.recv();
        load(&directory, &serving, previous, &controlled)
    };
    let stage = Stage::start(&config, loads, models, control).await;
    let address = stage.address.to_string();
    for service in SERVICES {
        let health = stage.health(service).await;
        assert_eq!(health.expect("told"), ServingStatus::NotServing);
    }
    assert!(!health::probe(&address, Duration::from_secs(9)).await.expect("told"));
    let unknown = stage.health("dynamar.v1.Other").await;
    assert_eq!(unknown.expect_err("unknown").code(), Code::NotFound);
    let mut client = stage.client().await;
    let early = soon(client.classify(classify("polarity", texts(&["fine"])))).await;
    let early = early.expect_err("too early");
    assert_eq!(early.code(), Code::Unavailable);
    assert!(early.message().contains("loading"), "{early:?}");
    assert!(early.get_error_details().retry_info().is_some());
    release.send(()).expect("it waits");
    stage.until(ServingStatus::Serving).await;
    for service in SERVICES {
        assert_eq!(stage.health(service).await.expect("told"), ServingStatus::Serving);
    }
    assert!(health::probe(&address, Duration::from_secs(9)).await.expect("told"));
    let request = classify("polarity", texts(&["fine"]));
    soon(client.classify(request)).await.expect("answered");
    stage.stop().await;
    assert!(health::probe(&address, Duration::from_secs(9)).await.is_err());
    assert!(health::probe("nowhere at all", Duration::from_secs(9)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_tells_watchers_first_and_answers_what_is_under_way() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    let mut watcher = HealthClient::new(stage.channel().await);
    let watched = soon(watcher.watch(HealthCheckRequest::default())).await;
    let mut changes = watched.expect("watched").into_inner();
    let first = soon(changes.message()).await.expect("told").expect("told");
    assert_eq!(first.status(), ServingStatus::Serving);
    stage.control.set(Mode::Hold);
    let mut begun = stage.control.watch();
    let call = tokio::spawn(async move {
        let request = classify("polarity", texts(&["fine", "poor"]));
        client.classify(request).await
    });
    soon(begun.batches(1)).await;
    stage.begin_stop();
    let last = soon(changes.message()).await.expect("told").expect("told");
    assert_eq!(last.status(), ServingStatus::NotServing);
    assert!(soon(changes.message()).await.expect("a good end").is_none());
    assert!(stage.is_running() && !call.is_finished());
    stage.control.set(Mode::Work);
    let answer = soon(call).await.expect("no panic").expect("answered");
    assert_eq!(answer.into_inner().results.len(), 2);
    let address = stage.address;
    stage.ended().await.expect("a clean end");
    let late = tokio::net::TcpStream::connect(address).await;
    assert!(late.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_stop_is_delayed_new_calls_are_answered() {
    let mut config = config();
    config.server.stop_delay_ms = AN_HOUR_MS;
    let stage = Stage::ready_with(config).await;
    stage.begin_stop();
    stage.until(ServingStatus::NotServing).await;
    for service in SERVICES {
        assert_eq!(stage.health(service).await.expect("told"), ServingStatus::NotServing);
    }
    let request = classify("polarity", texts(&["fine"]));
    soon(stage.client().await.classify(request)).await.expect("answered");
    assert!(stage.is_running());
    // Said again, it does not wait any longer.
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_it_by_hand_need_not_wait() {
    let mut config = config();
    config.server.stop_delay_ms = AN_HOUR_MS;
    let stage = Stage::ready_with(config).await;
    stage.operator.stop_now();
    stage.ended().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_it_loads_is_not_delayed() {
    let mut config = config();
    config.server.stop_delay_ms = AN_HOUR_MS;
    let (release, wait) = mpsc::channel::<()>();
    let (models, control) = (checkpoints::models(), Control::new());
    let (directory, serving, controlled) =
        (models.path().to_owned(), config.clone(), control.clone());
    let loads = move |previous: Option<&Registry>| {
        // An error means that the test is over.
        let _ = wait.recv();
        load(&directory, &serving, previous, &controlled)
    };
    let stage = Stage::start(&config, loads, models, control).await;
    stage.stop().await;
    drop(release);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_is_broken_off() {
    let mut config = config();
    config.server.drain_timeout_ms = 0;
    check_broken_off(config, Stage::begin_stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_it_twice_breaks_off_what_is_under_way() {
    let mut config = config();
    config.server.drain_timeout_ms = AN_HOUR_MS;
    let stop_twice = |stage: &Stage| {
        stage.operator.stop_now();
        stage.operator.stop_now();
    };
    check_broken_off(config, stop_twice).await;
}

/// Stops a server whose only worker is held up.
async fn check_broken_off(mut config: Config, stop: impl Fn(&Stage)) {
    config.batching.workers = Some(count(1));
    let (models, control) = (checkpoints::models(), Control::new());
    let (hand_out, handed_out) = oneshot::channel();
    let (directory, controlled) = (models.path().to_owned(), control.clone());
    let (serving, mut hand_out) = (config.clone(), Some(hand_out));
    let loads = move |previous: Option<&Registry>| {
        let loaded = load(&directory, &serving, previous, &controlled)?;
        let route = loaded.registry.route("polarity").expect("a task");
        let handed_out = hand_out.take().expect("loaded once").send(route);
        assert!(handed_out.is_ok(), "the test waits for it");
        Ok(loaded)
    };
    let stage = Stage::start(&config, loads, models, control).await;
    let route = soon(handed_out).await.expect("handed out");
    stage.until(ServingStatus::Serving).await;
    let mut client = stage.client().await;
    stage.control.set(Mode::Hold);
    let mut begun = stage.control.watch();
    let call = tokio::spawn(async move {
        let request = classify("polarity", texts(&["fine"]));
        client.classify(request).await
    });
    soon(begun.batches(1)).await;
    // The only worker is held up, so this waits.
    let predictor = &route.task.predictor;
    let prompt = predictor.prompt(&fixtures::example(&["poor"]), 0);
    let mut waiting = Box::pin(route.batcher.encode(vec![prompt.expect("a prompt")]));
    let pending = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_pending()));
    assert!(pending.await);
    stop(&stage);
    assert_eq!(soon(waiting).await, Err(BatchError::Closed));
    stage.control.set(Mode::Work);
    stage.ended().await.expect("a clean end");
    // Whether its answer still came through is a matter of luck.
    let _ = soon(call).await.expect("no panic");
}

fn flip_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).expect("read");
    let last = bytes.last_mut().expect("not empty");
    *last ^= 1;
    std::fs::write(path, bytes).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_checkpoint_ends_the_start_and_names_the_file() {
    let (models, control) = (checkpoints::models(), Control::new());
    let damaged = models.path().join("reviews/tasks/polarity/head.safetensors");
    flip_a_byte(&damaged);
    let (directory, controlled) = (models.path().to_owned(), control.clone());
    let serving = config();
    let loads =
        move |previous: Option<&Registry>| load(&directory, &serving, previous, &controlled);
    let stage = Stage::start(&config(), loads, models, control).await;
    let error = stage.ended().await.expect_err("damaged");
    assert!(matches!(error, ServeError::Registry(RegistryError::Load(_))));
    let error = error.to_string();
    assert!(error.contains(&damaged.display().to_string()), "{error}");
    let is_hash = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words = error.split([' ', ',']);
    assert_eq!(words.filter(|word| is_hash(word)).count(), 2, "{error}");
}

fn load_error(directory: &Path) -> String {
    let loaded = load(directory, &config(), None, &Control::new());
    loaded.err().expect("nothing to serve").to_string()
}

#[test]
fn a_directory_without_tasks_says_how_to_make_one() {
    let home = tempfile::tempdir().expect("a directory");
    let missing = load_error(&home.path().join("missing"));
    assert!(missing.contains("no such directory"), "{missing}");
    let empty = load_error(home.path());
    assert!(empty.contains("no checkpoint"), "{empty}");
    checkpoints::write_encoder(&home.path().join("encoder"));
    let bare = load_error(home.path());
    assert!(bare.contains("no task"), "{bare}");
    for error in [missing, empty, bare] {
        assert!(error.contains("`make serve`") && error.contains("`dynamar train"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_checkpoints_with_a_task_a_start_serves_the_first_and_counts_the_other() {
    let home = tempfile::tempdir().expect("a directory");
    checkpoints::write(&home.path().join("old"), &[INTENSITY, POLARITY]);
    checkpoints::write(&home.path().join("new"), &[POLARITY]);
    let loaded = load(home.path(), &config(), None, &Control::new()).expect("one serves");
    let [refused] = &loaded.refused[..] else { panic!("one is refused: {:?}", loaded.refused) };
    assert_eq!(refused.directory, home.path().join("old").display().to_string());
    let first = home.path().join("new").display().to_string();
    let words = format!("a server that starts with both serves that of {first}");
    assert!(
        refused.reason.contains("\"polarity\"") && refused.reason.contains(&words),
        "{refused:?}"
    );
    let names: Vec<&str> = loaded.registry.routes().map(|route| route.name()).collect();
    assert_eq!(names, ["polarity"]);
    loaded.registry.close();
    loaded.registry.join();
    let stage = Stage::ready_over(home, config(), None).await;
    assert_eq!(stage.metric("dynamar_checkpoints_refused").await, Some(1.0));
    let request = classify("polarity", texts(&["fine"]));
    soon(stage.client().await.classify(request)).await.expect("answered");
    std::fs::remove_dir_all(stage.models.path().join("new")).expect("removed");
    assert_eq!(stage.reload().await.refused, 0);
    assert_eq!(stage.metric("dynamar_checkpoints_refused").await, Some(0.0));
    stage.stop().await;
}

#[test]
fn a_directory_that_cannot_be_looked_into_keeps_no_server_from_starting() {
    let home = tempfile::tempdir().expect("a directory");
    // As `lost+found` is for whoever is not root; root can look everywhere but there.
    let closed = home.path().join("lost+found");
    std::os::unix::fs::symlink(&closed, &closed).expect("linked");
    let error = load_error(home.path());
    assert!(error.contains("directories in it cannot be read"), "{error}");
    checkpoints::write(&home.path().join("good"), &[POLARITY]);
    let first = load(home.path(), &config(), None, &Control::new()).expect("loaded");
    assert_eq!(first.refused, []);
    let again = load(home.path(), &config(), Some(&first.registry), &Control::new());
    let again = again.expect("loaded");
    assert_eq!(again.refused, []);
    // One that has a manifest is a checkpoint, and broken.
    std::fs::create_dir(home.path().join("odd")).expect("made");
    let manifest = home.path().join("odd/manifest.json");
    std::os::unix::fs::symlink(&manifest, &manifest).expect("linked");
    assert!(load_error(home.path()).contains("cannot read"), "{}", load_error(home.path()));
    again.registry.close();
    again.registry.join();
}

#[test]
fn hidden_and_other_directories_are_left_alone_and_a_checkpoint_serves_by_itself() {
    let home = tempfile::tempdir().expect("a directory");
    checkpoints::write(&home.path().join("good"), &[POLARITY]);
    checkpoints::write(&home.path().join(".good.new-1"), &[POLARITY]);
    std::fs::create_dir(home.path().join("notes")).expect("made");
    std::fs::write(home.path().join("README"), "x").expect("written");
    for directory in [home.path().to_owned(), home.path().join("good")] {
        let mut config = config();
        config.models.directory = directory;
        let registry = Loader::new(config).load(None).expect("loaded").registry;
        let names: Vec<&str> = registry.routes().map(|route| route.name()).collect();
        assert_eq!(names, ["polarity"]);
        registry.close();
        registry.join();
    }
}
