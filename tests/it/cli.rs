//! The binary from outside: exit codes, messages, files.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::fixtures;

fn dynamar(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamar"));
    command.args(arguments).current_dir(fixtures::root()).env_remove("RUST_BACKTRACE");
    command
}

fn run(arguments: &[&str]) -> Output {
    dynamar(arguments).output().expect("the binary runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Expects this exit code and these words on stderr.
fn check(arguments: &[&str], code: i32, words: &[&str]) {
    let output = run(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{arguments:?}: {stderr:?} says {word:?}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn every_verb_has_help_with_an_example() {
    for verb in [
        "serve",
        "init",
        "train",
        "pretrain",
        "compare",
        "evaluate",
        "predict",
        "import",
        "inspect",
        "health",
        "token",
        "completions",
        "man",
    ] {
        let output = run(&[verb, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        let help = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(help.contains(&format!("Example: dynamar {verb}")), "{help}");
    }
}

#[test]
fn onnx_runtime_reports_nothing_and_leaves_nothing_in_the_home_directory() {
    let home = tempfile::tempdir().expect("a directory");
    // It is loaded before the checkpoints are looked for.
    let mut serve = dynamar(&["serve", "--models", "no/such/dir", "--address", "127.0.0.1:0"]);
    let output = serve.env("HOME", home.path()).env_remove("ORT_DISABLE_TELEMETRY").output();
    assert_eq!(output.expect("the binary runs").status.code(), Some(1));
    let left = std::fs::read_dir(home.path()).expect("listed").count();
    assert_eq!(left, 0, "{}", home.path().display());
}

#[test]
fn wrong_usage_exits_with_2_and_failure_with_1() {
    check(&[], 2, &["Usage"]);
    check(&["serve", "--prot", "1"], 2, &["--prot"]);
    check(&["train", "--task", "x"], 2, &["--train"]);
    check(&["inspect", "no/such/dir"], 1, &["error: no/such/dir is no checkpoint"]);
    check(
        &["import", "no/such/dir", "--out", "no/such/out"],
        1,
        &["error: cannot read no/such/dir"],
    );
    check(&["serve", "--models", "no/such/dir"], 1, &["no/such/dir", "make serve"]);
    check(&["serve", "--address", "localhost"], 1, &["flag --address", "IP address"]);
    check(&["health", "--addr", "127.0.0.1:1"], 1, &["no server answers at 127.0.0.1:1"]);
    check(&["--config", "no.toml", "serve"], 1, &["no.toml"]);
}

#[test]
fn a_token_is_shown_once_and_its_entry_is_for_the_file() {
    let output = run(&["token", "the \"shop\"", "--task", "polarity", "--task", "intensity"]);
    let (entry, shown) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    let entry = String::from_utf8(entry).expect("text");
    let token = shown.split_whitespace().last().expect("a token");
    assert!(token.starts_with("dynamar_") && !entry.contains(token), "{shown}{entry}");
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("callers.toml");
    std::fs::write(&path, &entry).expect("written");
    let mut config = crate::server::config();
    config.auth.tokens = Some(path);
    dynamar::server::access::Access::open(&config).expect("a good file");
    assert!(entry.contains(r#"tasks = ["polarity","intensity"]"#), "{entry}");
}

#[test]
fn a_certificate_that_is_missing_ends_the_start_with_its_path() {
    let mut serve = dynamar(&["serve"]);
    serve.env("DYNAMAR_TLS__CERTIFICATE", "no.pem").env("DYNAMAR_TLS__PRIVATE_KEY", "no.key");
    let output = serve.output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("error: tls.certificate: cannot read no.pem"), "{stderr}");
}

#[test]
fn as_many_files_as_may_be_may_be_open_and_too_few_are_told_of() {
    let serve = "ulimit -Sn 100 && ulimit -Hn 200 && exec \"$0\" serve --address 127.0.0.1:0";
    let mut shell = std::process::Command::new("sh");
    let shell = shell.args(["-c", serve, env!("CARGO_BIN_EXE_dynamar")]);
    let output = shell.env("DYNAMAR_TLS__CERTIFICATE", "no.pem").output().expect("a shell");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("fewer files may be open"), "{stderr}");
    assert!(
        stderr.contains("\"files\":200") && stderr.contains("\"max_connections\":4096"),
        "{stderr}"
    );
}

#[test]
fn a_gpu_that_is_asked_for_of_a_library_without_ends_the_start_with_what_to_do() {
    let mut serve = dynamar(&["serve", "--address", "127.0.0.1:0"]);
    let output = serve.env("DYNAMAR_INFERENCE__EXECUTION_PROVIDER", "cuda").output();
    let output = output.expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let last = stderr.lines().last().expect("a line");
    assert!(last.starts_with("error: inference.execution_provider is \"cuda\", but "), "{stderr}");
    let words = ["libonnxruntime.so is a build of ONNX Runtime for CPUs alone", "onnxruntime-gpu"];
    assert!(words.iter().all(|word| last.contains(word)), "{stderr}");
}

/// What `train` says on stderr with this library configured as ONNX Runtime.
fn stderr_with_runtime(library: &Path) -> String {
    let fixture = fixtures::encoder("bert-tiny");
    let home = tempfile::tempdir().expect("a directory");
    let data = home.path().join("data.csv");
    std::fs::write(&data, "text,rating\ngood,1\nbad,-1\n").expect("written");
    let task = "models/tasks/review-intensity.toml";
    let output = dynamar(&["train", "--task", task, "--train", text(&data)])
        .args(["--encoder", text(&fixture.path()), "--out", text(&home.path().join("out"))])
        .env("DYNAMAR_ONNXRUNTIME__PATH", library)
        .output()
        .expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("models/fetch.py onnxruntime"), "{stderr}");
    stderr
}

#[test]
fn a_missing_runtime_is_said_with_the_paths_that_were_tried() {
    let stderr = stderr_with_runtime(Path::new("/no/such/libonnxruntime.so"));
    assert!(stderr.contains("/no/such/libonnxruntime.so: not there"), "{stderr}");
}

#[test]
fn a_runtime_that_is_too_old_is_said_with_its_version() {
    // No package has a separate library that old; this one does what such a library does first.
    const OLD: &str = "static const char *version(void) { return \"1.10.0\"; }\n\
        static const void *api(unsigned v) { return 0; }\n\
        static const struct { const void *(*a)(unsigned); const char *(*v)(void); } base = {api, version};\n\
        const void *OrtGetApiBase(void) { return &base; }\n";
    let home = tempfile::tempdir().expect("a directory");
    let (source, library) = (home.path().join("old.c"), home.path().join("libonnxruntime.so"));
    std::fs::write(&source, OLD).expect("written");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o", text(&library), text(&source)]);
    assert!(compiler.status().expect("cc, which links Rust programs too").success());
    let stderr = stderr_with_runtime(&library);
    assert!(stderr.contains("1.10.0") && stderr.contains("1.22"), "{stderr}");
}

#[test]
fn the_configuration_is_printed_with_its_origins() {
    let output = dynamar(&["serve", "--print-config", "--workers", "3"])
        .env("DYNAMAR_SERVER__ADDRESS", "127.0.0.1:1234")
        .output()
        .expect("the binary runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = |key: &str| stdout.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    assert!(line("workers").contains("3") && line("workers").contains("# --workers"), "{stdout}");
    assert!(
        line("address").contains("1234") && line("address").contains("DYNAMAR_SERVER__ADDRESS")
    );
    assert!(line("drain_timeout_ms").contains("# default"), "{stdout}");
}

/// From a Hugging Face directory to figures, by the verbs alone.
#[test]
fn import_train_evaluate_and_inspect_go_together() {
    let home = tempfile::tempdir().expect("a directory");
    let (encoder, model) = (home.path().join("encoder"), home.path().join("model"));
    let data = home.path().join("data.csv");
    let rows: String = (0..20)
        .map(|at| format!("The case {at} is great.,3.5\nThe case {at} is awful.,-3.5\n"))
        .collect();
    std::fs::write(&data, format!("text,rating\n{rows}")).expect("written");
    let (encoder, model, data) = (text(&encoder), text(&model), text(&data));
    let tiny = fixtures::fetched("bert-tiny");
    check(&["import", text(&tiny), "--out", encoder], 0, &[]);
    check(&["import", text(&tiny), "--out", encoder], 1, &["exists already", "--replace"]);
    let task = "models/tasks/review-intensity.toml";
    let train = ["train", "--task", task, "--train", data, "--dev", data, "--encoder", encoder];
    let settings =
        ["--out", model, "--tune", "head", "--steps", "20", "--json", "--inference", "single"];
    check(&[&train[..], &settings].concat(), 1, &["data.csv", "--allow-overlap"]);
    let output = run(&[&train[..], &settings, &["--allow-overlap"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["steps"], 20, "{json}");
    let evaluate = ["evaluate", "--model", model, "--task", "review-intensity", "--data", data];
    let output = run(&[&evaluate[..], &["--json"]].concat());
    let metrics: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let (found, expected) = (&metrics["rmse"], &json["tasks"]["review-intensity"]["rmse"]);
    let difference = found.as_f64().expect("rmse") - expected.as_f64().expect("rmse");
    assert!(difference.abs() < 1e-6, "training and evaluation agree: {found} {expected}");
    check_templates_and_page(&evaluate, home.path());
    let output = run(&["inspect", model]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.contains("review-intensity: regression") && stdout.contains("intact"),
        "{stdout}"
    );
    let wrong = ["evaluate", "--model", model, "--task", "polarity", "--data", data];
    check(&wrong, 1, &["no task \"polarity\"", "review-intensity"]);
    check(&[&evaluate[..], &["--template", "x"]].concat(), 1, &["no template \"x\"", "it-was"]);
    std::fs::write(Path::new(model).join("encoder.onnx"), "damaged").expect("written");
    check(&["inspect", model], 1, &["encoder.onnx is damaged"]);
}

/// `--templates` names every template, `--html` writes the page and nothing beside it.
fn check_templates_and_page(evaluate: &[&str], home: &Path) {
    let page = home.join("page.html");
    let before = std::fs::read_dir(home).expect("a directory").count();
    let options = ["--templates", "--json", "--html", text(&page)];
    let output = run(&[evaluate, &options].concat());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let templates = json["templates"].as_array().expect("templates");
    let roles: Vec<&str> = templates.iter().filter_map(|t| t["role"].as_str()).collect();
    assert!(roles.contains(&"canonical") && roles.contains(&"held_out"), "{json}");
    let canonical = templates.iter().find(|t| t["role"] == "canonical").expect("one");
    let rmse = |metrics: &serde_json::Value| metrics["rmse"].as_f64().expect("rmse");
    let difference = rmse(&canonical["metrics"]) - rmse(&json["metrics"]);
    assert!(difference.abs() < 1e-6, "the canonical template answers: {json}");
    assert!(rmse(&json["ensemble"]).is_finite());
    let html = std::fs::read_to_string(&page).expect("a page");
    assert!(html.contains("review-intensity: evaluation") && html.contains("held out"));
    assert_eq!(std::fs::read_dir(home).expect("a directory").count(), before + 1);
    let nowhere = home.join("no/page.html");
    check(&[evaluate, &["--html", text(&nowhere)]].concat(), 1, &["there is no such directory"]);
}

#[test]
fn pretraining_makes_an_encoder_of_unlabelled_text() {
    let home = tempfile::tempdir().expect("a directory");
    let (data, out) = (home.path().join("data.csv"), home.path().join("out"));
    let rows: String = (0..40).map(|at| format!("{at},The case {at} is great.\n")).collect();
    std::fs::write(&data, format!("id,text\n{rows}")).expect("written");
    let fixture = fixtures::encoder("bert-tiny");
    let encoder = fixture.path();
    let pretrain = ["pretrain", "--text", text(&data), "--encoder", text(&encoder)];
    let pretrain = [&pretrain[..], &["--out", text(&out)]].concat();
    check(&pretrain, 1, &["needs --column", "\"id\", \"text\""]);
    check(&[&pretrain[..], &["--column", "body"]].concat(), 1, &["no column \"body\""]);
    let long = ["--column", "text", "--max-length", "513"];
    check(&[&pretrain[..], &long].concat(), 1, &["512 positions"]);
    assert!(!out.exists());
    let few = ["--column", "text", "--steps", "2", "--held-back", "0.3", "--json"];
    let output = run(&[&pretrain[..], &few].concat());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["steps"], 2, "{json}");
    assert!(json["after"]["perplexity"].is_f64() && json["after"]["similarity"].is_null());
    let stdout = run(&["inspect", text(&out)]).stdout;
    let stdout = String::from_utf8_lossy(&stdout);
    for words in ["with its language head", "training of 2 steps"] {
        assert!(stdout.contains(words), "{stdout}");
    }
}

#[test]
fn broken_rows_stop_the_run_before_it_starts() {
    let home = tempfile::tempdir().expect("a directory");
    let (data, out) = (home.path().join("data.csv"), home.path().join("out"));
    std::fs::write(&data, "text,sentiment\ngood,positive\nbad,terrible\n").expect("written");
    let fixture = fixtures::encoder("bert-tiny");
    let encoder = fixture.path();
    let task = "models/tasks/review-polarity.toml";
    let train = ["train", "--task", task, "--train", text(&data), "--encoder", text(&encoder)];
    let words = ["data.csv:3: column \"sentiment\": unknown label \"terrible\""];
    check(&[&train[..], &["--out", text(&out)]].concat(), 1, &words);
    assert!(!out.exists());
}

#[test]
fn ctrl_c_leaves_no_half_checkpoint() {
    let home = tempfile::tempdir().expect("a directory");
    let (data, out) = (home.path().join("data.csv"), home.path().join("out"));
    let rows = "good,1\nbad,-1\n".repeat(50);
    std::fs::write(&data, format!("text,rating\n{rows}")).expect("written");
    let fixture = fixtures::encoder("bert-tiny");
    let task = "models/tasks/review-intensity.toml";
    let mut child = dynamar(&["train", "--task", task, "--train", text(&data), "--epochs", "9999"])
        .args(["--encoder", text(&fixture.path()), "--out", text(&out)])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.starts_with("templates:") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("read"), 0, "it says what it trains on");
    }
    let id = child.id().to_string();
    let killed = Command::new("kill").args(["-INT", &id]).status().expect("kill runs");
    assert!(killed.success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("read");
    assert_eq!(child.wait().expect("ended").code(), Some(1), "{rest}");
    assert!(rest.contains("error: interrupted"), "{rest}");
    // The signal came before the first step, or after one, whose state is kept then.
    let state = rest.contains("--resume").then(|| ".out.training-state".to_owned());
    let expected: Vec<String> = state.into_iter().chain(["data.csv".to_owned()]).collect();
    let left = std::fs::read_dir(home.path()).expect("a directory");
    let mut left: Vec<String> =
        left.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    left.sort();
    assert_eq!(left, expected);
}
