//! How many parts a graph's file has, counted before any memory is taken for them.
//!
//! A message of protobuf that says nothing has two bytes in a file and a hundred times as many in
//! memory, so that the size of a file says little about what reading it takes.

use prost::{
    bytes::Buf,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

/// Fields of all messages of a file. An encoder of 128 layers has 180,000; so many take 130 MB at
/// most.
pub(crate) const MAX_FIELDS: usize = 1 << 19;

/// A message of `messages`, by what it consists of.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    Shape,
    /// Without parts of its own.
    Leaf,
}

impl Message {
    /// The message that a field holds, if it holds one.
    fn part(self, tag: u32) -> Option<Self> {
        Some(match (self, tag) {
            (Self::Model, 7) => Self::Graph,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5) => Self::Tensor,
            (Self::Graph, 11 | 12) => Self::Value,
            (Self::Node, 5) => Self::Attribute,
            (Self::Value, 2) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Model, 8) | (Self::Tensor, 13) | (Self::Shape, 1) => Self::Leaf,
            _ => return None,
        })
    }
}

/// Whether a model has no more than [`MAX_FIELDS`] fields, up to where it stops being one.
pub(crate) fn is_small(model: &[u8]) -> bool {
    let mut left = MAX_FIELDS;
    count(model, Message::Model, &mut left);
    left > 0
}

/// `None` where the bytes are no message; who decodes them will say so.
fn count(mut bytes: &[u8], message: Message, left: &mut usize) -> Option<()> {
    while bytes.has_remaining() && *left > 0 {
        *left -= 1;
        let (tag, wire_type) = decode_key(&mut bytes).ok()?;
        if wire_type != WireType::LengthDelimited {
            skip_field(wire_type, tag, &mut bytes, DecodeContext::default()).ok()?;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
        let (inside, rest) = bytes.split_at_checked(length)?;
        if let Some(part) = message.part(tag) {
            count(inside, part, left)?;
        }
        bytes = rest;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        export::to_onnx,
        weights::{Precision, tests::small},
    };

    /// A field with these bytes.
    fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![tag << 3 | 2];
        prost::encoding::encode_varint(bytes.len() as u64, &mut field);
        field.extend(bytes);
        field
    }

    #[test]
    fn parts_are_counted_wherever_they_are() {
        assert!(is_small(&to_onnx(&small(), Precision::Int8, "w").graph));
        assert!(is_small(b""));
        assert!(is_small(b"\xff\xff"));
        let empty = field(1, b"");
        let nodes = field(7, &empty.repeat(MAX_FIELDS));
        assert!(!is_small(&nodes));
        // Names of a node, entries of a tensor, dimensions of an input.
        for path in [[1, 1].as_slice(), &[5, 13], &[11, 2, 1, 2, 1], &[1, 5, 5, 13]] {
            let (last, outer) = path.split_last().expect("not empty");
            let mut bytes = field(*last, b"").repeat(MAX_FIELDS);
            for tag in outer.iter().rev() {
                bytes = field(*tag, &bytes);
            }
            assert!(!is_small(&field(7, &bytes)), "{path:?}");
        }
        // What is not kept costs nothing.
        assert!(is_small(&field(7, &field(3, &empty.repeat(MAX_FIELDS)))));
    }
}
