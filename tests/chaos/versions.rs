//! The checkpoints that come and go, and what each must answer.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use dynamar::{checkpoint::Checkpoint, import, weights::Precision};
use tempfile::TempDir;

use crate::{
    checkpoints::{self, INTENSITY, MATCH, POLARITY, Variant},
    fixtures,
    questions::{Question, Reply},
    reference::Reference,
    tables::{Said, Table, tables},
};

/// How far an answer may be from that of its example alone: what shares a batch changes the last
/// digits.
const TOLERANCE: f64 = 1e-5;

/// The names of the checkpoints of a version.
pub const NAMES: [&str; 2] = ["reviews", "shop"];

/// The tasks of the checkpoint with such a name.
pub fn tasks_of(name: &str) -> &'static [&'static str] {
    match name {
        "reviews" => &["polarity", "intensity"],
        _ => &["match"],
    }
}

/// Two versions with the same encoder and other heads, and one with another encoder. Each has
/// `reviews` and `shop`.
pub struct Versions {
    home: TempDir,
    /// All of them the same questions; the answers of each checkpoint, by its id.
    tables: BTreeMap<String, usize>,
    all: Vec<Vec<Table>>,
}

impl Versions {
    /// How many there are.
    pub const COUNT: usize = 3;

    pub fn prepare() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let other = other_encoder(home.path());
        let variants = [(1.0, None), (20.0, None), (40.0, Some(&other))];
        let (mut ids, mut all) = (BTreeMap::new(), Vec::new());
        for (at, (seed, encoder)) in variants.into_iter().enumerate() {
            let version = home.path().join(at.to_string());
            fs::create_dir(&version).expect("made");
            let variant = Variant { seed, encoder };
            checkpoints::write_as(&version.join("reviews"), &[POLARITY, INTENSITY], variant);
            let variant = Variant { seed: seed + 7.0, encoder };
            checkpoints::write_as(&version.join("shop"), &[MATCH], variant);
            ids.extend(NAMES.map(|name| (id(&version.join(name)), at)));
            all.push(tables(&mut Reference::over(&version)));
        }
        assert_eq!(ids.len(), Self::COUNT * NAMES.len(), "no two are the same");
        Self { home, tables: ids, all }
    }

    /// The checkpoint with this name, of one version.
    pub fn checkpoint(&self, version: usize, name: &str) -> PathBuf {
        self.home.path().join(version.to_string()).join(name)
    }

    /// Where such checkpoints are made, on the same file system.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// What can be asked.
    pub fn questions(&self) -> &[Table] {
        &self.all[0]
    }

    /// Whether every answer that came is the one that the checkpoint that it names must give.
    pub fn check(&self, question: &Question, reply: &Reply) -> Result<(), String> {
        for (asked, said) in question.asked().iter().zip(&reply.said) {
            let model = model(said);
            let Some(&version) = self.tables.get(model) else {
                return Err(format!(
                    "{model:?} answered, which is no checkpoint that ever was good"
                ));
            };
            let table = &self.all[version][asked.table];
            let checked = table.check(&asked.rows, said, TOLERANCE);
            checked.map_err(|wrong| format!("version {version}, {model}: {wrong}"))?;
        }
        Ok(())
    }
}

/// The id of the checkpoint in a directory.
pub fn id(checkpoint: &Path) -> String {
    Checkpoint::open_unverified(checkpoint).expect("a manifest").manifest.id
}

/// Who answered.
pub fn model(said: &Said) -> &str {
    let metadata = match said {
        Said::Classified(said) => &said.metadata,
        Said::Regressed(said) => &said.metadata,
    };
    metadata.as_ref().map_or("", |metadata| &metadata.model)
}

/// An encoder with the same shape and other vectors.
fn other_encoder(home: &Path) -> Checkpoint {
    let fixture = fixtures::encoder("bert-tiny");
    let out = home.join("other-encoder");
    import::with_precision(&fixture.checkpoint(), Precision::Int8, &out, false).expect("written");
    Checkpoint::open(&out).expect("intact")
}

/// A copy of a directory, of which no file is shared with another.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry").path();
        let target = to.join(entry.file_name().expect("a name"));
        match entry.is_dir() {
            true => copy(&entry, &target),
            false => drop(fs::copy(&entry, &target).expect("copied")),
        }
    }
}
