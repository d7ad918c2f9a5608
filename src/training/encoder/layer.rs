//! One transformer layer, forward.

use super::{
    super::{
        ops::{
            AttentionLayout, Branch, ComputeError, Dense, Mask, Norm, Normalised, attention,
            gelu_and_slope, gelu_in_place,
        },
        parameter::Parameter,
    },
    Dropout, Layouts,
    workspace::{LayerSpace, NormSpace},
};
use crate::weights::Architecture;

/// Places of the weights among a layer's parameters; each bias follows its weight.
pub(super) const QUERY: usize = 0;
pub(super) const KEY_VALUE: usize = 2;
pub(super) const ATTENTION_OUTPUT: usize = 4;
pub(super) const ATTENTION_NORM: usize = 6;
pub(super) const FEED_FORWARD: usize = 8;
pub(super) const FEED_FORWARD_OUTPUT: usize = 10;
pub(super) const OUTPUT_NORM: usize = 12;

/// One layer's place in a pass.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) hidden: usize,
    pub(super) inner: usize,
    epsilon: f32,
    number: usize,
    dropout: Dropout,
    /// Which queries see which keys.
    pub(super) layout: &'a AttentionLayout,
    /// Whether the queries are rows picked from the input, as in the last layer, or all of it.
    pub(super) picks: bool,
}

impl<'a> Layer<'a> {
    pub(super) fn new(
        architecture: &Architecture,
        number: usize,
        dropout: Dropout,
        layouts: &'a Layouts,
    ) -> Self {
        let picks = number + 1 == architecture.layers;
        Self {
            hidden: architecture.hidden_size,
            inner: architecture.intermediate_size,
            epsilon: architecture.layer_norm_eps as f32,
            number,
            dropout,
            layout: if picks { &layouts.last } else { &layouts.all },
            picks,
        }
    }

    /// A product of so many rows.
    pub(super) fn dense(&self, rows: usize, inputs: usize, outputs: usize) -> Dense {
        Dense { rows, inputs, outputs }
    }

    pub(super) fn attention_mask(&self) -> Result<Mask, ComputeError> {
        self.dropout.at(self.number, 1)
    }

    pub(super) fn output_mask(&self) -> Result<Mask, ComputeError> {
        self.dropout.at(self.number, 2)
    }

    /// From `input`, `[tokens, hidden]`, and those of its rows that are queries, to `output`, one row
    /// for each query. If not `tracked`, only `output` is of use afterwards.
    #[allow(clippy::too_many_arguments)] // each is another piece of the workspace
    pub(super) fn forward(
        &self,
        parameters: &[Parameter],
        space: &mut LayerSpace,
        input: &[f32],
        queries: &[f32],
        output: &mut Vec<f32>,
        scratch: &mut Vec<f32>,
        tracked: bool,
    ) -> Result<(), ComputeError> {
        let values = |at: usize| parameters[at].values.as_slice();
        let (h, i) = (self.hidden, self.inner);
        let rows = queries.len() / h;

        self.attend(parameters, space, input, queries)?;
        scratch.resize(rows * h, 0.0);
        self.dense(rows, h, h).product(scratch, &space.context, values(ATTENTION_OUTPUT))?;
        let branch = Branch {
            x: scratch,
            bias: values(ATTENTION_OUTPUT + 1),
            residual: queries,
            mask: self.attention_mask()?,
        };
        let norm = self.norm(parameters, ATTENTION_NORM);
        norm.apply_to_branch(space.attended.rows(&mut space.attended_output, rows, h), branch)?;

        space.slope.resize(rows * i, 0.0);
        let attended = &space.attended_output;
        self.dense(rows, h, i).product(&mut space.slope, attended, values(FEED_FORWARD))?;
        let activation = if tracked {
            space.activation.resize(rows * i, 0.0);
            gelu_and_slope(&mut space.activation, &mut space.slope, values(FEED_FORWARD + 1))?;
            &space.activation
        } else {
            gelu_in_place(&mut space.slope, values(FEED_FORWARD + 1));
            &space.slope
        };
        self.dense(rows, i, h).product(scratch, activation, values(FEED_FORWARD_OUTPUT))?;
        let branch = Branch {
            x: scratch,
            bias: values(FEED_FORWARD_OUTPUT + 1),
            residual: attended,
            mask: self.output_mask()?,
        };
        self.norm(parameters, OUTPUT_NORM)
            .apply_to_branch(space.output.rows(output, rows, h), branch)
    }

    /// Fills `space.context`.
    fn attend(
        &self,
        parameters: &[Parameter],
        space: &mut LayerSpace,
        input: &[f32],
        queries: &[f32],
    ) -> Result<(), ComputeError> {
        let values = |at: usize| parameters[at].values.as_slice();
        let h = self.hidden;
        let (tokens, rows) = (input.len() / h, queries.len() / h);
        let LayerSpace { query, key_value, context, .. } = space;
        query.resize(rows * h, 0.0);
        key_value.resize(tokens * 2 * h, 0.0);
        context.resize(rows * h, 0.0);
        let (weight, bias) = (values(QUERY), values(QUERY + 1));
        self.dense(rows, h, h).affine(query, queries, weight, bias)?;
        let (weight, bias) = (values(KEY_VALUE), values(KEY_VALUE + 1));
        self.dense(tokens, h, 2 * h).affine(key_value, input, weight, bias)?;
        attention(context, query, key_value, h, self.layout)
    }

    fn norm<'p>(&self, parameters: &'p [Parameter], at: usize) -> Norm<'p> {
        let (weight, bias) = (&parameters[at].values, &parameters[at + 1].values);
        Norm { weight, bias, epsilon: self.epsilon }
    }
}

impl NormSpace {
    /// Makes room for `rows` of them.
    fn rows<'a>(
        &'a mut self,
        output: &'a mut Vec<f32>,
        rows: usize,
        width: usize,
    ) -> Normalised<'a> {
        output.resize(rows * width, 0.0);
        self.normalised.resize(rows * width, 0.0);
        self.scales.resize(rows, 0.0);
        Normalised { output, normalised: &mut self.normalised, scales: &mut self.scales }
    }
}
