//! A look at a Parquet footer before the library takes it in: the library follows its schema as deep
//! as it goes, and makes room for as many columns as it says.
//!
//! The footer is a struct of Thrift's compact protocol, and its second field the schema: a list of
//! elements, each with the number of its children, which come after it. What is not as the format has
//! it is refused, for the library reads numbers and texts without a look at what a field says it is.

/// Elements of a schema at most: columns, and what they are made of.
const MAX_ELEMENTS: u64 = 1 << 16;

/// Groups within each other at most. A list takes two.
const MAX_DEPTH: usize = 100;

/// Structs and lists of Thrift within each other, in what is passed over.
const MAX_SKIP_DEPTH: usize = 32;

/// Types of Thrift's compact protocol.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Says what is wrong with the schema of a footer, if anything.
///
/// # Errors
///
/// If it is too large, too deep, or not as the format has it.
pub fn check_schema(footer: &[u8]) -> Result<(), String> {
    let mut thrift = Thrift { bytes: footer };
    let found = thrift.schema();
    found.unwrap_or_else(|| Err("its footer is damaged".to_owned()))
}

struct Thrift<'a> {
    bytes: &'a [u8],
}

/// What does not fit is `None`: the footer is damaged.
impl Thrift<'_> {
    fn schema(&mut self) -> Option<Result<(), String>> {
        let mut last = 0;
        loop {
            match self.field(&mut last)?? {
                (1, I32) => _ = self.varint()?,
                (2, LIST) => return self.elements(),
                _ => return None,
            }
        }
    }

    /// All elements, and whether they are children of each other as they say.
    fn elements(&mut self) -> Option<Result<(), String>> {
        let (kind, count) = self.list()?;
        if count > MAX_ELEMENTS {
            return Some(Err(format!(
                "its schema has {count} elements, and no more than {MAX_ELEMENTS} are taken"
            )));
        }
        // For each group around an element the children that are to come.
        let mut open: Vec<u64> = Vec::new();
        for at in 0..count {
            let children = (kind == STRUCT).then(|| self.element())??;
            match open.last_mut() {
                Some(left) => *left -= 1,
                None if at > 0 => return None,
                None => {}
            }
            if children > count - at - 1 {
                return None;
            }
            if children > 0 {
                open.push(children);
            }
            if open.len() > MAX_DEPTH {
                return Some(Err(format!(
                    "its schema is more than {MAX_DEPTH} groups deep, which are not taken"
                )));
            }
            while open.last() == Some(&0) {
                open.pop();
            }
        }
        open.is_empty().then_some(Ok(()))
    }

    /// Passes over an element; the number of its children.
    fn element(&mut self) -> Option<u64> {
        let (mut last, mut children) = (0, 0);
        while let Some((id, kind)) = self.field(&mut last)? {
            match (id, kind) {
                (5, I32) => {
                    let number = self.varint()?;
                    // Of the signs the even ones are positive.
                    children = (number % 2 == 0).then_some(number / 2)?;
                }
                (1..=3 | 6..=9, I32) => _ = self.varint()?,
                (4, BINARY) => self.binary()?,
                (10, STRUCT) => self.logical_type()?,
                (11.., kind) => self.skip(kind, MAX_SKIP_DEPTH)?,
                _ => return None,
            }
        }
        Some(children)
    }

    /// A union: of most kinds nothing is said but which it is.
    fn logical_type(&mut self) -> Option<()> {
        let mut last = 0;
        while let Some((id, kind)) = self.field(&mut last)? {
            let parts: &[&[u8]] = match (id, kind) {
                (5, STRUCT) => &[&[I32], &[I32]],
                (7 | 8, STRUCT) => &[&[TRUE, FALSE], &[STRUCT]],
                (10, STRUCT) => &[&[BYTE], &[TRUE, FALSE]],
                (16, STRUCT) => &[&[BYTE]],
                (17, STRUCT) => &[&[BINARY]],
                (18, STRUCT) => &[&[BINARY], &[I32]],
                (_, STRUCT) => &[],
                _ => return None,
            };
            self.parts(parts)?;
        }
        Some(())
    }

    /// Passes over a struct whose first fields are of these types.
    fn parts(&mut self, parts: &[&[u8]]) -> Option<()> {
        let mut last = 0;
        while let Some((id, kind)) = self.field(&mut last)? {
            let part = usize::try_from(id).ok()?.checked_sub(1)?;
            let is_known = parts.get(part).is_none_or(|kinds| kinds.contains(&kind));
            is_known.then_some(())?;
            match kind {
                STRUCT => self.unit()?,
                kind => self.skip(kind, MAX_SKIP_DEPTH)?,
            }
        }
        Some(())
    }

    /// Passes over the unit of a time: a union, and again nothing is said but which it is.
    fn unit(&mut self) -> Option<()> {
        let mut last = 0;
        while let Some((_, kind)) = self.field(&mut last)? {
            (kind == STRUCT && self.byte()? == 0).then_some(())?;
        }
        Some(())
    }

    /// The number and type of the next field; nothing at the end of a struct.
    fn field(&mut self, last: &mut i64) -> Option<Option<(i64, u8)>> {
        let head = self.byte()?;
        let (step, kind) = (i64::from(head >> 4), head & 0x0f);
        if kind == 0 {
            return Some(None);
        }
        // Only fields that are far from each other, or out of order, are written with their number.
        // There are none in a footer.
        *last += (step > 0).then_some(step)?;
        Some(Some((*last, kind)))
    }

    /// The type of a list's elements, and how many there are.
    fn list(&mut self) -> Option<(u8, u64)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        Some((head & 0x0f, count))
    }

    fn binary(&mut self) -> Option<()> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Option<()> {
        self.bytes = self.bytes.get(length..)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for at in 0..10 {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(7 * at)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            TRUE | FALSE => Some(()),
            BYTE => self.take(1),
            DOUBLE => self.take(8),
            I16 | I32 | I64 => self.varint().map(drop),
            BINARY => self.binary(),
            LIST => {
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(kind, depth))
            }
            STRUCT => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.skip(kind, depth)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    /// In a list truth takes a byte, and elsewhere none.
    fn skip_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            TRUE | FALSE => self.take(1),
            kind => self.skip(kind, depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element called "a", as the format has it.
    fn element(children: u8) -> Vec<u8> {
        // Optional; its name; for a group the number of children, below 64; the end.
        let group = [0x15, 2 * children];
        let group = if children > 0 { &group[..] } else { &[] };
        [&[0x35, 2, 0x18, 1, b'a'], group, &[0]].concat()
    }

    fn footer(elements: &[Vec<u8>]) -> Vec<u8> {
        let count = elements.len();
        let count =
            [(count & 0x7f | 0x80) as u8, (count >> 7 & 0x7f | 0x80) as u8, (count >> 14) as u8];
        [&[0x15, 2, 0x19, 0xfc], &count[..], &elements.concat()].concat()
    }

    #[test]
    fn a_schema_is_as_deep_and_as_large_as_it_may_be() {
        let nested = |depth: usize| {
            let mut elements = vec![element(1); depth];
            elements.push(element(0));
            check_schema(&footer(&elements))
        };
        assert_eq!(nested(100), Ok(()));
        assert!(nested(101).is_err_and(|error| error.contains("100 groups deep")));
        assert!(nested(60_000).is_err_and(|error| error.contains("100 groups deep")));
        assert!(nested(70_000).is_err_and(|error| error.contains("70001 elements")));
        let flat = [vec![element(3)], vec![element(0); 2], vec![element(1), element(0)]].concat();
        assert_eq!(check_schema(&footer(&flat)), Ok(()));
        // Neither more children than there are nor fewer.
        assert!(check_schema(&footer(&flat[..4])).is_err());
        assert!(check_schema(&footer(&[&flat[..], &[element(0)]].concat())).is_err());
    }

    #[test]
    fn what_the_library_might_read_otherwise_is_refused() {
        let check = |element: &[u8]| {
            let elements = [vec![0x35, 2, 0x18, 1, b'a', 0x15, 2, 0], element.to_vec()];
            check_schema(&footer(&elements)).is_ok()
        };
        assert!(check(&[0x35, 2, 0x18, 1, b'a', 0]));
        // A converted type and a logical one: a text, and a time in UTC that counts milliseconds.
        assert!(check(&[0x35, 2, 0x18, 1, b'a', 0x25, 0, 0x4c, 0x1c, 0, 0, 0]));
        let time = [0x6c, 0x8c, 0x11, 0x1c, 0x1c, 0, 0, 0, 0, 0];
        assert!(check(&[&[0x35, 2, 0x18, 1, b'a'][..], &time].concat()));
        // A number that is said to be a text, a unit that is said to be a truth.
        assert!(!check(&[0x38, 1, 2, 0x18, 1, b'a', 0]));
        let time = [0x6c, 0x8c, 0x11, 0x1c, 0x11, 0, 0, 0, 0];
        assert!(!check(&[&[0x35, 2, 0x18, 1, b'a'][..], &time].concat()));
        assert!(!check(&[0x35, 2, 0x18, 200, 1, b'a', 0]));
        assert!(check_schema(&[]).is_err());
    }
}
