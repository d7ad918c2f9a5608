//! Compressed requests and answers.

use dynamar::server::proto;
use http_body_util::{BodyExt, Full};
use prost::Message;
use tonic::{
    Code,
    body::Body,
    codec::CompressionEncoding::{Gzip, Zstd},
    codegen::http::Request,
};
use tower::{Service, ServiceExt};

use super::stage::{Stage, classify, config, count, soon, texts};

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_answers_may_be_compressed() {
    let stage = Stage::ready().await;
    let mut plain = stage.client().await;
    let request = || classify("polarity", texts(&["fine", "a poor camera"].repeat(50)));
    let expected = soon(plain.classify(request())).await.expect("answered").into_inner().results;
    for encoding in [Gzip, Zstd] {
        let client = stage.client().await;
        let mut client = client.send_compressed(encoding).accept_compressed(encoding);
        let answer = soon(client.classify(request())).await.expect("answered");
        let used = answer.metadata().get("grpc-encoding").expect("told").to_str().expect("text");
        assert_eq!(used, encoding.to_string());
        assert_eq!(answer.into_inner().results, expected);
        let stream = soon(client.classify_stream(tokio_stream::iter([request()]))).await;
        let answer = soon(stream.expect("a stream").into_inner().message()).await;
        assert_eq!(answer.expect("answered").expect("answered").results, expected);
    }
    stage.stop().await;
}

/// The flag in front of the answer's message: 1 if it is compressed.
async fn flag(stage: &Stage, request: &proto::ClassifyRequest, accept: &'static str) -> u8 {
    let message = request.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
    frame.extend(message);
    let request = Request::builder()
        .method("POST")
        .uri("/dynamar.v1.Inference/Classify")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-accept-encoding", accept)
        .body(Body::new(Full::from(frame)))
        .expect("a request");
    let mut channel = stage.channel().await;
    let ready = soon(channel.ready()).await.expect("connected");
    let answer = soon(ready.call(request)).await.expect("answered");
    let body = soon(answer.into_body().collect()).await.expect("a whole answer");
    body.to_bytes()[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_large_answers_are_compressed_and_only_for_clients_that_take_it() {
    let stage = Stage::ready().await;
    let small = classify("polarity", texts(&["fine"]));
    let large = classify("polarity", texts(&["fine"; 100]));
    for (request, accept, expected) in [
        (&small, "gzip,zstd", 0),
        (&large, "identity", 0),
        (&large, "br", 0),
        (&large, "gzip", 1),
        (&large, "br, zstd", 1),
    ] {
        assert_eq!(flag(&stage, request, accept).await, expected, "{accept}");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_large_when_decompressed_is_refused() {
    let mut config = config();
    config.server.max_message_bytes = count(4096);
    let stage = Stage::ready_with(config).await;
    let large = "x".repeat(1 << 20);
    for encoding in [Gzip, Zstd] {
        let mut client = stage.client().await.send_compressed(encoding);
        let request = classify("polarity", texts(&[&large]));
        let status = soon(client.classify(request)).await.expect_err("too large");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.message().contains("4096"), "{status:?}");
        let small = classify("polarity", texts(&["fine"]));
        soon(client.classify(small)).await.expect("answered");
    }
    stage.stop().await;
}
