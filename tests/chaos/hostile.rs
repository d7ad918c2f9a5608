//! Connections that are no good: they must cost nobody else anything, and go away.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

use crate::{
    scene::{PATIENCE, Scene},
    spell::pass,
    tables::Dice,
};

/// With what an HTTP/2 connection begins (RFC 9113, 3.4), and settings without any.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;

/// Connects all the time, each time with something else in mind.
pub async fn run(scene: Arc<Scene>, mut dice: Dice) {
    while scene.goes_on() {
        let stream = match time::timeout(PATIENCE, TcpStream::connect(scene.address)).await {
            Ok(Ok(stream)) => stream,
            other => return scene.tally.failed(format!("no connection: {other:?}")),
        };
        match dice.roll(7) {
            0 => noise(&scene, stream, &mut dice, &[]).await,
            1 => noise(&scene, stream, &mut dice, PREFACE).await,
            2 => half_open(&scene, stream, &mut dice).await,
            3 => slow_headers(&scene, stream, &mut dice).await,
            4 => odd_frames(&scene, stream, &mut dice).await,
            5 => resets(&scene, stream, &mut dice).await,
            _ => http1(&scene, stream).await,
        }
        scene.pass(Duration::from_millis(dice.roll(100) as u64)).await;
    }
}

fn bytes(dice: &mut Dice, count: usize) -> Vec<u8> {
    (0..count).map(|_| dice.roll(256) as u8).collect()
}

/// A frame of HTTP/2 (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream[..], payload].concat()
}

/// Waits until the server has closed the connection, as it must when what comes is no HTTP/2.
async fn until_closed(scene: &Scene, mut stream: TcpStream, what: &str) {
    let mut chunk = [0; 4096];
    let closed = time::timeout(PATIENCE, async {
        while stream.read(&mut chunk).await.is_ok_and(|bytes| bytes > 0) {}
    });
    let closed = closed.await;
    scene.tally.expect(closed.is_ok(), || format!("a connection with {what} stays open"));
}

async fn noise(scene: &Scene, mut stream: TcpStream, dice: &mut Dice, before: &[u8]) {
    scene.tally.fault("connections with random bytes");
    // The server may have closed it meanwhile.
    let _ = stream.write_all(before).await;
    let count = 64 + dice.roll(4096);
    let _ = stream.write_all(&bytes(dice, count)).await;
    let _ = stream.shutdown().await;
    until_closed(scene, stream, "random bytes").await;
}

/// Says nothing, or the beginning, and waits.
async fn half_open(scene: &Scene, mut stream: TcpStream, dice: &mut Dice) {
    scene.tally.fault("half-open connections");
    let _ = stream.write_all(&PREFACE[..dice.roll(PREFACE.len())]).await;
    scene.pass(Duration::from_millis(dice.roll(3000) as u64)).await;
    drop(stream);
}

/// The headers of a call, byte by byte, and never all of them.
async fn slow_headers(scene: &Scene, mut stream: TcpStream, dice: &mut Dice) {
    scene.tally.fault("slow headers");
    let _ = stream.write_all(PREFACE).await;
    let headers = frame(HEADERS, 0, 1, &bytes(dice, 200));
    for byte in &headers[..dice.roll(headers.len())] {
        if !scene.goes_on() || stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        pass(Duration::from_millis(5)).await;
    }
    drop(stream);
}

async fn odd_frames(scene: &Scene, mut stream: TcpStream, dice: &mut Dice) {
    scene.tally.fault("connections with odd frames");
    let _ = stream.write_all(PREFACE).await;
    for _ in 0..1 + dice.roll(20) {
        let kind = [DATA, HEADERS, RST_STREAM, PING, 9, 77][dice.roll(6)];
        let (flags, count) = (dice.roll(256) as u8, dice.roll(64));
        let odd = frame(kind, flags, dice.roll(5) as u32, &bytes(dice, count));
        if stream.write_all(&odd).await.is_err() {
            break;
        }
    }
    let _ = stream.shutdown().await;
    until_closed(scene, stream, "odd frames").await;
}

/// Calls that are begun and taken back at once.
async fn resets(scene: &Scene, mut stream: TcpStream, dice: &mut Dice) {
    scene.tally.fault("floods of resets");
    let _ = stream.write_all(PREFACE).await;
    // :method POST, :scheme http, :path / and :authority x, by the static table (RFC 7541, A).
    let headers = [0x83, 0x86, 0x84, 0x41, 0x01, b'x'];
    for at in 0..100 + dice.roll(400) as u32 {
        let begun = frame(HEADERS, 0x4, 2 * at + 1, &headers);
        let taken_back = frame(RST_STREAM, 0, 2 * at + 1, &8_u32.to_be_bytes());
        if stream.write_all(&[begun, taken_back].concat()).await.is_err() {
            break;
        }
    }
    let _ = stream.shutdown().await;
    until_closed(scene, stream, "a flood of resets").await;
}

async fn http1(scene: &Scene, mut stream: TcpStream) {
    scene.tally.fault("connections with HTTP/1");
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let _ = stream.shutdown().await;
    until_closed(scene, stream, "HTTP/1").await;
}
