//! From a file of one's own to answers, by the commands that `dynamar init` prints.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use dynamar::server::proto::{
    ClassifyRequest, Example, LabelScore, inference_client::InferenceClient,
};

use crate::fixtures;

/// Star reviews as an office program saves them: tabs, CRLF, a byte order mark; with an id, dates, a
/// quoted text over two lines, a duplicate, a row without text and one without stars.
fn reviews() -> String {
    let words = ["awful", "poor", "fair", "good", "great"];
    let mut text = "\u{feff}review id\tstars\tReview Text\tdate\r\n".to_owned();
    for at in 0..200 {
        let stars = at % 5;
        text += &format!(
            "R{at}\t{}\tThing {at} is {}.\t2015-01-{:02}\r\n",
            stars + 1,
            words[stars],
            at % 28 + 1
        );
    }
    text += "R200\t5\t\"Two\r\nlines\"\t2015-02-01\r\n";
    text += "R201\t1\tThing 0 is awful.\t2015-02-01\r\nR202\t2\t\t2015-02-01\r\nR203\t\tNo stars.\t2015-02-01\r\n";
    text
}

/// A shell in a directory, for commands as they are printed.
fn shell(home: &Path, command: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_dynamar")).parent().expect("a directory");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(home).env_remove("RUST_BACKTRACE");
    shell.env("PATH", format!("{}:{path}", binary.display()));
    shell
}

fn run(home: &Path, command: &str) -> Output {
    shell(home, command).output().expect("a shell")
}

