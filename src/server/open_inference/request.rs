//! A request for predictions, from tensors to examples.

use std::time::Duration;

use super::{
    outputs::OutputTensor,
    parameters::{self, Wishes},
    proto::{
        InferTensorContents, ModelInferRequest,
        model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
    },
    texts::from_raw,
};
use crate::{
    server::{
        proto::{Example, Options},
        status::shown,
    },
    task::{FieldViolation, Task},
};

/// The data type of texts.
const BYTES: &str = "BYTES";

/// More tensors than there are and so many are counted, not looked at one by one.
const MAX_UNKNOWN: usize = 16;

/// Dimensions of a shape that are shown.
const MAX_DIMENSIONS: usize = 4;

/// What a request asks.
#[derive(Debug)]
pub(in crate::server) struct Inquiry {
    /// At least one, each with the fields that were sent; these are not checked yet.
    pub examples: Vec<Example>,
    /// Not checked yet.
    pub options: Options,
    /// How long the caller waits.
    pub timeout: Option<Duration>,
    pub form: Form,
}

/// How it is to be answered.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::server) struct Form {
    /// In this order; none twice.
    pub outputs: Vec<OutputTensor>,
    /// Labels of each example; 0 is the most probable one alone, without a dimension.
    pub top_k: u32,
    /// For the output `decision`, in place of the task's own.
    pub threshold: Option<f32>,
    /// Whether tensors travel as bytes in one piece.
    pub raw: bool,
}

/// Reads a request to a task, of which at most `max_examples` are taken.
///
/// # Errors
///
/// Everything that is wrong with its tensors and parameters.
pub(in crate::server) fn read(
    task: &Task,
    request: ModelInferRequest,
    max_examples: usize,
) -> Result<Inquiry, Vec<FieldViolation>> {
    let raw = !request.raw_input_contents.is_empty();
    let mut reader = Reader { task, max_examples, rows: None, violations: Vec::new() };
    let columns = reader.columns(request.inputs, &request.raw_input_contents);
    let Wishes { options, timeout } =
        parameters::of_request(&request.parameters, &mut reader.violations);
    let outputs = reader.outputs(&request.outputs);
    if !reader.violations.is_empty() {
        return Err(reader.violations);
    }
    let mut examples = vec![Example::default(); reader.rows.map_or(0, |(rows, _)| rows)];
    for Column { field, texts } in columns {
        for (example, text) in examples.iter_mut().zip(texts) {
            example.fields.insert(field.clone(), text);
        }
    }
    let form = Form { outputs, top_k: options.top_k, threshold: options.threshold, raw };
    Ok(Inquiry { examples, options, timeout, form })
}

/// The texts of one field, one for each example.
struct Column {
    field: String,
    texts: Vec<String>,
}

struct Reader<'t> {
    task: &'t Task,
    max_examples: usize,
    /// How many examples there are, and which input says so.
    rows: Option<(usize, String)>,
    violations: Vec<FieldViolation>,
}

