//! Functions and types that a pickle may name.

use crate::import::model_files::{
    element::Element,
    error::{PickleError, shown},
};

/// Function or type by which a pickle makes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`: a tensor over a storage.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`: a tensor that is trained.
    RebuildParameter,
    Storage(StorageKind),
}

/// Number type of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageKind {
    Double,
    Float,
    Half,
    BFloat16,
    Long,
    Int,
    Short,
    Char,
    Byte,
    Bool,
}

impl Global {
    /// Function or type of this name; any other is refused.
    pub fn named(module: &str, name: &str) -> Result<Self, PickleError> {
        let known = match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", name) => StorageKind::named(name).map(Self::Storage),
            _ => None,
        };
        known.ok_or_else(|| PickleError::Global {
            global: format!("{}.{}", shown(module), shown(name)),
        })
    }
}

impl StorageKind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "DoubleStorage" => Self::Double,
            "FloatStorage" => Self::Float,
            "HalfStorage" => Self::Half,
            "BFloat16Storage" => Self::BFloat16,
            "LongStorage" => Self::Long,
            "IntStorage" => Self::Int,
            "ShortStorage" => Self::Short,
            "CharStorage" => Self::Char,
            "ByteStorage" => Self::Byte,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of a value.
    pub fn bytes(self) -> u64 {
        match self {
            Self::Double | Self::Long => 8,
            Self::Float | Self::Int => 4,
            Self::Half | Self::BFloat16 | Self::Short => 2,
            Self::Char | Self::Byte | Self::Bool => 1,
        }
    }

    /// Type by which values are read.
    pub fn element(self) -> Element {
        let other = |name: &str| Element::Other(name.to_owned());
        match self {
            Self::Double => Element::F64,
            Self::Float => Element::F32,
            Self::Half => Element::F16,
            Self::BFloat16 => Element::Bf16,
            // As safetensors names them.
            Self::Long => other("I64"),
            Self::Int => other("I32"),
            Self::Short => other("I16"),
            Self::Char => other("I8"),
            Self::Byte => other("U8"),
            Self::Bool => other("BOOL"),
        }
    }
}
