//! Versions of one checkpoint side by side.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn versions_lie_side_by_side_and_the_highest_answers_by_default() {
    let models = home_with(&[
        ("reviews@2", &[POLARITY], 2.0),
        ("reviews@9", &[POLARITY, INTENSITY], 9.0),
        ("reviews@10", &[POLARITY], 10.0),
    ]);
    let stage = stage_over(models).await;
    let at = |version: &str| stage_path(&stage, &format!("reviews@{version}"));
    assert_answers(&stage, "polarity", &at("10")).await;
    for version in ["2", "9", "10"] {
        assert_answers(&stage, &format!("polarity@{version}"), &at(version)).await;
        assert_answers(&stage, &format!("polarity@{}", id(&at(version))), &at(version)).await;
    }
    let names = ["intensity@9", "polarity", "polarity@10", "polarity@2", "polarity@9"];
    assert_eq!(listed(&stage).await, names);
    for unknown in ["polarity@3", "polarity@", "intensity", "intensity@10"] {
        assert_eq!(refusal(&stage, unknown).await, Code::NotFound, "{unknown}");
    }
    let request = proto::GetTaskRequest { task: "polarity@9".to_owned() };
    let told = soon(stage.client().await.get_task(request)).await.expect("told").into_inner();
    assert_eq!((told.name.as_str(), told.model), ("polarity@9", id(&at("9"))));
    Arc::into_inner(stage).expect("the last one").stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_compared_in_one_call() {
    let models = home_with(&[("reviews@1", &[POLARITY], 1.0), ("reviews@2", &[POLARITY], 2.0)]);
    let stage = stage_over(models).await;
    let names = ["polarity@2", "polarity", "polarity@1"];
    let request = stage::predict(&names, texts(&TEXTS));
    let answer = soon(stage.client().await.predict(request)).await.expect("answered").into_inner();
    let by = ["reviews@2", "reviews@2", "reviews@1"].map(|name| stage_path(&stage, name));
    for ((one, name), by) in answer.predictions.iter().zip(names).zip(by) {
        assert_eq!(one.task, name);
        let Some(proto::task_prediction::Answer::Classify(answer)) = &one.answer else {
            panic!("a classification was asked");
        };
        assert_eq!(answer.metadata.as_ref().expect("told").model, id(&by));
        assert!(is_near(&answer.results, &expected(&by)), "{name}");
    }
    let metadata = answer.metadata.expect("told");
    assert!(metadata.model.is_empty(), "two checkpoints answered");
    let twice = stage::predict(&["polarity@1", "polarity@1"], texts(&TEXTS));
    let twice = soon(stage.client().await.predict(twice)).await.expect_err("twice");
    assert_eq!(twice.code(), Code::InvalidArgument);
    Arc::into_inner(stage).expect("the last one").stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_rolls_back_and_loads_nothing() {
    let models = home_with(&[("reviews@1", &[POLARITY], 1.0), ("reviews@2", &[POLARITY], 2.0)]);
    let stage = stage_over(models).await;
    let at = |name: &str| stage_path(&stage, name);
    let sessions = stage.control.sessions();
    let ids = [id(&at("reviews@1")), id(&at("reviews@2"))];
    assert_answers(&stage, "polarity", &at("reviews@2")).await;
    // Without a version it goes before all others.
    fs::rename(at("reviews@1"), at("reviews")).expect("renamed");
    assert_eq!(stage.reload().await.failed, 0);
    assert_answers(&stage, "polarity", &at("reviews")).await;
    assert_eq!(id(&at("reviews")), ids[0]);
    assert_eq!(refusal(&stage, "polarity@1").await, Code::NotFound);
    assert_answers(&stage, "polarity@2", &at("reviews@2")).await;
    assert_answers(&stage, &format!("polarity@{}", ids[0]), &at("reviews")).await;
    // And forward again, the version gone that is not wanted.
    fs::rename(at("reviews"), at("reviews@1")).expect("renamed");
    assert_eq!(stage.reload().await.failed, 0);
    assert_answers(&stage, "polarity", &at("reviews@2")).await;
    fs::remove_dir_all(at("reviews@2")).expect("removed");
    assert_eq!(stage.reload().await.failed, 0);
    assert_answers(&stage, "polarity", &at("reviews@1")).await;
    assert_eq!(refusal(&stage, "polarity@2").await, Code::NotFound);
    assert_eq!(stage.control.sessions(), sessions);
    Arc::into_inner(stage).expect("the last one").stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_of_another_name_is_refused_until_its_place_is_free() {
    let stage = Stage::ready().await;
    let (reviews, other) = (stage_path(&stage, "reviews"), stage_path(&stage, "other"));
    checkpoints::write_as(&other, &[POLARITY], variant(8.0));
    let reloads = stage.reload().await;
    let error = reloads.last_error.expect("refused");
    let restart = format!("a server that starts with both serves that of {}", other.display());
    for part in ["\"polarity\"", "/reviews", "NAME@2", &restart] {
        assert!(error.contains(part), "{error}");
    }
    assert_answers(&stage, "polarity", &reviews).await;
    // One that takes a task of another in a new version goes on as it was.
    let shop = stage_path(&stage, "shop");
    let before = id(&shop);
    replace(&shop, |at| checkpoints::write_as(at, &[MATCH, POLARITY], variant(4.0)));
    assert_eq!(stage.reload().await.failed, 2);
    let request = proto::GetTaskRequest { task: "match".to_owned() };
    let told = soon(stage.client().await.get_task(request)).await.expect("told").into_inner();
    assert_eq!(told.model, before);
    fs::remove_dir_all(&shop).expect("removed");
    // The task moves from one to the other in one step.
    fs::remove_dir_all(&reviews).expect("removed");
    let reloads = stage.reload().await;
    assert_eq!((reloads.succeeded, reloads.failed), (1, 2), "{reloads:?}");
    assert_answers(&stage, "polarity", &other).await;
    stage.stop().await;
}
