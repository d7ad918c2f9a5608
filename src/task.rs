//! The domain's floor: what a task is, what goes in and what comes out.

mod blank;

use std::collections::BTreeMap;

pub use blank::is_blank;

/// Which end of a field's text is cut when a prompt is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Truncate {
    /// Cut the end, keep the beginning.
    #[default]
    Tail,
    /// Cut the beginning, keep the end.
    Head,
    /// Cut the middle, keep both ends.
    Middle,
}

/// A named text input of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// Tokens that truncation leaves of this field, if the text has as many.
    pub min_tokens: usize,
    pub truncate: Truncate,
    /// Fields of lower priority are shortened first.
    pub priority: i32,
    /// Whether an example may leave the field out or empty.
    pub optional: bool,
}

/// What a task predicts.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// One of these labels.
    Classification { labels: Vec<String> },
    /// A number, declared to lie in `min..=max` where these are given.
    Regression { min: Option<f64>, max: Option<f64> },
}

impl Kind {
    /// Outputs of the head: one logit per label, or one number.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classification { labels } => labels.len(),
            Self::Regression { .. } => 1,
        }
    }

    /// The word that the task file uses for this kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Classification { .. } => "classification",
            Self::Regression { .. } => "regression",
        }
    }
}

/// A task's name, kind and inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub name: String,
    pub kind: Kind,
    pub fields: Vec<Field>,
}

/// One input: a text for each field of its task, in the task's order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Example {
    pub values: Vec<String>,
}

/// What an example is to be answered with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// Index into the task's labels.
    Label(usize),
    /// In the target's own unit; finite.
    Value(f64),
}

impl Target {
    /// The label, if it is one.
    pub fn label(&self) -> Option<usize> {
        match self {
            Self::Label(label) => Some(*label),
            Self::Value(_) => None,
        }
    }

    /// The number, if it is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(*value),
            Self::Label(_) => None,
        }
    }
}

/// What is wrong with one field of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    pub field: String,
    pub description: String,
}

impl Task {
    /// Names of the fields, for messages.
    pub fn field_names(&self) -> String {
        self.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn has_field(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }

    /// Puts named texts into the task's order, or says everything that is wrong with them:
    /// a field missing, unknown or empty, or longer than `max_bytes`.
    pub fn example(
        &self,
        named: BTreeMap<String, String>,
        max_bytes: usize,
    ) -> Result<Example, Vec<FieldViolation>> {
        examples(&[self], named, max_bytes).map(|mut of_tasks| of_tasks.swap_remove(0))
    }
}

/// For each of the tasks its example of the named texts, or everything that is wrong with these:
/// a field that a task needs is missing or empty, one that no task has, one that is longer than
/// `max_bytes`. What is wrong with a field is told once, however many tasks have it.
pub fn examples(
    tasks: &[&Task],
    mut named: BTreeMap<String, String>,
    max_bytes: usize,
) -> Result<Vec<Example>, Vec<FieldViolation>> {
    let mut violations: Vec<FieldViolation> = Vec::new();
    for task in tasks {
        for field in &task.fields {
            let value = named.get(&field.name).map(String::as_str);
            let is_told = || violations.iter().any(|violation| violation.field == field.name);
            if let Some(description) = fault(field, value, max_bytes)
                && !is_told()
            {
                violations.push(FieldViolation { field: field.name.clone(), description });
            }
        }
    }
    let is_known = |name: &str| tasks.iter().any(|task| task.has_field(name));
    for name in named.keys().filter(|name| !is_known(name)) {
        let description = unknown_field(tasks);
        violations.push(FieldViolation { field: name.clone(), description });
    }
    if !violations.is_empty() {
        return Err(violations);
    }
    let mut of_tasks = Vec::with_capacity(tasks.len());
    for (at, task) in tasks.iter().enumerate() {
        // The last task that has a field takes its text, those before it copy it.
        let is_last = |name: &str| !tasks[at + 1..].iter().any(|task| task.has_field(name));
        let values = task.fields.iter().map(|field| match is_last(&field.name) {
            true => named.remove(&field.name).unwrap_or_default(),
            false => named.get(&field.name).cloned().unwrap_or_default(),
        });
        of_tasks.push(Example { values: values.collect() });
    }
    Ok(of_tasks)
}

fn unknown_field(tasks: &[&Task]) -> String {
    match tasks {
        [task] => format!("no such field; the task has: {}", task.field_names()),
        _ => "no such field in any of the tasks".to_owned(),
    }
}

fn fault(field: &Field, value: Option<&str>, max_bytes: usize) -> Option<String> {
    match value {
        None if field.optional => None,
        None => Some("missing".to_owned()),
        Some(text) if text.len() > max_bytes => {
            Some(format!("too long: {} bytes, at most {max_bytes} are taken", text.len()))
        }
        Some(text) if !field.optional && is_blank(text) => {
            Some("empty: a text is needed".to_owned())
        }
        Some(_) => None,
    }
}

/// The answer for one example.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    pub output: Output,
    /// Whether field text was cut to fit the task's maximum length.
    pub truncated: bool,
    /// Standard deviation between templates (the largest of all labels); 0 with one template.
    pub template_spread: f32,
    /// Windows in which the texts were read, in the template that has the most; 1 where the task has
    /// no stride or the texts fit.
    pub windows: usize,
}

