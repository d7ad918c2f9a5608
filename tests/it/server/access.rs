//! Callers with tokens and certificates, and what they may ask.

use std::{fs, path::Path};

use dynamar::{
    config::Config,
    server::{
        access,
        open_inference::proto::{
            GrpcInferenceServiceClient, ModelInferRequest, ModelMetadataRequest, ModelReadyRequest,
            ServerLiveRequest,
        },
        proto::{self, inference_client::InferenceClient},
    },
};
use tempfile::TempDir;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt;

use super::{
    certificates::Authority,
    stage::{Stage, classify, config, predict, regress, soon, texts},
};

/// Sends a token with every call, if any.
#[derive(Clone)]
struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

type Client = InferenceClient<InterceptedService<Channel, Bearer>>;

async fn client(stage: &Stage, token: Option<&str>) -> Client {
    let header = token.map(|token| format!("Bearer {token}").parse().expect("metadata"));
    InferenceClient::with_interceptor(stage.channel().await, Bearer(header))
}

/// A file of callers and the tokens of those in it.
struct Callers {
    home: TempDir,
    everything: String,
    polarity: String,
}

impl Callers {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let (everything, polarity) = (token(), token());
        let callers = Self { home, everything: everything.token, polarity: polarity.token };
        let text = entry("everything", &everything.sha256, "*")
            + &entry("polarity", &polarity.sha256, "polarity");
        fs::write(callers.path(), text).expect("written");
        callers
    }

    fn path(&self) -> std::path::PathBuf {
        self.home.path().join("callers.toml")
    }

    fn config(&self) -> Config {
        let mut config = config();
        config.auth.tokens = Some(self.path());
        config.server.reload_interval_ms = 20;
        config
    }
}

fn token() -> access::NewToken {
    access::new_token().expect("random")
}

fn entry(name: &str, sha256: &str, task: &str) -> String {
    format!("[[caller]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\ntasks = [\"{task}\"]\n")
}

