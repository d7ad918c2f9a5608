//! Values that a pickle makes, in one list; they refer to each other by number, so that a value may
//! hold itself and none is copied.

use super::globals::{Global, StorageKind};
use crate::import::model_files::{error::PickleError, stored_tensor::MAX_TENSORS};

/// Values that a pickle may make; a tensor takes fewer than 20.
const MAX_VALUES: usize = 40 * MAX_TENSORS;

/// Number of a value in [`Values`].
pub type Id = u32;

#[derive(Debug)]
pub enum Value<'a> {
    /// Number, truth value, `None` or bytes that no tensor needs.
    Other,
    Int(i64),
    Text(&'a str),
    Tuple(Box<[Id]>),
    /// Its items are not kept: no tensor needs them.
    List,
    Dictionary(Dictionary),
    Global(Global),
    Storage(Storage<'a>),
    Tensor(Box<Tensor<'a>>),
}

#[derive(Debug, Default)]
pub struct Dictionary {
    /// An `OrderedDict`, which may have attributes.
    pub ordered: bool,
    pub entries: Vec<(Id, Id)>,
}

/// Bytes of one or more tensors: a member of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage<'a> {
    pub kind: StorageKind,
    /// Name of the member below `data/`.
    pub key: &'a str,
    /// Number of values.
    pub values: u64,
}

/// View of a storage. Nothing is checked against the storage yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor<'a> {
    pub storage: Storage<'a>,
    /// First value in the storage.
    pub offset: u64,
    pub shape: Vec<usize>,
    /// Values from one to the next of each dimension; as many as the shape has.
    pub strides: Vec<u64>,
}

/// All values that a pickle has made.
#[derive(Debug, Default)]
pub struct Values<'a> {
    values: Vec<Value<'a>>,
    tensors: usize,
}

impl<'a> Values<'a> {
    pub fn add(&mut self, value: Value<'a>) -> Result<Id, PickleError> {
        if self.values.len() >= MAX_VALUES {
            return Err(PickleError::Limit { what: "values", limit: MAX_VALUES });
        }
        if matches!(value, Value::Tensor(_)) {
            self.tensors += 1;
            if self.tensors > MAX_TENSORS {
                return Err(PickleError::Limit { what: "tensors", limit: MAX_TENSORS });
            }
        }
        // MAX_VALUES fits.
        let id = Id::try_from(self.values.len())
            .map_err(|_| PickleError::Limit { what: "values", limit: MAX_VALUES })?;
        self.values.push(value);
        Ok(id)
    }

    pub fn get(&self, id: Id) -> Option<&Value<'a>> {
        self.values.get(id as usize)
    }

    pub fn dictionary(&self, id: Id) -> Option<&Dictionary> {
        match self.get(id)? {
            Value::Dictionary(dictionary) => Some(dictionary),
            _ => None,
        }
    }

    pub fn dictionary_mut(&mut self, id: Id) -> Option<&mut Dictionary> {
        match self.values.get_mut(id as usize)? {
            Value::Dictionary(dictionary) => Some(dictionary),
            _ => None,
        }
    }

    pub fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id)? {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub fn text(&self, id: Id) -> Option<&'a str> {
        match self.get(id)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn tensor(&self, id: Id) -> Option<&Tensor<'a>> {
        match self.get(id)? {
            Value::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// A number that is not negative.
    fn natural(&self, id: Id) -> Option<u64> {
        match self.get(id)? {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// Numbers of a tuple.
    fn naturals(&self, id: Id) -> Option<Vec<u64>> {
        self.tuple(id)?.iter().map(|item| self.natural(*item)).collect()
    }

    /// Storage that a persistent id names: `("storage", type, key, device, number of values)`.
    pub fn storage(&self, id: Id) -> Option<Storage<'a>> {
        let [kind, class, key, _device, values] = self.tuple(id)? else { return None };
        let Value::Global(Global::Storage(storage)) = self.get(*class)? else { return None };
        if self.text(*kind)? != "storage" {
            return None;
        }
        Some(Storage { kind: *storage, key: self.text(*key)?, values: self.natural(*values)? })
    }

    /// Dimensions that arguments of `_rebuild_tensor_v2` ask for, the more of size and stride.
    pub fn dimensions(&self, arguments: &[Id]) -> usize {
        let length =
            |at: usize| arguments.get(at).and_then(|id| self.tuple(*id)).map_or(0, <[_]>::len);
        length(2).max(length(3))
    }

    /// Tensor of `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, ...)`.
    pub fn rebuild_tensor(&self, arguments: &[Id]) -> Option<Tensor<'a>> {
        let [storage, offset, size, stride, _, _, ..] = arguments else { return None };
        let Value::Storage(storage) = self.get(*storage)? else { return None };
        let shape = self.naturals(*size)?.into_iter().map(usize::try_from);
        let shape: Vec<usize> = shape.collect::<Result<_, _>>().ok()?;
        let strides = self.naturals(*stride)?;
        let fits = shape.len() == strides.len();
        fits.then_some(Tensor { storage: *storage, offset: self.natural(*offset)?, shape, strides })
    }
}
