//! Averages of templates and windows, and what they are averages of.

use super::*;
use crate::{
    inference::{Calibration, Head},
    tokenization::tests::{text, words},
    weights::Array,
};

/// Two templates, one with room for 6 words and one with room for 5, and windows that move on by 3.
pub const TEMPLATES: &str = r#"
stride = 3
max_windows = 4
[[prompt.template]]
id = "six"
text = "{text} a {mask}"
[[prompt.template]]
id = "five"
text = "a {mask} b {text}"
"#;

const FIVE: usize = 1;

fn file(kind: &str, outputs: &str, templates: &str) -> TaskFile {
    let text = format!(
        "[task]\nname = \"t\"\nkind = \"{kind}\"\nmax_length = 10\n[fields.text]\n{outputs}\n\
         [prompt]\ncanonical = \"six\"\n{templates}"
    );
    TaskFile::parse(&text, "t.toml").expect("a good file")
}

/// Three labels; a head with a temperature and a shift.
pub fn classifier(templates: &str) -> TaskPredictor {
    let labels = "[labels]\ncolumn = \"y\"\nnames = [\"a\", \"b\", \"c\"]";
    let calibration =
        Calibration { temperature: 2.0, shift: vec![0.5, 0.0, -0.25], ..Calibration::NONE };
    predictor(file("classification", labels, templates), calibration)
}

fn predictor(file: TaskFile, calibration: Calibration) -> TaskPredictor {
    let outputs = file.task.kind.outputs();
    let mut head = Head { calibration, ..Head::blank(HIDDEN, outputs) };
    let weights = (0..HIDDEN * outputs).map(|at| (at as f32 * 1.7).sin());
    head.output.weight = Array { shape: vec![HIDDEN, outputs], data: weights.collect() };
    TaskPredictor::new(Arc::new(file), Arc::new(words()), 10, head, "t.toml").expect("bound")
}

const HIDDEN: usize = 2;

/// An encoder that sees the tokens and their order, and counts prompts.
#[derive(Default)]
pub struct Counting {
    pub prompts: usize,
}

impl MaskEncoder for Counting {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        self.prompts += prompts.len();
        let vector = |prompt: &&Prompt| {
            let ids = prompt.input_ids.iter().enumerate();
            let sum: f32 = ids.map(|(at, id)| *id as f32 * (at as f32 + 1.0).sqrt()).sum();
            [(sum / 40.0).sin(), (sum / 90.0).cos()]
        };
        Ok(prompts.iter().flat_map(vector).collect())
    }

    fn hidden_size(&self) -> usize {
        HIDDEN
    }
}

/// Examples of these numbers of words.
pub fn examples(lengths: &[u32]) -> Vec<Example> {
    lengths.iter().map(|words| Example { values: vec![text(*words, *words)] }).collect()
}

#[test]
fn outputs_are_averaged_with_their_spread() {
    let a = Output::Probabilities(vec![0.2, 0.8]);
    let b = Output::Probabilities(vec![0.6, 0.4]);
    let (mean, spread) = average(&[a.clone(), b], 2);
    let Output::Probabilities(mean) = mean else { panic!("probabilities stay probabilities") };
    assert!((mean[0] - 0.4).abs() < 1e-6 && (mean[1] - 0.6).abs() < 1e-6);
    assert!((spread - 0.2).abs() < 1e-6);
    assert_eq!(average(std::slice::from_ref(&a), 2), (a, 0.0));
    let values = [Output::Value(1.0), Output::Value(3.0)];
    assert_eq!(average(&values, 1), (Output::Value(2.0), 1.0));
}

/// The answer of one prompt by itself.
fn alone(task: &TaskPredictor, prompt: &Prompt) -> Output {
    let vector = Counting::default().mask_vectors(&[prompt]).expect("encoded");
    task.answer([vector.as_slice()], &[], &Reading::whole()).output
}

/// Mean of the answers of an example's windows in a template, and how many there are.
fn mean_of_windows(task: &TaskPredictor, example: &Example, template: usize) -> (Output, usize) {
    let (prompts, reading) = task.read(example, &[template]).expect("encoded");
    assert_eq!(prompts.len(), reading.windows());
    let alone: Vec<Output> = prompts.iter().map(|prompt| alone(task, prompt)).collect();
    (average(&alone, task.file.task.kind.outputs()).0, prompts.len())
}

