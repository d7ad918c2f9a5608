//! The Open Inference Protocol says what Classify and Regress say.

pub mod tensors;

use dynamar::server::{
    open_inference::proto::{
        GrpcInferenceServiceClient, ModelInferRequest, ModelMetadataRequest, ModelReadyRequest,
        ServerLiveRequest, ServerMetadataRequest, ServerReadyRequest,
        infer_parameter::ParameterChoice::{Int64Param, StringParam},
    },
    proto::{self, options::TemplateMode},
};
use tonic::{
    Code, Status,
    codec::CompressionEncoding::{Gzip, Zstd},
    transport::Channel,
};
use tonic_health::pb::health_check_response::ServingStatus;

use super::{
    checkpoints::{self, MATCH, POLARITY, Variant},
    encoder::Mode,
    refusals::{paths, reason},
    stage::{Stage, classify, config, count, example, options, regress, soon, texts},
};
use tensors::{as_tensors, infer, output, raw, tensor, told, with};

const TEXTS: [&str; 3] = ["fine", "not what I had hoped for, ä", "it broke"];

/// Too long for any task.
fn long() -> String {
    "a lovely camera ".repeat(40)
}

async fn client(stage: &Stage) -> GrpcInferenceServiceClient<Channel> {
    GrpcInferenceServiceClient::new(stage.channel().await)
}

