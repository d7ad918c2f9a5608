//! How fast ONNX Runtime multiplies matrices on this machine: what a server could reach at most.
//!
//! The product has the shape of a feed-forward layer on a full batch, and runs on all workers at
//! once. It does so in a process of its own, because ONNX Runtime allows a process one environment,
//! which here the encoder has.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use ort::{environment::Environment, session::Session, value::TensorRef};
use prost::encoding::{bytes, int64};

/// Rows of the product's left side.
const ROWS: usize = 512;

/// The feed-forward layer's width by the hidden size.
const EXPANSION: usize = 4;

/// How long all workers multiply before they say how fast they were.
const BURST: Duration = Duration::from_millis(400);

/// Where the fetch step puts the library, and the setting that names another.
const LIBRARY: &str = "target/onnxruntime/libonnxruntime.so";
const LIBRARY_SETTING: &str = "DYNAMAR_ONNXRUNTIME__PATH";

/// The flag that makes this program such a process, with the hidden size.
pub const FLAG: &str = "--multiply-alone";

/// The process that multiplies when asked. Its end of input ends it.
pub struct Multiplier {
    child: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Multiplier {
    pub fn start(hidden_size: usize) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.arg(FLAG).arg(hidden_size.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let ask = Some(child.stdin.take().context("standard input is piped")?);
        let stdout = child.stdout.take().context("standard output is piped")?;
        Ok(Self { child, ask, answers: BufReader::new(stdout) })
    }

    /// Floating-point operations in a second, of all workers together.
    pub fn burst(&mut self) -> Result<f64> {
        let ask = self.ask.as_mut().context("it has not ended")?;
        ask.write_all(b"\n")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        line.trim().parse().context("the process that multiplies failed")
    }
}

impl Drop for Multiplier {
    fn drop(&mut self) {
        self.ask = None;
        // An error means that it has ended already.
        let _ = self.child.wait();
    }
}

/// Multiplies whenever a line comes in, and says how fast.
pub fn serve(hidden_size: usize) -> Result<()> {
    let library = env::var_os(LIBRARY_SETTING).map_or_else(|| LIBRARY.into(), PathBuf::from);
    let environment = ort::init_from(std::path::absolute(Path::new(&library))?)?;
    let environment = environment.with_telemetry(false).build()?;
    let model = model(hidden_size);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let session = |_| session(&environment, &model);
    let mut sessions = (0..workers).map(session).collect::<Result<Vec<Session>>>()?;
    for line in std::io::stdin().lock().lines() {
        line?;
        println!("{}", burst(&mut sessions, hidden_size)?);
    }
    Ok(())
}

fn session(environment: &Environment, model: &[u8]) -> Result<Session> {
    let failed = |error: ort::Error| anyhow!("ONNX Runtime: {error}");
    let builder = Session::builder(environment).map_err(failed)?;
    let mut builder = builder.with_intra_threads(1).map_err(|error| failed(error.into()))?;
    builder.commit_from_memory(model).map_err(failed)
}

fn burst(sessions: &mut [Session], hidden_size: usize) -> Result<f64> {
    let speeds = thread::scope(|scope| {
        let multiply = |session| scope.spawn(move || multiply(session, hidden_size));
        let started: Vec<_> = sessions.iter_mut().map(multiply).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<f64>>| {
            thread.join().map_err(|_| anyhow!("a thread panicked"))?
        };
        started.into_iter().map(join).collect::<Result<Vec<f64>>>()
    })?;
    Ok(speeds.iter().sum())
}

fn multiply(session: &mut Session, hidden_size: usize) -> Result<f64> {
    let left = numbers(ROWS * hidden_size);
    let flops = 2.0 * (ROWS * hidden_size * hidden_size * EXPANSION) as f64;
    let begin = Instant::now();
    let mut products = 0.0;
    while begin.elapsed() < BURST {
        let left = TensorRef::from_array_view(([ROWS, hidden_size], &*left))?;
        session.run(ort::inputs![left])?;
        products += 1.0;
    }
    Ok(products * flops / begin.elapsed().as_secs_f64())
}

/// Numbers between -0.5 and 0.5.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|at| (at % 17) as f32 / 16.0 - 0.5).collect()
}

/// An ONNX model with one `Gemm`, its right side constant, as in the encoder's graph. Field numbers
/// are those of `onnx.proto`.
fn model(hidden_size: usize) -> Vec<u8> {
    let wide = EXPANSION * hidden_size;
    let raw: Vec<u8> = numbers(hidden_size * wide).iter().flat_map(|n| n.to_le_bytes()).collect();
    let shape = [(1, hidden_size), (1, wide)].map(|(tag, size)| (tag, Number(size as i64)));
    let weight = [&shape[..], &[(2, Number(FLOAT)), (8, text("b")), (9, Bytes(raw))]].concat();
    let node = [(1, text("a")), (1, text("b")), (2, text("c")), (4, text("Gemm"))];
    let graph = message(&[
        (1, message(&node)),
        (2, text("gemm")),
        (5, message(&weight)),
        (11, matrix("a", ROWS, hidden_size)),
        (12, matrix("c", ROWS, wide)),
    ]);
    let opset = message(&[(2, Number(20))]);
    let Bytes(model) = message(&[(1, Number(9)), (7, graph), (8, opset)]) else { return vec![] };
    model
}

/// `TensorProto.DataType.FLOAT`.
const FLOAT: i64 = 1;

/// A protobuf field's value.
#[derive(Clone)]
enum Value {
    Number(i64),
    Bytes(Vec<u8>),
}
use Value::{Bytes, Number};

fn text(text: &str) -> Value {
    Bytes(text.as_bytes().to_vec())
}

fn message(fields: &[(u32, Value)]) -> Value {
    let mut encoded = Vec::new();
    for (tag, value) in fields {
        match value {
            Number(number) => int64::encode(*tag, number, &mut encoded),
            Bytes(content) => bytes::encode(*tag, content, &mut encoded),
        }
    }
    Bytes(encoded)
}

/// A graph's input or output.
fn matrix(name: &str, rows: usize, columns: usize) -> Value {
    let dimension = |size: usize| (1, message(&[(1, Number(size as i64))]));
    let shape = message(&[dimension(rows), dimension(columns)]);
    let tensor = message(&[(1, Number(FLOAT)), (2, shape)]);
    message(&[(1, text(name)), (2, message(&[(1, tensor)]))])
}
