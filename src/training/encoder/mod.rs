//! The encoder as differentiable computation: the same function that the exported graph computes.

mod attention;
mod convolution;
mod distances;
mod embeddings;
mod feed_forward;
mod layer;
mod layer_gradient;
mod places;
mod read_out;
#[cfg(test)]
mod tests;
mod workspace;

use std::collections::BTreeMap;

use super::{
    ops::{
        AttentionLayout, ComputeError, Mask, NormGradients, NormPass, Normalised, add_rows_at,
        check_len, gather_rows,
    },
    parameter::Parameter,
    random::hash,
};
use crate::{
    architecture::Architecture,
    inference::{MaskEncoder, PredictError},
    tokenization::{PackedBatch, Prompt},
    weights::{Array, EncoderWeights, WeightsError},
};
use layer::{Forward, Layer};
use places::{Affine, Places};
pub use read_out::ReadOut;
use workspace::{Batch, NormSpace, Workspace};

/// Dropout of one forward pass.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Chance of a value being dropped.
    pub probability: f32,
    /// Of this pass; each place in the network derives its own.
    pub seed: u64,
}

impl Dropout {
    /// Drops nothing.
    pub const OFF: Self = Self { probability: 0.0, seed: 0 };

    fn at(self, layer: usize, site: u64) -> Result<Mask, ComputeError> {
        Mask::new(self.probability, hash(&[self.seed, layer as u64, site]))
    }

    fn of_embeddings(self) -> Result<Mask, ComputeError> {
        self.at(usize::MAX, 0)
    }
}

/// An encoder whose parameters can be trained, and the memory of its passes.
pub struct TrainableEncoder {
    architecture: Architecture,
    /// In the order of [`Architecture::parameters`].
    parameters: Vec<Parameter>,
    places: Places,
    /// What the last [`Self::forward`] leaves for [`Self::backward`].
    tracked: Workspace,
    /// Of passes with nothing to follow.
    untracked: Workspace,
}

impl TrainableEncoder {
    /// Begins with these weights.
    pub fn new(weights: &EncoderWeights) -> Result<Self, WeightsError> {
        weights.architecture.check()?;
        let parameters = weights
            .iter()
            .map(|(name, array)| Parameter::new(name, array.shape.clone(), array.data.clone()))
            .collect();
        Ok(Self {
            architecture: weights.architecture.clone(),
            parameters,
            places: Places::new(&weights.architecture),
            tracked: Workspace::default(),
            untracked: Workspace::default(),
        })
    }

    /// The shape of the encoder.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Every parameter, in the order of a forward pass.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The same to change.
    pub fn parameters_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters
    }

    /// The parameter with this name, as `weights` has it.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// The same to change, for instance the word embeddings by a decoder that shares them.
    pub fn parameter_mut(&mut self, name: &str) -> Option<&mut Parameter> {
        self.parameters.iter_mut().find(|parameter| parameter.name == name)
    }

    /// The weights as they are now; refused if one is not finite.
    pub fn weights(&self) -> Result<EncoderWeights, WeightsError> {
        let array = |parameter: &Parameter| {
            let array = Array { shape: parameter.shape.clone(), data: parameter.values.clone() };
            (parameter.name.clone(), array)
        };
        let arrays: BTreeMap<String, Array> = self.parameters.iter().map(array).collect();
        EncoderWeights::new(self.architecture.clone(), arrays)
    }

    /// `[read_out.len(), hidden]`: the last hidden states of the tokens read out. Keeps what
    /// [`Self::backward`] needs, in memory that the next pass uses again.
    pub fn forward(
        &mut self,
        batch: &PackedBatch,
        read_out: &ReadOut,
        dropout: Dropout,
    ) -> Result<Vec<f32>, ComputeError> {
        let layers = self.architecture.layers;
        self.tracked.begin(Batch::new(batch, read_out, dropout), layers);
        let Self { architecture, parameters, places, tracked, .. } = self;
        let result = Pass { architecture, parameters, places, space: tracked, tracked: true }.run();
        if result.is_err() {
            self.tracked.batch = None;
        }
        result
    }

    /// The same without dropout, and with nothing kept.
    pub fn encode(
        &mut self,
        batch: &PackedBatch,
        read_out: &ReadOut,
    ) -> Result<Vec<f32>, ComputeError> {
        self.untracked.begin(Batch::new(batch, read_out, Dropout::OFF), 1);
        let Self { architecture, parameters, places, untracked, .. } = self;
        Pass { architecture, parameters, places, space: untracked, tracked: false }.run()
    }

    /// Adds to the parameters' gradients, given that of the last forward pass's result; each forward
    /// pass can be followed by one backward pass.
    pub fn backward(&mut self, gradient: &[f32]) -> Result<(), ComputeError> {
        let Some(batch) = self.tracked.batch.take() else { return Err(ComputeError::NoForward) };
        let hidden = self.architecture.hidden_size;
        check_len("the encoder's gradient", gradient.len(), batch.read_out.len() * hidden)?;
        let layouts = Layouts::new(&batch, self.architecture.heads)?;
        let Self { architecture, parameters, places, tracked, .. } = self;
        let Workspace {
            inputs,
            layers,
            gradients,
            embeddings,
            rows,
            final_norm,
            distances,
            convolution,
            ..
        } = tracked;
        gradients.hidden.clear();
        gradients.hidden.extend_from_slice(gradient);
        if let Some(norm) = places.final_norm {
            let pass = NormPass {
                normalised: &final_norm.normalised,
                scales: &final_norm.scales,
                weight: &parameters[norm.weight].values,
            };
            let sums = pass.differentiate(&mut gradients.hidden)?;
            add_norm_gradients(parameters, norm, &sums)?;
        }
        distances.begin_gradients();
        for (at, (space, input)) in layers.iter().zip(&*inputs).enumerate().rev() {
            if at == 0 {
                let hidden = &mut gradients.hidden;
                convolution.backward(architecture, places, parameters, &batch, hidden)?;
            }
            let layer = Layer::new(architecture, places, at, &batch, &layouts);
            let queries = if layer.picks { &rows[..] } else { &input[..] };
            layer.backward(parameters, space, input, queries, gradients, distances)?;
            // `gradients.hidden` is that of the queries now, `gradients.input` that of the rest.
            if layer.picks {
                let rows = &batch.read_out.rows;
                add_rows_at(&mut gradients.input, rows, &gradients.hidden, hidden)?;
                std::mem::swap(&mut gradients.input, &mut gradients.hidden);
            }
        }
        convolution.add_to_embeddings(places, &mut gradients.hidden);
        distances.backward(places, parameters)?;
        embeddings.backward(places, parameters, &batch, &mut gradients.hidden)
    }
}

