//! What a head adds for how alike the sides of a pair are: an encoder of a few layers hardly compares
//! letters and numbers, which is what tells products, addresses and the like apart.

use serde::{Deserialize, Serialize};

use super::{HeadError, Layer};
use crate::{
    lexical::{FEATURES, MAX_PAIRS, Pair, compare, weight_by_count},
    task::{Example, Field},
};

/// The similarities' meaning, which is [`compare`]'s with weights by count.
const VERSION: u32 = 1;

/// A linear map of similarities, added to a head's outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct PairSimilarity {
    pairs: Vec<Pair>,
    /// Sides of the pairs by the fields' names, as the head file keeps them.
    sides: Vec<Sides>,
    /// `[similarities, outputs]`
    output: Layer,
}

/// Names of fields whose texts are compared with each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sides {
    left: Vec<String>,
    right: Vec<String>,
}

/// Settings of a comparison that a head file holds beside the map.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    version: u32,
    pairs: Vec<Sides>,
}

impl PairSimilarity {
    /// Adds `output`, `[similarities, outputs]`, for pairs of these fields.
    pub fn new(fields: &[Field], pairs: Vec<Pair>, output: Layer) -> Self {
        let name = |at: &usize| fields.get(*at).map(|field| field.name.clone());
        let side = |side: &[usize]| side.iter().filter_map(name).collect();
        let sides = pairs.iter();
        let sides = sides.map(|pair| Sides { left: side(&pair.left), right: side(&pair.right) });
        Self { sides: sides.collect(), pairs, output }
    }

    /// The similarities of an example's pairs.
    pub fn similarities(pairs: &[Pair], example: &Example) -> Vec<f32> {
        compare(pairs, example, &weight_by_count)
    }

    /// Numbers added to the outputs for an example, `[outputs]`.
    pub fn outputs(&self, example: &Example) -> Vec<f32> {
        self.output.apply(&Self::similarities(&self.pairs, example))
    }

    /// Scales the map: it then adds `factor` times as much.
    pub fn scaled(&self, factor: f32) -> Self {
        let mut scaled = self.clone();
        let Layer { weight, bias } = &mut scaled.output;
        weight.data.iter_mut().chain(&mut bias.data).for_each(|value| *value *= factor);
        scaled
    }

    /// The map of similarities.
    pub fn layer(&self) -> &Layer {
        &self.output
    }

    pub(super) fn description(&self) -> Description {
        Description { version: VERSION, pairs: self.sides.clone() }
    }
}

impl Description {
    /// Similarities that are compared.
    pub(super) fn similarities(&self) -> usize {
        self.pairs.len().saturating_mul(FEATURES)
    }

    /// Binds the names to a task's fields.
    pub(super) fn bind(
        &self,
        fields: &[Field],
        output: Layer,
    ) -> Result<PairSimilarity, HeadError> {
        if self.version != VERSION {
            return Err(HeadError::Similarities(self.version));
        }
        let place = |name: &String| {
            let found = fields.iter().position(|field| field.name == *name);
            found.ok_or_else(|| HeadError::Field(name.clone()))
        };
        let side = |names: &[String]| names.iter().map(place).collect::<Result<Vec<_>, _>>();
        let pair =
            |sides: &Sides| Ok(Pair { left: side(&sides.left)?, right: side(&sides.right)? });
        let fits = |sides: &Sides| sides.left.len() + sides.right.len() <= fields.len();
        if self.pairs.len() > MAX_PAIRS || !self.pairs.iter().all(fits) {
            return Err(HeadError::Pairs);
        }
        let pairs = self.pairs.iter().map(pair).collect::<Result<Vec<_>, HeadError>>()?;
        Ok(PairSimilarity::new(fields, pairs, output))
    }
}
