//! The parameters of a request: our own options, and what clients send to any server.

use std::{collections::BTreeMap, time::Duration};

use super::proto::{InferParameter, infer_parameter::ParameterChoice};
use crate::{
    server::{
        proto::{Options, options::TemplateMode},
        status::shown,
    },
    task::FieldViolation,
};

type Parameters = BTreeMap<String, InferParameter>;

/// What Triton's client sends for schedulers and sequences, and KServe's for the layout of a body over
/// HTTP. A task has no state, its callers take turns, and there is no such body: nothing is lost by
/// going on without.
const WITHOUT_EFFECT: [&str; 5] =
    ["priority", "sequence_id", "sequence_start", "sequence_end", "binary_data_output"];

/// As `WITHOUT_EFFECT`, of an input.
const OF_INPUTS_WITHOUT_EFFECT: &str = "binary_data_size";

/// As `WITHOUT_EFFECT`, of a requested output.
const OF_OUTPUTS_WITHOUT_EFFECT: &str = "binary_data";

/// What a violation says of a parameter that is not known.
const KNOWN: &str =
    "unknown parameter; there are: top_k, threshold, template_mode, template_ids, timeout";

/// What stands between template ids, none of which contains it.
const SEPARATOR: char = ',';

/// Template ids at most; no task has as many.
const MAX_TEMPLATE_IDS: usize = 1024;

/// More wrong parameters than this are counted, not looked at one by one.
const MAX_PARAMETERS: usize = 32;

/// What the parameters of a request ask for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Wishes {
    pub options: Options,
    /// How long the caller waits.
    pub timeout: Option<Duration>,
}

/// Reads the parameters of a request.
pub(super) fn of_request(parameters: &Parameters, violations: &mut Vec<FieldViolation>) -> Wishes {
    let mut wishes = Wishes::default();
    if is_too_many("parameters", parameters, violations) {
        return wishes;
    }
    for (name, parameter) in parameters {
        if let Err(description) = wishes.take(name, parameter.parameter_choice.as_ref()) {
            let field = format!("parameters.{}", word(name));
            violations.push(FieldViolation { field, description });
        }
    }
    wishes
}

/// Checks those of an input, which is at this path.
pub(super) fn of_input(path: &str, parameters: &Parameters, violations: &mut Vec<FieldViolation>) {
    of_tensor(path, parameters, OF_INPUTS_WITHOUT_EFFECT, violations);
}

/// Checks those of a requested output, which is at this path.
pub(super) fn of_output(path: &str, parameters: &Parameters, violations: &mut Vec<FieldViolation>) {
    of_tensor(path, parameters, OF_OUTPUTS_WITHOUT_EFFECT, violations);
}

fn of_tensor(
    path: &str,
    parameters: &Parameters,
    without_effect: &str,
    violations: &mut Vec<FieldViolation>,
) {
    let path = format!("{path}.parameters");
    if is_too_many(&path, parameters, violations) {
        return;
    }
    for name in parameters.keys().filter(|name| *name != without_effect) {
        let description = match name.as_str() {
            "classification" => "not taken: ask for the output labels, with the parameter top_k",
            name if name.starts_with("shared_memory_") => {
                "there is no shared memory: send tensors in the call"
            }
            _ => "unknown parameter of a tensor",
        };
        let field = format!("{path}.{}", word(name));
        violations.push(FieldViolation { field, description: description.to_owned() });
    }
}

fn is_too_many(path: &str, parameters: &Parameters, violations: &mut Vec<FieldViolation>) -> bool {
    let count = parameters.len();
    if count > MAX_PARAMETERS {
        let description = format!("{count} parameters; at most {MAX_PARAMETERS} are taken");
        violations.push(FieldViolation { field: path.to_owned(), description });
    }
    count > MAX_PARAMETERS
}

/// A client's name of a parameter in a path.
fn word(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match name.len() <= 40 && !name.is_empty() && name.chars().all(is_plain) {
        true => name.to_owned(),
        false => shown(name),
    }
}

impl Wishes {
    /// Takes one parameter, or says what is wrong with it.
    fn take(&mut self, name: &str, choice: Option<&ParameterChoice>) -> Result<(), String> {
        match name {
            "top_k" => self.options.top_k = top_k(choice)?,
            "threshold" => self.options.threshold = Some(threshold(choice)?),
            "template_mode" => self.options.template_mode = template_mode(choice)?.into(),
            "template_ids" => self.options.template_ids = template_ids(choice)?,
            "timeout" => self.timeout = timeout(choice)?,
            name if WITHOUT_EFFECT.contains(&name) => {}
            _ => return Err(KNOWN.to_owned()),
        }
        Ok(())
    }
}

/// A number that is an integer and not below 0.
fn count(choice: Option<&ParameterChoice>) -> Option<u64> {
    match choice {
        Some(&ParameterChoice::Int64Param(count)) => u64::try_from(count).ok(),
        Some(&ParameterChoice::Uint64Param(count)) => Some(count),
        _ => None,
    }
}