impl Prediction {
    /// The answer of one template that read the whole text at once.
    pub fn of(output: Output) -> Self {
        Self { output, truncated: false, template_spread: 0.0, windows: 1 }
    }
}

/// What a head says, in the order and unit of its task.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Probability of each label; they sum to 1.
    Probabilities(Vec<f32>),
    /// The value in the target's own unit.
    Value(f64),
}

impl Output {
    /// The label with the highest probability (the first of equals), or `None` for a value.
    pub fn best_label(&self) -> Option<usize> {
        let Self::Probabilities(probabilities) = self else {
            return None;
        };
        let mut best = 0;
        for (label, probability) in probabilities.iter().enumerate() {
            if *probability > probabilities[best] {
                best = label;
            }
        }
        Some(best)
    }

    /// How far the two highest probabilities are apart, from 0 to 1, or `None` for a value. With
    /// one label alone it is that label's probability.
    pub fn margin(&self) -> Option<f32> {
        let Self::Probabilities(probabilities) = self else {
            return None;
        };
        let (mut first, mut second) = (0.0f32, 0.0f32);
        for &probability in probabilities {
            (first, second) = match probability {
                one if one > first => (one, first),
                one => (first, second.max(one)),
            };
        }
        Some(first - second)
    }

    /// Whether it is made of numbers, as it is not where weights or inputs are out of all bounds.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Probabilities(probabilities) => probabilities.iter().all(|one| one.is_finite()),
            Self::Value(value) => value.is_finite(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Task {
        let field = |name: &str, optional| Field {
            name: name.to_owned(),
            min_tokens: 1,
            truncate: Truncate::Tail,
            priority: 1,
            optional,
        };
        Task {
            name: "match".to_owned(),
            kind: Kind::Regression { min: None, max: None },
            fields: vec![field("title", false), field("brand", true)],
        }
    }

    fn check(named: &[(&str, &str)], expected: Result<&[&str], &[&str]>) {
        let named = named.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let found = task().example(named, 10);
        let found = found
            .as_ref()
            .map(|example| example.values.iter().map(String::as_str).collect::<Vec<_>>())
            .map_err(|violations| violations.iter().map(|v| v.field.as_str()).collect::<Vec<_>>());
        assert_eq!(
            found.as_ref().map(Vec::as_slice).map_err(Vec::as_slice),
            expected,
            "every violation is named"
        );
    }

    #[test]
    fn examples_are_put_in_order_or_every_fault_is_named() {
        check(&[("brand", "b"), ("title", "t")], Ok(&["t", "b"]));
        check(&[("title", "t")], Ok(&["t", ""]));
        check(&[("brand", "b")], Err(&["title"]));
        check(&[("title", " \t")], Err(&["title"]));
        check(&[("title", "\u{200b}\u{0}")], Err(&["title"]));
        check(&[("title", "elevenbytes")], Err(&["title"]));
        check(&[("price", "1"), ("colour", "red")], Err(&["title", "colour", "price"]));
    }

    #[test]
    fn several_tasks_take_their_own_of_the_same_texts() {
        let mut other = task();
        "other".clone_into(&mut other.name);
        other.fields.remove(0);
        other.fields[0].optional = false;
        let ask = |named: &[(&str, &str)]| {
            let named = named.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            examples(&[&task(), &other], named, 10)
        };
        let values = |values: &[&str]| Example {
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let good = ask(&[("brand", "b"), ("title", "t")]);
        assert_eq!(good, Ok(vec![values(&["t", "b"]), values(&["b"])]));
        // The second task needs what the first may do without.
        let faults = ask(&[("title", "elevenbytes"), ("price", "1")]).expect_err("three faults");
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["title", "brand", "price"]);
        let twice = ask(&[("title", "t"), ("brand", "elevenbytes")]).expect_err("too long");
        assert_eq!(twice.len(), 1, "told once: {twice:?}");
    }

    #[test]
    fn the_margin_is_between_the_two_highest_probabilities() {
        for (probabilities, expected) in
            [(&[0.125, 0.5, 0.375][..], 0.125), (&[0.5, 0.5], 0.0), (&[1.0], 1.0), (&[], 0.0)]
        {
            let output = Output::Probabilities(probabilities.to_vec());
            assert_eq!(output.margin(), Some(expected), "{probabilities:?}");
        }
        assert_eq!(Output::Value(3.0).margin(), None);
    }

    #[test]
    fn the_best_label_is_the_first_of_equals() {
        assert_eq!(Output::Probabilities(vec![0.2, 0.4, 0.4]).best_label(), Some(1));
        assert_eq!(Output::Value(3.0).best_label(), None);
    }
}
