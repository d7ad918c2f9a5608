//! Graphs that another program exported (`tests/data/foreign/make_graphs.py`): imported, served, trained
//! on, and refused with what was found in them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use dynamar::{
    checkpoint::{Checkpoint, ForeignInput, GraphOutput, Manifest},
    dataset::{Dataset, LabeledExample},
    import::{GivenTask, Import, ImportError, Written, with_precision},
    inference::{MaskEncoder, Model, encode_all, predict},
    prompt::TaskFile,
    task::{Example, Output, Target},
    tokenization::Prompt,
    training::{
        Interrupt, Job, JobTask, Length, Observer, Score, Settings, StepReport, Trained,
        TrainingError, Tune, Unfinished, train,
    },
    weights::Precision,
};
use serde::Deserialize;
use tempfile::TempDir;

use crate::fixtures;

#[derive(Deserialize)]
struct Reference {
    prompts: Vec<ReferencePrompt>,
}

#[derive(Deserialize)]
struct ReferencePrompt {
    input_ids: Vec<u32>,
    token_type_ids: Vec<u32>,
    mask_position: usize,
    vector: Vec<f32>,
}

const TASK: &str = r#"
[task]
name = "mood"
kind = "classification"
max_length = 32
[fields.text]
[labels]
column = "label"
names = ["bad", "fair", "good"]
[prompt]
canonical = "it-was"
[[prompt.template]]
id = "it-was"
text = "{text} It was {mask}."
[[prompt.template]]
id = "overall"
text = "Overall {mask}: {text}"
"#;

fn data() -> PathBuf {
    fixtures::root().join("tests/data/foreign")
}

fn family(name: &str) -> PathBuf {
    fixtures::root().join("tests/data/families").join(name)
}

/// A directory as an exporter leaves it: the graph, and config and tokenizer of the family that it is
/// of. The family's weights stay away.
fn exported(graph: &str, of_family: &str) -> TempDir {
    let home = tempfile::tempdir().expect("a directory");
    copy(&data().join(graph), home.path());
    for name in ["config.json", "tokenizer.json", "reference.json"] {
        let place = home.path().join(name);
        if !place.exists() {
            fs::copy(family(of_family).join(name), place).expect("copied");
        }
    }
    home
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("there") {
        let entry = entry.expect("an entry");
        let place = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &place),
            false => drop(fs::copy(entry.path(), place).expect("copied")),
        }
    }
}

fn import(
    directory: &Path,
    out: &Path,
    task: Option<GivenTask<'_>>,
) -> Result<Written, ImportError> {
    let (name, precision, replace, graph) = ("foreign", Precision::Fp32, false, None);
    let runtime = &|| Ok(fixtures::runtime());
    Import { directory, name, precision, out, replace, graph, task, runtime }.run()
}

pub fn imported(graph: &str, of_family: &str) -> (TempDir, Manifest) {
    let home = exported(graph, of_family);
    let written = import(home.path(), &home.path().join("out"), None);
    let written = written.unwrap_or_else(|error| panic!("{graph}: {error}"));
    (home, written.manifest)
}

fn reference(directory: &Path) -> Reference {
    let bytes = fs::read(directory.join("reference.json")).expect("there");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn prompts(reference: &Reference) -> Vec<Prompt> {
    let prompt = |theirs: &ReferencePrompt| Prompt {
        input_ids: theirs.input_ids.clone(),
        segment_ids: theirs.token_type_ids.clone(),
        mask_position: theirs.mask_position,
        truncated: false,
    };
    reference.prompts.iter().map(prompt).collect()
}

/// Largest difference of two vectors, relative to the largest number.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1f32, |largest, value| largest.max(value.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs() / largest);
    differences.fold(0.0, |worst, one| if one > worst || one.is_nan() { one } else { worst })
}

