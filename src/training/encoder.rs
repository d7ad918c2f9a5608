//! The encoder as differentiable computation: the same function that the exported graph computes.

use std::{collections::BTreeMap, sync::Arc};

use candle_core::{Device, Result, Tensor, Var};

use super::{
    ops::{
        AttentionLayout, EmbeddingIds, attention, dropout, dropout_add, embed, gather_rows,
        gelu_linear, layer_norm, linear,
    },
    random::hash,
};
use crate::{
    inference::{MaskEncoder, PredictError},
    tokenization::{PackedBatch, Prompt},
    weights::{Architecture, Array, EncoderWeights, WeightsError},
};

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

    fn at(self, layer: usize, site: u64) -> u64 {
        hash(&[self.seed, layer as u64, site])
    }
}

/// An encoder whose parameters can be trained.
pub struct TrainableEncoder {
    architecture: Architecture,
    parameters: BTreeMap<String, Var>,
}

impl TrainableEncoder {
    /// Begins with these weights.
    pub fn new(weights: &EncoderWeights) -> Result<Self> {
        let mut parameters = BTreeMap::new();
        for (name, array) in weights.iter() {
            let var = Var::from_slice(&array.data, array.shape.as_slice(), &Device::Cpu)?;
            parameters.insert(name, var);
        }
        Ok(Self { architecture: weights.architecture.clone(), parameters })
    }

    /// Every parameter with its name, in the order of a forward pass.
    pub fn parameters(&self) -> Vec<(String, Var)> {
        let names = self.architecture.parameters().into_iter().map(|(name, _)| name);
        names.filter_map(|name| self.parameters.get(&name).map(|var| (name, var.clone()))).collect()
    }

    /// The weights as they are now.
    pub fn weights(&self) -> Result<std::result::Result<EncoderWeights, WeightsError>> {
        let mut arrays = BTreeMap::new();
        for (name, var) in &self.parameters {
            let data = var.flatten_all()?.to_vec1()?;
            arrays.insert(name.clone(), Array { shape: var.dims().to_vec(), data });
        }
        Ok(EncoderWeights::new(self.architecture.clone(), arrays))
    }

    /// `[batch, hidden]`: the last hidden state at each mask. Gradients reach the parameters.
    pub fn forward(&self, batch: &PackedBatch, dropout: Dropout) -> Result<Tensor> {
        Pass { encoder: self, batch, dropout, tracked: true }.run()
    }
}

impl MaskEncoder for TrainableEncoder {
    fn mask_vectors(&mut self, prompts: &[&Prompt]) -> std::result::Result<Vec<f32>, PredictError> {
        let batch = PackedBatch::new(prompts.iter().copied());
        let pass = Pass { encoder: self, batch: &batch, dropout: Dropout::OFF, tracked: false };
        let vectors = pass.run().and_then(|vectors| vectors.flatten_all()?.to_vec1());
        vectors.map_err(|error| PredictError::Encoder(error.to_string()))
    }

    fn hidden_size(&self) -> usize {
        self.architecture.hidden_size
    }
}

/// One forward pass.
struct Pass<'a> {
    encoder: &'a TrainableEncoder,
    batch: &'a PackedBatch,
    dropout: Dropout,
    /// Whether a backward pass follows; without one, no intermediate value is kept.
    tracked: bool,
}

impl Pass<'_> {
    fn run(&self) -> Result<Tensor> {
        let batch = self.batch;
        let layers = self.encoder.architecture.layers;
        let all = self.layout(batch.offsets.clone())?;
        let last = self.layout((0..=batch.len()).collect())?;
        let mut hidden = self.embeddings()?;
        for layer in 0..layers {
            let is_last = layer + 1 == layers;
            let rows = if is_last { self.mask_rows(&hidden)? } else { hidden.clone() };
            hidden = self.layer(layer, &hidden, rows, if is_last { &last } else { &all })?;
        }
        Ok(hidden)
    }

    fn layout(&self, query_offsets: Vec<usize>) -> Result<Arc<AttentionLayout>> {
        let heads = self.encoder.architecture.heads;
        AttentionLayout::new(heads, query_offsets, self.batch.offsets.clone()).map(Arc::new)
    }

    fn mask_rows(&self, hidden: &Tensor) -> Result<Tensor> {
        // Token counts are far below 2^32: they are counts of u32 arrays in memory.
        let rows: Vec<u32> = self.batch.mask_tokens.iter().map(|&token| token as u32).collect();
        gather_rows(hidden, rows.into())
    }

    /// `[tokens, hidden]`
    fn embeddings(&self) -> Result<Tensor> {
        let ids = EmbeddingIds {
            words: self.batch.input_ids.as_slice().into(),
            positions: self.batch.position_ids.as_slice().into(),
            segments: self.batch.segment_ids.as_slice().into(),
        };
        let sum = embed(
            &self.parameter("embeddings.word")?,
            &self.parameter("embeddings.position")?,
            &self.parameter("embeddings.segment")?,
            ids,
        )?;
        let normed = self.norm(&sum, "embeddings.norm")?;
        dropout(&normed, self.dropout.probability, self.dropout.at(usize::MAX, 0))
    }

    /// `rows` are the queries, `[rows, hidden]`; keys and values come from all of `hidden`.
    fn layer(
        &self,
        layer: usize,
        hidden: &Tensor,
        rows: Tensor,
        layout: &Arc<AttentionLayout>,
    ) -> Result<Tensor> {
        let name = |part: &str| format!("layers.{layer}.{part}");
        let probability = self.dropout.probability;
        let query = self.linear(&rows, &name("query"))?;
        let key_value = self.linear(hidden, &name("key_value"))?;
        let context = attention(&query, &key_value, layout)?;
        let attended = self.linear(&context, &name("attention_output"))?;
        let attended = dropout_add(&attended, &rows, probability, self.dropout.at(layer, 1))?;
        let attended = self.norm(&attended, &name("attention_norm"))?;
        let inner = self.linear(&attended, &name("feed_forward"))?;
        let (weight, bias) = self.pair(&name("feed_forward_output"))?;
        let outer = gelu_linear(&inner, &weight, &bias)?;
        let outer = dropout_add(&outer, &attended, probability, self.dropout.at(layer, 2))?;
        self.norm(&outer, &name("output_norm"))
    }

    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let (weight, bias) = self.pair(name)?;
        linear(x, &weight, &bias)
    }

    fn norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let (weight, bias) = self.pair(name)?;
        layer_norm(x, &weight, &bias, self.encoder.architecture.layer_norm_eps as f32)
    }

    fn pair(&self, name: &str) -> Result<(Tensor, Tensor)> {
        Ok((self.parameter(&format!("{name}.weight"))?, self.parameter(&format!("{name}.bias"))?))
    }

    fn parameter(&self, name: &str) -> Result<Tensor> {
        let Some(var) = self.encoder.parameters.get(name) else {
            candle_core::bail!("the encoder has no parameter {name}");
        };
        Ok(if self.tracked { var.as_tensor().clone() } else { var.as_tensor().detach() })
    }
}
