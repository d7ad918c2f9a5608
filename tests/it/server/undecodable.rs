//! Bytes that are no call of ours: the sender's fault, never INTERNAL.

use h2::client::SendRequest;
use prost::Message;
use tokio::net::TcpStream;
use tonic::{
    Code, Status,
    codegen::{
        Bytes,
        http::{HeaderMap, Request},
    },
};

use super::{
    refusals::reason,
    stage::{Stage, classify, soon, texts},
};

const CLASSIFY: &str = "/dynamar.v1.Inference/Classify";
const CLASSIFY_STREAM: &str = "/dynamar.v1.Inference/ClassifyStream";
const MODEL_INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const CHECK: &str = "/grpc.health.v1.Health/Check";

async fn connect(stage: &Stage) -> SendRequest<Bytes> {
    let tcp = soon(TcpStream::connect(stage.address)).await.expect("connected");
    let (requests, connection) = soon(h2::client::handshake(tcp)).await.expect("HTTP/2");
    tokio::spawn(connection);
    requests
}

/// The status of HTTP, the headers and the text of an answer, and its trailers.
async fn ask(
    requests: &SendRequest<Bytes>,
    request: Request<()>,
    body: &[u8],
) -> (u16, HeaderMap, Vec<u8>, HeaderMap) {
    let mut requests = soon(requests.clone().ready()).await.expect("ready");
    let (answer, mut sent) = requests.send_request(request, false).expect("sent");
    // A refusal may come before the body has left, and ends the request.
    let _ = sent.send_data(Bytes::copy_from_slice(body), true);
    let (head, mut body) = soon(answer).await.expect("answered").into_parts();
    let mut text = Vec::new();
    while let Some(data) = soon(body.data()).await {
        text.extend(data.expect("data"));
    }
    let trailers = soon(body.trailers()).await.expect("trailers").unwrap_or_default();
    (head.status.as_u16(), head.headers, text, trailers)
}

fn request(method: &str, path: &str, content_type: &str, encoding: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(format!("http://x{path}"))
        .header("content-type", content_type)
        .header("grpc-encoding", encoding)
        .body(())
        .expect("a request")
}

/// A message with the flag and the length that stand before it.
fn framed(flag: u8, length: usize, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).expect("short").to_be_bytes();
    [&[flag][..], &length, message].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_do_not_decode_are_their_senders_fault() {
    let stage = Stage::ready().await;
    let requests = connect(&stage).await;
    let good = classify("polarity", texts(&["fine"])).encode_to_vec();
    // The task's name, of two bytes that are no UTF-8.
    let bad_text = [0x0a, 2, 0xff, 0xfe];
    let whole = |message: &[u8]| framed(0, message.len(), message);
    let cases = [
        ("identity", whole(&bad_text)),
        ("identity", whole(&good[..good.len() - 1])),
        ("identity", whole(&[0xff; 16])),
        ("identity", framed(0, good.len() + 5, &good)),
        ("identity", Vec::new()),
        ("identity", vec![0, 0]),
        ("identity", framed(1, good.len(), &good)),
        ("identity", framed(7, good.len(), &good)),
        ("gzip", framed(1, good.len(), &good)),
    ];
    for path in [CLASSIFY, MODEL_INFER, CHECK, CLASSIFY_STREAM] {
        for (encoding, body) in &cases {
            if path == CHECK && *encoding == "gzip" || path == CLASSIFY_STREAM && body.is_empty() {
                continue;
            }
            let asked = request("POST", path, "application/grpc", encoding);
            let (http, headers, _, trailers) = ask(&requests, asked, body).await;
            let status = Status::from_header_map(&headers);
            let status = status.or_else(|| Status::from_header_map(&trailers));
            let status = status.expect("an error");
            assert_eq!(http, 200);
            assert_eq!(status.code(), Code::InvalidArgument, "{path} {body:?}: {status:?}");
            assert_eq!(reason(&status), "MALFORMED_REQUEST", "{path} {body:?}");
            assert!(status.message().contains("the request cannot be decoded: "), "{status:?}");
        }
    }
    assert_no_fault_of_ours(&stage, "MALFORMED_REQUEST", 4 * cases.len() - 2).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_grpc_is_told_so_in_words_for_people() {
    let stage = Stage::ready().await;
    let requests = connect(&stage).await;
    let json = br#"{"task":"polarity","examples":[]}"#;
    let good = classify("polarity", texts(&["fine"])).encode_to_vec();
    let framed = framed(0, good.len(), &good);
    let cases: [(&str, &str, &[u8], u16, &str); 5] = [
        ("POST", "application/json", json, 415, "\"application/json\", which is not gRPC"),
        ("POST", "application/grpc-web+proto", &framed, 415, "gRPC-Web is not spoken here"),
        ("POST", "application/grpc-web-text", b"AAAA", 415, "gRPC-Web is not spoken here"),
        ("OPTIONS", "application/grpc", b"", 405, "\"OPTIONS\" is no gRPC call"),
        ("GET", "text/html", b"", 405, "\"GET\" is no gRPC call"),
    ];
    for (method, content_type, body, expected, words) in cases {
        let asked = request(method, CLASSIFY, content_type, "identity");
        let (http, headers, text, _) = ask(&requests, asked, body).await;
        let status = Status::from_header_map(&headers).expect("an error");
        assert_eq!((http, status.code()), (expected, Code::Unimplemented), "{status:?}");
        assert_eq!(reason(&status), "NOT_GRPC");
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains(words) && text.ends_with('\n'), "{text}");
        assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
        assert!(headers.contains_key("x-request-id"), "{headers:?}");
    }
    assert_no_fault_of_ours(&stage, "NOT_GRPC", cases.len()).await;
    stage.stop().await;
}

/// So many calls were refused for this reason, and none for a fault of the server.
async fn assert_no_fault_of_ours(stage: &Stage, reason: &str, count: usize) {
    let refused = format!("dynamar_refused_total{{reason=\"{reason}\"}}");
    assert_eq!(stage.metric(&refused).await, Some(count as f64));
    let page = stage.ask_for_metrics("GET /metrics").await;
    assert!(!page.contains("INTERNAL"), "{page}");
}
