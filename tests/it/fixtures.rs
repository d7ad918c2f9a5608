//! Encoders and texts that tests share.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use dynamar::{
    checkpoint::Checkpoint, import, inference::Runtime, prompt::TaskFile, task::Example,
    weights::Precision,
};
use tempfile::TempDir;

/// An encoder checkpoint in a temporary directory, shared by the tests that run at the same time.
pub struct EncoderFixture {
    directory: TempDir,
}

impl EncoderFixture {
    /// Directory of the checkpoint, which is there as long as somebody holds this.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("encoder")
    }

    /// The checkpoint, whose files are there as long as somebody holds this.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint::open(&self.path()).expect("an intact checkpoint")
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Hugging Face directory that `models/fetch.py` has fetched.
pub fn fetched(name: &str) -> PathBuf {
    let directory = root().join("models/fetched").join(name);
    let there = directory.join("model.safetensors").exists();
    assert!(there, "{} is missing: `make test` fetches what the tests need", directory.display());
    directory
}

/// The encoder with this name, imported.
pub fn encoder(name: &str) -> Arc<EncoderFixture> {
    static IMPORTED: Mutex<BTreeMap<String, Weak<EncoderFixture>>> = Mutex::new(BTreeMap::new());
    let mut imported = IMPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(fixture) = imported.get(name).and_then(Weak::upgrade) {
        return fixture;
    }
    let fixture = EncoderFixture { directory: tempfile::tempdir().expect("a directory") };
    import::to_checkpoint(&fetched(name), name, Precision::Fp32, &fixture.path(), false)
        .expect("imported");
    let fixture = Arc::new(fixture);
    imported.insert(name.to_owned(), Arc::downgrade(&fixture));
    fixture
}

/// ONNX Runtime.
pub fn runtime() -> Runtime {
    Runtime::load(None).expect("ONNX Runtime: `make test` fetches it")
}

/// A regression task over these fields with one template and a long maximum length.
pub fn one_template_task(fields: &[&str], template: &str) -> TaskFile {
    let fields: String = fields.iter().map(|field| format!("[fields.{field}]\n")).collect();
    let text = format!(
        "[task]\nname = \"t\"\nkind = \"regression\"\nmax_length = 512\n{fields}\
         [target]\ncolumn = \"y\"\n[prompt]\ncanonical = \"one\"\n\
         [[prompt.template]]\nid = \"one\"\ntext = {template:?}\n"
    );
    TaskFile::parse(&text, "test.toml").expect("a good task file")
}

/// An example with these texts.
pub fn example(values: &[&str]) -> Example {
    Example { values: values.iter().map(|value| (*value).to_owned()).collect() }
}
