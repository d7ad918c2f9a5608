//! The part of a manifest that tells how to run a graph which another program exported.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::EncoderEntry;
use crate::architecture::Architecture;

/// Bytes of an output's name.
const MAX_NAME_BYTES: usize = 4096;

/// A graph from elsewhere: its inputs, its output, and what padding is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignGraph {
    pub inputs: Vec<ForeignInput>,
    /// Name of the output that is read.
    pub output: String,
    pub gives: GraphOutput,
    /// Token id of padding slots.
    pub padding_id: u32,
    /// Position of a sequence's first token, where the graph is told positions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_position: u32,
    /// Each prompt is run alone, because what else is in a batch would change its numbers: 8-bit graphs
    /// may have one scale for all of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_at_a_time: bool,
}

/// An input, `[batch, sequence]` of 64-bit integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignInput {
    InputIds,
    /// 1 for tokens, 0 for padding.
    AttentionMask,
    TokenTypeIds,
    PositionIds,
}

/// The meaning of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphOutput {
    /// `[batch, sequence, hidden]`, of which the row at the mask is the mask vector.
    HiddenStates,
    /// `[batch, labels]`: the graph has a classifier in it, and its logits take the mask vector's place.
    Logits,
}

impl ForeignInput {
    pub const ALL: [Self; 4] =
        [Self::InputIds, Self::AttentionMask, Self::TokenTypeIds, Self::PositionIds];

    /// The name in the graph.
    pub fn name(self) -> &'static str {
        match self {
            Self::InputIds => "input_ids",
            Self::AttentionMask => "attention_mask",
            Self::TokenTypeIds => "token_type_ids",
            Self::PositionIds => "position_ids",
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Contradiction between a graph's entry and the encoder's others, if any. The architecture has been
/// checked.
pub(super) fn fault(encoder: &EncoderEntry) -> Option<String> {
    let is_foreign = encoder.architecture.is_foreign();
    let Some(graph) = &encoder.graph else {
        return is_foreign.then(|| "it does not say how to run the encoder's graph".to_owned());
    };
    if !is_foreign {
        return Some("it says how to run the graph of an encoder that is not foreign".to_owned());
    }
    if encoder.language_head.is_some() {
        return Some("a graph of another exporter has no language head".to_owned());
    }
    let inputs: BTreeSet<ForeignInput> = graph.inputs.iter().copied().collect();
    let needed = [ForeignInput::InputIds, ForeignInput::AttentionMask];
    if inputs.len() != graph.inputs.len() || !needed.iter().all(|input| inputs.contains(input)) {
        return Some("the inputs of its graph are not each there once".to_owned());
    }
    let Architecture { vocabulary_size, max_positions, .. } = encoder.architecture;
    if graph.output.len() > MAX_NAME_BYTES || graph.output.chars().any(char::is_control) {
        return Some("the name of its graph's output is too long or not printable".to_owned());
    }
    if graph.padding_id as usize >= vocabulary_size || graph.first_position as usize > max_positions
    {
        return Some("the padding of its graph lies outside the vocabulary".to_owned());
    }
    None
}
