//! Encoders of other families, and graphs of other exporters, under a task that serves.

use super::*;
use crate::{families, foreign};

/// One with rotary positions and windows, one with a relative position bias, one with disentangled
/// attention, one with byte-level tokens.
const FAMILIES: [&str; 4] = ["modernbert", "mpnet", "deberta-v3", "roberta"];

async fn reload_onto(stage: &Stage, encoder: &Checkpoint, seed: f32) {
    let reviews = stage.models.path().join("reviews");
    replace(&reviews, |at| {
        let variant = Variant { seed, encoder: Some(encoder) };
        // These encoders have no more positions.
        let intensity = INTENSITY.replace("max_length = 64", "max_length = 48");
        checkpoints::write_as(at, &[POLARITY, &intensity], variant);
    });
    let reloads = stage.reload().await;
    assert_eq!(reloads.failed, 0, "{reloads:?}");
    assert_answers(stage, "polarity", &reviews).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_of_another_family_takes_over_under_the_same_task() {
    let stage = Stage::ready().await;
    for (at, family) in FAMILIES.iter().enumerate() {
        let imported = families::imported(family, Precision::Fp32);
        reload_onto(&stage, &imported.checkpoint, at as f32).await;
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_of_another_exporter_takes_over_and_gives_way_again() {
    let stage = Stage::ready().await;
    let alive = stage.control.alive();
    fs::remove_dir_all(stage.models.path().join("shop")).expect("removed");
    for (at, (graph, of_family)) in
        [("distilbert", "distilbert"), ("int8", "distilbert")].into_iter().enumerate()
    {
        let (home, _) = foreign::imported(graph, of_family);
        let encoder = Checkpoint::open(&home.path().join("out")).expect("intact");
        reload_onto(&stage, &encoder, at as f32).await;
    }
    let usual = fixtures::encoder("bert-tiny");
    reload_onto(&stage, &usual.checkpoint(), 3.0).await;
    soon(stage.control.until_alive(alive)).await;
    stage.stop().await;
}
