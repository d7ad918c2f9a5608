//! What callers did wrong, and how exactly they are told.

use dynamar::server::proto::{self, options::TemplateMode};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::stage::{Stage, classify, config, count, example, regress, soon, texts};

/// The paths of what is wrong.
pub fn paths(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| &bad.field_violations);
    let violations = violations.into_iter().flatten();
    violations.map(|violation| violation.field.clone()).collect()
}

pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().map_or_else(String::new, |info| info.reason.clone())
}

/// Each request is refused with INVALID_ARGUMENT and exactly these paths.
async fn check(stage: &Stage, requests: Vec<(proto::ClassifyRequest, &[&str])>) {
    let mut client = stage.client().await;
    for (request, expected) in requests {
        let status = soon(client.classify(request.clone())).await;
        let status = status.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{request:?}: {status:?}");
        assert_eq!(paths(&status), expected, "{request:?}");
        assert!(status.message().starts_with(expected[0]), "{status:?}");
        assert_eq!(reason(&status), "INVALID_REQUEST");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_the_examples_is_named_with_its_path() {
    let mut config = config();
    config.server.max_examples = count(5);
    config.server.max_text_bytes = count(20);
    let stage = Stage::ready_with(config).await;
    let long = "x".repeat(21);
    let odd_name = "a b\n".repeat(100);
    let mixed = vec![
        example(&[("title", "t")]),
        example(&[("query", "q"), ("title", " \n")]),
        example(&[("query", "q"), ("title", "t"), ("brand", "")]),
        example(&[("query", &long), ("title", "t"), ("price", "9"), ("colour", "red")]),
        example(&[]),
    ];
    let expected = [
        "examples[0].fields.query",
        "examples[1].fields.title",
        "examples[3].fields.query",
        "examples[3].fields.colour",
        "examples[3].fields.price",
        "examples[4].fields.query",
        "examples[4].fields.title",
    ];
    check(
        &stage,
        vec![
            (classify("match", vec![]), &["examples"]),
            (classify("polarity", texts(&["x"; 6])), &["examples"]),
            (classify("match", mixed), &expected),
        ],
    )
    .await;
    // Hosts of wrong names are counted.
    let names: Vec<String> = (0..500).map(|at| format!("field-{at}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let request = classify("match", vec![example(&many)]);
    check(&stage, vec![(request, &["examples[0].fields"])]).await;
    // A name that is no name is quoted, and not in full.
    let odd = example(&[("text", "fine"), (&odd_name, "x")]);
    let mut client = stage.client().await;
    let status = soon(client.classify(classify("polarity", vec![odd]))).await;
    let [path] = &paths(&status.expect_err("refused"))[..] else {
        panic!("one violation");
    };
    assert!(path.len() < 120 && !path.contains('\n'), "{path}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_the_options_is_named_together_with_the_others() {
    let stage = Stage::ready().await;
    let with = |mode: i32, ids: &[&str], examples| proto::ClassifyRequest {
        options: Some(proto::Options {
            top_k: 1,
            template_mode: mode,
            template_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            threshold: None,
        }),
        ..classify("polarity", examples)
    };
    let (default, single) = (TemplateMode::Default.into(), TemplateMode::Single.into());
    let ensemble = TemplateMode::Ensemble.into();
    let good = || texts(&["fine"]);
    check(
        &stage,
        vec![
            (with(single, &["nope"], good()), &["options.template_ids[0]"]),
            (with(ensemble, &["overall", ""], good()), &["options.template_ids[1]"]),
            (with(single, &["it-was", "overall"], good()), &["options.template_ids"]),
            // The task file says single, and so DEFAULT is that.
            (with(default, &["it-was", "overall"], good()), &["options.template_ids"]),
            (with(ensemble, &["nope"; 500], good()), &["options.template_ids"]),
            (with(7, &[], good()), &["options.template_mode"]),
            (with(-1, &[], good()), &["options.template_mode"]),
            (
                with(7, &["nope"], texts(&["fine", ""])),
                &["examples[1].fields.text", "options.template_ids[0]", "options.template_mode"],
            ),
        ],
    )
    .await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_tasks_and_the_wrong_call_are_told_the_right_one() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    let long = "x".repeat(10_000);
    for name in ["", "polarities", long.as_str()] {
        let request = proto::GetTaskRequest { task: name.to_owned() };
        let statuses = [
            soon(client.classify(classify(name, vec![]))).await.expect_err("unknown"),
            soon(client.regress(regress(name, vec![]))).await.expect_err("unknown"),
            soon(client.get_task(request)).await.expect_err("unknown"),
        ];
        for status in statuses {
            assert_eq!(status.code(), Code::NotFound);
            assert!(status.message().ends_with("intensity, match, polarity"), "{status:?}");
            assert!(status.message().len() < 200, "{status:?}");
            assert_eq!(reason(&status), "UNKNOWN_TASK");
        }
    }
    let wrong = soon(client.regress(regress("polarity", texts(&["x"])))).await;
    let wrong = wrong.expect_err("no regression");
    assert_eq!(wrong.code(), Code::FailedPrecondition);
    assert!(wrong.message().contains("Classify"), "{wrong:?}");
    let wrong = soon(client.classify(classify("intensity", texts(&["x"])))).await;
    let wrong = wrong.expect_err("no classification");
    assert_eq!(wrong.code(), Code::FailedPrecondition);
    assert!(wrong.message().contains("Regress"), "{wrong:?}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_is_refused_and_the_connection_lives_on() {
    let mut config = config();
    config.server.max_message_bytes = count(2048);
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    let large = "x".repeat(4096);
    let status = soon(client.classify(classify("polarity", texts(&[&large])))).await;
    let status = status.expect_err("too large");
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    assert!(status.message().contains("2048"), "{status:?}");
    let small = classify("polarity", texts(&["fine"]));
    soon(client.classify(small)).await.expect("answered");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_can_never_wait_is_told_to_be_smaller() {
    let mut config = config();
    config.batching.max_batch_tokens = count(64);
    config.batching.max_queued_tokens = count(64);
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    let different: Vec<String> = (0..60).map(|at| format!("fine {at}")).collect();
    let different: Vec<&str> = different.iter().map(String::as_str).collect();
    let status = soon(client.classify(classify("polarity", texts(&different)))).await;
    let status = status.expect_err("too much at once");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(paths(&status), ["examples"]);
    assert_eq!(reason(&status), "CALL_TOO_LARGE");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_is_refused_with_what_makes_it_smaller() {
    let mut config = config();
    config.server.max_message_bytes = count(2048);
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    let asked = |top_k| proto::ClassifyRequest {
        options: Some(proto::Options { top_k, ..Default::default() }),
        ..classify("polarity", texts(&["x"; 64]))
    };
    let check = |status: Status, prefix: &str| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(paths(&status), ["options.top_k"]);
        assert_eq!(reason(&status), "ANSWER_TOO_LARGE");
        let words = "and no more than server.max_message_bytes = 2048 are sent";
        assert!(status.message().starts_with(prefix), "{status:?}");
        assert!(status.message().contains(words), "{status:?}");
    };
    check(
        soon(client.classify(asked(0))).await.expect_err("too large"),
        "options.top_k: the answer",
    );
    let several = proto::PredictRequest {
        tasks: vec!["polarity".to_owned(), "intensity".to_owned()],
        examples: texts(&["x"; 64]),
        options: None,
    };
    check(soon(client.predict(several)).await.expect_err("too large"), "options.top_k: the answer");
    let streamed = soon(client.classify_stream(tokio_stream::iter([asked(1), asked(0)]))).await;
    let mut answers = streamed.expect("a stream").into_inner();
    soon(answers.message()).await.expect("answered").expect("the first fits");
    let status = soon(answers.message()).await.expect_err("too large");
    check(status, "request 1 of the stream: options.top_k: the answer");
    let answer = soon(client.classify(asked(1))).await.expect("it fits").into_inner();
    assert_eq!(answer.results.len(), 64);
    stage.stop().await;
}
