//! Stack machine of a pickle: its instructions as far as dictionaries of tensors need them.

use std::{
    collections::{BTreeMap, HashMap},
    iter,
};

use super::{
    cursor::Cursor,
    globals::Global,
    values::{Dictionary, Id, Tensor, Value, Values},
};
use crate::import::model_files::{
    error::PickleError,
    stored_tensor::{MAX_DIMENSIONS, MAX_TENSORS},
};

/// Instructions that are carried out; a tensor takes fewer than 50.
const MAX_INSTRUCTIONS: usize = 160 * MAX_TENSORS;

/// Values on the stack. A dictionary is filled 1000 entries at a time.
const MAX_STACK: usize = 1 << 16;

/// Marks on the stack: nesting of tuples and dictionaries.
const MAX_MARKS: usize = 256;

/// Values that are remembered under a number; a tensor takes fewer than 10.
const MAX_MEMO: usize = 20 * MAX_TENSORS;

/// Entries of a dictionary in which others keep the tensors.
const NESTED: [&str; 2] = ["state_dict", "model"];

/// Tensors of the dictionary that a pickle makes, by their names.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<&str, Tensor<'_>>, PickleError> {
    let mut machine = Machine::new(bytes);
    let root = machine.run()?;
    machine.tensors(root)
}