#[test]
fn an_answer_is_the_mean_of_its_windows_answers() {
    let values = "[target]\ncolumn = \"y\"\nmin = -0.5\nmax = 0.5";
    let regressor = predictor(file("regression", values, TEMPLATES), Calibration::NONE);
    let examples = examples(&[2, 6, 7, 9, 11, 15, 18]);
    for task in [classifier(TEMPLATES), regressor] {
        let mut encoder = Counting::default();
        let found = predict(&mut encoder, &task, &examples, &[0]).expect("predicted");
        let counts = [1, 1, 2, 2, 3, 4, 4];
        assert_eq!(encoder.prompts, counts.iter().sum::<usize>());
        for ((example, prediction), count) in examples.iter().zip(&found).zip(counts) {
            let (output, windows) = mean_of_windows(&task, example, 0);
            assert_eq!((&prediction.output, prediction.windows), (&output, windows));
            assert_eq!(prediction.windows, count);
            assert_eq!(prediction.template_spread, 0.0);
        }
        let truncated: Vec<bool> = found.iter().map(|prediction| prediction.truncated).collect();
        assert_eq!(truncated, [false, false, false, false, false, false, true]);
    }
}

#[test]
fn windows_are_averaged_before_templates() {
    let task = classifier(TEMPLATES);
    let examples = examples(&[3, 6, 12, 15]);
    let choices = [vec![0, FIVE], vec![FIVE]];
    let mut encoder = Counting::default();
    let found = predict_each(&mut encoder, &task, &examples, &choices).expect("predicted");
    assert_eq!(encoder.prompts, (1 + 1) + (1 + 2) + (3 + 4) + (4 + 4), "each prompt once");
    for (at, example) in examples.iter().enumerate() {
        let (six, of_six) = mean_of_windows(&task, example, 0);
        let (five, of_five) = mean_of_windows(&task, example, FIVE);
        let (output, template_spread) = average(&[six, five.clone()], 3);
        let both = &found[0][at];
        assert_eq!((&both.output, both.template_spread), (&output, template_spread));
        assert_eq!(both.windows, of_six.max(of_five), "{at}");
        assert_eq!((&found[1][at].output, found[1][at].windows), (&five, of_five));
    }
    // 15 words are 5 windows by 3 in the template with room for 5, of which there are but 4.
    assert!(found[0][3].truncated && found[1][3].truncated);
    assert!(!predict(&mut encoder, &task, &examples, &[0]).expect("predicted")[3].truncated);
}

#[test]
fn examples_are_read_in_chunks_without_a_difference() {
    // Chunks of 256 examples.
    let task = classifier(TEMPLATES);
    let lengths: Vec<u32> = (0..600).map(|at| at % 19).collect();
    let examples = examples(&lengths);
    let found = predict(&mut Counting::default(), &task, &examples, &[0]).expect("predicted");
    assert_eq!(found.len(), examples.len());
    for (at, prediction) in found.iter().enumerate() {
        assert_eq!(prediction, &found[at % 19], "{at}");
    }
}

#[test]
fn without_a_stride_nothing_changes() {
    let plain = classifier(&TEMPLATES.replace("stride = 3\nmax_windows = 4\n", ""));
    let slides = classifier(TEMPLATES);
    let examples = examples(&[1, 4, 5, 9, 14]);
    let choice = [0, FIVE];
    let found = predict(&mut Counting::default(), &plain, &examples, &choice).expect("predicted");
    let with = predict(&mut Counting::default(), &slides, &examples, &choice).expect("predicted");
    for (at, (example, prediction)) in examples.iter().zip(&found).enumerate() {
        let prompts = choice.map(|template| plain.prompt(example, template).expect("encoded"));
        let outputs = prompts.each_ref().map(|prompt| alone(&plain, prompt));
        let (output, template_spread) = average(&outputs, 3);
        let truncated = prompts.iter().any(|prompt| prompt.truncated);
        let expected = Prediction { output, truncated, template_spread, windows: 1 };
        assert_eq!(prediction, &expected);
        // What fits is answered as if there were no windows.
        assert_eq!(prediction == &with[at], !truncated);
    }
}
