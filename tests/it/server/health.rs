//! SERVING means that predictions come out.

use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{
    checkpoints::{self, MATCH, POLARITY, Variant},
    encoder::Mode,
    stage::{Stage, classify, config, count, soon, texts},
};

/// A server that notices soon what its callers meet, and after so long what nobody does.
async fn stage_that_probes_after(probe_interval_ms: u64) -> Stage {
    let mut config = config();
    config.batching.workers = Some(count(1));
    config.health.probe_interval_ms = probe_interval_ms;
    // More than a batch takes on a busy machine.
    config.health.stall_timeout_ms = 1000;
    Stage::ready_with(config).await
}

async fn stage() -> Stage {
    stage_that_probes_after(100).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_come_back_is_replaced_and_the_server_says_so() {
    // No probe takes the call's place at the worker.
    let stage = stage_that_probes_after(3_600_000).await;
    stage.control.set(Mode::Hold);
    let mut client = stage.client().await;
    let mut begun = stage.control.watch();
    let stuck =
        tokio::spawn(async move { client.classify(classify("polarity", texts(&["fine"]))).await });
    soon(begun.batches(1)).await;
    stage.until(ServingStatus::NotServing).await;
    let stuck = soon(stuck).await.expect("no panic").expect_err("its worker was given up");
    assert_eq!(stuck.code(), Code::Internal, "{stuck:?}");
    stage.control.set(Mode::Work);
    stage.until(ServingStatus::Serving).await;
    let mut client = stage.client().await;
    soon(client.classify(classify("polarity", texts(&["fine"])))).await.expect("answered");
    stage.stop().await;
}

/// The files that its session came from are not there any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_replaced_also_when_heads_have_changed_since() {
    let stage = stage().await;
    for (name, task) in [("reviews", POLARITY), ("shop", MATCH)] {
        let variant = Variant { seed: 7.0, ..Variant::default() };
        checkpoints::replace_as(&stage.models.path().join(name), &[task], variant);
        assert_eq!(stage.reload().await.failed, 0);
    }
    stage.control.set(Mode::Hold);
    stage.until(ServingStatus::NotServing).await;
    stage.control.set(Mode::Work);
    stage.until(ServingStatus::Serving).await;
    let mut client = stage.client().await;
    soon(client.classify(classify("polarity", texts(&["fine"])))).await.expect("answered");
    stage.stop().await;
}

/// New heads on the old encoder are tried on its workers, and here there are none.
#[tokio::test(flavor = "multi_thread")]
async fn new_heads_bring_workers_where_all_were_lost_with_their_files_away() {
    let stage = stage_that_probes_after(3_600_000).await;
    let place = |name: &str| stage.models.path().join(name);
    for name in ["reviews", "shop"] {
        std::fs::rename(place(name), place(&format!(".{name}"))).expect("renamed");
    }
    stage.control.set(Mode::Hold);
    let mut client = stage.client().await;
    let stuck = soon(client.classify(classify("polarity", texts(&["fine"])))).await;
    assert_eq!(stuck.expect_err("its worker was given up").code(), Code::Internal);
    stage.control.set(Mode::Work);
    for (name, task) in [("reviews", POLARITY), ("shop", MATCH)] {
        checkpoints::write_as(&place(name), &[task], Variant { seed: 7.0, ..Variant::default() });
    }
    stage.reload().await;
    stage.until(ServingStatus::Serving).await;
    soon(client.classify(classify("polarity", texts(&["fine"])))).await.expect("answered");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encoders_that_only_fail_are_found_out_though_nobody_calls() {
    let stage = stage().await;
    for mode in [Mode::Fail, Mode::Panic] {
        stage.control.set(mode);
        stage.until(ServingStatus::NotServing).await;
        stage.control.set(Mode::Work);
        stage.until(ServingStatus::Serving).await;
    }
    stage.stop().await;
}
