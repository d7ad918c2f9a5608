//! Turns the tensors of a Hugging Face model into our arrays.

use std::collections::{BTreeMap, BTreeSet};

use super::{ImportError, model_files::TensorFiles};
use crate::{
    architecture::{Architecture, Family, ParameterSpec, Piece, Role, Rows, Source},
    weights::{Array, EncoderWeights, LanguageHead, WeightsError},
};

/// Rows that a table of positions may have before that of the first position: the padding token's id is
/// one of the first.
const MAX_PADDING_ROWS: usize = 8;

/// The tensors of a model that were read.
pub struct Found {
    pub weights: EncoderWeights,
    pub language_head: Option<LanguageHead>,
    /// Parts that were left out, each with the reason.
    pub notes: Vec<String>,
}

/// Parts of names that need no note when they are left out: poolers and heads of pretraining, buffers, and
/// copies of what is read.
const EXPECTED_EXTRAS: [&str; 8] = [
    "position_ids",
    "pooler.",
    "seq_relationship.",
    "sop_classifier.",
    "discriminator_predictions.",
    "mask_predictions.",
    "decoder.bias",
    "rotary_emb.",
];

/// The encoder of this architecture in a model's files, and its language head.
pub fn read(
    files: TensorFiles,
    family: &'static Family,
    architecture: &Architecture,
) -> Result<Found, ImportError> {
    let model = ModelTensors { files, family };
    model.refuse()?;
    let weights = model.encoder(architecture)?;
    let mut notes = Vec::new();
    let language_head = model.language_head(&weights).unwrap_or_else(|why| {
        notes.push(format!("{why}; the language head is left out"));
        None
    });
    notes.extend(model.extras(architecture));
    Ok(Found { weights, language_head, notes })
}

/// The tensors of a file under a family's names.
pub(super) struct ModelTensors {
    files: TensorFiles,
    pub(super) family: &'static Family,
}

impl ModelTensors {
    /// Refuses a file of a model that is not meant to be imported.
    fn refuse(&self) -> Result<(), ImportError> {
        for (beginning, reason) in self.family.refused {
            if self.files.names().any(|name| name.starts_with(beginning)) {
                let path = self.location();
                return Err(ImportError::Model { path, reason });
            }
        }
        Ok(())
    }

    fn encoder(&self, architecture: &Architecture) -> Result<EncoderWeights, ImportError> {
        let parameters = architecture.parameters();
        self.require(&parameters)?;
        let mut arrays = BTreeMap::new();
        for parameter in parameters {
            arrays.insert(parameter.name.clone(), self.parameter(&parameter)?);
        }
        EncoderWeights::new(architecture.clone(), arrays).map_err(|source| self.fault(source))
    }

