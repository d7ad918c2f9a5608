//! The inputs of the exported graph, which are also what a session is fed.

use super::{Architecture, Distances};

/// The type of an input's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    Int64,
    Float,
}

/// An input of the exported graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphInput {
    /// `[tokens]`: the ids of all sequences, one after the other.
    InputIds,
    /// `[tokens]`: the text segment of each token.
    SegmentIds,
    /// `[tokens]`: each token's position in its sequence.
    PositionIds,
    /// `[batch, longest]`: the token of each slot of the padded batch; any for padding.
    SlotTokens,
    /// `[batch, 1, 1, longest]`: 0 for a token's slot, a large negative number for padding.
    SlotBias,
    /// `[tokens]`: each token's slot, counted through the padded batch.
    TokenSlots,
    /// `[batch]`: the mask token of each sequence.
    MaskTokens,
    /// `[batch]`: the position of each mask in its sequence.
    MaskPositions,
    /// `[longest, longest]`: the bucket of the distance from one position to another.
    DistanceBuckets,
    /// `[longest, longest]`: 0 within the window of a position, a large negative number outside.
    WindowBias,
    /// `[distances]`: the rows of the distance embeddings from the largest distance of a query before
    /// its key to the largest after it, `1 - longest` to `longest - 1`.
    RelativeRows,
    /// `[distances]`: the same rows backwards.
    ReversedRows,
    /// `[batch, longest]`: the row of the distance embeddings for each mask and slot.
    MaskRows,
    /// `[1]` each: where the scores by distance of the first query begin and those of the last end, if
    /// each query's are one step further on.
    ShiftStart,
    ShiftEnd,
    /// `[4]`: `0, 0, longest, -1`.
    ShiftShape,
    /// `[1]`: the slots of a sequence.
    Longest,
    /// `[tokens, kernel]`: the neighbours that a convolution sees from each token; the token itself for
    /// those beyond its sequence.
    NeighbourTokens,
    /// `[tokens, kernel, 1]`: 1 for a neighbour, 0 beyond the sequence.
    NeighbourShares,
}

impl GraphInput {
    /// The name in the graph.
    pub fn name(self) -> &'static str {
        match self {
            Self::InputIds => "input_ids",
            Self::SegmentIds => "segment_ids",
            Self::PositionIds => "position_ids",
            Self::SlotTokens => "slot_tokens",
            Self::SlotBias => "slot_bias",
            Self::TokenSlots => "token_slots",
            Self::MaskTokens => "mask_tokens",
            Self::MaskPositions => "mask_positions",
            Self::DistanceBuckets => "distance_buckets",
            Self::WindowBias => "window_bias",
            Self::RelativeRows => "relative_rows",
            Self::ReversedRows => "reversed_rows",
            Self::MaskRows => "mask_rows",
            Self::ShiftStart => "shift_start",
            Self::ShiftEnd => "shift_end",
            Self::ShiftShape => "shift_shape",
            Self::Longest => "longest",
            Self::NeighbourTokens => "neighbour_tokens",
            Self::NeighbourShares => "neighbour_shares",
        }
    }

    /// The dimensions: names of those that vary, numbers of the others.
    pub fn dimensions(self) -> &'static [&'static str] {
        match self {
            Self::InputIds | Self::SegmentIds | Self::PositionIds | Self::TokenSlots => &["tokens"],
            Self::SlotTokens | Self::MaskRows => &["batch", "longest"],
            Self::SlotBias => &["batch", "1", "1", "longest"],
            Self::MaskTokens | Self::MaskPositions => &["batch"],
            Self::DistanceBuckets | Self::WindowBias => &["longest", "longest"],
            Self::RelativeRows | Self::ReversedRows => &["distances"],
            Self::ShiftStart | Self::ShiftEnd | Self::Longest => &["1"],
            Self::ShiftShape => &["4"],
            Self::NeighbourTokens => &["tokens", "kernel"],
            Self::NeighbourShares => &["tokens", "kernel", "1"],
        }
    }

    /// The type of its numbers.
    pub fn element(self) -> Element {
        match self {
            Self::SlotBias | Self::WindowBias | Self::NeighbourShares => Element::Float,
            _ => Element::Int64,
        }
    }
}

impl Architecture {
    /// The graph's inputs, in the graph's order.
    pub fn inputs(&self) -> Vec<GraphInput> {
        use GraphInput::{
            DistanceBuckets, InputIds, Longest, MaskPositions, MaskRows, MaskTokens,
            NeighbourShares, NeighbourTokens, PositionIds, RelativeRows, ReversedRows, SegmentIds,
            ShiftEnd, ShiftShape, ShiftStart, SlotBias, SlotTokens, TokenSlots, WindowBias,
        };
        let has_buckets = matches!(self.distances, Distances::Buckets { .. });
        let has_rotary = matches!(self.distances, Distances::Rotary { .. });
        let is_disentangled = matches!(self.distances, Distances::Disentangled { .. });
        let has_window = (0..self.layers).any(|layer| self.span_of(layer).is_some());
        let inputs = [
            (InputIds, true),
            (SegmentIds, self.segment_types > 0),
            (PositionIds, !self.no_learned_positions || has_rotary),
            (SlotTokens, true),
            (SlotBias, true),
            (TokenSlots, true),
            (MaskTokens, true),
            (MaskPositions, has_buckets || has_window),
            (DistanceBuckets, has_buckets),
            (WindowBias, has_window),
            (RelativeRows, is_disentangled && self.layers > 1),
            (ReversedRows, is_disentangled && self.layers > 1),
            (MaskRows, is_disentangled),
            (ShiftStart, is_disentangled && self.layers > 1),
            (ShiftEnd, is_disentangled && self.layers > 1),
            (ShiftShape, is_disentangled && self.layers > 1),
            (Longest, is_disentangled && self.layers > 1),
            (NeighbourTokens, self.convolution.is_some()),
            (NeighbourShares, self.convolution.is_some()),
        ];
        inputs.into_iter().filter(|(_, is_used)| *is_used).map(|(input, _)| input).collect()
    }
}
