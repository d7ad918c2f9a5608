//! Clients that send their request slowly, take their answer slowly, or compress to do harm.

use h2::{
    Reason,
    client::{ResponseFuture, SendRequest},
};
use prost::Message;
use tokio::{net::TcpStream, task::JoinHandle};
use tonic::{
    Code, Status,
    codegen::{Bytes, http::Request},
};

use super::stage::{Stage, classify, config, count, soon, texts};

/// HTTP/2 by hand.
struct Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    /// A client that takes so many bytes of each answer until it says more.
    async fn new(stage: &Stage, window: u32) -> Self {
        let tcp = soon(TcpStream::connect(stage.address)).await.expect("connected");
        let mut builder = h2::client::Builder::new();
        let shaken = builder.initial_window_size(window).handshake(tcp);
        let (requests, connection) = soon(shaken).await.expect("HTTP/2");
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Begins a call; its request may go on.
    async fn call(
        &mut self,
        path: &str,
        encoding: &str,
    ) -> (ResponseFuture, h2::SendStream<Bytes>) {
        let request = Request::builder()
            .method("POST")
            .uri(format!("http://x{path}"))
            .header("content-type", "application/grpc")
            .header("grpc-encoding", encoding)
            .header("te", "trailers")
            .body(())
            .expect("a request");
        self.requests = soon(self.requests.clone().ready()).await.expect("ready");
        self.requests.send_request(request, false).expect("sent")
    }
}

const CLASSIFY: &str = "/dynamar.v1.Inference/Classify";
const CLASSIFY_STREAM: &str = "/dynamar.v1.Inference/ClassifyStream";

/// A message with what stands before it.
fn framed(flag: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&[flag][..], &length, message].concat().into()
}

fn request() -> Vec<u8> {
    classify("polarity", texts(&["fine"])).encode_to_vec()
}

/// What a call failed with, from the headers of its answer.
async fn status(answer: ResponseFuture) -> Status {
    let answer = soon(answer).await.expect("headers");
    Status::from_header_map(answer.headers()).expect("an error")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_of_a_call_has_to_come_in_time_and_that_of_a_stream_has_not() {
    let mut config = config();
    config.server.receive_timeout_ms = 100;
    let stage = Stage::ready_with(config).await;
    let mut client = Client::new(&stage, 65_535).await;
    let (streamed, mut stream) = client.call(CLASSIFY_STREAM, "identity").await;
    let message = framed(0, &request());
    for sent in [0, 3, message.len() - 1] {
        let (answer, mut call) = client.call(CLASSIFY, "identity").await;
        call.send_data(message.slice(..sent), false).expect("sent");
        let status = status(answer).await;
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        assert!(status.message().contains("100ms"), "{status:?}");
    }
    stream.send_data(message, true).expect("sent");
    let mut answer = soon(streamed).await.expect("headers").into_body();
    let data = soon(answer.data()).await.expect("an answer").expect("an answer");
    assert!(data.len() > 5);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_taken_is_broken_off_and_its_connection_lives() {
    let mut config = config();
    config.server.send_timeout_ms = 100;
    let stage = Stage::ready_with(config).await;
    let mut client = Client::new(&stage, 0).await;
    for _ in 0..2 {
        let (answer, mut call) = client.call(CLASSIFY, "identity").await;
        call.send_data(framed(0, &request()), true).expect("sent");
        let mut answer = soon(answer).await.expect("headers").into_body();
        let error = soon(answer.data()).await.expect("told").expect_err("not taken");
        assert_eq!(error.reason(), Some(Reason::CANCEL));
        assert!(!client.connection.is_finished());
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_which_little_is_taken_ends_its_connection() {
    let mut config = config();
    config.server.send_timeout_ms = 100;
    let stage = Stage::ready_with(config).await;
    // HTTP/2 has all of the answer once there is room for the first byte.
    let mut client = Client::new(&stage, 1).await;
    let (answer, mut call) = client.call(CLASSIFY, "identity").await;
    call.send_data(framed(0, &request()), true).expect("sent");
    let mut answer = soon(answer).await.expect("headers").into_body();
    assert_eq!(soon(answer.data()).await.expect("told").expect("a byte").len(), 1);
    soon(answer.data()).await.expect("told").expect_err("the connection has ended");
    // With an error or without one.
    let _ = soon(client.connection).await.expect("no panic");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_taken_bit_by_bit_comes_whole() {
    let mut config = config();
    config.server.max_examples = count(2000);
    let stage = Stage::ready_with(config).await;
    let mut client = Client::new(&stage, 1000).await;
    let (answer, mut call) = client.call(CLASSIFY, "identity").await;
    let request = classify("polarity", texts(&["fine"; 2000])).encode_to_vec();
    call.send_data(framed(0, &request), true).expect("sent");
    let mut body = soon(answer).await.expect("headers").into_body();
    let mut whole = Vec::new();
    while let Some(data) = soon(body.data()).await {
        let data = data.expect("more");
        body.flow_control().release_capacity(data.len()).expect("room");
        whole.extend(data);
    }
    let trailers = soon(body.trailers()).await.expect("trailers").expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    let answer = dynamar::server::proto::ClassifyResponse::decode(&whole[5..]).expect("an answer");
    assert_eq!(answer.results.len(), 2000);
    assert!(whole.len() > 2 * (16 << 10), "more than two pieces: {}", whole.len());
    stage.stop().await;
}

/// A frame of zstd that claims a window of 128 MiB for its five bytes.
const CLAIMS_128_MIB: [u8; 14] =
    [0x28, 0xB5, 0x2F, 0xFD, 0, 17 << 3, 5 << 3 | 1, 0, 0, b'1', b'2', b'3', b'4', b'5'];

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_message_may_not_claim_much_memory() {
    let stage = Stage::ready().await;
    let mut client = Client::new(&stage, 65_535).await;
    for path in [CLASSIFY, CLASSIFY_STREAM] {
        let (answer, mut call) = client.call(path, "zstd").await;
        call.send_data(framed(1, &CLAIMS_128_MIB), true).expect("sent");
        let answer = soon(answer).await.expect("headers");
        let status = match Status::from_header_map(answer.headers()) {
            Some(status) => status,
            None => {
                let mut body = answer.into_body();
                let trailers = soon(body.trailers()).await.expect("trailers").expect("trailers");
                Status::from_header_map(&trailers).expect("an error")
            }
        };
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.message().contains("window of 134217728 bytes"), "{status:?}");
    }
    stage.stop().await;
}
