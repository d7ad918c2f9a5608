//! What a client begins with: HTTP/2, or a request of HTTP/1, which is answered in words that its
//! sender can read.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// With this a client of HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a request line of HTTP/1 at most.
const MAX_LINE_BYTES: usize = 8 << 10;

/// Bytes of a refused request that are read and forgotten: a connection that is closed with bytes
/// unread is reset, and the answer lost with it.
const MAX_FORGOTTEN_BYTES: u64 = 64 << 10;

const SENTENCE: &str = "This port speaks gRPC, which is HTTP/2, and this request is HTTP/1: call it \
    with a gRPC client, such as grpcurl.\n";

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
enum Opening {
    /// Not enough yet.
    Unknown,
    /// HTTP/2, or something that HTTP/2 is to refuse.
    Http2,
    Http1,
}

/// Reads the first bytes of a connection and returns them for HTTP/2; `None` if they were HTTP/1, or
/// the connection has failed. Has no time limit of its own.
pub(super) async fn open<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(PREFACE.len());
    loop {
        match judge(&bytes) {
            Opening::Unknown => {}
            Opening::Http2 => return Some(bytes),
            Opening::Http1 => {
                // Whether the answer arrives is of interest to the peer alone.
                let _ = refuse_http1(stream).await;
                return None;
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return Some(bytes);
        }
    }
}

fn judge(bytes: &[u8]) -> Opening {
    if bytes.starts_with(PREFACE) {
        return Opening::Http2;
    }
    if PREFACE.starts_with(bytes) {
        return Opening::Unknown;
    }
    if !bytes[0].is_ascii_uppercase() {
        return Opening::Http2;
    }
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or(bytes);
    if line.len() == bytes.len() && bytes.len() <= MAX_LINE_BYTES {
        return Opening::Unknown;
    }
    let line = line.trim_ascii_end();
    match line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0") {
        true => Opening::Http1,
        false => Opening::Http2,
    }
}

async fn refuse_http1<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{SENTENCE}",
        SENTENCE.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(MAX_FORGOTTEN_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_http2_from_http1_however_they_are_cut() {
        for cut in 0..PREFACE.len() {
            assert_eq!(judge(&PREFACE[..cut]), Opening::Unknown, "{cut}");
        }
        assert_eq!(judge(PREFACE), Opening::Http2);
        assert_eq!(judge(&[PREFACE, b"more"].concat()), Opening::Http2);
        for request in ["GET / HTTP/1.1\r\n", "POST /x HTTP/1.0\n", "PRI * HTTP/1.1\r\nhost: x\r\n"]
        {
            let line = request.find('\n').expect("an end");
            for cut in 1..=line {
                assert_eq!(
                    judge(&request.as_bytes()[..cut]),
                    Opening::Unknown,
                    "{request:?} {cut}"
                );
            }
            assert_eq!(judge(request.as_bytes()), Opening::Http1, "{request:?}");
        }
        let endless = [b"GET /".as_slice(), &[b'x'; MAX_LINE_BYTES]].concat();
        for other in [&b"\x16\x03\x01\x02"[..], b"GET / HTTP/3\r\n", b"hello\r\n", b"\n", &endless]
        {
            assert_eq!(judge(other), Opening::Http2, "{other:?}");
        }
    }
}
