//! The masked-language-model head of an encoder: hidden vector in, a score per token out.

use std::collections::BTreeMap;

use super::{Array, WeightsError, take};
use crate::architecture::{Activation, Architecture};

/// A weight and a bias: of an affine map `x·W + b`, or of a layer norm.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// `[in, out]` of a map, `[hidden]` of a norm.
    pub weight: Array,
    /// `[out]` or `[hidden]`
    pub bias: Array,
}

/// The head with which BERT was pre-trained (Devlin et al., 2019, appendix A): an affine map to the
/// width of the embeddings, the encoder's activation and a layer norm; then the product with each
/// token's word embedding, plus that token's bias. The embeddings are the encoder's own, so they are no
/// part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct LanguageHead {
    /// `[hidden, embedding size]` and `[embedding size]`
    pub transform: Affine,
    /// `[embedding size]` each
    pub norm: Affine,
    /// `[vocabulary]`
    pub bias: Array,
    pub layer_norm_eps: f64,
    pub activation: Activation,
}

impl LanguageHead {
    /// Takes the head's parameters; each must be there, in the shape that the encoder asks for,
    /// and finite. What else `arrays` holds is left out.
    pub fn new(
        architecture: &Architecture,
        mut arrays: BTreeMap<String, Array>,
    ) -> Result<Self, WeightsError> {
        let mut next = |name: &str| {
            let expected = Self::shape(architecture, name);
            take(&mut arrays, name, &expected)
        };
        Ok(Self {
            transform: Affine {
                weight: next("language_head.transform.weight")?,
                bias: next("language_head.transform.bias")?,
            },
            norm: Affine {
                weight: next("language_head.norm.weight")?,
                bias: next("language_head.norm.bias")?,
            },
            bias: next("language_head.bias")?,
            layer_norm_eps: architecture.layer_norm_eps,
            activation: architecture.activation,
        })
    }

    /// Name and shape of every parameter, in the order of a forward pass.
    pub fn parameters(architecture: &Architecture) -> Vec<(String, Vec<usize>)> {
        ["transform.weight", "transform.bias", "norm.weight", "norm.bias", "bias"]
            .map(|name| format!("language_head.{name}"))
            .map(|name| (name.clone(), Self::shape(architecture, &name)))
            .to_vec()
    }

    fn shape(architecture: &Architecture, name: &str) -> Vec<usize> {
        match name {
            "language_head.transform.weight" => {
                vec![architecture.hidden_size, architecture.embedding_size()]
            }
            "language_head.bias" => vec![architecture.vocabulary_size],
            _ => vec![architecture.embedding_size()],
        }
    }

