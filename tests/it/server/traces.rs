//! Traces of calls, as a real collector gets them.

use std::{collections::BTreeMap, time::Duration};

use dynamar::server::open_inference::proto::GrpcInferenceServiceClient;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

use super::{
    open_inference::tensors::{infer, tensor},
    stage::{self, Stage, classify, regress, soon, texts},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).expect("the test listens");
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector, and where it listens.
async fn collector() -> (mpsc::UnboundedReceiver<ExportTraceServiceRequest>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, received) = mpsc::unbounded_channel();
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Collector(sender)))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    (received, address)
}

async fn traced(endpoint: String, sample_ratio: f64) -> Stage {
    let mut config = stage::config();
    config.traces.endpoint = Some(endpoint);
    config.traces.sample_ratio = dynamar::config::Ratio::new(sample_ratio).expect("a ratio");
    Stage::ready_with(config).await
}

/// All spans that were sent until the server had ended.
async fn sent(mut received: mpsc::UnboundedReceiver<ExportTraceServiceRequest>) -> Vec<Span> {
    let mut spans = Vec::new();
    while let Ok(request) = received.try_recv() {
        for resource in request.resource_spans {
            let attributes = &resource.resource.as_ref().expect("a resource").attributes;
            let service = attributes.iter().find(|one| one.key == "service.name");
            let name = service.and_then(|one| one.value.clone()).and_then(|one| one.value);
            assert_eq!(name, Some(Value::StringValue("dynamar".to_owned())));
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    spans
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn with_parent<T>(message: T, flags: &str) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE}-{CALLER}-{flags}");
    request.metadata_mut().insert("traceparent", parent.parse().expect("a value"));
    request.metadata_mut().insert("tracestate", "vendor=1".parse().expect("a value"));
    request
}

fn attributes(span: &Span) -> BTreeMap<&str, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let all = span.attributes.iter();
    let pairs = all.map(|one| {
        let value = one.value.as_ref().and_then(|value| value.value.as_ref()).expect("a value");
        (one.key.as_str(), text(value))
    });
    let map: BTreeMap<_, _> = pairs.collect();
    assert_eq!(map.len(), span.attributes.len(), "each once");
    map
}

fn named<'s>(spans: &'s [Span], name: &str) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn one<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found = named(spans, name);
    assert_eq!(found.len(), 1, "{name}");
    found[0]
}

fn assert_within(inner: &Span, outer: &Span) {
    assert_eq!(inner.parent_span_id, outer.span_id, "{} in {}", inner.name, outer.name);
    assert_eq!(inner.trace_id, outer.trace_id);
    assert!(inner.start_time_unix_nano <= inner.end_time_unix_nano, "{}", inner.name);
    assert!(outer.start_time_unix_nano <= inner.start_time_unix_nano, "{}", inner.name);
    assert!(inner.end_time_unix_nano <= outer.end_time_unix_nano, "{}", inner.name);
}

#[tokio::test]
async fn a_call_has_a_span_in_its_callers_trace_and_its_parts_beneath() {
    let (received, endpoint) = collector().await;
    let stage = traced(endpoint, 0.0).await;
    let mut client = stage.client().await;
    let request = regress("intensity", texts(&["It is good.", "It is bad, all of it."]));
    soon(client.regress(with_parent(request, "01"))).await.expect("answered");
    stage.stop().await;
    let spans = sent(received).await;
    let call = one(&spans, "dynamar.v1.Inference/Regress");
    assert_eq!(hex(&call.trace_id), TRACE);
    assert_eq!(hex(&call.parent_span_id), CALLER);
    assert_eq!((call.trace_state.as_str(), call.kind()), ("vendor=1", SpanKind::Server));
    let notes = attributes(call);
    let expected = [
        ("rpc.system", "grpc"),
        ("rpc.service", "dynamar.v1.Inference"),
        ("rpc.method", "Regress"),
        ("rpc.grpc.status_code", "0"),
        ("dynamar.task", "intensity"),
        ("dynamar.examples", "2"),
        ("dynamar.cached", "0"),
    ];
    for (name, value) in expected {
        assert_eq!(notes[name], value, "{name}");
    }
    for name in ["tokenise", "queue", "encode", "head"] {
        named(&spans, name).iter().for_each(|span| assert_within(span, call));
    }
    let (tokenise, head) = (one(&spans, "tokenise"), one(&spans, "head"));
    let (queues, encodes) = (named(&spans, "queue"), named(&spans, "encode"));
    assert_eq!(
        (queues.len(), encodes.len().to_string()),
        (encodes.len(), notes["dynamar.batches"].clone())
    );
    for (queue, encode) in queues.into_iter().zip(&encodes) {
        assert!(tokenise.start_time_unix_nano <= queue.start_time_unix_nano);
        assert_eq!(queue.end_time_unix_nano, encode.start_time_unix_nano);
        assert!(encode.end_time_unix_nano <= head.start_time_unix_nano);
    }
    let tokens = |span: &Span| attributes(span)["dynamar.tokens"].parse::<usize>().expect("tokens");
    assert_eq!(encodes.into_iter().map(tokens).sum::<usize>(), tokens(call));
}

#[tokio::test]
async fn who_calls_decides_whether_a_call_is_traced_and_else_the_ratio_does() {
    for (ratio, expected) in [(0.0, 1), (1.0, 2)] {
        let (received, endpoint) = collector().await;
        let stage = traced(endpoint, ratio).await;
        let mut client = stage.client().await;
        let request = || classify("polarity", texts(&["It is good."]));
        soon(client.classify(with_parent(request(), "01"))).await.expect("answered");
        soon(client.classify(with_parent(request(), "00"))).await.expect("answered");
        soon(client.classify(request())).await.expect("answered");
        stage.stop().await;
        let spans = sent(received).await;
        assert_eq!(named(&spans, "dynamar.v1.Inference/Classify").len(), expected, "{ratio}");
        assert_eq!(named(&spans, "encode").len(), expected, "{ratio}");
    }
}