/// Compares what a checkpoint computes alone and in batches of mixed lengths with the reference.
fn check(directory: &Path, tolerance: f32) {
    let model = Model::load(&directory.join("out")).expect("loaded");
    let mut encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
    let reference = reference(directory);
    let prompts = prompts(&reference);
    let together = encode_all(&mut encoder, &prompts).expect("encoded");
    let at_once = encoder.mask_vectors(&prompts.iter().collect::<Vec<_>>()).expect("encoded");
    let at_once = at_once.chunks(encoder.hidden_size()).map(<[f32]>::to_vec);
    for (((prompt, theirs), together), at_once) in
        prompts.iter().zip(&reference.prompts).zip(&together).zip(at_once)
    {
        let alone = encoder.mask_vectors(&[prompt]).expect("encoded");
        for (found, how) in [(&alone, "alone"), (together, "together"), (&at_once, "at once")] {
            let found = difference(found, &theirs.vector);
            let tokens = prompt.input_ids.len();
            assert!(found < tolerance, "{tokens} tokens {how} differ by {found}");
        }
    }
}

#[test]
fn graphs_of_torch_serve_their_vectors() {
    for (graph, of_family) in
        [("bert", "bert"), ("distilbert", "distilbert"), ("roberta", "roberta")]
    {
        let (home, manifest) = imported(graph, of_family);
        check(home.path(), 1e-4);
        assert_eq!(manifest.format_version, 4);
        assert_eq!(manifest.encoder.precision, Precision::Fp32);
        let entry = manifest.encoder.graph.expect("a graph of another exporter");
        let has_segments = graph == "bert";
        assert_eq!(entry.inputs.contains(&ForeignInput::TokenTypeIds), has_segments);
        assert_eq!((entry.output.as_str(), entry.one_at_a_time), ("last_hidden_state", false));
        assert_eq!(manifest.encoder.architecture.max_positions, 48);
    }
}

#[test]
fn fewer_bits_serve_as_they_are() {
    let (home, manifest) = imported("fp16", "distilbert");
    check(home.path(), 2e-2);
    assert_eq!(manifest.encoder.precision, Precision::Fp16);
    let (home, manifest) = imported("int8", "distilbert");
    check(home.path(), 0.5);
    assert_eq!(manifest.encoder.precision, Precision::Int8);
    assert!(manifest.encoder.graph.expect("a graph").one_at_a_time, "one scale for a batch");
}

/// An answer does not depend on who shares its batch.
#[test]
fn prompts_do_not_change_each_other_in_8_bits() {
    let (home, _) = imported("int8", "distilbert");
    let model = Model::load(&home.path().join("out")).expect("loaded");
    let mut encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
    let prompts = prompts(&reference(home.path()));
    let together = encoder.mask_vectors(&prompts.iter().collect::<Vec<_>>()).expect("encoded");
    let alone: Vec<f32> =
        prompts.iter().flat_map(|one| encoder.mask_vectors(&[one]).expect("encoded")).collect();
    assert_eq!(together, alone);
}

#[test]
fn an_encoder_of_any_family_is_served_by_its_graph() {
    let home = exported("roberta", "roberta");
    let config = home.path().join("config.json");
    let text = fs::read_to_string(&config).expect("there");
    let text = text.replace("\"model_type\": \"roberta\"", "\"model_type\": \"of-next-year\"");
    fs::write(&config, text).expect("written");
    let written = import(home.path(), &home.path().join("out"), None).expect("imported");
    // Its positions begin after the padding's id, which its config does not say.
    assert_eq!(written.manifest.encoder.architecture.max_positions, 48);
    check(home.path(), 1e-4);
}

#[test]
fn sessions_of_one_graph_agree() {
    let (home, _) = imported("distilbert", "distilbert");
    let model = Model::load(&home.path().join("out")).expect("loaded");
    let source = model.encoder_source(&fixtures::runtime()).expect("a source");
    let mut sessions = [source.session(1).expect("one"), source.session(2).expect("another")];
    drop(source);
    let prompts = prompts(&reference(home.path()));
    let [one, other] = sessions.each_mut().map(|session| encode_all(session, &prompts));
    for (one, other) in one.expect("encoded").iter().zip(&other.expect("encoded")) {
        assert!(difference(one, other) < 1e-5);
    }
}

