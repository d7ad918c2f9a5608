//! What is trained on: batches of token ids, made once for both sides.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dynamar::{
    dataset::{LabeledExample, read_file},
    prompt::TaskFile,
    task::{Example, Kind, Target},
    tokenization::{Prompt, PromptSet, PromptTokenizer},
};

/// Prompts of a batch.
pub const BATCH_SIZE: usize = 32;

/// Tokens of each prompt where all are equally long.
pub const EQUAL_LENGTH: usize = 64;

/// Tokens of a prompt at most where lengths are mixed.
const LONGEST: usize = 128;

/// The task and the data of the scenario with equal lengths.
const EQUAL: (&str, &str, &str) =
    ("equal", "models/tasks/review-polarity.toml", "models/data/review-polarity/train.csv");

/// The mix of lengths that everybody has: the demo's own data.
const REVIEWS: (&str, &str, &str) =
    ("reviews", "models/tasks/review-intensity.toml", "models/data/review-intensity/train.csv");

/// Tasks whose data `--data` has, and their task files.
const TASKS: [(&str, &str); 4] = [
    ("product-category", "studies/tasks/product-category.toml"),
    ("product-match", "studies/tasks/product-match.toml"),
    ("review-intensity", "models/tasks/review-intensity.toml"),
    ("review-polarity", "models/tasks/review-polarity.toml"),
];

/// Texts that, one after the other, fill a prompt of `EQUAL_LENGTH` tokens.
const WORDS_PER_TEXT: usize = EQUAL_LENGTH;

/// Prompts with their targets; numbers are z-scored.
pub struct Batch {
    pub prompts: Vec<Prompt>,
    pub targets: Vec<Target>,
}

/// A kind of work to measure.
pub struct Scenario {
    pub name: String,
    pub kind: Kind,
    pub batches: Vec<Batch>,
}

impl Scenario {
    /// Mean tokens of a prompt, and of a prompt padded to the longest of its batch.
    pub fn mean_tokens(&self) -> (f64, f64) {
        let (mut tokens, mut padded, mut prompts) = (0, 0, 0);
        for batch in &self.batches {
            let lengths = || batch.prompts.iter().map(|prompt| prompt.input_ids.len());
            tokens += lengths().sum::<usize>();
            padded += lengths().max().unwrap_or(0) * batch.prompts.len();
            prompts += batch.prompts.len();
        }
        (tokens as f64 / prompts.max(1) as f64, padded as f64 / prompts.max(1) as f64)
    }
}

/// Where the texts come from and how they become token ids.
pub struct Sources<'a> {
    pub data: Option<&'a Path>,
    pub tokenizer: &'a PromptTokenizer,
    pub max_positions: usize,
}

impl Sources<'_> {
    /// Every scenario whose data is at hand, and a sentence on each that was left out.
    pub fn scenarios(&self, batches: usize) -> Result<(Vec<Scenario>, Vec<String>)> {
        let mut scenarios = vec![self.equal(batches)?];
        let (name, task, data) = REVIEWS;
        scenarios.push(self.mixed(name, task, Path::new(data), batches)?);
        let mut left_out = Vec::new();
        for (name, task) in TASKS {
            match self.train_file(name) {
                Ok(path) => scenarios.push(self.mixed(name, task, &path, batches)?),
                Err(why) => left_out.push(format!("{name} is left out: {why}")),
            }
        }
        Ok((scenarios, left_out))
    }

    fn train_file(&self, task: &str) -> Result<PathBuf, String> {
        let data = self.data.ok_or("no --data was given")?;
        let path = data.join(task).join("train.csv");
        if path.is_file() { Ok(path) } else { Err(format!("there is no {}", path.display())) }
    }

    /// Real reviews, one after the other until there are enough words, cut to the same length.
    pub fn equal(&self, batches: usize) -> Result<Scenario> {
        let (name, task, data) = EQUAL;
        let mut file = TaskFile::read(Path::new(task))?;
        file.max_length = EQUAL_LENGTH;
        let examples = joined(&read_file(Path::new(data), &file)?.examples);
        let scenario = self.scenario(name, &file, &examples, batches)?;
        let mut prompts = scenario.batches.iter().flat_map(|batch| &batch.prompts);
        ensure!(
            prompts.all(|prompt| prompt.input_ids.len() == EQUAL_LENGTH),
            "{data}: the texts do not fill {EQUAL_LENGTH} tokens"
        );
        Ok(scenario)
    }

    /// A task as it is, in shuffled batches.
    fn mixed(&self, name: &str, task: &str, data: &Path, batches: usize) -> Result<Scenario> {
        let mut file = TaskFile::read(Path::new(task))?;
        file.max_length = LONGEST;
        let mut examples = read_file(data, &file)?.examples;
        z_score(&mut examples);
        self.scenario(name, &file, &examples, batches)
    }

    fn scenario(
        &self,
        name: &str,
        file: &TaskFile,
        examples: &[LabeledExample],
        batches: usize,
    ) -> Result<Scenario> {
        let prompts = PromptSet::new(file, self.tokenizer, self.max_positions, name)?;
        let pool = &file.prompts.pool;
        let draws = shuffled_visits(examples.len()).take(batches * BATCH_SIZE).enumerate();
        let encoded = draws.map(|(at, example)| {
            let LabeledExample { example, target, .. } = &examples[example];
            // Every template equally often.
            let prompt = prompts.encode(self.tokenizer, example, pool[at % pool.len()])?;
            Ok((prompt, *target))
        });
        let encoded: Vec<(Prompt, Target)> = encoded.collect::<Result<_>>().context("encoding")?;
        let batch = |pairs: &[(Prompt, Target)]| {
            let (prompts, targets) = pairs.iter().cloned().unzip();
            Batch { prompts, targets }
        };
        Ok(Scenario {
            name: name.to_owned(),
            kind: file.task.kind.clone(),
            batches: encoded.chunks(BATCH_SIZE).map(batch).collect(),
        })
    }
}

/// Each example with as many of those after it as make enough words; its own label.
fn joined(examples: &[LabeledExample]) -> Vec<LabeledExample> {
    let text = |at: usize| examples[at % examples.len()].example.values[0].as_str();
    let join = |(at, labeled): (usize, &LabeledExample)| {
        let mut words = Vec::new();
        let mut next = at;
        while words.len() < WORDS_PER_TEXT && next < at + examples.len() {
            words.extend(text(next).split_whitespace());
            next += 1;
        }
        LabeledExample::new(Example { values: vec![words.join(" ")] }, labeled.target)
    };
    examples.iter().enumerate().map(join).collect()
}

/// Numbers as the trainer has them; labels stay.
fn z_score(examples: &mut [LabeledExample]) {
    let values: Vec<f64> = examples.iter().filter_map(|labeled| value(&labeled.target)).collect();
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    for labeled in examples {
        if let Some(value) = value(&labeled.target) {
            labeled.target = Target::Value((value - mean) / variance.sqrt().max(f64::MIN_POSITIVE));
        }
    }
}

fn value(target: &Target) -> Option<f64> {
    match target {
        Target::Value(value) => Some(*value),
        Target::Label(_) => None,
    }
}

/// Indices of `count` examples, visit after visit without end, each visit in an order of its own.
fn shuffled_visits(count: usize) -> impl Iterator<Item = usize> {
    (0u64..).flat_map(move |visit| {
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_cached_key(|&at| (mix(mix(visit) ^ at as u64), at));
        order
    })
}

/// SplitMix64's output function (Steele et al., 2014).
fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
