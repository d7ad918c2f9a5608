//! Reads rows of any file that a verb is given: separated values, JSON Lines, a JSON array, Parquet
//! or plain lines, each also packed with gzip or Zstandard, in UTF-8, UTF-16 or Windows-1252.
//!
//! [`open`] looks at the beginning of a file and says how it is written ([`Dialect`]). [`Records`]
//! cuts its text into records and knows their lines and places, [`ArrowRows`] reads Parquet. On top
//! of both, [`RowReader`] gives one row after the other with its cells, which is all that data sets
//! need; scoring files in bulk works on records, which keep what it passes on.

mod cells;
mod columnar;
mod columns;
mod dialect;
mod encoding;
mod error;
mod excerpt;
mod fields;
mod format;
mod json;
mod open;
mod origin;
mod packing;
mod peek;
mod reader;
mod records;
mod separated;
mod survey;

pub use cells::{has_json, is_text, json, text};
pub use columnar::{ArrowRows, PartWriter, Stretch, concatenate, schema};
pub use columns::{Column, ColumnKind, MAX_COLUMNS, MAX_NAME_BYTES, NameLimits, shown};
pub use dialect::{Dialect, ReadOptions};
pub use encoding::Encoding;
pub use error::RowsError;
pub use excerpt::excerpt;
pub use fields::{FieldColumn, find_field, known_names};
pub use format::Format;
pub use json::{Entries, Entry, entry_text, extended, text_of};
pub use open::{BUFFER_BYTES, Opened, RowInput, Text, open, open_at};
pub use origin::{Origin, STANDARD_INPUT};
pub use packing::Packing;
pub use reader::{Cell, Row, RowFault, RowReader, read_header};
pub use records::{Grammar, Position, Record, Records};
pub use separated::{Separated, cells_of, row_fault};
pub use survey::Survey;