fn succeed(home: &Path, command: &str) -> String {
    let output = run(home, command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {stderr}");
    String::from_utf8(output.stdout).expect("text")
}

fn fail(home: &Path, command: &str, words: &[&str]) {
    let output = run(home, command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{command}: {stderr}");
    assert!(words.iter().all(|word| stderr.contains(word)), "{stderr:?} says {words:?}");
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("an entry").file_name().to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_ones_own_is_trained_on_and_served_by_the_printed_commands() {
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    fs::write(home.join("my reviews.tsv"), reviews()).expect("written");
    let fixture = fixtures::encoder("bert-tiny");
    let encoder = fixture.path();
    let init = "dynamar init 'my reviews.tsv' --target stars --out mine/";
    let init = format!("{init} --encoder {}", encoder.display());
    let told = succeed(home, &init);
    for words in [
        "TSV, 204 rows, 4 columns",
        "field \"Review_Text\"",
        "not read: dates",
        "not read: ids",
        "1 duplicate of an earlier row (line 204)",
        "1 no text (line 205)",
        "1 no label (line 206)",
        "1 (40), 2 (40), 3 (40), 4 (40), 5 (41)",
    ] {
        assert!(told.contains(words), "{told}\nsays {words:?}");
    }
    assert_eq!(files(&home.join("mine")), ["dev.csv", "task.toml", "test.csv", "train.csv"]);
    assert_eq!(files(home), ["mine", "my reviews.tsv"]);
    let commands: Vec<&str> =
        told.lines().filter_map(|line| line.strip_prefix("  dynamar ")).collect();
    let [train, evaluate, serve] = commands[..] else { panic!("three commands: {told}") };
    succeed(home, &format!("dynamar {train} --steps 2"));
    let figures = succeed(home, &format!("dynamar {evaluate}"));
    assert!(figures.contains("accuracy") && figures.contains("bag of words"), "{figures}");
    let answer =
        answer(home, serve, "my-reviews-stars", &[("Review_Text", "Thing 7 is great.")]).await;
    assert!(["1", "2", "3", "4", "5"].contains(&answer.label.as_str()), "{answer:?}");
}

/// Two offers each, the same one where the model codes are the same.
fn offers(from: usize, count: usize) -> String {
    let nouns = ["camera", "printer", "screen", "phone"];
    let mut text = "left_title,left_price,right_title,right_price,same\n".to_owned();
    for at in from..from + count {
        let (noun, is_same) = (nouns[at % 4], at % 3 == 0);
        let (code, price) = (at * 37 % 9000 + 1000, at * 7 % 90 + 10);
        let other = if is_same { code } else { code * 3 % 9000 + 1000 };
        let (label, other_price) = if is_same { ("yes", price) } else { ("no", price + at % 5) };
        text += &format!(
            "Acme {noun} K{code},{price}.00,{noun} K{other} new,{other_price}.50,{label}\n"
        );
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_are_told_apart_by_their_codes_whoever_asks() {
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    fs::write(home.join("offers.csv"), offers(0, 240)).expect("written");
    fs::write(home.join("other.csv"), offers(500, 60)).expect("written");
    let encoder = fixtures::encoder("bert-tiny");
    let encoder = encoder.path().display().to_string();
    succeed(home, &format!("dynamar init offers.csv --target same --out mine --encoder {encoder}"));
    let train = format!(
        "dynamar train --task mine/task.toml --train mine/train.csv --dev mine/dev.csv --encoder {encoder} \
         --steps 4 --learning-rate 1e-5"
    );
    let told = run(home, &format!("{train} --out served/with"));
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("chosen: pair-similarity on"), "{told}");
    succeed(home, &format!("{train} --out without --pair-similarity off"));
    let accuracy = |model: &str| {
        let evaluate =
            format!("dynamar evaluate --model {model} --task offers-same --data other.csv --json");
        let found: serde_json::Value =
            serde_json::from_str(&succeed(home, &evaluate)).expect("JSON");
        found["accuracy"].as_f64().expect("a figure")
    };
    let found = [accuracy("served/with"), accuracy("without")];
    assert!(found[0] > 0.95 && found[1] < 0.8, "{found:?}");
    succeed(
        home,
        "dynamar predict --model served/with --task offers-same --in other.csv --out predicted.jsonl",
    );
    let predicted = fs::read_to_string(home.join("predicted.jsonl")).expect("written");
    let first: serde_json::Value =
        serde_json::from_str(predicted.lines().next().expect("a row")).expect("JSON");
    let other = offers(500, 1);
    let row: Vec<&str> = other.lines().nth(1).expect("a row").split(',').collect();
    let fields = ["left_title", "left_price", "right_title", "right_price"];
    let fields: Vec<(&str, &str)> = fields.into_iter().zip(row).collect();
    let answer = answer(home, "serve --models served", "offers-same", &fields).await;
    assert_eq!(first["label"], answer.label, "{first}");
    let probability = first["probability"].as_f64().expect("a number");
    assert!((probability - f64::from(answer.probability)).abs() < 1e-5, "{first} {answer:?}");
}

/// The best label that the server gives which this command starts.
async fn answer(home: &Path, serve: &str, task: &str, fields: &[(&str, &str)]) -> LabelScore {
    let mut server = shell(home, &format!("exec dynamar {serve} --address 127.0.0.1:0"))
        .env("DYNAMAR_LOG__FORMAT", "json")
        .env("DYNAMAR_METRICS__ADDRESS", "")
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let log = BufReader::new(server.stderr.take().expect("piped"));
    let lines = log.lines().map(|line| line.expect("read"));
    let mut lines = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    let listening = lines.find(|line| line["message"] == "listening").expect("it listens");
    let address = format!("http://{}", listening["address"].as_str().expect("an address"));
    lines.find(|line| line["message"] == "serving").expect("it serves");
    let mut client = InferenceClient::connect(address).await.expect("connected");
    let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let examples = vec![Example { fields: fields.collect() }];
    let request = ClassifyRequest { task: task.to_owned(), examples, options: None };
    let answer = client.classify(request).await;
    server.kill().expect("killed");
    server.wait().expect("ended");
    answer.expect("answered").into_inner().results[0].labels[0].clone()
}

#[test]
fn what_is_there_is_not_overwritten_and_nothing_is_written_in_vain() {
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    fs::write(home.join("reviews.tsv"), reviews()).expect("written");
    let fixture = fixtures::encoder("bert-tiny");
    let encoder = format!("--encoder {}", fixture.path().display());
    fail(
        home,
        &format!("dynamar init reviews.tsv --target star --out mine {encoder}"),
        &["\"stars\""],
    );
    fail(home, &format!("dynamar init none.tsv --out mine {encoder}"), &["none.tsv"]);
    assert_eq!(files(home), ["reviews.tsv"]);
    let init = format!("dynamar init reviews.tsv --out mine {encoder}");
    succeed(home, &init);
    let read = |file: &str| fs::read_to_string(home.join("mine").join(file)).expect("read");
    let before = ["task.toml", "train.csv", "dev.csv", "test.csv"].map(read);
    fail(home, &init, &["--replace"]);
    succeed(home, &format!("{init} --replace"));
    assert_eq!(["task.toml", "train.csv", "dev.csv", "test.csv"].map(read), before);
    let json = succeed(home, &format!("{init} --replace --no-split --kind regression --json"));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&json["target"]["kind"], &json["target"]["max"]),
        (&"regression".into(), &5.0.into())
    );
    assert_eq!(json["left_out"].as_array().map(Vec::len), Some(3), "{json}");
    assert_eq!(files(&home.join("mine")), ["task.toml"]);
    fs::write(home.join("mine/notes.txt"), "mine").expect("written");
    fail(home, &format!("{init} --replace"), &["notes.txt"]);
    assert_eq!(files(&home.join("mine")), ["notes.txt", "task.toml"]);
}
