//! What is asked: texts whose prompts have the lengths of a mix.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use dynamar::{
    dataset::read_file,
    inference::{Model, ServedTask, TemplateChoice},
    prompt::TaskFile,
    server::proto,
    task::Example,
    tokenization::Prompt,
};

use crate::{random::Random, setup::POLARITY, work};

/// Prompts of a mix; asked again and again.
const ITEMS: usize = 2048;

/// The texts that everybody has, and whose words the made-up ones are of.
const REVIEW_FILES: (&str, &str, &str) =
    (REVIEWS, "models/tasks/review-intensity.toml", "models/data/review-intensity");

/// Tasks whose texts `--data` has, and their task files.
const TASKS: [(&str, &str); 4] = [
    ("product-category", "studies/tasks/product-category.toml"),
    ("product-match", "studies/tasks/product-match.toml"),
    ("review-intensity", "models/tasks/review-intensity.toml"),
    ("review-polarity", "models/tasks/review-polarity.toml"),
];

pub const REVIEWS: &str = "reviews";
pub const SKEWED: &str = "skewed";
pub const UNIFORM: &str = "uniform";
pub const ALL_16: &str = "all16";

/// One request.
pub struct Item {
    pub text: String,
    pub prompt: Prompt,
    pub flops: f64,
    /// Its arithmetic by the mean of its mix.
    pub work: f64,
}

impl Item {
    /// The call that asks for it.
    pub fn examples(&self) -> Vec<proto::Example> {
        let fields = [("text".to_owned(), self.text.clone())];
        vec![proto::Example { fields: fields.into_iter().collect() }]
    }
}

/// Requests of certain lengths, in the order in which they are asked.
pub struct Mix {
    pub name: String,
    pub items: Vec<Item>,
}

impl Mix {
    pub fn mean_tokens(&self) -> f64 {
        let tokens: usize = self.items.iter().map(|item| item.prompt.input_ids.len()).sum();
        tokens as f64 / self.items.len() as f64
    }

    pub fn mean_flops(&self) -> f64 {
        self.items.iter().map(|item| item.flops).sum::<f64>() / self.items.len() as f64
    }

    /// The one at `at`, beginning anew after the last.
    pub fn item(&self, at: usize) -> &Item {
        &self.items[at % self.items.len()]
    }
}

/// Makes mixes for the task of a model.
pub struct Maker<'a> {
    model: &'a Model,
    task: &'a ServedTask,
    /// Tokens of a prompt without text.
    frame: usize,
    /// Words that are one token each.
    words: Vec<String>,
    random: Random,
}

impl<'a> Maker<'a> {
    pub fn new(model: &'a Model) -> Result<Self> {
        let task = model.tasks.get(POLARITY).context("the checkpoint has its task")?;
        let words = words(task)?;
        ensure!(words.len() > 1000, "only {} words of the reviews are one token each", words.len());
        let mut maker = Self { model, task, frame: 0, words, random: Random::new(1) };
        maker.frame = maker.prompt(&maker.words[0])?.input_ids.len() - 1;
        Ok(maker)
    }

    /// Every mix whose texts are at hand, and a sentence on each that was left out.
    pub fn all(&mut self, data: Option<&Path>) -> Result<(Vec<Arc<Mix>>, Vec<String>)> {
        let mut mixes = vec![
            self.synthetic(ALL_16, |_| 16)?,
            self.synthetic(UNIFORM, |random| 8 + random.below(121))?,
            self.skewed()?,
        ];
        let (name, task, folder) = REVIEW_FILES;
        mixes.push(self.real(name, task, Path::new(folder))?);
        let mut left_out = Vec::new();
        for (name, task) in TASKS {
            match data.map(|data| data.join(name)) {
                Some(folder) if folder.join("train.csv").is_file() => {
                    mixes.push(self.real(name, task, &folder)?);
                }
                Some(folder) => left_out.push(format!(
                    "{name} is left out: there is no {}/train.csv",
                    folder.display()
                )),
                None => left_out.push(format!("{name} is left out: no --data was given")),
            }
        }
        Ok((mixes.into_iter().map(Arc::new).collect(), left_out))
    }

