//! Runs a graph that another program exported: prompts padded to the longest of a batch.

use half::f16;
use ort::{
    session::{Session, SessionInputValue},
    value::{DynValue, TensorRef},
};

use crate::{
    checkpoint::{ForeignGraph, ForeignInput, GraphOutput},
    tokenization::Prompt,
};

/// Slots of a batch for each of its tokens, at most: a batch with more padding is cut into several.
const MAX_SLOTS_PER_TOKEN: f64 = 1.25;

/// Feeds a graph and reads its output.
pub(super) struct Padded {
    graph: ForeignGraph,
    /// The graph tells segments apart; otherwise all tokens have segment 0.
    has_segments: bool,
    slots_per_token: f64,
    /// `[batch, longest]` for each of the graph's inputs; kept so that their memory is used again.
    inputs: Vec<Vec<i64>>,
}

impl Padded {
    pub fn new(graph: &ForeignGraph, has_segments: bool) -> Self {
        let inputs = vec![Vec::new(); graph.inputs.len()];
        let slots_per_token = MAX_SLOTS_PER_TOKEN;
        Self { graph: graph.clone(), has_segments, slots_per_token, inputs }
    }

    /// Names of the inputs.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.graph.inputs.iter().map(|input| input.name())
    }

    /// From now on prompts of any lengths share a batch.
    pub fn allow_any_padding(&mut self) {
        self.slots_per_token = f64::INFINITY;
    }

    /// `[prompts, width]`: the mask rows, or the logits. Prompts go by length, in batches with little
    /// padding.
    ///
    /// # Errors
    ///
    /// If the graph fails or gives numbers of another shape.
    pub fn mask_vectors(
        &mut self,
        session: &mut Session,
        prompts: &[&Prompt],
        width: usize,
    ) -> Result<Vec<f32>, String> {
        let mut vectors = vec![0.0; prompts.len() * width];
        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.input_ids.len()).collect();
        let most = if self.graph.one_at_a_time { 1 } else { usize::MAX };
        for batch in batches(&lengths, self.slots_per_token, most) {
            let of_batch: Vec<&Prompt> = batch.iter().map(|&at| prompts[at]).collect();
            let rows = self.run(session, &of_batch, width)?;
            for (at, row) in batch.into_iter().zip(rows.chunks_exact(width)) {
                vectors[at * width..(at + 1) * width].copy_from_slice(row);
            }
        }
        Ok(vectors)
    }

    /// Numbers of a mask vector, or of the logits: what the graph gives for this prompt.
    pub fn width(&mut self, session: &mut Session, prompt: &Prompt) -> Result<usize, String> {
        self.fill(&[prompt], prompt.input_ids.len());
        let output = self.output(session, 1, prompt.input_ids.len()).map_err(|e| e.to_string())?;
        let shape: Vec<i64> = output.shape().to_vec();
        let rank = match self.graph.gives {
            GraphOutput::HiddenStates => 3,
            GraphOutput::Logits => 2,
        };
        let width = shape.last().and_then(|&width| usize::try_from(width).ok());
        match width {
            Some(width) if width > 0 && shape.len() == rank => Ok(width),
            _ => Err(format!("its output has the shape {shape:?}, expected {rank} dimensions")),
        }
    }

    fn run(
        &mut self,
        session: &mut Session,
        prompts: &[&Prompt],
        width: usize,
    ) -> Result<Vec<f32>, String> {
        let longest = prompts.iter().map(|prompt| prompt.input_ids.len()).max().unwrap_or(0);
        self.fill(prompts, longest);
        let output =
            self.output(session, prompts.len(), longest).map_err(|error| error.to_string())?;
        let expected: Vec<usize> = match self.graph.gives {
            GraphOutput::HiddenStates => vec![prompts.len(), longest, width],
            GraphOutput::Logits => vec![prompts.len(), width],
        };
        let found = output.shape().iter().map(|&size| usize::try_from(size).ok());
        if !found.eq(expected.iter().map(|&size| Some(size))) {
            let found = output.shape();
            return Err(format!("its output has the shape {found:?}, expected {expected:?}"));
        }
        let values = floats(&output).map_err(|error| error.to_string())?;
        Ok(match self.graph.gives {
            GraphOutput::Logits => values.to_vec(),
            GraphOutput::HiddenStates => {
                let starts = prompts
                    .iter()
                    .enumerate()
                    .map(|(at, prompt)| (at * longest + prompt.mask_position) * width);
                starts.flat_map(|start| values.row(start, width)).collect()
            }
        })
    }

    fn fill(&mut self, prompts: &[&Prompt], longest: usize) {
        let ForeignGraph { inputs, padding_id, first_position, .. } = &self.graph;
        for (input, values) in inputs.iter().zip(&mut self.inputs) {
            values.clear();
            for prompt in prompts {
                let ids = prompt.input_ids.iter();
                let padding = longest - prompt.input_ids.len();
                let filler = match input {
                    ForeignInput::InputIds => {
                        values.extend(ids.copied().map(i64::from));
                        i64::from(*padding_id)
                    }
                    ForeignInput::AttentionMask => {
                        values.extend(ids.map(|_| 1));
                        0
                    }
                    ForeignInput::TokenTypeIds if self.has_segments => {
                        values.extend(prompt.segment_ids.iter().copied().map(i64::from));
                        0
                    }
                    ForeignInput::TokenTypeIds => {
                        values.extend(ids.map(|_| 0));
                        0
                    }
                    ForeignInput::PositionIds => {
                        values.extend((i64::from(*first_position)..).take(ids.len()));
                        i64::from(*first_position)
                    }
                };
                values.extend(std::iter::repeat_n(filler, padding));
            }
        }
    }

    fn output(&self, session: &mut Session, batch: usize, longest: usize) -> ort::Result<DynValue> {
        let shape = [batch, longest];
        let mut fed: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
        for (input, values) in self.graph.inputs.iter().zip(&self.inputs) {
            let value = TensorRef::from_array_view((shape.as_slice(), values.as_slice()))?;
            fed.push((input.name(), value.into()));
        }
        let mut outputs = session.run(fed)?;
        let missing = || ort::Error::new("the graph gave no output of the name");
        outputs.remove(self.graph.output.as_str()).ok_or_else(missing)
    }
}

