//! The input, looked at before anything is computed.

use std::{
    cell::Cell,
    fs::{self, File},
    io::Read,
    ops::Range,
    path::Path,
    time::SystemTime,
};

use arrow_schema::SchemaRef;

use super::{
    BulkError, Format, Job, columns::Layout, scoring::Stop, source::Place, stream::StoppableRead,
};
use crate::rows::{
    Column, Dialect, Opened, Position, ReadOptions, Records, RowInput, Survey, Text, has_json,
    is_text, open, read_header, schema, shown,
};

/// The input, looked at.
pub struct Given<'a> {
    pub name: String,
    /// Dialect of the file.
    pub dialect: Dialect,
    pub layout: Layout,
    /// The types of a Parquet file.
    pub schema: Option<SchemaRef>,
    pub kind: Kind<'a>,
}

/// What it comes from.
pub enum Kind<'a> {
    File {
        path: &'a Path,
        survey: Survey,
        seen: Seen,
        /// The rows that are to be scored.
        rows: Range<u64>,
    },
    /// Taken when the run begins.
    Stream(Cell<Option<Records<Text<'a>>>>),
}

/// By which a change of a file is noticed while it is read.
#[derive(PartialEq, Eq)]
pub struct Seen {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Seen {
    pub fn at(path: &Path) -> Result<Self, BulkError> {
        let metadata = fs::metadata(path).map_err(BulkError::read(&path.display().to_string()))?;
        Ok(Self { bytes: metadata.len(), modified: metadata.modified().ok() })
    }
}

fn layout(
    name: &str,
    columns: Option<Vec<Column>>,
    output: Format,
    job: &Job<'_>,
) -> Result<Layout, BulkError> {
    let predictor = job.predictor;
    // Without a threshold of its own the task decides for the label.
    let threshold = predictor.decision_threshold().and(predictor.threshold());
    Layout::new(name, columns, &predictor.file, threshold, job.naming, output)
}

impl<'a> Given<'a> {
    /// A file, read through once.
    pub fn of_file(
        path: &'a Path,
        reading: &ReadOptions,
        output: Format,
        job: &Job<'_>,
    ) -> Result<Self, BulkError> {
        let name = path.display().to_string();
        let seen = Seen::at(path)?;
        let survey = Survey::of(path, reading)?;
        let (columns, dialect) = (survey.columns.clone(), survey.dialect);
        let layout = layout(&name, Some(columns), output, job)?;
        let open = || survey.spooled.as_ref().map_or_else(|| File::open(path), File::try_clone);
        let types = || -> Result<SchemaRef, BulkError> {
            Ok(schema(open().map_err(BulkError::read(&name))?, &name)?)
        };
        let schema = (dialect.format == Format::Parquet).then(types).transpose()?;
        if let Some(schema) = &schema {
            check_types(&name, schema, &layout)?;
        }
        let rows = job.shard.map_or(0..survey.rows, |shard| shard.rows(survey.rows));
        let kind = Kind::File { path, survey, seen, rows };
        Ok(Self { name, dialect, layout, schema, kind })
    }

    /// A stream, read as far as the header.
    pub fn of_stream(
        name: String,
        stream: Box<dyn Read + Send>,
        reading: &ReadOptions,
        output: Format,
        job: &Job<'_>,
        stop: Stop<'a>,
    ) -> Result<Self, BulkError> {
        if job.shard.is_some() {
            return Err(BulkError::NeedsFile { what: "a shard" });
        }
        let stream = Box::new(StoppableRead::new(stream, stop)?);
        let Opened { dialect, input } = open(stream, &name, reading)?;
        let RowInput::Text(text) = input else {
            return Err(BulkError::NeedsFile { what: "Parquet" });
        };
        if dialect.format.is_json() && output != Format::Jsonl {
            return Err(BulkError::NeedsFile { what: "JSON as another format" });
        }
        let mut records = Records::new(text, dialect.grammar(), Position::default());
        let columns = match dialect.format.is_json() {
            true => None,
            false => Some(read_header(&name, dialect.separated, &mut records)?),
        };
        let layout = layout(&name, columns, output, job)?;
        let kind = Kind::Stream(Cell::new(Some(records)));
        Ok(Self { name, dialect, layout, schema: None, kind })
    }

    /// Where the first row is.
    pub fn start(&self) -> Place {
        match &self.kind {
            Kind::File { survey, .. } => Place { rows: 0, position: survey.start },
            Kind::Stream(_) => Place::default(),
        }
    }

    /// Rows that are to be scored, if that is known.
    pub fn total(&self) -> Option<u64> {
        match &self.kind {
            Kind::File { rows, .. } => Some(rows.end - rows.start),
            Kind::Stream(_) => None,
        }
    }
}

/// A field must be a text, and the output must be able to hold every column.
fn check_types(name: &str, schema: &SchemaRef, layout: &Layout) -> Result<(), BulkError> {
    for place in layout.fields.iter().filter_map(|field| field.place) {
        let field = schema.field(place);
        if !is_text(field.data_type()) {
            return Err(BulkError::NoText {
                path: name.to_owned(),
                column: shown(field.name()),
                found: shown(&field.data_type().to_string()),
            });
        }
    }
    let is_held = |kind| layout.output == Format::Parquet || has_json(kind);
    match schema.fields().iter().find(|field| !is_held(field.data_type())) {
        None => Ok(()),
        Some(field) => Err(BulkError::NotHeld {
            path: name.to_owned(),
            column: shown(field.name()),
            found: shown(&field.data_type().to_string()),
            format: layout.output,
        }),
    }
}