#[tokio::test]
async fn errors_have_their_code_and_are_faults_only_if_the_server_is_at_fault() {
    let (received, endpoint) = collector().await;
    let stage = traced(endpoint, 1.0).await;
    let mut client = stage.client().await;
    let error = soon(client.regress(regress("none", texts(&["x"])))).await.expect_err("no task");
    assert_eq!(error.code(), Code::NotFound);
    let mut late = Request::new(regress("intensity", texts(&["x"])));
    late.metadata_mut().insert("grpc-timeout", "0n".parse().expect("a value"));
    soon(client.regress(late)).await.expect_err("too late");
    // Probes have none.
    stage.until(tonic_health::pb::health_check_response::ServingStatus::Serving).await;
    stage.stop().await;
    let spans = sent(received).await;
    let calls = named(&spans, "dynamar.v1.Inference/Regress");
    let mut told: Vec<_> = calls
        .iter()
        .map(|span| {
            let is_fault = span.status.as_ref().is_some_and(|s| s.code() == StatusCode::Error);
            (attributes(span)["rpc.grpc.status_code"].clone(), is_fault)
        })
        .collect();
    told.sort();
    assert_eq!(told, [("4".to_owned(), true), ("5".to_owned(), false)]);
    assert!(spans.iter().all(|span| !span.name.contains("ealth")), "{spans:?}");
}

#[tokio::test]
async fn each_request_of_a_stream_is_a_part_of_it() {
    let (received, endpoint) = collector().await;
    let stage = traced(endpoint, 0.0).await;
    let mut client = stage.client().await;
    let requests = ["one", "two", "three"].map(|text| regress("intensity", texts(&[text])));
    let requests = with_parent(tokio_stream::iter(requests), "01");
    let mut answers = soon(client.regress_stream(requests)).await.expect("begun").into_inner();
    while soon(answers.message()).await.expect("answered").is_some() {}
    stage.stop().await;
    let spans = sent(received).await;
    let call = one(&spans, "dynamar.v1.Inference/RegressStream");
    assert_eq!(attributes(call)["rpc.grpc.status_code"], "0");
    let requests = named(&spans, "request");
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_within(request, call);
        assert_eq!(attributes(request)["dynamar.task"], "intensity");
        let parts: Vec<_> =
            spans.iter().filter(|span| span.parent_span_id == request.span_id).collect();
        parts.iter().for_each(|part| assert_within(part, request));
        assert!(parts.iter().any(|part| part.name == "encode"), "{parts:?}");
    }
}

/// Connections are taken and nothing is ever said on them.
#[tokio::test]
async fn a_collector_that_is_away_or_says_nothing_holds_up_no_call_and_not_the_stop() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent_at = format!("http://{}", silent.local_addr().expect("an address"));
    for endpoint in ["http://127.0.0.1:1".to_owned(), silent_at] {
        let mut config = stage::config();
        config.traces.endpoint = Some(endpoint);
        config.server.drain_timeout_ms = 100;
        let stage = Stage::ready_with(config).await;
        let mut client = stage.client().await;
        for _ in 0..3 {
            let call = client.regress(regress("intensity", texts(&["It is good."])));
            tokio::time::timeout(Duration::from_secs(20), call)
                .await
                .expect("soon")
                .expect("answered");
        }
        drop(client);
        stage.stop().await;
    }
}

#[tokio::test]
async fn what_is_not_of_the_w3c_begins_a_trace_and_what_does_not_exist_has_none() {
    let (received, endpoint) = collector().await;
    let stage = traced(endpoint, 1.0).await;
    let mut client = stage.client().await;
    for parent in ["00-1-1-01", "nonsense"] {
        let mut request = Request::new(regress("intensity", texts(&["x"])));
        request.metadata_mut().insert("traceparent", parent.parse().expect("a value"));
        soon(client.regress(request)).await.expect("answered");
    }
    let mut other = tonic::client::Grpc::new(stage.channel().await);
    soon(other.ready()).await.expect("ready");
    let path = "/dynamar.v1.Inference/Guess".parse().expect("a path");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let error = soon(other.unary(Request::new(()), path, codec)).await.expect_err("no such call");
    assert_eq!(error.code(), Code::Unimplemented);
    stage.stop().await;
    let spans = sent(received).await;
    let calls: Vec<_> = spans.iter().filter(|span| span.kind() == SpanKind::Server).collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls.iter().all(|call| call.parent_span_id.is_empty()), "{calls:?}");
}

#[tokio::test]
async fn inferences_of_the_open_protocol_are_traced_too() {
    let (received, endpoint) = collector().await;
    let stage = traced(endpoint, 0.0).await;
    let mut client = GrpcInferenceServiceClient::new(stage.channel().await);
    let asked = infer("intensity", vec![tensor("text", &["fine"])]);
    soon(client.model_infer(with_parent(asked, "01"))).await.expect("answered");
    stage.stop().await;
    let spans = sent(received).await;
    let call = one(&spans, "inference.GRPCInferenceService/ModelInfer");
    assert_eq!(hex(&call.trace_id), TRACE);
    assert_eq!(attributes(call)["dynamar.task"], "intensity");
    named(&spans, "encode").iter().for_each(|span| assert_within(span, call));
}