/// An output in 32 or 16 bits.
enum Floats<'v> {
    Single(&'v [f32]),
    Half(&'v [f16]),
}

fn floats(output: &DynValue) -> ort::Result<Floats<'_>> {
    match output.try_extract_tensor::<f32>() {
        Ok((_, values)) => Ok(Floats::Single(values)),
        Err(_) => output.try_extract_tensor::<f16>().map(|(_, values)| Floats::Half(values)),
    }
}

impl Floats<'_> {
    fn row(&self, start: usize, width: usize) -> Vec<f32> {
        match self {
            Self::Single(values) => values[start..start + width].to_vec(),
            Self::Half(values) => {
                values[start..start + width].iter().map(|value| value.to_f32()).collect()
            }
        }
    }

    fn to_vec(&self) -> Vec<f32> {
        match self {
            Self::Single(values) => values.to_vec(),
            Self::Half(values) => values.iter().map(|value| value.to_f32()).collect(),
        }
    }
}

/// Prompts by their lengths in batches: indices of each, the shortest first. No batch has more slots for
/// each token than said, nor more prompts than `most`.
fn batches(lengths: &[usize], slots_per_token: f64, most: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&at| lengths[at]);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for at in order {
        // The longest comes last.
        let length = lengths[at];
        let fits = |batch: &Vec<usize>| {
            let slots = (batch.len() + 1) * length;
            batch.len() < most && slots as f64 <= slots_per_token * (tokens + length) as f64
        };
        match batches.last_mut().filter(|batch| fits(batch)) {
            Some(batch) => {
                batch.push(at);
                tokens += length;
            }
            None => {
                batches.push(vec![at]);
                tokens = length;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_prompts_of_like_length() {
        let check = |lengths: &[usize], most, expected: &[&[usize]]| {
            assert_eq!(batches(lengths, MAX_SLOTS_PER_TOKEN, most), expected, "{lengths:?}");
        };
        check(&[], usize::MAX, &[]);
        check(&[7, 7, 7], usize::MAX, &[&[0, 1, 2]]);
        check(&[7, 7, 7], 1, &[&[0], &[1], &[2]]);
        // 16 slots for 14 tokens, then 40 would be for 24.
        check(&[6, 10, 8], usize::MAX, &[&[0, 2, 1]]);
        check(&[6, 50, 8, 60], usize::MAX, &[&[0, 2], &[1, 3]]);
        assert_eq!(batches(&[6, 50, 8], f64::INFINITY, usize::MAX), [[0, 2, 1]]);
    }
}
