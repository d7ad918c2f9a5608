//! Connections that are refused, limited or closed, and those that have to live.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, metadata::MetadataValue};

use super::{
    encoder::Mode,
    stage::{Stage, classify, config, count, soon, texts},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;

/// `POST http://x/x`, compressed for HTTP/2 without tables.
const REQUEST: &[u8] = &[0x83, 0x86, 0x04, 2, b'/', b'x', 0x01, 1, b'x'];

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// A client that has said this so far.
async fn said(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut client = soon(TcpStream::connect(address)).await.expect("connected");
    soon(client.write_all(bytes)).await.expect("sent");
    client
}

/// Waits until the server has closed the connection.
async fn closed(mut client: TcpStream) {
    let mut rest = Vec::new();
    // Closed with a FIN or with a reset.
    let _ = soon(client.read_to_end(&mut rest)).await;
}

fn beginning() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_handshake_is_not_waited_for() {
    let mut config = config();
    config.server.handshake_timeout_ms = 100;
    let stage = Stage::ready_with(config).await;
    let whole = beginning();
    for begun in [0, 10, PREFACE.len(), whole.len() - 1] {
        closed(said(stage.address, &whole[..begun]).await).await;
    }
    closed(said(stage.address, b"GET / HTTP/1.1\r\n\r\n").await).await;
    soon(stage.client().await.classify(classify("polarity", texts(&["fine"]))))
        .await
        .expect("fine");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_is_answered_in_its_own_words_and_held_to_the_limits() {
    let mut config = config();
    config.server.handshake_timeout_ms = 100;
    let stage = Stage::ready_with(config).await;
    let body = "x".repeat(10_000);
    let post = format!("POST /dynamar.v1.Inference/Classify HTTP/1.1\r\nhost: x\r\n\r\n{body}");
    for address in [stage.address, stage.probes] {
        for request in ["GET / HTTP/1.1\r\nhost: x\r\n\r\n", "HEAD /x HTTP/1.0\n\n", &post] {
            // Closed by the server, though the client would go on.
            let mut client = said(address, request.as_bytes()).await;
            let mut answer = String::new();
            soon(client.read_to_string(&mut answer)).await.expect("text");
            let (head, sentence) = answer.split_once("\r\n\r\n").expect("a head");
            assert!(head.starts_with("HTTP/1.1 505 HTTP Version Not Supported\r\n"), "{answer}");
            assert!(head.contains(&format!("content-length: {}\r\n", sentence.len())), "{answer}");
            assert!(sentence.starts_with("This port speaks gRPC, which is HTTP/2"), "{answer}");
        }
        // Half of a line, a line without end, and a body without end.
        closed(said(address, b"GET / HT").await).await;
        closed(said(address, "G".repeat(9000).as_bytes()).await).await;
        let mut endless = said(address, b"PUT / HTTP/1.1\r\n\r\n").await;
        soon(async { while endless.write_all(body.as_bytes()).await.is_ok() {} }).await;
    }
    soon(stage.client().await.classify(classify("polarity", texts(&["fine"]))))
        .await
        .expect("fine");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_first_call_does_not_come_has_to_go() {
    let mut config = config();
    config.server.first_call_timeout_ms = 100;
    config.server.handshake_timeout_ms = 100;
    let stage = Stage::ready_with(config).await;
    // Nothing, half of a frame, and headers that do not end.
    let endless = frame(HEADERS, 0, 1, REQUEST);
    for more in [&[][..], &endless[..5], &endless] {
        closed(said(stage.address, &[&beginning()[..], more].concat()).await).await;
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_connection_is_told_to_go_and_the_next_call_makes_a_new_one() {
    let mut config = config();
    config.server.idle_timeout_ms = 100;
    let stage = Stage::ready_with(config).await;
    let tcp = soon(TcpStream::connect(stage.address)).await.expect("connected");
    let (requests, connection) = soon(h2::client::handshake(tcp)).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut requests = soon(requests.ready()).await.expect("ready");
    let (answer, _) = requests.send_request(health_check(), true).expect("sent");
    soon(answer).await.expect("answered");
    soon(connection).await.expect("no panic").expect("a good end");
    let mut client = stage.client().await;
    for _ in 0..2 {
        soon(client.classify(classify("polarity", texts(&["fine"])))).await.expect("answered");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_is_told_to_go_and_its_open_calls_go_on() {
    let mut config = config();
    config.server.max_connection_age_ms = 50;
    let stage = Stage::ready_with(config).await;
    let tcp = soon(TcpStream::connect(stage.address)).await.expect("connected");
    let (mut requests, connection) = soon(h2::client::handshake(tcp)).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let (watched, mut question) = requests.send_request(health("Watch"), false).expect("sent");
    question.send_data(vec![0; 5].into(), true).expect("asked");
    let mut watched = soon(watched).await.expect("answered").into_body();
    soon(watched.data()).await.expect("told").expect("told");
    // It is busy all the time, until it is told.
    while let Ok(mut ready) = soon(requests.clone().ready()).await
        && let Ok((answer, _)) = ready.send_request(health_check(), true)
    {
        // The last one may come too late.
        drop(soon(answer).await);
    }
    assert!(!connection.is_finished(), "it is still watched");
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(watched.poll_data(&mut context).is_pending());
    drop((requests, watched, question));
    soon(connection).await.expect("no panic").expect("a good end");
    stage.stop().await;
}

fn health_check() -> tonic::codegen::http::Request<()> {
    health("Check")
}

fn health(method: &str) -> tonic::codegen::http::Request<()> {
    tonic::codegen::http::Request::builder()
        .method("POST")
        .uri(format!("http://x/grpc.health.v1.Health/{method}"))
        .header("content-type", "application/grpc")
        .body(())
        .expect("a request")
}

/// A connection, if it may stay.
async fn let_in(address: SocketAddr) -> Option<TcpStream> {
    let mut client = soon(TcpStream::connect(address)).await.ok()?;
    client.write_all(&beginning()).await.ok()?;
    let mut settings = [0; 9];
    soon(client.read_exact(&mut settings)).await.ok()?;
    Some(client)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_are_closed_until_others_end() {
    let mut config = config();
    config.server.max_connections = count(3);
    let stage = Stage::ready_with(config).await;
    let mut inside = Vec::new();
    // That of the stage itself may still be about to end.
    while inside.len() < 3 {
        inside.extend(let_in(stage.address).await);
    }
    assert_eq!(stage.metric("dynamar_connections").await, Some(3.0));
    for _ in 0..3 {
        assert!(let_in(stage.address).await.is_none(), "it is full");
    }
    let refused = stage.metric("dynamar_connections_refused_total").await;
    assert!(refused.is_some_and(|count| count >= 3.0), "{refused:?}");
    inside.pop();
    while let_in(stage.address).await.is_none() {}
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_have_a_limit_and_cost_one_call_alone() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    let stream = ReceiverStream::new(tokio::sync::mpsc::channel(1).1);
    let _open = soon(client.classify_stream(stream)).await.expect("a stream");
    let with = |bytes: usize| {
        let mut request = Request::new(classify("polarity", texts(&["fine"])));
        let value = MetadataValue::try_from("x".repeat(bytes)).expect("metadata");
        request.metadata_mut().insert("x-long", value);
        request
    };
    soon(client.classify(with(15_000))).await.expect("short enough");
    soon(client.classify(with(17_000))).await.expect_err("too long");
    soon(client.classify(with(15_000))).await.expect("the connection lives");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_cancel_thousands_of_calls() {
    let stage = Stage::ready().await;
    let mut client = stage.client().await;
    let (send, requests) = tokio::sync::mpsc::channel(1);
    // A stream on the same connection: were that to end, so would the stream.
    let opened = soon(client.classify_stream(ReceiverStream::new(requests))).await;
    let mut answers = opened.expect("a stream").into_inner();
    for _ in 0..5 {
        stage.control.set(Mode::Hold);
        let mut begun = stage.control.watch();
        let mut calls = JoinSet::new();
        for _ in 0..1000 {
            let mut client = client.clone();
            calls.spawn(async move {
                client.classify(classify("polarity", texts(&["fine"]))).await.map(drop)
            });
        }
        soon(begun.batches(1)).await;
        calls.shutdown().await;
        stage.control.set(Mode::Work);
        // Only when the encoders are at work again can they be held up again.
        let request = classify("polarity", texts(&["fine", "poor"]));
        soon(client.classify(request)).await.expect("answered");
    }
    send.send(classify("polarity", texts(&["fine"]))).await.expect("it is read");
    let answer = soon(answers.message()).await.expect("the connection lives").expect("answered");
    assert_eq!(answer.results.len(), 1);
    drop(send);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_resets_ends_its_connection() {
    let mut config = config();
    config.server.max_connection_streams = 16.try_into().expect("not 0");
    let stage = Stage::ready_with(config).await;
    let mut flood = beginning();
    for call in 0..5000 {
        flood.extend(frame(HEADERS, END_HEADERS, 2 * call + 1, REQUEST));
        flood.extend(frame(RESET, 0, 2 * call + 1, &8_u32.to_be_bytes()));
    }
    let tcp = soon(TcpStream::connect(stage.address)).await.expect("connected");
    let (mut read, mut write) = tcp.into_split();
    // It may be closed before all is written.
    let flooding = tokio::spawn(async move { write.write_all(&flood).await });
    let mut header = [0; 9];
    let reason = loop {
        soon(read.read_exact(&mut header)).await.expect("a frame");
        let length = usize::from(header[1]) << 8 | usize::from(header[2]);
        let mut content = vec![0; length];
        soon(read.read_exact(&mut content)).await.expect("a frame");
        if header[3] == GO_AWAY {
            break u32::from_be_bytes(content[4..8].try_into().expect("four bytes"));
        }
    };
    assert_eq!(reason, ENHANCE_YOUR_CALM);
    drop(read);
    let _ = soon(flooding).await.expect("no panic");
    soon(stage.client().await.classify(classify("polarity", texts(&["fine"]))))
        .await
        .expect("fine");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_no_byte_is_not_written_to_for_ever() {
    let mut config = config();
    config.server.send_timeout_ms = 100;
    let stage = Stage::ready_with(config).await;
    let mut client = said(stage.address, &beginning()).await;
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(4096);
    // Each is answered, and no answer is read. When the buffers between are full, nothing gets on
    // until the server gives up.
    let flooded = soon(async { while client.write_all(&pings).await.is_ok() {} });
    flooded.await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_do_not_hold_up_a_stop() {
    let stage = Stage::ready().await;
    let half = said(stage.address, &PREFACE[..10]).await;
    let quiet = let_in(stage.address).await.expect("let in");
    drop(quiet);
    stage.stop().await;
    closed(half).await;
}
