//! Reads the masked-language-model head of a model.

use std::collections::BTreeMap;

use super::{
    ImportError,
    tensors::{ModelTensors, transposed, zeros},
};
use crate::{
    architecture::{Activation, LanguageHeadNames},
    weights::{Array, EncoderWeights, LanguageHead},
};

impl ModelTensors {
    /// Reads the head; `None` when the file has none. The encoder can do without it, so no fault of it is
    /// fatal.
    pub(super) fn language_head(
        &self,
        encoder: &EncoderWeights,
    ) -> Result<Option<LanguageHead>, ImportError> {
        let has = |head: &&LanguageHeadNames| {
            self.spelling(&format!("{}.weight", head.transform)).is_some()
                || head.bias.iter().any(|name| self.spelling(name).is_some())
        };
        let Some(names) = self.family.language_heads.iter().find(has) else { return Ok(None) };
        if names.is_always_gelu && encoder.architecture.activation != Activation::Gelu {
            return Err(ImportError::HeadActivation { path: self.location() });
        }
        let embeddings = encoder.word_embeddings();
        if self.spelling(names.decoder).is_some()
            && self.array(names.decoder, &embeddings.shape)? != *embeddings
        {
            return Err(ImportError::Untied { path: self.location() });
        }
        let mut arrays = BTreeMap::new();
        for (name, shape) in LanguageHead::parameters(&encoder.architecture) {
            let array = self.of_language_head(names, &name, &shape)?;
            arrays.insert(name, array);
        }
        let head = LanguageHead::new(&encoder.architecture, arrays).map_err(|s| self.fault(s))?;
        Ok(Some(head))
    }

    fn of_language_head(
        &self,
        names: &LanguageHeadNames,
        parameter: &str,
        shape: &[usize],
    ) -> Result<Array, ImportError> {
        match parameter.strip_prefix("language_head.").unwrap_or(parameter) {
            "transform.weight" => {
                let (inputs, outputs) = (shape[0], shape[1]);
                let name = format!("{}.weight", names.transform);
                let array = self.array(&name, &[outputs, inputs])?;
                let data = transposed(&array.data, outputs, inputs);
                Ok(Array { shape: shape.to_vec(), data })
            }
            "norm.weight" => self.array(&format!("{}.weight", names.norm), shape),
            "transform.bias" => self.head_bias(names, names.transform, shape),
            "norm.bias" => self.head_bias(names, names.norm, shape),
            _ => {
                let found = names.bias.iter().find(|name| self.spelling(name).is_some());
                self.array(found.unwrap_or(&names.bias[0]), shape)
            }
        }
    }

    fn head_bias(
        &self,
        names: &LanguageHeadNames,
        of: &str,
        shape: &[usize],
    ) -> Result<Array, ImportError> {
        let name = format!("{of}.bias");
        if names.may_lack_biases && self.spelling(&name).is_none() {
            return Ok(zeros(shape));
        }
        self.array(&name, shape)
    }
}
