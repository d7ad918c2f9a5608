//! Which label to act on: thresholds of calls and of task files.

use dynamar::server::{
    open_inference::proto::{
        GrpcInferenceServiceClient, infer_parameter::ParameterChoice::DoubleParam,
    },
    proto::{self, task_prediction},
};
use tonic::{Code, Status};

use super::{
    checkpoints::{self, INTENSITY, POLARITY},
    open_inference::tensors::{infer, tensor, told, with},
    refusals::{paths, reason},
    stage::{Stage, classify, config, example, predict, regress, soon, texts},
};

const TEXTS: [&str; 4] = ["fine camera", "it broke at once", "not what I expected", "lovely"];

fn at(threshold: f32, request: proto::ClassifyRequest) -> proto::ClassifyRequest {
    let options = proto::Options { threshold: Some(threshold), ..Default::default() };
    proto::ClassifyRequest { options: Some(options), ..request }
}

fn probability(result: &proto::Classification, label: &str) -> f32 {
    let score = result.labels.iter().find(|score| score.label == label);
    score.expect("a label of the task").probability
}

/// One vector for each prompt, so that the same text has the same probabilities to the bit.
async fn stage() -> Stage {
    let mut config = config();
    config.cache.max_bytes = 1 << 24;
    Stage::ready_with(config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_labels_the_positive_one_is_decided_for_from_the_threshold_on() {
    let stage = stage().await;
    let mut client = stage.client().await;
    let plain = soon(client.classify(classify("polarity", texts(&TEXTS)))).await;
    let plain = plain.expect("answered").into_inner().results;
    for (text, plain) in TEXTS.iter().zip(&plain) {
        assert_eq!(plain.decision, plain.labels[0].label, "nothing says another threshold");
        let exactly = probability(plain, "positive");
        for (threshold, expected) in [
            (0.0, "positive"),
            (exactly, "positive"),
            (exactly.next_up(), "negative"),
            (1.0, "negative"),
        ] {
            let request = at(threshold, classify("polarity", texts(&[text])));
            let answer = soon(client.classify(request)).await.expect("answered").into_inner();
            assert_eq!(answer.results[0].decision, expected, "{text} from {threshold} on");
            assert_eq!(answer.results[0].labels, plain.labels, "they do not depend on it");
        }
    }
    // Also where its label is not among those that are told.
    let mut request = at(0.0, classify("polarity", texts(&["it broke at once"])));
    request.options.as_mut().expect("set").top_k = 1;
    let streamed = soon(client.classify_stream(tokio_stream::iter([request.clone()]))).await;
    let streamed = soon(streamed.expect("a stream").into_inner().message()).await;
    let answer = soon(client.classify(request)).await.expect("answered").into_inner();
    for answer in [answer, streamed.expect("answered").expect("one")] {
        assert_eq!((answer.results[0].labels.len(), &*answer.results[0].decision), (1, "positive"));
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_more_labels_the_best_is_decided_for_unless_it_is_below_the_threshold() {
    let stage = stage().await;
    let mut client = stage.client().await;
    let items = || vec![example(&[("query", "red shoes"), ("title", "Red running shoe")])];
    let plain = soon(client.classify(classify("match", items()))).await.expect("answered");
    let plain = plain.into_inner().results.remove(0);
    let best = plain.labels[0].clone();
    assert_eq!(plain.decision, best.label);
    for (threshold, expected) in
        [(best.probability, &*best.label), (best.probability.next_up(), ""), (1.0, "")]
    {
        let request = at(threshold, classify("match", items()));
        let answer = soon(client.classify(request)).await.expect("answered").into_inner();
        assert_eq!(answer.results[0].decision, expected, "{threshold}");
        assert_eq!(answer.results[0].labels, plain.labels);
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_files_threshold_holds_unless_the_call_has_one() {
    let home = tempfile::tempdir().expect("a directory");
    let names = "names = [\"negative\", \"positive\"]";
    let never =
        POLARITY.replace(names, &format!("{names}\npositive = \"negative\"\nthreshold = 0"));
    checkpoints::write(&home.path().join("reviews"), &[&never, INTENSITY]);
    let stage = Stage::ready_over(home, config(), None).await;
    let mut client = stage.client().await;
    let request = proto::GetTaskRequest { task: "polarity".to_owned() };
    let task = soon(client.get_task(request)).await.expect("told").into_inner();
    assert_eq!((&*task.positive_label, task.decision_threshold), ("negative", Some(0.0)));
    let answer = soon(client.classify(classify("polarity", texts(&TEXTS)))).await;
    let answer = answer.expect("answered").into_inner();
    assert!(answer.results.iter().all(|one| one.decision == "negative"), "{answer:?}");
    let asked = at(1.0, classify("polarity", texts(&TEXTS)));
    let answer = soon(client.classify(asked)).await.expect("answered").into_inner();
    assert!(answer.results.iter().all(|one| one.decision == "positive"), "{answer:?}");
    // For the classifications among several tasks.
    let options = Some(proto::Options { threshold: Some(1.0), ..Default::default() });
    let several = predict(&["intensity", "polarity"], texts(&["fine"]));
    let answer = soon(client.predict(proto::PredictRequest { options, ..several })).await;
    let predictions = answer.expect("answered").into_inner().predictions;
    let Some(task_prediction::Answer::Classify(polarity)) = &predictions[1].answer else {
        panic!("a classification: {predictions:?}");
    };
    assert_eq!(polarity.results[0].decision, "positive");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_threshold_is_refused() {
    let stage = stage().await;
    let mut client = stage.client().await;
    let check = |status: Status, words: &str| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert_eq!(paths(&status), ["options.threshold"]);
        assert_eq!(reason(&status), "INVALID_REQUEST");
        assert!(status.message().contains(words), "{status:?}");
    };
    for wrong in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
        let request = at(wrong, classify("polarity", texts(&["fine"])));
        let status = soon(client.classify(request)).await.expect_err("no probability");
        check(status, "must lie between 0 and 1");
    }
    let options = Some(proto::Options { threshold: Some(0.5), ..Default::default() });
    let request = proto::RegressRequest { options, ..regress("intensity", texts(&["fine"])) };
    let status = soon(client.regress(request)).await.expect_err("no labels");
    check(status, "a regression has no labels");
    let options = Some(proto::Options { threshold: Some(0.5), ..Default::default() });
    let request = proto::PredictRequest { options, ..predict(&["intensity"], texts(&["fine"])) };
    check(
        soon(client.predict(request)).await.expect_err("no labels"),
        "a regression has no labels",
    );
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_open_inference_protocol_tells_the_decision_where_it_is_asked_for() {
    let stage = stage().await;
    let mut client = GrpcInferenceServiceClient::new(stage.channel().await);
    let infer = |threshold: f64, outputs: &[&str]| {
        let request = infer("polarity", vec![tensor("text", &["fine"])]);
        with(request, &[("threshold", DoubleParam(threshold))], outputs)
    };
    for (threshold, expected) in [(0.0, &b"positive"[..]), (1.0, b"negative")] {
        let request = infer(threshold, &["decision"]);
        let answer = soon(client.model_infer(request)).await.expect("answered").into_inner();
        let told = told(&answer);
        let [(name, datatype, shape, bytes)] = &told[..] else { panic!("one output: {told:?}") };
        assert_eq!((&**name, &**datatype, &shape[..]), ("decision", "BYTES", &[1][..]));
        assert_eq!(&bytes[4..], expected);
    }
    let answer = soon(client.model_infer(infer(0.5, &[]))).await.expect("answered").into_inner();
    let names: Vec<String> = told(&answer).into_iter().map(|output| output.0).collect();
    assert_eq!(names, ["probabilities", "labels", "truncated"]);
    let status = soon(client.model_infer(infer(1.5, &[]))).await.expect_err("no probability");
    assert_eq!(paths(&status), ["parameters.threshold"]);
    stage.stop().await;
}