fn top_k(choice: Option<&ParameterChoice>) -> Result<u32, String> {
    let count = count(choice).ok_or("an integer, 0 or more, is needed")?;
    // More than any task has labels.
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A number; whether it is a probability is checked with the other options.
fn threshold(choice: Option<&ParameterChoice>) -> Result<f32, String> {
    match choice {
        Some(&ParameterChoice::DoubleParam(value)) => Ok(value as f32),
        // Of integers these alone are probabilities.
        Some(&ParameterChoice::Int64Param(0) | &ParameterChoice::Uint64Param(0)) => Ok(0.0),
        Some(&ParameterChoice::Int64Param(1) | &ParameterChoice::Uint64Param(1)) => Ok(1.0),
        _ => Err("a number from 0 to 1 is needed".to_owned()),
    }
}

fn timeout(choice: Option<&ParameterChoice>) -> Result<Option<Duration>, String> {
    let micros = count(choice).ok_or("microseconds, an integer of 0 or more, are needed")?;
    Ok((micros > 0).then(|| Duration::from_micros(micros)))
}

fn template_mode(choice: Option<&ParameterChoice>) -> Result<TemplateMode, String> {
    match choice {
        Some(ParameterChoice::StringParam(mode)) if mode == "single" => Ok(TemplateMode::Single),
        Some(ParameterChoice::StringParam(mode)) if mode == "ensemble" => {
            Ok(TemplateMode::Ensemble)
        }
        _ => Err("\"single\" or \"ensemble\" is needed".to_owned()),
    }
}

fn template_ids(choice: Option<&ParameterChoice>) -> Result<Vec<String>, String> {
    match choice {
        Some(ParameterChoice::StringParam(ids)) => {
            let all: Vec<&str> = ids.splitn(MAX_TEMPLATE_IDS + 1, SEPARATOR).collect();
            match all.len() > MAX_TEMPLATE_IDS {
                true => Err(format!("more than {MAX_TEMPLATE_IDS} ids")),
                false => Ok(all.into_iter().map(|id| id.trim().to_owned()).collect()),
            }
        }
        _ => Err("ids of templates are needed, with commas between them".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parameters: Vec<(&str, ParameterChoice)>) -> Result<Wishes, Vec<String>> {
        let parameters = parameters.into_iter().map(|(name, choice)| {
            (name.to_owned(), InferParameter { parameter_choice: Some(choice) })
        });
        let mut violations = Vec::new();
        let wishes = of_request(&parameters.collect(), &mut violations);
        match violations.is_empty() {
            true => Ok(wishes),
            false => Err(violations.into_iter().map(|violation| violation.field).collect()),
        }
    }

    fn text(text: &str) -> ParameterChoice {
        ParameterChoice::StringParam(text.to_owned())
    }

    #[test]
    fn our_options_are_taken_and_what_clients_send_to_everybody_is_let_pass() {
        use ParameterChoice::{BoolParam, DoubleParam, Int64Param, Uint64Param};
        let wishes = of(vec![
            ("top_k", Int64Param(2)),
            ("threshold", DoubleParam(0.25)),
            ("template_mode", text("ensemble")),
            ("template_ids", text("a, b.c")),
            ("timeout", Uint64Param(1500)),
            ("priority", Uint64Param(1)),
            ("sequence_id", text("x")),
            ("sequence_start", BoolParam(true)),
            ("sequence_end", BoolParam(false)),
            ("binary_data_output", BoolParam(true)),
        ]);
        let options = Options {
            top_k: 2,
            template_mode: TemplateMode::Ensemble.into(),
            template_ids: vec!["a".to_owned(), "b.c".to_owned()],
            threshold: Some(0.25),
        };
        let expected = Wishes { options, timeout: Some(Duration::from_micros(1500)) };
        assert_eq!(wishes, Ok(expected));
        assert_eq!(of(vec![("timeout", Int64Param(0))]), Ok(Wishes::default()));
        let most = of(vec![("top_k", Uint64Param(u64::MAX))]).expect("taken");
        assert_eq!(most.options.top_k, u32::MAX);
    }

    #[test]
    fn any_other_is_named() {
        use ParameterChoice::{BoolParam, DoubleParam, Int64Param};
        let many = text(&",".repeat(MAX_TEMPLATE_IDS));
        for (name, choice) in [
            ("top_k", Int64Param(-1)),
            ("top_k", DoubleParam(1.0)),
            ("top_k", text("1")),
            ("threshold", text("0.5")),
            ("threshold", Int64Param(2)),
            ("template_mode", text("SINGLE")),
            ("template_mode", Int64Param(1)),
            ("template_ids", BoolParam(true)),
            ("template_ids", many),
            ("timeout", Int64Param(-1)),
            ("topk", Int64Param(1)),
        ] {
            assert_eq!(of(vec![(name, choice)]), Err(vec![format!("parameters.{name}")]));
        }
        let odd = of(vec![("a b\n", Int64Param(1))]);
        assert_eq!(odd, Err(vec!["parameters.\"a b\\n\"".to_owned()]));
        let names: Vec<String> = (0..100).map(|at| format!("wrong_{at}")).collect();
        let many = names.iter().map(|name| (name.as_str(), Int64Param(1))).collect();
        assert_eq!(of(many), Err(vec!["parameters".to_owned()]));
    }
}