struct Machine<'a> {
    cursor: Cursor<'a>,
    values: Values<'a>,
    stack: Vec<Id>,
    /// Heights of the stack at its marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            values: Values::default(),
            stack: vec![],
            marks: vec![],
            memo: HashMap::new(),
        }
    }

    /// Carries out all instructions and gives the value that they make.
    fn run(&mut self) -> Result<Id, PickleError> {
        const STOP: u8 = b'.';
        for _ in 0..MAX_INSTRUCTIONS {
            match self.cursor.opcode()? {
                STOP => return self.pop(),
                opcode => self.step(opcode)?,
            }
        }
        Err(PickleError::Limit { what: "instructions", limit: MAX_INSTRUCTIONS })
    }

    fn step(&mut self, opcode: u8) -> Result<(), PickleError> {
        match opcode {
            // PROTO, FRAME
            0x80 => self.protocol(),
            0x95 => self.cursor.array::<8>().map(drop),
            // MARK
            b'(' => self.mark(),
            // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memory(opcode),
            // GLOBAL, STACK_GLOBAL
            b'c' | 0x93 => self.global(opcode),
            // BINPERSID, REDUCE, BUILD
            b'Q' => self.persistent(),
            b'R' => self.reduce(),
            b'b' => self.build(),
            // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
            b')' => self.tuple(0),
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84)),
            b't' => self.marked().and_then(|count| self.tuple(count)),
            // APPEND, APPENDS, SETITEM, SETITEMS
            b'a' => self.append(1),
            b'e' => self.marked().and_then(|count| self.append(count)),
            b's' => self.set_items(2),
            b'u' => self.marked().and_then(|count| self.set_items(count)),
            _ => self.constant(opcode),
        }
    }

    /// Instructions that push a value of their own.
    fn constant(&mut self, opcode: u8) -> Result<(), PickleError> {
        let cursor = &mut self.cursor;
        let value = match opcode {
            // BINUNICODE, SHORT_BINUNICODE
            b'X' => {
                let bytes = u32::from_le_bytes(cursor.array()?);
                Value::Text(cursor.text(bytes as usize)?)
            }
            0x8c => {
                let bytes = cursor.u8()?;
                Value::Text(cursor.text(usize::from(bytes))?)
            }
            // BININT, BININT1, BININT2, LONG1
            b'J' => Value::Int(i64::from(i32::from_le_bytes(cursor.array()?))),
            b'K' => Value::Int(i64::from(cursor.u8()?)),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(cursor.array()?))),
            0x8a => {
                let bytes = cursor.u8()?;
                long(cursor.take(usize::from(bytes))?)
            }
            // BINFLOAT
            b'G' => cursor.array::<8>().map(|_| Value::Other)?,
            // NONE, NEWTRUE, NEWFALSE
            b'N' | 0x88 | 0x89 => Value::Other,
            // EMPTY_LIST, EMPTY_DICT
            b']' => Value::List,
            b'}' => Value::Dictionary(Dictionary::default()),
            _ => return Err(PickleError::Opcode { opcode, at: cursor.instruction() }),
        };
        self.push_new(value)
    }

    fn protocol(&mut self) -> Result<(), PickleError> {
        match self.cursor.u8()? {
            2..=5 => Ok(()),
            protocol => Err(PickleError::Protocol { protocol }),
        }
    }

    fn mark(&mut self) -> Result<(), PickleError> {
        if self.marks.len() >= MAX_MARKS {
            return Err(PickleError::Limit { what: "marks", limit: MAX_MARKS });
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn memory(&mut self, opcode: u8) -> Result<(), PickleError> {
        let key = match opcode {
            b'q' | b'h' => u32::from(self.cursor.u8()?),
            b'r' | b'j' => u32::from_le_bytes(self.cursor.array()?),
            _ => u32::try_from(self.memo.len()).map_err(|_| self.operand())?,
        };
        if matches!(opcode, b'h' | b'j') {
            let id = *self.memo.get(&key).ok_or_else(|| self.operand())?;
            return self.push(id);
        }
        let id = *self.stack.last().ok_or_else(|| self.operand())?;
        self.memo.insert(key, id);
        if self.memo.len() > MAX_MEMO {
            return Err(PickleError::Limit { what: "remembered values", limit: MAX_MEMO });
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<(), PickleError> {
        let (module, name) = if opcode == b'c' {
            (self.cursor.line()?, self.cursor.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            let text = |id| self.values.text(id).ok_or_else(|| self.operand());
            (text(module)?, text(name)?)
        };
        self.push_new(Value::Global(Global::named(module, name)?))
    }

    fn persistent(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let storage = self.values.storage(id).ok_or_else(|| self.operand())?;
        self.push_new(Value::Storage(storage))
    }

    fn reduce(&mut self) -> Result<(), PickleError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let wrong = self.operand();
        let Some(arguments) = self.values.tuple(arguments) else { return Err(wrong) };
        match (self.values.get(function), arguments) {
            (Some(Value::Global(Global::OrderedDict)), []) => {
                let dictionary = Dictionary { ordered: true, entries: vec![] };
                self.push_new(Value::Dictionary(dictionary))
            }
            (Some(Value::Global(Global::RebuildTensor)), arguments) => {
                if self.values.dimensions(arguments) > MAX_DIMENSIONS {
                    let (what, limit) = ("dimensions of a tensor", MAX_DIMENSIONS);
                    return Err(PickleError::Limit { what, limit });
                }
                let tensor = self.values.rebuild_tensor(arguments).ok_or(wrong)?;
                self.push_new(Value::Tensor(Box::new(tensor)))
            }
            (Some(Value::Global(Global::RebuildParameter)), [tensor, _, _]) => {
                let tensor = *tensor;
                self.values.tensor(tensor).ok_or(wrong)?;
                self.push(tensor)
            }
            _ => Err(wrong),
        }
    }

    /// Attributes are left out; only an `OrderedDict` has some, the metadata of a module's state.
    fn build(&mut self) -> Result<(), PickleError> {
        self.pop()?;
        let last = *self.stack.last().ok_or_else(|| self.operand())?;
        match self.values.dictionary(last) {
            Some(dictionary) if dictionary.ordered => Ok(()),
            _ => Err(self.operand()),
        }
    }

    /// Makes the last `count` values of the stack one tuple.
    fn tuple(&mut self, count: usize) -> Result<(), PickleError> {
        let items = self.pop_many(count)?.into_boxed_slice();
        self.push_new(Value::Tuple(items))
    }

    fn append(&mut self, count: usize) -> Result<(), PickleError> {
        self.pop_many(count)?;
        let list = self.stack.last().and_then(|id| self.values.get(*id));
        if matches!(list, Some(Value::List)) { Ok(()) } else { Err(self.operand()) }
    }

    fn set_items(&mut self, count: usize) -> Result<(), PickleError> {
        let items = self.pop_many(count)?;
        let wrong = self.operand();
        let last = *self.stack.last().ok_or_else(|| self.operand())?;
        let (pairs, rest) = items.as_chunks::<2>();
        let Some(dictionary) = self.values.dictionary_mut(last).filter(|_| rest.is_empty()) else {
            return Err(wrong);
        };
        dictionary.entries.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    fn push_new(&mut self, value: Value<'a>) -> Result<(), PickleError> {
        let id = self.values.add(value)?;
        self.push(id)
    }

    fn push(&mut self, id: Id) -> Result<(), PickleError> {
        if self.stack.len() >= MAX_STACK {
            return Err(PickleError::Limit { what: "values on the stack", limit: MAX_STACK });
        }
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        self.require(1)?;
        self.stack.pop().ok_or_else(|| self.operand())
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, PickleError> {
        self.require(count)?;
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    /// Nothing below the last mark is taken.
    fn require(&self, count: usize) -> Result<(), PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let there = self.stack.len().saturating_sub(floor);
        if there >= count { Ok(()) } else { Err(self.operand()) }
    }

    /// Removes the last mark and counts the values above it.
    fn marked(&mut self) -> Result<usize, PickleError> {
        let mark = self.marks.pop().ok_or_else(|| self.operand())?;
        self.stack.len().checked_sub(mark).ok_or_else(|| self.operand())
    }

    fn operand(&self) -> PickleError {
        PickleError::Operand { at: self.cursor.instruction() }
    }

    /// Tensors of the dictionary, or of the one in it that others keep them in.
    fn tensors(&self, root: Id) -> Result<BTreeMap<&'a str, Tensor<'a>>, PickleError> {
        let root = self.values.dictionary(root).ok_or(PickleError::NoTensors)?;
        let nested = NESTED.into_iter().filter_map(|wanted| {
            let mut entries = root.entries.iter().rev();
            let (_, value) = entries.find(|(key, _)| self.values.text(*key) == Some(wanted))?;
            self.values.dictionary(*value)
        });
        for dictionary in iter::once(root).chain(nested) {
            let tensors = self.named_tensors(dictionary)?;
            if !tensors.is_empty() {
                return Ok(tensors);
            }
        }
        Err(PickleError::NoTensors)
    }

    fn named_tensors(
        &self,
        dictionary: &Dictionary,
    ) -> Result<BTreeMap<&'a str, Tensor<'a>>, PickleError> {
        let mut tensors = BTreeMap::new();
        for (key, value) in &dictionary.entries {
            let (name, tensor) = (self.values.text(*key), self.values.tensor(*value));
            let (Some(name), Some(tensor)) = (name, tensor) else { continue };
            tensors.insert(name, tensor.clone());
            // One tensor may stand under any number of names.
            if tensors.len() > MAX_TENSORS {
                return Err(PickleError::Limit { what: "names of tensors", limit: MAX_TENSORS });
            }
        }
        Ok(tensors)
    }
}

/// Little-endian number in two's complement; one of more than 8 bytes is none that tensors need.
fn long(bytes: &[u8]) -> Value<'static> {
    let Some(last) = bytes.last() else { return Value::Int(0) };
    if bytes.len() > 8 {
        return Value::Other;
    }
    let mut number = [if *last >= 0x80 { 0xff } else { 0 }; 8];
    number[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(number))
}