fn task() -> Arc<TaskFile> {
    Arc::new(TaskFile::parse(TASK, "mood.toml").expect("a good task file"))
}

fn given<'a>(head: Option<&'a Path>) -> Option<GivenTask<'a>> {
    Some(GivenTask { file: task(), path: "mood.toml", head })
}

/// The probabilities of an example in one template.
fn probabilities(checkpoint: &Path, text: &str) -> Vec<f32> {
    let model = Model::load(checkpoint).expect("loaded");
    let mut encoder = model.encoder(&fixtures::runtime(), 1).expect("a session");
    let predictor = &model.tasks["mood"].predictor;
    let example = Example { values: vec![text.to_owned()] };
    let predictions = predict(&mut encoder, predictor, &[example], &[0]).expect("predicted");
    let Output::Probabilities(found) = &predictions[0].output else { panic!("a classifier") };
    found.clone()
}

#[test]
fn a_classifier_in_the_graph_answers_its_task() {
    let home = exported("logits", "distilbert");
    let out = home.path().join("out");
    let written = import(home.path(), &out, given(None)).expect("imported");
    check(home.path(), 1e-4);
    let manifest = written.manifest;
    let graph = manifest.encoder.graph.expect("a graph");
    assert_eq!(graph.gives, GraphOutput::Logits);
    assert_eq!(manifest.encoder.architecture.hidden_size, 3);
    let found = probabilities(&out, "a fine thing");
    assert_eq!(found.len(), 3);
    assert!((found.iter().sum::<f32>() - 1.0).abs() < 1e-6);
}

/// A head of PyTorch: `[3, 24]`, and no bias.
fn head(directory: &Path, outputs: usize) -> PathBuf {
    let values: Vec<f32> = (0..outputs * 24).map(|at| ((at * 37) % 19) as f32 / 19.0).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = vec![outputs, 24];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &bytes);
    let file = safetensors::serialize([("weight", view.expect("a tensor"))], None);
    let path = directory.join("head.safetensors");
    fs::write(&path, file.expect("a file")).expect("written");
    path
}

#[test]
fn a_head_of_pytorch_answers_on_a_graph_as_on_weights() {
    let home = exported("distilbert", "distilbert");
    let head = head(home.path(), 3);
    let (of_graph, of_weights) = (home.path().join("out"), home.path().join("weights"));
    import(home.path(), &of_graph, given(Some(&head))).expect("imported");
    import(&family("distilbert"), &of_weights, given(Some(&head))).expect("imported");
    for text in
        ["a fine thing", "never again", "it broke after two days of use, and I want my money"]
    {
        let found = probabilities(&of_graph, text);
        assert!(difference(&found, &probabilities(&of_weights, text)) < 1e-5, "{text}");
    }
}

#[test]
fn heads_and_graphs_must_go_together() {
    let refused = |graph: &str, task: Option<GivenTask<'_>>, words: &str| {
        let home = exported(graph, "distilbert");
        let out = home.path().join("out");
        let error = import(home.path(), &out, task).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        assert!(!out.exists());
    };
    let home = tempfile::tempdir().expect("a directory");
    let (good, narrow) = (head(home.path(), 3), home.path().join("narrow"));
    fs::create_dir(&narrow).expect("made");
    let narrow = head(&narrow, 2);
    refused("distilbert", given(None), "pass --head FILE");
    refused("distilbert", given(Some(&narrow)), "shape [2, 24], expected floats and [3, 24]");
    refused("logits", given(Some(&good)), "beside which there is no --head");
    refused("logits", None, "say its task with --task FILE");
    let two = TASK.replace("\"fair\", ", "");
    let file = Arc::new(TaskFile::parse(&two, "mood.toml").expect("a good task file"));
    let task = Some(GivenTask { file, path: "mood.toml", head: None });
    refused("logits", task, "has 2 outputs for the task \"mood\", but the graph gives 3 logits");
    let error = import(&family("distilbert"), &home.path().join("out"), given(None));
    assert!(error.expect_err("no head").to_string().contains("pass --head FILE"));
}

