//! A server as a process of its own: signals, a log that nobody reads, and time that it loses.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use dynamar::server::proto::inference_client::InferenceClient;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{
    checkpoints::{self, POLARITY, Variant},
    stage::{classify, soon, texts},
};
use crate::fixtures;

/// Lines for each call, which a test that reads no log would be held up by.
const WITHOUT_CALLS: (&str, &str) = ("DYNAMAR_LOG__LEVEL", "info,dynamar::server::access_log=warn");

/// A server that is killed when it is dropped, if it has not ended by then.
pub struct Process {
    pub child: Child,
    /// Until nobody reads it any more.
    log: Option<BufReader<ChildStderr>>,
}

impl Process {
    /// Serves from a directory, and is ready.
    pub fn start(models: &Path) -> Self {
        Self::start_with(models, &[])
    }

    /// The same, with further settings.
    fn start_with(models: &Path, environment: &[(&str, &str)]) -> Self {
        let mut process = Self::spawn(models, Stdio::piped(), environment);
        process.line("serving");
        process
    }

    fn spawn(models: &Path, stderr: Stdio, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dynamar"))
            .args(["serve", "--address", "127.0.0.1:0", "--workers", "2", "--models"])
            .arg(models)
            .current_dir(fixtures::root())
            .env("DYNAMAR_LOG__FORMAT", "json")
            .env("DYNAMAR_MODELS__POLL_INTERVAL_MS", "0")
            .env("DYNAMAR_METRICS__ADDRESS", "127.0.0.1:0")
            .envs(environment.iter().copied())
            .stderr(stderr)
            .spawn()
            .expect("the binary runs");
        let log = child.stderr.take().map(BufReader::new);
        Self { child, log }
    }

    /// Reads the log up to the line with this message.
    pub fn line(&mut self, message: &str) -> serde_json::Value {
        let log = self.log.as_mut().expect("it is read");
        let mut text = String::new();
        loop {
            text.clear();
            assert_ne!(log.read_line(&mut text).expect("read"), 0, "it says {message:?}");
            let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            if line["message"] == message {
                return line;
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let killed = Command::new("kill").args([name, &id]).status().expect("kill runs");
        assert!(killed.success());
    }

    pub fn of_system(&self, file: &str) -> std::path::PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file)
    }