/// Adds to the gradients of a norm's weight and bias.
fn add_norm_gradients(
    parameters: &mut [Parameter],
    place: Affine,
    sums: &NormGradients,
) -> Result<(), ComputeError> {
    parameters[place.weight].add_dense(&sums.weight)?;
    add_bias_gradient(parameters, place, &sums.bias)
}

/// Adds to the gradient of a bias, where the encoder has it.
fn add_bias_gradient(
    parameters: &mut [Parameter],
    place: Affine,
    sums: &[f32],
) -> Result<(), ComputeError> {
    place.bias.map_or(Ok(()), |bias| parameters[bias].add_dense(sums))
}

impl MaskEncoder for TrainableEncoder {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> Result<Vec<f32>, PredictError> {
        let batch = PackedBatch::new(prompts.iter().copied());
        let vectors = self.encode(&batch, &ReadOut::masks(&batch));
        vectors.map_err(|error| PredictError::Encoder(error.to_string()))
    }

    fn hidden_size(&self) -> usize {
        self.architecture.hidden_size
    }
}

/// Which rows attend to which, in the last layer and in those before.
struct Layouts {
    all: AttentionLayout,
    last: AttentionLayout,
}

impl Layouts {
    fn new(batch: &Batch, heads: usize) -> Result<Self, ComputeError> {
        let keys = &batch.tokens.offsets;
        let rows = batch.read_out.rows.iter();
        let positions = rows.map(|row| batch.tokens.position_ids[*row as usize]).collect();
        let last = AttentionLayout::new(heads, batch.read_out.offsets.clone(), keys.clone())?;
        Ok(Self {
            all: AttentionLayout::new(heads, keys.clone(), keys.clone())?,
            last: last.at(positions)?,
        })
    }
}

/// One forward pass.
struct Pass<'a> {
    architecture: &'a Architecture,
    parameters: &'a [Parameter],
    places: &'a Places,
    space: &'a mut Workspace,
    /// Whether a backward pass follows.
    tracked: bool,
}

impl Pass<'_> {
    fn run(self) -> Result<Vec<f32>, ComputeError> {
        let Self { architecture, parameters, places, space, tracked } = self;
        let Workspace {
            batch,
            inputs,
            layers,
            embeddings,
            rows,
            scratch,
            distances,
            convolution,
            ..
        } = space;
        let Some(batch) = batch else { return Err(ComputeError::NoForward) };
        let layouts = Layouts::new(batch, architecture.heads)?;
        embeddings.forward(architecture, places, parameters, batch, &mut inputs[0])?;
        distances.forward(architecture, places, parameters, batch.tokens.longest())?;
        for at in 0..architecture.layers {
            let layer = Layer::new(architecture, places, at, batch, &layouts);
            let place = if tracked { at } else { 0 };
            let (before, after) = inputs.split_at_mut(place + 1);
            let (input, output) = (&before[place], &mut after[0]);
            if layer.picks {
                rows.resize(batch.read_out.len() * architecture.hidden_size, 0.0);
                gather_rows(rows, input, &batch.read_out.rows, architecture.hidden_size)?;
            }
            let queries = if layer.picks { &rows[..] } else { &input[..] };
            let space = &mut layers[place];
            let forward = Forward { parameters, space, distances, scratch, tracked };
            layer.forward(forward, input, queries, output)?;
            if at == 0 {
                convolution.forward(architecture, places, parameters, batch, input, output)?;
            }
            if !tracked {
                inputs.swap(0, 1);
            }
        }
        let last = &inputs[if tracked { architecture.layers } else { 0 }];
        let Some(place) = places.final_norm else { return Ok(last.clone()) };
        let mut output = vec![0.0; last.len()];
        let norm = places.norm(parameters, place, architecture.layer_norm_eps as f32);
        let rows = last.len() / architecture.hidden_size.max(1);
        let NormSpace { normalised, scales } = &mut space.final_norm;
        normalised.clone_from(last);
        scales.resize(rows, 0.0);
        norm.apply(Normalised { output: &mut output, normalised, scales })?;
        Ok(output)
    }
}
