//! The wordings that put a mask beside a text.

use super::super::{TrainingError, random::uniform};
use crate::{
    prompt::{PromptPool, TaskFile},
    task::Example,
    tokenization::{Prompt, PromptSet, PromptTokenizer, TokenizerError},
};

/// Wordings for when no task file says any.
const NEUTRAL: &str = include_str!("neutral.toml");

/// Keeps the purpose of random numbers apart.
const WRAPPER: u64 = 43;

/// The templates of some tasks with one field each.
pub struct Wrappers {
    sets: Vec<PromptSet>,
    /// The set, the template in it and its weight.
    templates: Vec<(usize, usize, f64)>,
}

impl Wrappers {
    /// Takes the pools of these task files, each with its path, or the neutral ones if there is
    /// none. Prompts have at most `max_length` tokens.
    pub fn new(
        files: &[(String, TaskFile)],
        tokenizer: &PromptTokenizer,
        max_length: usize,
    ) -> Result<Self, TrainingError> {
        if files.is_empty() {
            let name = "the built-in wordings";
            let neutral = TaskFile::parse(NEUTRAL, name)
                .map_err(|error| TrainingError::Settings(error.to_string()))?;
            return Self::new(&[(name.to_owned(), neutral)], tokenizer, max_length);
        }
        let (mut sets, mut templates) = (Vec::new(), Vec::new());
        for (set, (path, file)) in files.iter().enumerate() {
            let fields = file.task.fields.len();
            if fields != 1 {
                return Err(TrainingError::Settings(format!(
                    "{path}: the task has {fields} fields; a text can be wrapped in templates of \
                     one field alone"
                )));
            }
            // A stride suits the length of its own task, and is for inference.
            let prompts = PromptPool { sliding_window: None, ..file.prompts.clone() };
            let file = TaskFile { max_length, prompts, ..file.clone() };
            sets.push(PromptSet::new(&file, tokenizer, max_length, path)?);
            let prompts = &file.prompts;
            templates
                .extend(prompts.pool.iter().map(|&at| (set, at, prompts.templates[at].weight)));
        }
        Ok(Self { sets, templates })
    }

    /// A text in the template that is drawn for this step and text, each with a chance in proportion
    /// to its weight.
    pub fn wrap(
        &self,
        tokenizer: &PromptTokenizer,
        text: &str,
        purpose: [u64; 3],
    ) -> Result<Prompt, TokenizerError> {
        let (set, template) = self.draw(purpose);
        let example = Example { values: vec![text.to_owned()] };
        self.sets[set].encode(tokenizer, &example, template)
    }

    fn draw(&self, [seed, step, text]: [u64; 3]) -> (usize, usize) {
        let total: f64 = self.templates.iter().map(|(.., weight)| weight).sum();
        let mut left = uniform(&[seed, WRAPPER, step, text]) * total;
        let drawn = self.templates.iter().find(|(.., weight)| {
            left -= weight;
            left < 0.0
        });
        // Rounding can leave a remainder of nothing.
        drawn.or(self.templates.last()).map_or((0, 0), |(set, template, _)| (*set, *template))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neutral_wordings_are_a_good_task_file_with_one_field() {
        let file = TaskFile::parse(NEUTRAL, "neutral").expect("a good file");
        assert_eq!(file.task.fields.len(), 1);
        assert_eq!(file.prompts.pool.len(), file.prompts.templates.len());
    }

    #[test]
    fn templates_are_drawn_by_weight_anew_at_each_step() {
        let templates = vec![(0, 0, 1.0), (0, 3, 0.0), (1, 1, 3.0)];
        let wrappers = Wrappers { sets: Vec::new(), templates };
        let draws: Vec<_> = (0..2000).map(|at| wrappers.draw([1, at / 50, at % 50])).collect();
        let share = |which| draws.iter().filter(|draw| **draw == which).count() as f64 / 2000.0;
        assert!((share((0, 0)) - 0.25).abs() < 0.03 && share((0, 3)) == 0.0);
        assert_eq!(draws[7], wrappers.draw([1, 0, 7]));
        assert_ne!(draws[..50], draws[50..100]);
    }
}