/// One vector for each prompt, so that answers are the same to the bit whoever asks.
async fn stage() -> Stage {
    let mut config = config();
    config.cache.max_bytes = 1 << 24;
    Stage::ready_with(config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classification_is_that_of_classify_to_the_bit() {
    let stage = stage().await;
    let (mut ours, mut theirs) = (stage.client().await, client(&stage).await);
    let long = long();
    let all = [TEXTS[0], TEXTS[1], TEXTS[2], &long];
    let said = soon(ours.classify(classify("polarity", texts(&all)))).await.expect("answered");
    let said = said.into_inner();
    let expected = as_tensors(&["negative", "positive"], &said, 0);
    let request = infer("polarity", vec![tensor("text", &all)]);
    for request in [request.clone(), raw(request)] {
        let answer = soon(theirs.model_infer(request)).await.expect("answered").into_inner();
        assert_eq!(told(&answer), expected);
        assert_eq!((answer.model_name.as_str(), answer.id.as_str()), ("polarity", "mine"));
        assert_eq!(answer.model_version, said.metadata.as_ref().expect("told").model);
        assert_eq!(told(&answer)[2].3, [0, 0, 0, 1], "the last text is cut");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_regression_is_that_of_regress_to_the_bit() {
    let stage = stage().await;
    let (mut ours, mut theirs) = (stage.client().await, client(&stage).await);
    let said = soon(ours.regress(regress("intensity", texts(&TEXTS)))).await.expect("answered");
    let said = said.into_inner().results;
    let expected = vec![
        output(
            "value",
            "FP64",
            &[3],
            said.iter().flat_map(|one| one.value.to_le_bytes()).collect(),
        ),
        output("truncated", "BOOL", &[3], vec![0; 3]),
    ];
    let request = infer("intensity", vec![tensor("text", &TEXTS)]);
    for request in [request.clone(), raw(request)] {
        let answer = soon(theirs.model_infer(request)).await.expect("answered").into_inner();
        assert_eq!(told(&answer), expected);
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_tensors_and_options_are_parameters() {
    let stage = stage().await;
    let (mut ours, mut theirs) = (stage.client().await, client(&stage).await);
    let names = ["exact", "substitute", "complement", "irrelevant"];
    let rows = [("red shoes", "Red running shoe", "Fleet"), ("tripod", "Camera bag", "")];
    let column = |of: fn(&(&'static str, &'static str, &'static str)) -> &'static str| {
        rows.each_ref().map(of)
    };
    // Not in the order of the task.
    let inputs = vec![
        tensor("brand", &column(|row| row.2)),
        tensor("title", &column(|row| row.1)),
        tensor("query", &column(|row| row.0)),
    ];
    let examples: Vec<_> = rows
        .iter()
        .map(|(query, title, brand)| {
            example(&[("query", query), ("title", title), ("brand", brand)])
        })
        .collect();
    let text = |text: &str| StringParam(text.to_owned());
    let single = TemplateMode::Single;
    for (options, parameters) in [
        (None, vec![]),
        (options(single, &[]), vec![("template_mode", text("single"))]),
        (
            options(single, &["is-it"]),
            vec![("template_mode", text("single")), ("template_ids", text("is-it"))],
        ),
        (
            options(TemplateMode::Default, &["pair", "asked"]),
            vec![("template_ids", text("pair,asked"))],
        ),
    ] {
        let request = proto::ClassifyRequest { options, ..classify("match", examples.clone()) };
        let said = soon(ours.classify(request)).await.expect("answered").into_inner();
        for top_k in [0, 1, 3, 99] {
            let mut parameters = parameters.clone();
            parameters.push(("top_k", Int64Param(top_k)));
            let request = with(infer("match", inputs.clone()), &parameters, &[]);
            let answer = soon(theirs.model_infer(request)).await.expect("answered").into_inner();
            let top = usize::try_from(top_k).expect("a count").min(names.len());
            assert_eq!(told(&answer), as_tensors(&names, &said, top), "{parameters:?}");
        }
    }
    // Only what is asked for, in that order.
    let request = infer("match", inputs[1..].to_vec());
    let request = raw(with(request, &[], &["truncated", "labels"]));
    let answer = soon(theirs.model_infer(request)).await.expect("the brand may be left out");
    let found: Vec<String> = told(&answer.into_inner()).into_iter().map(|one| one.0).collect();
    assert_eq!(found, ["truncated", "labels"]);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_in_the_words_of_the_protocol() {
    let mut config = config();
    config.server.max_examples = count(3);
    config.server.max_text_bytes = count(20);
    let stage = Stage::ready_with(config).await;
    let mut client = client(&stage).await;
    let polarity = |texts: &[&str]| infer("polarity", vec![tensor("text", texts)]);
    let text = |text: &str| StringParam(text.to_owned());
    for (request, expected) in [
        (polarity(&["fine", " "]), "inputs.text[1]"),
        (polarity(&["a text of more than twenty bytes"]), "inputs.text[0]"),
        (polarity(&["x"; 4]), "inputs.text.shape"),
        (
            with(polarity(&["x"]), &[("template_ids", text("nope"))], &[]),
            "parameters.template_ids[0]",
        ),
        (
            with(polarity(&["x"]), &[("template_ids", text("it-was,overall"))], &[]),
            "parameters.template_ids",
        ),
        (with(polarity(&["x"]), &[("colour", text("red"))], &[]), "parameters.colour"),
        (with(polarity(&["x"]), &[], &["value"]), "outputs[0].name"),
    ] {
        for request in [request.clone(), raw(request)] {
            let status = soon(client.model_infer(request.clone())).await.expect_err("refused");
            assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
            assert_eq!(paths(&status), [expected], "{request:?}");
            assert!(status.message().starts_with(expected), "{status:?}");
            assert_eq!(reason(&status), "INVALID_REQUEST");
        }
    }
    let status = soon(client.model_infer(infer("nothing", vec![]))).await.expect_err("unknown");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "UNKNOWN_TASK"));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_deadlines_and_compression_hold_as_for_other_calls() {
    let mut config = config();
    config.server.max_message_bytes = count(65_536);
    let stage = Stage::ready_with(config).await;
    let polarity = |texts: &[&str]| infer("polarity", vec![tensor("text", texts)]);
    let expected = soon(client(&stage).await.model_infer(polarity(&["fine"; 100]))).await;
    let expected = told(&expected.expect("answered").into_inner());
    for encoding in [Gzip, Zstd] {
        let client = client(&stage).await;
        let mut client = client.send_compressed(encoding).accept_compressed(encoding);
        let answer = soon(client.model_infer(polarity(&["fine"; 100]))).await.expect("answered");
        let used = answer.metadata().get("grpc-encoding").expect("told").to_str().expect("text");
        assert_eq!(used, encoding.to_string());
        assert_eq!(told(&answer.into_inner()), expected);
    }
    let mut client = client(&stage).await;
    let large = "x".repeat(1 << 17);
    let status = soon(client.model_infer(polarity(&[&large]))).await.expect_err("too large");
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    // The caller's own words for a deadline, which is over before a worker is free.
    stage.control.set(Mode::Hold);
    let request = with(polarity(&["fine"]), &[("timeout", Int64Param(1000))], &[]);
    let status = soon(client.model_infer(request)).await.expect_err("too late");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    stage.control.set(Mode::Work);
    stage.stop().await;
}

async fn is_ready(
    client: &mut GrpcInferenceServiceClient<Channel>,
    name: &str,
    version: &str,
) -> Result<bool, Status> {
    let request = ModelReadyRequest { name: name.to_owned(), version: version.to_owned() };
    Ok(soon(client.model_ready(request)).await?.into_inner().ready)
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_is_the_servers_health() {
    let mut config = config();
    config.health.probe_interval_ms = 100;
    config.health.stall_timeout_ms = 1000;
    let stage = Stage::ready_with(config).await;
    let mut client = client(&stage).await;
    let server = async |client: &mut GrpcInferenceServiceClient<Channel>| {
        let live = soon(client.server_live(ServerLiveRequest {})).await.expect("told");
        let ready = soon(client.server_ready(ServerReadyRequest {})).await.expect("told");
        (live.into_inner().live, ready.into_inner().ready)
    };
    assert_eq!(server(&mut client).await, (true, true));
    assert!(is_ready(&mut client, "polarity", "").await.expect("told"));
    for (name, version) in [("nothing", ""), ("polarity", "9"), ("", "")] {
        assert!(!is_ready(&mut client, name, version).await.expect("told"), "{name} {version}");
    }
    let service = "inference.GRPCInferenceService";
    assert_eq!(stage.health(service).await.expect("known"), ServingStatus::Serving);
    stage.control.set(Mode::Fail);
    stage.until(ServingStatus::NotServing).await;
    assert_eq!(server(&mut client).await, (true, false));
    assert!(!is_ready(&mut client, "polarity", "").await.expect("told"));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_tell_their_tensors_and_versions_are_asked_for() {
    let models = tempfile::tempdir().expect("a directory");
    for (name, tasks, seed) in [
        ("reviews", &[POLARITY][..], 2.0),
        ("reviews@2", &[POLARITY], 3.0),
        ("shop@1", &[MATCH], 4.0),
    ] {
        let variant = Variant { seed, ..Variant::default() };
        checkpoints::write_as(&models.path().join(name), tasks, variant);
    }
    let stage = Stage::ready_over(models, config(), None).await;
    let (mut ours, mut client) = (stage.client().await, client(&stage).await);
    let server = soon(client.server_metadata(ServerMetadataRequest {})).await.expect("told");
    let server = server.into_inner();
    assert_eq!(
        (server.name.as_str(), server.version.as_str()),
        ("dynamar", env!("CARGO_PKG_VERSION"))
    );
    let mut metadata = async |name: &str, version: &str| {
        let request = ModelMetadataRequest { name: name.to_owned(), version: version.to_owned() };
        Ok::<_, Status>(soon(client.model_metadata(request)).await?.into_inner())
    };
    let get = |task: &str| proto::GetTaskRequest { task: task.to_owned() };
    let default = soon(ours.get_task(get("polarity"))).await.expect("told").into_inner().model;
    let told = metadata("polarity", "").await.expect("told");
    assert_eq!((told.name.as_str(), told.platform.as_str()), ("polarity", "onnx_onnxv1"));
    assert_eq!(told.versions, [default.as_str(), "2"]);
    assert_eq!(metadata("polarity", "2").await.expect("told"), told);
    let told = metadata("match", "").await.expect("told");
    assert_eq!(told.versions, ["1"]);
    let tensors = told.inputs.iter().chain(&told.outputs);
    let tensors: Vec<_> = tensors.map(|one| (&*one.name, &*one.datatype, &*one.shape)).collect();
    let expected: [(&str, &str, &[i64]); 7] = [
        ("query", "BYTES", &[-1]),
        ("title", "BYTES", &[-1]),
        ("brand", "BYTES", &[-1]),
        ("probabilities", "FP32", &[-1, 4]),
        ("labels", "BYTES", &[-1]),
        ("truncated", "BOOL", &[-1]),
        ("decision", "BYTES", &[-1]),
    ];
    assert_eq!(tensors, expected);
    let unknown = metadata("polarity", "3").await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
    // Every version that is told can be asked for, in either way.
    for version in [default.as_str(), "2"] {
        let asked = format!("polarity@{version}");
        let said = soon(ours.classify(classify(&asked, texts(&TEXTS)))).await.expect("answered");
        let model = said.into_inner().metadata.expect("told").model;
        let inputs = || vec![tensor("text", &TEXTS)];
        let by_version =
            ModelInferRequest { model_version: version.to_owned(), ..infer("polarity", inputs()) };
        for request in [by_version, infer(&asked, inputs())] {
            let name = request.model_name.clone();
            let answer = soon(client.model_infer(request)).await.expect("answered").into_inner();
            assert_eq!((&answer.model_name, &answer.model_version), (&name, &model));
        }
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_can_never_wait_is_told_so_in_the_words_of_the_protocol() {
    let mut config = config();
    config.batching.max_batch_tokens = count(64);
    config.batching.max_queued_tokens = count(64);
    let stage = Stage::ready_with(config).await;
    let different: Vec<String> = (0..60).map(|at| format!("fine {at}")).collect();
    let different: Vec<&str> = different.iter().map(String::as_str).collect();
    let asked = infer("polarity", vec![tensor("text", &different)]);
    let refused = soon(client(&stage).await.model_infer(asked)).await.expect_err("too much");
    assert_eq!(paths(&refused), ["inputs"]);
    assert_eq!(reason(&refused), "CALL_TOO_LARGE");
    stage.stop().await;
}
