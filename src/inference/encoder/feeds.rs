//! The values that one batch feeds to the graph's inputs.

use ort::{
    session::{Session, SessionInputValue, SessionOutputs},
    value::TensorRef,
};

use crate::{
    architecture::{Architecture, DistanceRows, Distances, Element, GraphInput},
    tokenization::PackedBatch,
};

/// Added to the attention score of a padding slot: its weight becomes exactly 0.
const PADDING_BIAS: f32 = -1e9;

/// The graph's inputs, kept from batch to batch so that their memory is used again.
#[derive(Default)]
pub(super) struct Feeds {
    inputs: Vec<Feed>,
    distances: Distances,
    /// Tokens to either side that a layer with a window sees.
    span: usize,
    rows: DistanceRows,
    /// Tokens that a convolution sees at once.
    kernel: usize,
}

struct Feed {
    input: GraphInput,
    integers: Vec<i64>,
    floats: Vec<f32>,
    shape: Vec<usize>,
}

/// Sizes of a batch.
struct Sizes {
    /// Slots of each sequence.
    longest: usize,
    rows: usize,
    kernel: usize,
}

impl Feeds {
    /// Feeds for the graph of this encoder.
    pub fn new(architecture: &Architecture) -> Self {
        let inputs = architecture.inputs().into_iter();
        let feed = |input| Feed { input, integers: vec![], floats: vec![], shape: vec![] };
        Self {
            inputs: inputs.map(feed).collect(),
            distances: architecture.distances,
            span: architecture.window.map_or(usize::MAX, |window| window.span),
            rows: DistanceRows::default(),
            kernel: architecture.convolution.map_or(0, |convolution| convolution.kernel),
        }
    }

    /// The names of the inputs.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.inputs.iter().map(|feed| feed.input.name())
    }

    /// Fills the inputs for a batch, which must not be empty.
    pub fn fill(&mut self, batch: &PackedBatch) {
        // Scores by distance are cut into rows that are two shorter than twice the sequence.
        let least = match self.distances {
            Distances::Disentangled { .. } => 2,
            _ => 0,
        };
        let sizes =
            Sizes { longest: batch.longest().max(least), rows: batch.len(), kernel: self.kernel };
        if self.distances != Distances::None {
            self.rows.reach(self.distances, sizes.longest);
        }
        for feed in &mut self.inputs {
            feed.integers.clear();
            feed.floats.clear();
            feed.fill(batch, &sizes, self.span, &self.rows);
        }
    }

    /// Runs the session on the batch that `fill` was given last.
    pub fn run<'s>(&self, session: &'s mut Session) -> ort::Result<SessionOutputs<'s>> {
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
        for feed in &self.inputs {
            let shape = feed.shape.as_slice();
            let value = match feed.input.element() {
                Element::Int64 => TensorRef::from_array_view((shape, &*feed.integers))?.into(),
                Element::Float => TensorRef::from_array_view((shape, &*feed.floats))?.into(),
            };
            inputs.push((feed.input.name(), value));
        }
        session.run(inputs)
    }
}

impl Feed {
    fn fill(&mut self, batch: &PackedBatch, sizes: &Sizes, span: usize, distances: &DistanceRows) {
        let Sizes { longest, rows, kernel } = *sizes;
        let tokens = batch.input_ids.len();
        let last = longest.saturating_sub(1);
        let ids = &mut self.integers;
        self.shape = match self.input {
            GraphInput::InputIds => {
                ids.extend(batch.input_ids.iter().copied().map(i64::from));
                vec![tokens]
            }
            GraphInput::SegmentIds => {
                ids.extend(batch.segment_ids.iter().copied().map(i64::from));
                vec![tokens]
            }
            GraphInput::PositionIds => {
                ids.extend(batch.position_ids.iter().copied().map(i64::from));
                vec![tokens]
            }
            GraphInput::SlotTokens => {
                for range in batch.ranges() {
                    // Padding reads some token of the same sequence; the bias takes its weight away.
                    let (filler, padding) = (range.start as i64, longest - range.len());
                    ids.extend(range.map(|token| token as i64));
                    ids.extend(std::iter::repeat_n(filler, padding));
                }
                vec![rows, longest]
            }
            GraphInput::SlotBias => {
                for range in batch.ranges() {
                    let padding = longest - range.len();
                    self.floats.extend(std::iter::repeat_n(0.0, range.len()));
                    self.floats.extend(std::iter::repeat_n(PADDING_BIAS, padding));
                }
                vec![rows, 1, 1, longest]
            }
            GraphInput::TokenSlots => {
                for (sequence, range) in batch.ranges().enumerate() {
                    let first = (sequence * longest) as i64;
                    ids.extend(first..first + range.len() as i64);
                }
                vec![tokens]
            }
            GraphInput::MaskTokens => {
                ids.extend(batch.mask_tokens.iter().map(|&token| token as i64));
                vec![rows]
            }
            GraphInput::MaskPositions => {
                ids.extend(mask_positions(batch).map(|position| position as i64));
                vec![rows]
            }
            GraphInput::DistanceBuckets => {
                for query in 0..longest {
                    ids.extend(
                        distances.between(query, last - query).iter().copied().map(i64::from),
                    );
                }
                vec![longest, longest]
            }
            GraphInput::WindowBias => {
                let bias = |query: usize, key: usize| match query.abs_diff(key) <= span {
                    true => 0.0,
                    false => PADDING_BIAS,
                };
                let row = |query| (0..longest).map(move |key| bias(query, key));
                self.floats.extend((0..longest).flat_map(row));
                vec![longest, longest]
            }
            GraphInput::RelativeRows | GraphInput::ReversedRows => {
                ids.extend(distances.between(last, last).iter().copied().map(i64::from));
                if self.input == GraphInput::ReversedRows {
                    ids.reverse();
                }
                vec![ids.len()]
            }
            GraphInput::MaskRows => {
                for position in mask_positions(batch) {
                    let rows = distances.between(position, last - position);
                    ids.extend(rows.iter().copied().map(i64::from));
                }
                vec![rows, longest]
            }
            GraphInput::ShiftStart => {
                ids.push(last as i64);
                vec![1]
            }
            GraphInput::ShiftEnd => {
                ids.push((last + longest * 2 * last) as i64);
                vec![1]
            }
            GraphInput::ShiftShape => {
                ids.extend([0, 0, longest as i64, -1]);
                vec![4]
            }
            GraphInput::Longest => {
                ids.push(longest as i64);
                vec![1]
            }
            GraphInput::NeighbourTokens => {
                let token = |at: usize, neighbour: Option<usize>| neighbour.unwrap_or(at) as i64;
                ids.extend(batch.neighbours(kernel).map(|(at, neighbour)| token(at, neighbour)));
                vec![tokens, kernel]
            }
            GraphInput::NeighbourShares => {
                let share = |neighbour: Option<usize>| if neighbour.is_some() { 1.0 } else { 0.0 };
                self.floats.extend(batch.neighbours(kernel).map(|(_, neighbour)| share(neighbour)));
                vec![tokens, kernel, 1]
            }
        };
    }
}

/// The position of each mask in its prompt.
fn mask_positions(batch: &PackedBatch) -> impl Iterator<Item = usize> {
    batch.mask_tokens.iter().zip(&batch.offsets).map(|(token, start)| token - start)
}