    /// The parameters by their names, in the order of a forward pass.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Array)> {
        [
            ("language_head.transform.weight", &self.transform.weight),
            ("language_head.transform.bias", &self.transform.bias),
            ("language_head.norm.weight", &self.norm.weight),
            ("language_head.norm.bias", &self.norm.bias),
            ("language_head.bias", &self.bias),
        ]
        .into_iter()
    }

    /// Logits of these tokens where `vector`, `[hidden]`, is the encoder's output, in the order of
    /// `ids`. `word_embeddings` are the encoder's, `[vocabulary, embedding size]`; each id must be one
    /// of the vocabulary's.
    pub fn logits(&self, vector: &[f32], word_embeddings: &Array, ids: &[u32]) -> Vec<f32> {
        let transformed = self.transformed(vector);
        let hidden = transformed.len();
        ids.iter()
            .map(|&id| {
                let id = id as usize;
                let embedding = &word_embeddings.data[id * hidden..(id + 1) * hidden];
                dot(&transformed, embedding) + self.bias.data[id]
            })
            .collect()
    }

    /// `norm(activation(x·W + b))`, `[embedding size]`: what the word embeddings are multiplied with.
    pub fn transformed(&self, vector: &[f32]) -> Vec<f32> {
        let mut y = self.transform.bias.data.clone();
        let columns = y.len();
        for (value, row) in vector.iter().zip(self.transform.weight.data.chunks_exact(columns)) {
            for (sum, weight) in y.iter_mut().zip(row) {
                *sum += value * weight;
            }
        }
        y.iter_mut().for_each(|x| *x = activate(self.activation, *x));
        self.normalised(&y)
    }

    fn normalised(&self, x: &[f32]) -> Vec<f32> {
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / x.len() as f64;
        let centre = mean(&mut x.iter().map(|x| f64::from(*x)));
        let variance = mean(&mut x.iter().map(|x| (f64::from(*x) - centre).powi(2)));
        let scale = 1.0 / (variance + self.layer_norm_eps).sqrt();
        let parameters = self.norm.weight.data.iter().zip(&self.norm.bias.data);
        x.iter()
            .zip(parameters)
            .map(|(x, (weight, bias))| ((f64::from(*x) - centre) * scale) as f32 * weight + bias)
            .collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The activation by its definition, computed in 64 bits.
fn activate(activation: Activation, x: f32) -> f32 {
    let x = f64::from(x);
    let y = match activation {
        Activation::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }
        Activation::Relu => x.max(0.0),
    };
    y as f32
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::weights::tests::small;

    /// A head for the small encoder: every value is different.
    pub(crate) fn small_head() -> LanguageHead {
        let architecture = small().architecture;
        LanguageHead::new(&architecture, arrays(&architecture)).expect("a complete head")
    }

    fn arrays(architecture: &Architecture) -> BTreeMap<String, Array> {
        let mut count = 0;
        let mut next = || {
            count += 1;
            (f64::from(count) * 0.7).sin() as f32
        };
        let parameters = LanguageHead::parameters(architecture).into_iter();
        let filled = parameters.map(|(name, shape)| {
            let data = (0..shape.iter().product()).map(|_| next()).collect();
            (name, Array { shape, data })
        });
        filled.collect()
    }

    #[test]
    fn parameters_must_be_there_in_shape_and_finite() {
        let architecture = small().architecture;
        let check = |change: &dyn Fn(&mut BTreeMap<String, Array>), words: &str| {
            let mut arrays = arrays(&architecture);
            change(&mut arrays);
            let error = LanguageHead::new(&architecture, arrays).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        };
        check(
            &|a| drop(a.remove("language_head.norm.bias")),
            "no parameter language_head.norm.bias",
        );
        let bias = "language_head.bias";
        check(&|a| a.get_mut(bias).expect("there").shape[0] = 21, "[21], expected [20]");
        check(&|a| a.get_mut(bias).expect("there").data.truncate(19), "expected [20]");
        check(&|a| a.get_mut(bias).expect("there").data[3] = f32::NAN, "not finite");
    }

    #[test]
    fn names_and_shapes_are_those_of_the_parameters() {
        let head = small_head();
        let found: Vec<_> =
            head.iter().map(|(name, array)| (name.to_owned(), array.shape.clone())).collect();
        assert_eq!(found, LanguageHead::parameters(&small().architecture));
    }

    /// Worked by hand: two dimensions, of which the norm makes ±1.
    #[test]
    fn logits_are_those_of_the_tied_decoder() {
        let array =
            |shape: &[usize], data: &[f32]| Array { shape: shape.to_vec(), data: data.to_vec() };
        let head = LanguageHead {
            transform: Affine {
                // Not symmetric: a transposed product gives another sign.
                weight: array(&[2, 2], &[1.0, 3.0, 0.0, 1.0]),
                bias: array(&[2], &[0.5, 0.0]),
            },
            norm: Affine { weight: array(&[2], &[2.0, 3.0]), bias: array(&[2], &[0.25, -0.5]) },
            bias: array(&[3], &[10.0, 20.0, 30.0]),
            layer_norm_eps: 1e-12,
            activation: Activation::Gelu,
        };
        // x·W + b = [1.5, 2.0]; after GELU still in this order, so the norm gives [-1, 1].
        let transformed = head.transformed(&[1.0, -1.0]);
        let embeddings = array(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 2.0]);
        let logits = head.logits(&[1.0, -1.0], &embeddings, &[2, 0]);
        for (found, expected) in transformed.iter().chain(&logits).zip([-1.75, 2.5, 33.25, 8.25]) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    /// Digits from a computation with 30 significant places.
    #[test]
    fn activations_are_what_their_definitions_say() {
        for (x, gelu, tanh) in [
            (-3.0, -0.004_049_694, -0.003_637_392),
            (-0.75, -0.169_970_51, -0.170_039_44),
            (0.0, 0.0, 0.0),
            (0.5, 0.345_731_23, 0.345_714_02),
            (2.0, 1.954_499_7, 1.954_597_7),
        ] {
            let check = |activation, expected: f32| {
                let found = activate(activation, x);
                assert!((found - expected).abs() < 1e-7, "{activation:?} of {x} is {found}");
            };
            check(Activation::Gelu, gelu);
            check(Activation::GeluTanh, tanh);
            check(Activation::Relu, x.max(0.0));
        }
    }
}