/// What is refused names what was found and how to export instead.
#[test]
fn other_graphs_say_what_was_found() {
    for (graph, words, how) in [
        ("custom-operator", "the operator com.example.kernels:FastErf", "with plain operators"),
        ("control-flow", "control flow: the operator If", "optimum-cli export onnx"),
        ("fixed-batch", "input_ids with a fixed batch size of 2", "dynamic_axes"),
        ("fixed-length", "input_ids with a fixed sequence length of 5", "dynamic_axes"),
        ("two-outputs", "the outputs hidden, mean", "output_names"),
        ("float-input", "inputs_embeds of 32-bit floats", "input_names"),
        ("unmasked", "does not leave out padding by its attention_mask", ""),
    ] {
        let home = exported(graph, "distilbert");
        let out = home.path().join("out");
        let error = import(home.path(), &out, None).expect_err(graph).to_string();
        assert!(error.contains("model.onnx") && error.contains(words), "{graph}: {error}");
        assert!(error.contains(how), "{graph}: {error}");
        assert!(!out.exists(), "{graph}");
    }
}

#[test]
fn broken_directories_say_what_is_wrong() {
    let refused = |change: &dyn Fn(&Path), words: &str| {
        let home = exported("roberta", "roberta");
        change(home.path());
        let out = home.path().join("out");
        let error = import(home.path(), &out, None).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        assert!(!out.exists());
    };
    let beside = |home: &Path| home.join("onnx/model.onnx_data");
    refused(&|home| fs::remove_file(beside(home)).expect("removed"), "model.onnx_data");
    let shorten = |home: &Path| {
        let bytes = fs::read(beside(home)).expect("there");
        fs::write(beside(home), &bytes[..bytes.len() - 4]).expect("written");
    };
    refused(&shorten, "its files have");
    let link = |home: &Path| {
        fs::remove_file(beside(home)).expect("removed");
        std::os::unix::fs::symlink("/etc/hostname", beside(home)).expect("linked");
    };
    refused(&link, "leads outside the model's directory");
    let graph = |home: &Path| home.join("onnx/model.onnx");
    refused(&|home| fs::write(graph(home), b"\xff\xff\xff").expect("written"), "no ONNX file");
    refused(&|home| fs::write(graph(home), b"").expect("written"), "an empty file");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    refused(&|home| fs::write(graph(home), pointer).expect("written"), "a Git LFS pointer");
    let other = |home: &Path| {
        let path = home.join("reference.json");
        let bytes = fs::read(&path).expect("there");
        let mut reference: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        reference["prompts"][0]["vector"][0] = 7.5.into();
        fs::write(path, reference.to_string()).expect("written");
    };
    refused(&other, "number 1 of prompt 1 is 7.5, but the graph gives");
    let config = |home: &Path| fs::write(home.join("config.json"), b"{}").expect("written");
    refused(&config, "vocab_size is missing");
}

#[test]
fn what_a_graph_cannot_do_is_said() {
    let (home, _) = imported("distilbert", "distilbert");
    let checkpoint = Checkpoint::open(&home.path().join("out")).expect("intact");
    let again = home.path().join("again");
    let error = with_precision(&checkpoint, Precision::Int8, &again, false).expect_err("refused");
    assert!(error.to_string().contains("a graph that another program exported"), "{error}");
    let (name, precision, out) = ("foreign", Precision::Int8, again.as_path());
    let runtime = &|| Ok(fixtures::runtime());
    let (directory, replace, graph, task) = (home.path(), false, None, None);
    let quantized = Import { directory, name, precision, out, replace, graph, task, runtime };
    let error = quantized.run().expect_err("refused").to_string();
    assert!(error.contains("is served as it is: quantise it where it comes from"), "{error}");
    assert!(!again.exists());
}