    /// Many short prompts and a few long ones, as titles and snippets are.
    fn skewed(&mut self) -> Result<Mix> {
        self.synthetic(SKEWED, skewed_length)
    }

    /// Prompts of 8 to 16 tokens with 2 % of the skewed mix: many requests in little time.
    pub fn short(&mut self) -> Result<Mix> {
        self.synthetic("short", |random| match random.below(50) {
            0 => skewed_length(random),
            _ => 8 + random.below(9),
        })
    }

    /// Prompts of exactly the lengths that `length` draws.
    fn synthetic(&mut self, name: &str, length: impl Fn(&mut Random) -> usize) -> Result<Mix> {
        let mut prompts = Vec::with_capacity(ITEMS);
        for _ in 0..ITEMS {
            let tokens = length(&mut self.random).max(self.frame + 1);
            let mut words = Vec::with_capacity(tokens);
            for _ in self.frame..tokens {
                words.push(self.words[self.random.below(self.words.len())].as_str());
            }
            let text = words.join(" ");
            let prompt = self.prompt(&text)?;
            let found = prompt.input_ids.len();
            ensure!(found == tokens, "{text:?} makes {found} tokens and not {tokens}");
            prompts.push((text, prompt));
        }
        Ok(self.mix(name, prompts))
    }

    /// The texts of a task as they are; fields of one example one after the other.
    fn real(&mut self, name: &str, task: &str, folder: &Path) -> Result<Mix> {
        let file = TaskFile::read(Path::new(task))?;
        let mut examples = read_file(&folder.join("train.csv"), &file)?.examples;
        self.random.shuffle(&mut examples);
        let mut prompts = Vec::with_capacity(ITEMS);
        for example in examples.into_iter().take(ITEMS) {
            let text = example.example.values.join(" ");
            prompts.push((text.clone(), self.prompt(&text)?));
        }
        ensure!(!prompts.is_empty(), "{} has no example", folder.display());
        Ok(self.mix(name, prompts))
    }

    fn mix(&self, name: &str, prompts: Vec<(String, Prompt)>) -> Mix {
        let item = |(text, prompt): (String, Prompt)| {
            let flops = work::flops(&self.model.architecture, prompt.input_ids.len());
            Item { text, prompt, flops, work: 0.0 }
        };
        let items = prompts.into_iter().map(item).collect();
        let mut mix = Mix { name: name.to_owned(), items };
        let mean = mix.mean_flops();
        mix.items.iter_mut().for_each(|item| item.work = item.flops / mean);
        mix
    }

    fn prompt(&self, text: &str) -> Result<Prompt> {
        let template = self.task.predictor.select(&TemplateChoice::Default)?[0];
        let example = Example { values: vec![text.to_owned()] };
        Ok(self.task.predictor.prompt(&example, template)?)
    }
}

/// Log-normal with median 20.
fn skewed_length(random: &mut Random) -> usize {
    ((20.0f64.ln() + 0.8 * random.normal()).exp().round() as usize).clamp(8, 256)
}

/// The words of the reviews that are one token each.
fn words(task: &ServedTask) -> Result<Vec<String>> {
    let (_, file, folder) = REVIEW_FILES;
    let path = Path::new(folder).join("train.csv");
    let examples = read_file(&path, &TaskFile::read(Path::new(file))?)?.examples;
    let texts = examples.iter().flat_map(|example| example.example.values[0].split_whitespace());
    let plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let all: BTreeSet<&str> = texts.filter(plain).collect();
    let mut words = Vec::new();
    for word in all {
        if task.predictor.tokenizer().word_id(word)?.is_some() {
            words.push(word.to_owned());
        }
    }
    Ok(words)
}
