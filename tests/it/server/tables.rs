//! Texts with what must be answered, for those who ask thousands of questions.

use dynamar::{
    inference::TemplateChoice,
    server::proto::{self, options::TemplateMode},
    task::{Output, Prediction},
};

use super::{
    reference::{Reference, labels},
    stage::{example, options},
};

/// Random numbers that are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    /// Below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 33) as usize % sides
    }
}

/// A way to ask a task, and examples with what it must say of each.
pub struct Table {
    pub task: &'static str,
    options: Option<proto::Options>,
    pub rows: Vec<(proto::Example, Prediction)>,
}

/// Places of tables among those of [`tables`]: every task as it is asked by default.
pub const POLARITY: usize = 0;
pub const INTENSITY: usize = 2;
pub const MATCH: usize = 3;

/// Rows of one table that are asked about.
pub struct Asked {
    pub table: usize,
    pub rows: Vec<usize>,
}

/// What is said of them.
pub enum Said {
    Classified(proto::ClassifyResponse),
    Regressed(proto::RegressResponse),
}

/// Texts from one word to more than a prompt can hold.
fn words(dice: &mut Dice) -> String {
    let words = ["bad", "great", "a", "camera", "works", "not", "at", "all", "lovely", "!", "für"];
    let length = 1 + dice.roll(4) * dice.roll(18);
    (0..length).map(|_| words[dice.roll(words.len())]).collect::<Vec<_>>().join(" ")
}

/// Always the same questions, with the answers of this reference.
pub fn tables(reference: &mut Reference) -> Vec<Table> {
    let mut dice = Dice(1);
    let reviews: Vec<proto::Example> =
        (0..80).map(|_| example(&[("text", &words(&mut dice))])).collect();
    let items: Vec<proto::Example> = (0..80)
        .map(|_| example(&[("query", &words(&mut dice)), ("title", &words(&mut dice))]))
        .collect();
    let ways = [
        ("polarity", None, TemplateChoice::Default, &reviews),
        (
            "polarity",
            options(TemplateMode::Ensemble, &[]),
            TemplateChoice::Ensemble(vec![]),
            &reviews,
        ),
        ("intensity", None, TemplateChoice::Default, &reviews),
        ("match", None, TemplateChoice::Default, &items),
        ("match", options(TemplateMode::Single, &[]), TemplateChoice::Single(None), &items),
    ];
    let table = |(task, options, choice, examples): (_, _, _, &Vec<proto::Example>)| {
        let rows = examples.iter().map(|one| {
            let alone = reference.predict(task, std::slice::from_ref(one), &choice);
            (one.clone(), alone.into_iter().next().expect("one"))
        });
        Table { task, options, rows: rows.collect() }
    };
    ways.into_iter().map(table).collect()
}

impl Table {
    /// Some rows, by their numbers.
    pub fn draw(&self, dice: &mut Dice) -> Vec<usize> {
        (0..1 + dice.roll(4)).map(|_| dice.roll(self.rows.len())).collect()
    }

    pub fn classify(&self, rows: &[usize]) -> proto::ClassifyRequest {
        let examples = rows.iter().map(|&row| self.rows[row].0.clone()).collect();
        proto::ClassifyRequest {
            task: self.task.to_owned(),
            examples,
            options: self.options.clone(),
        }
    }

    pub fn regress(&self, rows: &[usize]) -> proto::RegressRequest {
        let proto::ClassifyRequest { task, examples, options } = self.classify(rows);
        proto::RegressRequest { task, examples, options }
    }

    /// Whether that is what must be said of these rows, but for `tolerance`; what is wrong if not.
    pub fn check(&self, rows: &[usize], said: &Said, tolerance: f64) -> Result<(), String> {
        let expected = rows.iter().map(|&row| &self.rows[row].1);
        let (found, wrong): (usize, Option<String>) = match said {
            Said::Classified(said) => {
                let mut pairs = said.results.iter().zip(expected);
                let wrong = pairs.find(|(found, one)| !self.is_class(found, one, tolerance));
                (said.results.len(), wrong.map(|pair| format!("{pair:?}")))
            }
            Said::Regressed(said) => {
                let mut pairs = said.results.iter().zip(expected);
                let wrong = pairs.find(|(found, one)| !is_value(found, one, tolerance));
                (said.results.len(), wrong.map(|pair| format!("{pair:?}")))
            }
        };
        match wrong {
            Some(pair) => Err(format!("{}: an answer and what it should be: {pair}", self.task)),
            None if found != rows.len() => {
                Err(format!("{}: {found} answers to {} examples", self.task, rows.len()))
            }
            None => Ok(()),
        }
    }

    fn is_class(&self, found: &proto::Classification, one: &Prediction, tolerance: f64) -> bool {
        let Output::Probabilities(probabilities) = &one.output else { return false };
        let mut scores = found.labels.iter().map(|score| {
            let at = labels(self.task).iter().position(|label| *label == score.label);
            at.map(|at| f64::from((score.probability - probabilities[at]).abs()))
        });
        found.labels.len() == probabilities.len()
            && scores.all(|difference| difference.is_some_and(|by| by < tolerance))
            && found.truncated == one.truncated
    }
}

fn is_value(found: &proto::Regression, one: &Prediction, tolerance: f64) -> bool {
    let Output::Value(value) = one.output else { return false };
    (found.value - value).abs() < tolerance && found.truncated == one.truncated
}