/// A checkpoint may come from anywhere, also one with a graph that nobody here has looked at.
#[test]
fn a_checkpoint_is_checked_again_when_it_is_loaded() {
    let (home, _) = imported("distilbert", "distilbert");
    let out = home.path().join("out");
    let checkpoint = Checkpoint::open(&out).expect("intact");
    let hostile = fs::read(data().join("control-flow/model.onnx")).expect("there");
    let forged = home.path().join("forged");
    let mut draft = dynamar::checkpoint::Draft::new(&forged, false).expect("begun");
    draft.add("encoder.onnx", &hostile).expect("written");
    for file in ["encoder.weights", "tokenizer.json"] {
        draft.share(&checkpoint, file).expect("shared");
    }
    let Manifest { encoder, tokenizer, provenance, .. } = checkpoint.manifest;
    draft.publish(encoder, &tokenizer, provenance).expect("published");
    let model = Model::load(&forged).expect("loaded as far as tasks go");
    let error = model.encoder(&fixtures::runtime(), 1).err().expect("refused").to_string();
    assert!(error.contains("control flow"), "{error}");
}

/// Sentences with a word for each label.
fn dataset() -> Dataset {
    let words = [["terrible", "awful"], ["fair", "usual"], ["great", "perfect"]];
    let of_label = |(label, words): (usize, &[&str; 2])| {
        let of_word = |word: &str| {
            let nouns = ["phone", "case", "charger", "camera"];
            let texts = nouns.map(|noun| fixtures::example(&[&format!("The {noun} is {word}.")]));
            texts.map(|example| LabeledExample::new(example, Target::Label(label)))
        };
        words.map(of_word).concat()
    };
    let examples = words.iter().enumerate().flat_map(of_label).collect();
    Dataset { path: "made-up.csv".to_owned(), examples }
}

struct Quiet;

impl Observer for Quiet {
    fn begin(&mut self, _: usize, _: usize) {}
    fn step(&mut self, _: &StepReport) {}
    fn scored(&mut self, _: usize, _: &[(&str, &Score)], _: bool) {}
    fn end(&mut self) {}
}

fn train_on(encoder: &Path, out: &Path, tune: Tune) -> Result<Trained, TrainingError> {
    let encoder = Checkpoint::open(encoder).expect("intact");
    let length = Length::Steps(60);
    let settings = Settings { length, head_learning_rate: 3e-2, ..Settings::new(tune) };
    let job = Job {
        tasks: vec![JobTask::new(task(), "mood.toml".to_owned(), dataset(), Some(dataset()))],
        encoder: &encoder,
        out,
        replace: false,
        settings: &settings,
        recipe: None,
        adapted: None,
        budget: None,
        precision: Precision::Fp32,
        runtime: &fixtures::runtime(),
        unfinished: Unfinished::Refuse,
        save_every: 1000,
    };
    train(&job, &mut Quiet, &Interrupt::new(false))
}

#[test]
fn heads_train_on_a_graph_and_the_encoder_does_not() {
    let (home, before) = imported("distilbert", "distilbert");
    let (encoder, out) = (home.path().join("out"), home.path().join("trained"));
    let trained = train_on(&encoder, &out, Tune::Head).expect("trained");
    assert_eq!(trained.manifest.encoder, before.encoder);
    for file in before.encoder.files() {
        assert_eq!(trained.manifest.files[file], before.files[file], "{file}");
    }
    let model = Model::load(&out).expect("loaded");
    let report = &model.tasks["mood"].report;
    let score = trained.scores[0].1.as_ref().expect("a score");
    assert_eq!(report.metrics, score.metrics);
    assert!(report.metrics["accuracy"] > 0.4, "{:?}", report.metrics);
    assert_eq!(probabilities(&out, "The phone is great.").len(), 3);

    let other = home.path().join("other");
    let error = train_on(&encoder, &other, Tune::Full).expect_err("refused").to_string();
    assert!(error.contains("heads can be trained on it (--tune head)"), "{error}");
    let home = exported("logits", "distilbert");
    let encoder = home.path().join("out");
    import(home.path(), &encoder, given(None)).expect("imported");
    let error = train_on(&encoder, &other, Tune::Head).expect_err("refused").to_string();
    assert!(error.contains("on which no head can be trained"), "{error}");
    assert!(!other.exists());
}
