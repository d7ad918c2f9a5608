//! What one batch feeds to the graph.

use ort::{
    session::{Session, SessionOutputs},
    value::TensorRef,
};

use crate::{export::inputs, tokenization::PackedBatch};

/// Added to the attention score of a padding slot: its weight becomes exactly 0.
const PADDING_BIAS: f32 = -1e9;

/// The graph's inputs, kept from batch to batch so that their memory is used again.
#[derive(Default)]
pub(super) struct Feeds {
    input_ids: Vec<i64>,
    segment_ids: Vec<i64>,
    position_ids: Vec<i64>,
    slot_tokens: Vec<i64>,
    slot_bias: Vec<f32>,
    token_slots: Vec<i64>,
    mask_tokens: Vec<i64>,
}

impl Feeds {
    pub fn fill(&mut self, batch: &PackedBatch) {
        let longest = batch.longest();
        copy(&mut self.input_ids, &batch.input_ids);
        copy(&mut self.segment_ids, &batch.segment_ids);
        copy(&mut self.position_ids, &batch.position_ids);
        self.mask_tokens.clear();
        self.mask_tokens.extend(batch.mask_tokens.iter().map(|&token| token as i64));
        self.slot_tokens.clear();
        self.slot_bias.clear();
        self.token_slots.clear();
        for (sequence, tokens) in batch.ranges().enumerate() {
            let padding = longest - tokens.len();
            let first_slot = (sequence * longest) as i64;
            self.token_slots.extend(first_slot..first_slot + tokens.len() as i64);
            self.slot_bias.extend(std::iter::repeat_n(0.0, tokens.len()));
            self.slot_bias.extend(std::iter::repeat_n(PADDING_BIAS, padding));
            // Padding reads some token of the same sequence; the bias takes its weight away.
            let filler = tokens.start as i64;
            self.slot_tokens.extend(tokens.map(|token| token as i64));
            self.slot_tokens.extend(std::iter::repeat_n(filler, padding));
        }
    }

    /// Runs the session on the batch that `fill` was given last.
    pub fn run<'s>(
        &self,
        session: &'s mut Session,
        batch: &PackedBatch,
    ) -> ort::Result<SessionOutputs<'s>> {
        let (tokens, rows, longest) = (batch.input_ids.len(), batch.len(), batch.longest());
        session.run(ort::inputs![
            inputs::INPUT_IDS => TensorRef::from_array_view(([tokens], &*self.input_ids))?,
            inputs::SEGMENT_IDS => TensorRef::from_array_view(([tokens], &*self.segment_ids))?,
            inputs::POSITION_IDS => TensorRef::from_array_view(([tokens], &*self.position_ids))?,
            inputs::SLOT_TOKENS => TensorRef::from_array_view(([rows, longest], &*self.slot_tokens))?,
            inputs::SLOT_BIAS => TensorRef::from_array_view(([rows, 1, 1, longest], &*self.slot_bias))?,
            inputs::TOKEN_SLOTS => TensorRef::from_array_view(([tokens], &*self.token_slots))?,
            inputs::MASK_TOKENS => TensorRef::from_array_view(([rows], &*self.mask_tokens))?,
        ])
    }
}

fn copy(to: &mut Vec<i64>, from: &[u32]) {
    to.clear();
    to.extend(from.iter().map(|&value| i64::from(value)));
}
