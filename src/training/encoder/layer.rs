//! One transformer layer, forward.

use super::{
    super::{
        ops::{
            AttentionLayout, Branch, ComputeError, Dense, Mask, Normalised, add_branch, gather_rows,
        },
        parameter::Parameter,
    },
    Dropout, Layouts,
    distances::DistanceSpace,
    places::{Affine, LayerPlaces, Places},
    workspace::{Batch, LayerSpace, NormSpace},
};
use crate::architecture::{Activation, Architecture};

/// One layer's place in a pass.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    pub(super) hidden: usize,
    /// Width of the feed-forward network after its activation.
    pub(super) inner: usize,
    pub(super) activation: Activation,
    pub(super) gated: bool,
    epsilon: f32,
    number: usize,
    dropout: Dropout,
    pub(super) all: &'a Places,
    pub(super) places: &'a LayerPlaces,
    /// Which queries see which keys.
    pub(super) layout: &'a AttentionLayout,
    /// Whether the queries are rows picked from the input, as in the last layer, or all of it.
    pub(super) picks: bool,
    /// The rows that are picked then.
    pub(super) rows: &'a [u32],
    /// The position of each token.
    pub(super) positions: &'a [u32],
    /// Tokens to either side that are seen; all where there is none.
    pub(super) span: Option<usize>,
}

/// The memory and parameters of a layer's forward pass.
pub(super) struct Forward<'a> {
    pub(super) parameters: &'a [Parameter],
    pub(super) space: &'a mut LayerSpace,
    pub(super) distances: &'a DistanceSpace,
    /// `[rows, hidden]`: a product on its way to a norm.
    pub(super) scratch: &'a mut Vec<f32>,
    /// A backward pass follows; if not, only the output is of use afterwards.
    pub(super) tracked: bool,
}

impl<'a> Layer<'a> {
    pub(super) fn new(
        architecture: &Architecture,
        places: &'a Places,
        number: usize,
        batch: &'a Batch,
        layouts: &'a Layouts,
    ) -> Self {
        let picks = number + 1 == architecture.layers;
        Self {
            hidden: architecture.hidden_size,
            inner: architecture.intermediate_size,
            activation: architecture.activation,
            gated: architecture.gated,
            epsilon: architecture.layer_norm_eps as f32,
            number,
            dropout: batch.dropout,
            all: places,
            places: &places.layers[number],
            layout: if picks { &layouts.last } else { &layouts.all },
            picks,
            rows: &batch.read_out.rows,
            positions: &batch.tokens.position_ids,
            span: architecture.span_of(number),
        }
    }

    /// A product of so many rows.
    pub(super) fn dense(&self, rows: usize, inputs: usize, outputs: usize) -> Dense {
        Dense { rows, inputs, outputs }
    }

    /// Tells whether norms stand before attention and feed-forward network.
    pub(super) fn norms_come_first(&self) -> bool {
        self.places.after.is_none()
    }

    pub(super) fn attention_mask(&self) -> Result<Mask, ComputeError> {
        self.dropout.at(self.number, 1)
    }

    pub(super) fn output_mask(&self) -> Result<Mask, ComputeError> {
        self.dropout.at(self.number, 2)
    }

    /// From `input`, `[tokens, hidden]`, and those of its rows that are queries, to `output`, one row
    /// for each query.
    pub(super) fn forward(
        &self,
        mut forward: Forward,
        input: &[f32],
        queries: &[f32],
        output: &mut Vec<f32>,
    ) -> Result<(), ComputeError> {
        self.attention(&mut forward, input, queries)?;
        let Forward { parameters, space, scratch, .. } = &mut forward;
        let rows = queries.len() / self.hidden;
        let branch = Branch {
            x: scratch,
            bias: self.all.bias(parameters, self.places.attention_output, self.hidden),
            residual: queries,
            mask: self.attention_mask()?,
        };
        let norm = self.all.norm(parameters, self.places.between, self.epsilon);
        if self.norms_come_first() {
            space.attended_sum.resize(queries.len(), 0.0);
            add_branch(&mut space.attended_sum, branch)?;
            let LayerSpace { attended, attended_output, attended_sum, .. } = &mut **space;
            let normalised = attended.rows(attended_output, rows, self.hidden);
            normalised.normalised.copy_from_slice(attended_sum);
            norm.apply(normalised)?;
        } else {
            let LayerSpace { attended, attended_output, .. } = &mut **space;
            norm.apply_to_branch(attended.rows(attended_output, rows, self.hidden), branch)?;
        }

        self.feed_forward(&mut forward)?;
        let Forward { parameters, space, scratch, .. } = forward;
        let branch = |residual| {
            let bias = self.all.bias(parameters, self.places.feed_forward_output, self.hidden);
            Ok(Branch { x: scratch, bias, residual, mask: self.output_mask()? })
        };
        let Some(after) = self.places.after else {
            output.resize(queries.len(), 0.0);
            return add_branch(output, branch(&space.attended_sum)?);
        };
        let norm = self.all.norm(parameters, after, self.epsilon);
        let branch = branch(&space.attended_output)?;
        norm.apply_to_branch(space.output.rows(output, rows, self.hidden), branch)
    }

    /// Fills `forward.scratch` with what attention adds, without its bias.
    fn attention(
        &self,
        forward: &mut Forward,
        input: &[f32],
        queries: &[f32],
    ) -> Result<(), ComputeError> {
        let h = self.hidden;
        let rows = queries.len() / h;
        match self.places.before_attention {
            None => self.attend(forward, input, queries)?,
            Some(norm) => {
                let space = &mut *forward.space;
                let mut normalised = std::mem::take(&mut space.before_output);
                let mut asking = std::mem::take(&mut space.asking);
                let apply = self.apply_norm(forward, norm, input, &mut normalised);
                let attend = apply.and_then(|()| {
                    if !self.picks {
                        return self.attend(forward, &normalised, &normalised);
                    }
                    asking.resize(rows * h, 0.0);
                    gather_rows(&mut asking, &normalised, self.rows, h)?;
                    self.attend(forward, &normalised, &asking)
                });
                (forward.space.before_output, forward.space.asking) = (normalised, asking);
                attend?;
            }
        }
        let Forward { parameters, space, scratch, .. } = forward;
        scratch.resize(rows * h, 0.0);
        let weight = &parameters[self.places.attention_output.weight].values;
        self.dense(rows, h, h).product(scratch, &space.context, weight)
    }

    fn apply_norm(
        &self,
        forward: &mut Forward,
        place: Affine,
        input: &[f32],
        output: &mut Vec<f32>,
    ) -> Result<(), ComputeError> {
        let norm = self.all.norm(forward.parameters, place, self.epsilon);
        let rows = input.len() / self.hidden;
        let normalised = forward.space.before.rows(output, rows, self.hidden);
        normalised.normalised.copy_from_slice(input);
        norm.apply(normalised)
    }
}

impl NormSpace {
    /// Makes room for `rows` of them.
    pub(super) fn rows<'a>(
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