impl Reader<'_> {
    fn violation(&mut self, field: impl Into<String>, description: impl Into<String>) {
        let (field, description) = (field.into(), description.into());
        self.violations.push(FieldViolation { field, description });
    }

    /// A column of each input. They are complete only if nothing is wrong.
    fn columns(&mut self, inputs: Vec<InferInputTensor>, raw: &[Vec<u8>]) -> Vec<Column> {
        let (count, known) = (inputs.len(), self.task.fields.len());
        if count > known + MAX_UNKNOWN {
            self.violation("inputs", format!("{count} inputs; the task has {known} fields"));
            return Vec::new();
        }
        if !raw.is_empty() && raw.len() != count {
            let found = raw.len();
            let description =
                format!("{found} of them; one for each of the {count} inputs is needed");
            self.violation("raw_input_contents", description);
            return Vec::new();
        }
        let mut columns: Vec<Column> = Vec::with_capacity(count);
        for (at, input) in inputs.into_iter().enumerate() {
            if !self.task.fields.iter().any(|field| field.name == input.name) {
                let description = format!(
                    "no field {}; the task has: {}",
                    shown(&input.name),
                    self.task.field_names()
                );
                self.violation(format!("inputs[{at}].name"), description);
            } else if columns.iter().any(|column| column.field == input.name) {
                let description = format!("the input {} is there twice", input.name);
                self.violation(format!("inputs[{at}].name"), description);
            } else {
                let raw = raw.get(at).map(|raw| (at, raw.as_slice()));
                let texts = self.texts(&input, raw).unwrap_or_default();
                columns.push(Column { field: input.name, texts });
            }
        }
        self.complete(&columns);
        columns
    }

    /// Every field that the task needs has an input, and there is one at all.
    fn complete(&mut self, columns: &[Column]) {
        let is_there = |name: &str| columns.iter().any(|column| column.field == name);
        let needed = self.task.fields.iter().filter(|field| !field.optional);
        let missing: Vec<_> = needed.filter(|field| !is_there(&field.name)).collect();
        for field in missing {
            self.violation(format!("inputs.{}", field.name), "missing: the task needs it");
        }
        if self.violations.is_empty() && columns.is_empty() {
            self.violation("inputs", "missing: at least one is needed");
        }
    }

    /// The texts of an input of a known field. `None` if something is wrong.
    fn texts(
        &mut self,
        input: &InferInputTensor,
        raw: Option<(usize, &[u8])>,
    ) -> Option<Vec<String>> {
        let path = format!("inputs.{}", input.name);
        parameters::of_input(&path, &input.parameters, &mut self.violations);
        if input.datatype != BYTES {
            let description = format!("{} is not BYTES, as texts are", shown(&input.datatype));
            self.violation(format!("{path}.datatype"), description);
            return None;
        }
        let rows = self.rows(input).map_err(|fault| self.violation(format!("{path}.shape"), fault));
        let elements = match raw {
            Some(raw) => self.raw_elements(input, &path, raw, rows.ok()?),
            None => self.typed_elements(input, &path, rows.ok()?),
        }?;
        let mut texts = Vec::with_capacity(elements.len());
        for (row, element) in elements.into_iter().enumerate() {
            match std::str::from_utf8(element) {
                Ok(text) => texts.push(text.to_owned()),
                Err(error) => {
                    let description = format!("not UTF-8 at byte {}", error.valid_up_to());
                    self.violation(format!("{path}[{row}]"), description);
                }
            }
        }
        Some(texts)
    }

    /// The number of examples, as the shape of an input says it.
    fn rows(&mut self, input: &InferInputTensor) -> Result<usize, String> {
        let rows = match input.shape[..] {
            [rows] | [rows, 1] => usize::try_from(rows).ok(),
            _ => None,
        };
        let Some(rows) = rows else {
            let shown = match input.shape.len() {
                0..=MAX_DIMENSIONS => format!("{:?}", input.shape),
                dimensions => format!("{dimensions} dimensions"),
            };
            return Err(format!("{shown}: [n] or [n, 1] is needed, with n examples"));
        };
        let max_examples = self.max_examples;
        match &self.rows {
            _ if rows == 0 => Err("no examples: at least one is needed".to_owned()),
            _ if rows > max_examples => {
                Err(format!("{rows} examples; at most {max_examples} are taken in a call"))
            }
            Some((before, other)) if *before != rows => {
                Err(format!("{rows} examples; the input {other} has {before}"))
            }
            _ => {
                self.rows = Some((rows, input.name.clone()));
                Ok(rows)
            }
        }
    }

    fn raw_elements<'r>(
        &mut self,
        input: &InferInputTensor,
        path: &str,
        (at, raw): (usize, &'r [u8]),
        rows: usize,
    ) -> Option<Vec<&'r [u8]>> {
        if input.contents.is_some() {
            let description = "there are raw_input_contents too: either is taken, not both";
            self.violation(format!("{path}.contents"), description);
            return None;
        }
        let path = format!("raw_input_contents[{at}]");
        from_raw(raw, rows).map_err(|fault| self.violation(path, fault.to_string())).ok()
    }

    fn typed_elements<'i>(
        &mut self,
        input: &'i InferInputTensor,
        path: &str,
        rows: usize,
    ) -> Option<Vec<&'i [u8]>> {
        let contents = input.contents.as_ref().map(only_bytes);
        let fault = match contents {
            Some(Some(elements)) if elements.len() == rows => {
                return Some(elements.iter().map(Vec::as_slice).collect());
            }
            Some(Some(elements)) => {
                format!("{} bytes_contents; the shape says {rows}", elements.len())
            }
            Some(None) => "elements of the data type BYTES go in bytes_contents alone".to_owned(),
            None => "missing: bytes_contents are needed, or raw_input_contents".to_owned(),
        };
        self.violation(format!("{path}.contents"), fault);
        None
    }

    /// What is to be answered: the usual outputs, unless some are asked for.
    fn outputs(&mut self, asked: &[InferRequestedOutputTensor]) -> Vec<OutputTensor> {
        let all = OutputTensor::of(&self.task.kind);
        if asked.len() > all.len() + MAX_UNKNOWN {
            let (count, known) = (asked.len(), all.len());
            self.violation("outputs", format!("{count} outputs; the task has {known}"));
            return Vec::new();
        }
        let mut outputs = Vec::with_capacity(all.len());
        for (at, output) in asked.iter().enumerate() {
            let path = format!("outputs[{at}]");
            parameters::of_output(&path, &output.parameters, &mut self.violations);
            match all.iter().find(|known| known.name() == output.name) {
                Some(known) if !outputs.contains(known) => outputs.push(*known),
                Some(known) => {
                    let description = format!("the output {} is asked for twice", known.name());
                    self.violation(format!("{path}.name"), description);
                }
                None => {
                    let names: Vec<&str> = all.iter().map(|known| known.name()).collect();
                    let (name, names) = (shown(&output.name), names.join(", "));
                    let description = format!("no output {name}; the task has: {names}");
                    self.violation(format!("{path}.name"), description);
                }
            }
        }
        match asked.is_empty() {
            true => OutputTensor::usual(&self.task.kind).collect(),
            false => outputs,
        }
    }
}

/// The elements of a BYTES tensor, if there are none of other types.
fn only_bytes(contents: &InferTensorContents) -> Option<&Vec<Vec<u8>>> {
    let InferTensorContents {
        bool_contents,
        int_contents,
        int64_contents,
        uint_contents,
        uint64_contents,
        fp32_contents,
        fp64_contents,
        bytes_contents,
    } = contents;
    let is_alone = bool_contents.is_empty()
        && int_contents.is_empty()
        && int64_contents.is_empty()
        && uint_contents.is_empty()
        && uint64_contents.is_empty()
        && fp32_contents.is_empty()
        && fp64_contents.is_empty();
    is_alone.then_some(bytes_contents)
}

#[cfg(test)]
mod tests;