    /// Where it takes calls and where it tells its metrics, without its log.
    async fn addresses(&self) -> (SocketAddr, SocketAddr) {
        soon(async {
            loop {
                let (mut calls, mut metrics) = (None, None);
                for address in self.listening() {
                    match ask(address, "GET /metrics").await {
                        page if page.starts_with("HTTP/1.1 200") => metrics = Some(address),
                        _ => calls = Some(address),
                    }
                }
                if let Some(found) = calls.zip(metrics) {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// The ports of this machine on which it listens.
    fn listening(&self) -> Vec<SocketAddr> {
        let files = fs::read_dir(self.of_system("fd")).expect("listed").flatten();
        let links = files.filter_map(|file| fs::read_link(file.path()).ok());
        let sockets: Vec<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
        let table = fs::read_to_string(self.of_system("net/tcp")).expect("read");
        let port = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // The last line is cut short where the table changes while it is read.
            let (is_listening, inode) = (words.get(3)? == &"0A", words.get(9)?);
            let inode = format!("socket:[{inode}]");
            let port = u16::from_str_radix(words[1].split_once(':')?.1, 16).ok()?;
            (is_listening && sockets.contains(&inode)).then(|| ([127, 0, 0, 1], port).into())
        };
        table.lines().skip(1).filter_map(port).collect()
    }

    async fn ended(&mut self) -> Option<i32> {
        soon(async {
            loop {
                if let Some(status) = self.child.try_wait().expect("asked") {
                    return status.code();
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("{request} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn metric(address: SocketAddr, name: &str) -> f64 {
    let page = ask(address, "GET /metrics").await;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in {page}")).parse().expect("a number")
}

/// The log lines that are lost, as soon as they are more than these.
async fn lost_after(address: SocketAddr, count: f64) -> f64 {
    soon(async {
        loop {
            let now = metric(address, "dynamar_log_lines_lost_total").await;
            if now > count {
                return now;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

async fn client(address: SocketAddr) -> InferenceClient<Channel> {
    let connected = InferenceClient::connect(format!("http://{address}"));
    soon(connected).await.expect("connected")
}

fn models() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a directory");
    checkpoints::write(&home.path().join("reviews"), &[POLARITY]);
    home
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_ends_no_server() {
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").expect("opened"));
    let delay = [("DYNAMAR_SERVER__STOP_DELAY_MS", "0")];
    // Its reader goes away while it serves, as a terminal does; or its disk is full from the start.
    for is_full in [false, true] {
        let models = models();
        let mut process = match is_full {
            true => Process::spawn(models.path(), full(), &delay),
            false => Process::start_with(models.path(), &delay),
        };
        process.log = None;
        let (calls, metrics) = process.addresses().await;
        soon(async { while metric(metrics, "dynamar_serving").await != 1.0 {} }).await;
        let mut client = client(calls).await;
        soon(client.classify(classify("polarity", texts(&["fine"])))).await.expect("answered");
        // A line that tells of a call is written after its answer.
        let before = lost_after(metrics, 0.0).await;
        // It reloads.
        let seed = 2.0 + before as f32;
        let variant = Variant { seed, ..Variant::default() };
        checkpoints::replace_as(&models.path().join("reviews"), &[POLARITY], variant);
        process.signal("-HUP");
        let succeeded = "dynamar_reloads_total{outcome=\"succeeded\"}";
        soon(async { while metric(metrics, succeeded).await != 1.0 {} }).await;
        // And it stops, and answers what is under way.
        let (requests, sent) = tokio::sync::mpsc::channel(1);
        let stream = soon(client.classify_stream(ReceiverStream::new(sent))).await;
        let mut answers = stream.expect("a stream").into_inner();
        requests.send(classify("polarity", texts(&["fine"]))).await.expect("there is room");
        soon(answers.message()).await.expect("answered").expect("one");
        lost_after(metrics, before).await;
        process.signal("-TERM");
        drop(requests);
        while let Ok(Some(_)) = soon(answers.message()).await {}
        drop((client, answers));
        assert_eq!(process.ended().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_paused_under_load_loses_no_worker_and_no_call() {
    let models = models();
    let environment = [WITHOUT_CALLS, ("DYNAMAR_HEALTH__STALL_TIMEOUT_MS", "1000")];
    let mut process = Process::start_with(models.path(), &environment);
    let (calls, metrics) = process.addresses().await;
    let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
        let mut client = client(calls).await;
        callers.spawn(async move {
            for call in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let word = |at: usize| format!("{caller} lovely {call} cameras {at} ").repeat(8);
                let all: Vec<String> = (0..16).map(word).collect();
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                client.classify(classify("polarity", texts(&all))).await?;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, tonic::Status>(())
        });
    }
    let until = async |count: usize| {
        soon(async {
            while answered.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    for pause in 1..4 {
        until(pause * 50).await;
        process.signal("-STOP");
        pause_of_a_process();
        process.signal("-CONT");
    }
    let by_then = answered.load(Ordering::Relaxed);
    until(by_then + 50).await;
    is_over.store(true, Ordering::Relaxed);
    for outcome in soon(callers.join_all()).await {
        outcome.expect("every call is answered");
    }
    assert_eq!(metric(metrics, "dynamar_serving").await, 1.0);
    process.signal("-INT");
    let mut log = String::new();
    process.log.as_mut().expect("read").read_to_string(&mut log).expect("read");
    assert!(!log.contains("a worker is lost") && !log.contains("\"ERROR\""), "{log}");
}

/// Lasts longer than a batch may take.
#[expect(clippy::disallowed_methods, reason = "the pause is what is tested, and no event ends it")]
fn pause_of_a_process() {
    thread::sleep(Duration::from_millis(1500));
}