fn polarity() -> proto::ClassifyRequest {
    classify("polarity", texts(&["fine"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_only_health_is_told() {
    let callers = Callers::new();
    let stage = Stage::ready_with(callers.config()).await;
    assert_eq!(stage.health("").await.expect("told"), ServingStatus::Serving);
    let wrong = token().token;
    for (token, words) in [(None, "authorization: Bearer TOKEN"), (Some(&*wrong), "not known")] {
        let mut client = client(&stage, token).await;
        let refused = |status: Status| {
            assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
            assert!(status.message().contains(words), "{status:?}");
            assert!(!status.message().contains(&wrong), "{status:?}");
            assert_eq!(status.metadata().get("www-authenticate").expect("a hint"), "Bearer");
            assert!(status.metadata().contains_key("x-request-id"), "{status:?}");
        };
        refused(soon(client.classify(polarity())).await.expect_err("refused"));
        refused(soon(client.list_tasks(proto::ListTasksRequest {})).await.expect_err("refused"));
        let stream = soon(client.classify_stream(tokio_stream::iter([polarity()]))).await;
        refused(stream.map(drop).expect_err("refused"));
        let get = proto::GetTaskRequest { task: "polarity".to_owned() };
        refused(soon(client.get_task(get)).await.expect_err("refused"));
    }
    let mut theirs = GrpcInferenceServiceClient::new(stage.channel().await);
    let live = soon(theirs.server_live(ServerLiveRequest {})).await.expect_err("refused");
    assert_eq!(live.code(), Code::Unauthenticated);
    let status = reflected(&stage).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unauthenticated);
    stage.stop().await;
}

async fn reflected(stage: &Stage) -> Result<(), Status> {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    };
    let mut client = ServerReflectionClient::new(stage.channel().await);
    let asked = tokio_stream::once(ServerReflectionRequest::default());
    soon(client.server_reflection_info(asked)).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_asks_the_tasks_in_its_scope_and_sees_no_others() {
    let callers = Callers::new();
    let stage = Stage::ready_with(callers.config()).await;
    let mut all = client(&stage, Some(&callers.everything)).await;
    let mut one = client(&stage, Some(&callers.polarity)).await;
    let names = |tasks: proto::ListTasksResponse| -> Vec<String> {
        tasks.tasks.into_iter().map(|task| task.name).collect()
    };
    let list = soon(all.list_tasks(proto::ListTasksRequest {})).await.expect("told").into_inner();
    assert!(names(list).len() > 1);
    let list = soon(one.list_tasks(proto::ListTasksRequest {})).await.expect("told").into_inner();
    assert_eq!(names(list), ["polarity"]);
    soon(one.classify(polarity())).await.expect("in its scope");
    soon(all.regress(regress("intensity", texts(&["fine"])))).await.expect("in its scope");
    let refused = |status: Status| {
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
        let details = status.get_error_details();
        assert_eq!(details.error_info().expect("told").reason, "TASK_NOT_ALLOWED");
    };
    let texts = || texts(&["fine"]);
    refused(soon(one.regress(regress("intensity", texts()))).await.expect_err("refused"));
    refused(soon(one.classify(classify("nothing", texts()))).await.expect_err("refused"));
    let both = predict(&["polarity", "intensity"], texts());
    refused(soon(one.predict(both)).await.expect_err("refused"));
    let get = proto::GetTaskRequest { task: "intensity".to_owned() };
    refused(soon(one.get_task(get)).await.expect_err("refused"));
    let requests = [polarity(), classify("intensity", texts())];
    let stream = soon(one.classify_stream(tokio_stream::iter(requests))).await;
    let mut answers = stream.expect("a stream").into_inner();
    soon(answers.message()).await.expect("in its scope").expect("answered");
    let status = soon(answers.message()).await.expect_err("refused");
    assert!(status.message().starts_with("request 1 of the stream: "), "{status:?}");
    refused(status);
    let regressed = soon(one.regress_stream(tokio_stream::iter([regress("intensity", texts())])));
    let mut answers = regressed.await.expect("a stream").into_inner();
    refused(soon(answers.message()).await.expect_err("refused"));
    let unknown = soon(all.classify(classify("nothing", texts()))).await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scope_holds_for_models_too() {
    let callers = Callers::new();
    let stage = Stage::ready_with(callers.config()).await;
    let bearer = Bearer(Some(format!("Bearer {}", callers.polarity).parse().expect("metadata")));
    let channel = stage.channel().await;
    let mut one = GrpcInferenceServiceClient::with_interceptor(channel, bearer);
    let ready = |name: &str| ModelReadyRequest { name: name.to_owned(), ..Default::default() };
    assert!(soon(one.model_ready(ready("polarity"))).await.expect("told").into_inner().ready);
    for (name, version) in [("intensity", ""), ("nothing", ""), ("intensity", "1")] {
        let (model_name, model_version) = (name.to_owned(), version.to_owned());
        let infer = ModelInferRequest { model_name, model_version, ..Default::default() };
        let metadata = ModelMetadataRequest { name: name.to_owned(), version: version.to_owned() };
        for refused in [
            soon(one.model_infer(infer)).await.map(drop),
            soon(one.model_metadata(metadata)).await.map(drop),
            soon(one.model_ready(ready(name))).await.map(drop),
        ] {
            let status = refused.expect_err("refused");
            assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
        }
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_and_go_while_it_serves() {
    let callers = Callers::new();
    let stage = Stage::ready_with(callers.config()).await;
    let mut old = client(&stage, Some(&callers.polarity)).await;
    soon(old.classify(polarity())).await.expect("known");
    let new = token();
    let write = |text: &str| {
        let beside = callers.home.path().join("beside");
        fs::write(&beside, text).expect("written");
        fs::rename(&beside, callers.path()).expect("moved");
    };
    write("[[caller]]\nthis is broken");
    soon(old.classify(polarity())).await.expect("still known");
    write(&entry("new", &new.sha256, "*"));
    let mut client = client(&stage, Some(&new.token)).await;
    while soon(client.classify(polarity())).await.is_err() {}
    let gone = soon(old.classify(polarity())).await.expect_err("unknown now");
    assert_eq!(gone.code(), Code::Unauthenticated);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_as_good_as_a_token() {
    let callers = Callers::new();
    let ours = Authority::new(callers.home.path(), "ours");
    let (server, known) = (ours.sign("server", &[]), ours.sign("known", &["shop.example"]));
    let unknown = ours.sign("unknown", &["other.example"]);
    let mut text = fs::read_to_string(callers.path()).expect("read");
    text += "[[caller]]\ncertificate = \"shop.example\"\ntasks = [\"polarity\"]\n";
    fs::write(callers.path(), text).expect("written");
    let mut config = callers.config();
    config.tls.certificate = Some(server.certificate.clone());
    config.tls.private_key = Some(server.key.clone());
    config.tls.client_ca = Some(ours.path());
    let tls = |signed: &super::certificates::Signed| ours.client().identity(signed.identity());
    let mut stage = Stage::ready_for(config, Some(tls(&known))).await;
    let mut by_certificate = client(&stage, None).await;
    soon(by_certificate.classify(polarity())).await.expect("known");
    let regressed = by_certificate.regress(regress("intensity", texts(&["fine"])));
    assert_eq!(soon(regressed).await.expect_err("refused").code(), Code::PermissionDenied);
    // A token counts before the certificate, for better or worse.
    let mut by_token = client(&stage, Some(&callers.everything)).await;
    soon(by_token.regress(regress("intensity", texts(&["fine"])))).await.expect("known");
    let mut wrong = client(&stage, Some("wrong")).await;
    let status = soon(wrong.classify(polarity())).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unauthenticated);
    stage.tls = Some(tls(&unknown));
    let mut stranger = client(&stage, None).await;
    let status = soon(stranger.classify(polarity())).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("client certificate"), "{status:?}");
    stage.stop().await;
}

#[test]
fn a_faulty_file_is_told_with_its_path() {
    let callers = Callers::new();
    let error = |path: &Path| {
        let mut config = config();
        config.auth.tokens = Some(path.to_owned());
        access::Access::open(&config).err().expect("a fault").to_string()
    };
    let missing = callers.home.path().join("missing");
    assert!(error(&missing).contains(&format!("auth.tokens: cannot read {}", missing.display())));
    fs::write(callers.path(), "[[caller]]\ntasks = []\n").expect("written");
    let found = error(&callers.path());
    assert!(found.contains(&callers.path().display().to_string()), "{found}");
    assert!(found.contains("caller 1: has no `name`"), "{found}");
}