    /// Names every tensor that the encoder needs and the file lacks.
    fn require(&self, parameters: &[ParameterSpec]) -> Result<(), ImportError> {
        let needed = parameters.iter().flat_map(|parameter| self.tensors_of(parameter));
        let missing: Vec<String> = needed.filter(|name| self.spelling(name).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(ImportError::Missing { path: self.location(), missing: list(&missing) })
    }

    /// Names the tensors that nothing was made of, if they are not to be expected.
    fn extras(&self, architecture: &Architecture) -> Option<String> {
        let parameters = architecture.parameters();
        let encoder = parameters.iter().flat_map(|parameter| self.tensors_of(parameter));
        let used: BTreeSet<String> = encoder.filter_map(|name| self.spelling(&name)).collect();
        let of_head = |name: &str| {
            self.family.language_heads.iter().any(|head| {
                let parts = [head.transform, head.norm, head.decoder]
                    .into_iter()
                    .chain(head.bias.iter().copied());
                parts.into_iter().any(|part| name.contains(part))
            })
        };
        let extras = self.files.names().filter(|name| {
            !used.contains(*name)
                && !of_head(name)
                && !EXPECTED_EXTRAS.iter().any(|part| name.contains(part))
        });
        let extras: Vec<String> = extras.map(str::to_owned).collect();
        (!extras.is_empty())
            .then(|| format!("left out, as no part of the encoder: {}", list(&extras)))
    }

    /// The full names of the tensors that make a parameter.
    fn tensors_of(&self, parameter: &ParameterSpec) -> Vec<String> {
        match self.family.source(&parameter.name) {
            Some(Source::Stacked(pieces)) => {
                pieces.iter().map(|piece| tensor_name(piece.tensor, parameter)).collect()
            }
            Some(Source::Positions { table, plus }) => {
                let names = std::iter::once(table).chain(plus);
                names.map(|name| tensor_name(name, parameter)).collect()
            }
            Some(Source::Kernel(tensor)) => vec![tensor_name(tensor, parameter)],
            None => Vec::new(),
        }
    }

    fn parameter(&self, parameter: &ParameterSpec) -> Result<Array, ImportError> {
        match self.family.source(&parameter.name) {
            Some(Source::Stacked(pieces)) => self.stacked(pieces, parameter),
            Some(Source::Positions { table, plus }) => self.positions(table, plus, parameter),
            Some(Source::Kernel(tensor)) => self.kernel(tensor, parameter),
            None => Err(self.fault(WeightsError::Missing { name: parameter.name.clone() })),
        }
    }

    /// Pieces one after the other along the outputs; a linear layer's turned from `[out, in]`.
    fn stacked(&self, pieces: &[Piece], parameter: &ParameterSpec) -> Result<Array, ImportError> {
        let is_linear = parameter.role == Role::Linear;
        let (outputs, rest) = match (is_linear, parameter.shape.as_slice()) {
            (true, [inputs, outputs]) => (*outputs, vec![*inputs]),
            (_, [first, rest @ ..]) => (*first, rest.to_vec()),
            (_, []) => (1, Vec::new()),
        };
        let each = outputs / pieces.len();
        let mut data = Vec::with_capacity(parameter.shape.iter().product());
        for piece in pieces {
            let name = tensor_name(piece.tensor, parameter);
            let (from, rows) = match piece.rows {
                Rows::All => (0, each),
                Rows::Parts { from, to, of } => {
                    let part = each / (to - from);
                    (from * part, of * part)
                }
            };
            let shape: Vec<usize> = std::iter::once(rows).chain(rest.iter().copied()).collect();
            let array = self.array(&name, &shape)?;
            let width: usize = rest.iter().product();
            data.extend_from_slice(&array.data[from * width..(from + each) * width]);
        }
        if !is_linear {
            return Ok(Array { shape: parameter.shape.clone(), data });
        }
        let inputs = rest.iter().product();
        Ok(Array { shape: parameter.shape.clone(), data: transposed(&data, outputs, inputs) })
    }

    fn positions(
        &self,
        table: &str,
        plus: Option<&str>,
        parameter: &ParameterSpec,
    ) -> Result<Array, ImportError> {
        let name = tensor_name(table, parameter);
        let (rows, width) = (parameter.shape[0], parameter.shape[1]);
        let found = self.shape(&name)?;
        let is_good = found.len() == 2
            && found[1] == width
            && (rows..=rows + MAX_PADDING_ROWS).contains(&found[0]);
        if !is_good {
            let expected = vec![rows, width];
            return Err(self.fault(WeightsError::Shape { name, found, expected }));
        }
        let array = self.array(&name, &found)?;
        let mut data = array.data[(found[0] - rows) * width..].to_vec();
        if let Some(plus) = plus {
            let name = tensor_name(plus, parameter);
            let types = self.shape(&name)?.first().copied().unwrap_or(0);
            let addend = self.array(&name, &[types, width])?;
            for row in data.chunks_exact_mut(width) {
                row.iter_mut().zip(&addend.data).for_each(|(sum, value)| *sum += value);
            }
        }
        Ok(Array { shape: parameter.shape.clone(), data })
    }

    /// Reads the kernel of a convolution, turned from `[out, in, kernel]` to `[kernel·in, out]`, or its bias.
    fn kernel(&self, tensor: &str, parameter: &ParameterSpec) -> Result<Array, ImportError> {
        let name = tensor_name(tensor, parameter);
        let [rows, outputs] = parameter.shape[..] else {
            return self.array(&name, &parameter.shape);
        };
        let kernel = (rows / outputs.max(1)).max(1);
        let inputs = rows / kernel;
        let array = self.array(&name, &[outputs, inputs, kernel])?;
        // Row `kernel·in + tap` of what is turned comes to row `tap·in + in`.
        let turned = transposed(&array.data, outputs, inputs * kernel);
        let mut data = Vec::with_capacity(turned.len());
        for tap in 0..kernel {
            for input in 0..inputs {
                data.extend_from_slice(&turned[(input * kernel + tap) * outputs..][..outputs]);
            }
        }
        Ok(Array { shape: parameter.shape.clone(), data })
    }

    pub(super) fn location(&self) -> String {
        self.files.location().display().to_string()
    }

    pub(super) fn fault(&self, source: WeightsError) -> ImportError {
        ImportError::Weights { path: self.location(), source }
    }

    /// The name under which the file has a tensor: with or without the family's prefix, norms also in
    /// TensorFlow's way.
    pub(super) fn spelling(&self, name: &str) -> Option<String> {
        let prefix = self.family.prefix;
        let mut all = vec![name.to_owned(), format!("{prefix}{name}")];
        for (modern, old) in
            [("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")]
        {
            if let Some(stem) = name.strip_suffix(modern) {
                all.push(format!("{stem}{old}"));
                all.push(format!("{prefix}{stem}{old}"));
            }
        }
        all.into_iter().find(|spelling| self.files.shape(spelling).is_some())
    }

    fn shape(&self, name: &str) -> Result<Vec<usize>, ImportError> {
        let spelling = self.spelling(name);
        let shape = spelling.as_deref().and_then(|spelling| self.files.shape(spelling));
        let missing = || self.fault(WeightsError::Missing { name: name.to_owned() });
        shape.map(<[usize]>::to_vec).ok_or_else(missing)
    }

    pub(super) fn array(&self, name: &str, expected: &[usize]) -> Result<Array, ImportError> {
        let found = self.shape(name)?;
        let name = self.spelling(name).unwrap_or_else(|| name.to_owned());
        if found != expected {
            let path = self.files.path(&name).display().to_string();
            let source = WeightsError::Shape { name, found, expected: expected.to_vec() };
            return Err(ImportError::Weights { path, source });
        }
        match self.files.read(&name)? {
            Some(array) => Ok(array),
            None => Err(self.fault(WeightsError::Missing { name })),
        }
    }
}

/// The full name of a tensor of this parameter's layer, with its kind where the parameter has none.
fn tensor_name(tensor: &str, parameter: &ParameterSpec) -> String {
    let kind = match parameter.role {
        Role::Bias => "bias",
        Role::Table | Role::Linear | Role::Scale => "weight",
    };
    let layer = parameter.layer.map_or_else(String::new, |layer| layer.to_string());
    format!("{}.{kind}", tensor.replace("{}", &layer))
}

pub(super) fn zeros(shape: &[usize]) -> Array {
    Array { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] }
}

/// `[rows, columns]` to `[columns, rows]`.
pub(super) fn transposed(data: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut turned = Vec::with_capacity(data.len());
    for column in 0..columns {
        turned.extend((0..rows).map(|row| data[row * columns + column]));
    }
    turned
}

/// The first of some names, and how many there are.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
