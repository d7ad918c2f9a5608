//! A run from its beginning, or from where another one was killed, to the output in its place.

use std::{path::Path, sync::atomic::AtomicBool};

use arrow_schema::SchemaRef;

use super::{
    BoxedEncoder, BulkError, Counts, Files, Format, Input, Job, LeastSure, Observer, Progress,
    Summary, Target, Unfinished,
    given::{Given, Kind, Seen},
    least_sure::Ranking,
    output::{Beginning, Output, Partial},
    pipeline::{Line, Stages},
    places::Places,
    render::{header, output_schema},
    scoring::{Scorer, Stop},
    source::{Place, Source},
    state::{Identity, State, of_stream},
};
use crate::rows::{Origin, PartWriter};

/// Scores the rows, one thread for each encoder, of which there is at least one.
///
/// # Errors
///
/// If the columns are not what they must be, if reading or writing fails, or if more rows fail than
/// may. A file that was begun is kept beside its place, and another run goes on with it.
pub fn run(
    files: Files<'_>,
    job: &Job<'_>,
    encoders: Vec<BoxedEncoder>,
    observer: &mut dyn Observer,
    interrupt: &AtomicBool,
) -> Result<Summary, BulkError> {
    let Files { input, reading, target, output_format } = files;
    match (output_format, &target) {
        (Format::Parquet, Target::Stream(_)) => return Err(BulkError::ParquetStream),
        (format @ (Format::Json | Format::Text), _) => {
            return Err(BulkError::NotWritten { format });
        }
        _ => {}
    }
    let stop = Stop::new(interrupt);
    let given = match as_stream(input)? {
        Input::File(path) => Given::of_file(path, &reading, output_format, job)?,
        Input::Stream(name, bytes) => {
            let stopped = stop.clone();
            match Given::of_stream(name, bytes, &reading, output_format, job, stopped) {
                // While it waited for the header.
                Err(error) if error.is_read() && stop.is_set() => {
                    return Err(BulkError::Interrupted { rows: 0, kept: false });
                }
                given => given?,
            }
        }
    };
    let run = Run { job, given, output_format, stop };
    if let Some(wanted) = job.naming.least_sure {
        return run.least_sure(wanted, target, encoders, observer);
    }
    match target {
        Target::File(out) => run.to_file(out, encoders, observer),
        Target::Stream(stream) => {
            let mut output = Output::Stream(stream, Counts::default());
            run.begin_stream(&mut output)?;
            run.go(run.given.start(), &mut output, encoders, observer)
        }
    }
}

/// What can be read twice stays a file; a pipe or a device is a stream.
fn as_stream(input: Input<'_>) -> Result<Input<'_>, BulkError> {
    let Input::File(path) = input else { return Ok(input) };
    let origin = Origin::new(path);
    match origin.regular()? {
        Some(_) => Ok(Input::File(path)),
        None => Ok(Input::Stream(origin.name(), origin.bytes()?)),
    }
}

struct Run<'a, 'j> {
    job: &'a Job<'j>,
    given: Given<'a>,
    output_format: Format,
    stop: Stop<'a>,
}

impl<'a> Run<'a, '_> {
    fn to_file(
        &self,
        out: &Path,
        encoders: Vec<BoxedEncoder>,
        observer: &mut dyn Observer,
    ) -> Result<Summary, BulkError> {
        let (job, path) = (self.job, out.display().to_string());
        self.check_other_file(out)?;
        let places = Places::of(out);
        let identity = self.identity();
        let (Some(identity), Some(total)) = (identity, self.given.total()) else {
            return self.stream_to_file(places, encoders, observer);
        };
        let unfinished = places.unfinished(job.unfinished)?;
        if let Some(state) = &unfinished {
            state.check(&identity)?;
            if places.is_finished(state, total, job.replace)? {
                return Ok(self.was_there(state.counts));
            }
            // Somebody else's, which may stay: said now, and not when all rows are computed.
            if out.exists() && !job.replace {
                return Err(BulkError::Exists { path });
            }
        } else if out.exists() && !job.replace {
            // Asked to see to it that a run is finished, and nothing of one is left.
            let is_done = job.unfinished == Unfinished::Resume && !places.has_partial();
            return match is_done {
                true => Ok(self.was_there(Counts::default())),
                false => Err(BulkError::Exists { path }),
            };
        }
        let from = unfinished.as_ref().map_or(self.given.start(), |state| state.place);
        let partial = self.partial(places, identity, unfinished)?;
        let mut output = Output::File(Box::new(partial));
        let summary = self.go(from, &mut output, encoders, observer)?;
        self.finish(output)?;
        Ok(summary)
    }

    /// A stream cannot be read again, so nothing of it is ever gone on with, and nothing of it is left
    /// beside the output.
    fn stream_to_file(
        &self,
        places: Places,
        encoders: Vec<BoxedEncoder>,
        observer: &mut dyn Observer,
    ) -> Result<Summary, BulkError> {
        match self.job.unfinished {
            Unfinished::Resume => return Err(BulkError::NeedsFile { what: "--resume" }),
            Unfinished::Refuse if places.has_partial() && !places.is_of_stream()? => {
                return Err(BulkError::Leftover { path: places.out.display().to_string() });
            }
            Unfinished::Refuse | Unfinished::Restart => {}
        }
        if places.out.exists() && !self.job.replace {
            return Err(BulkError::Exists { path: places.out.display().to_string() });
        }
        let kept = places.clone();
        let mut output = Output::File(Box::new(self.partial(places, of_stream(), None)?));
        let scored = self.go(self.given.start(), &mut output, encoders, observer);
        let finished = scored.and_then(|summary| {
            self.finish(output)?;
            Ok(summary)
        });
        if finished.is_err() {
            // The error that matters is the first.
            let _ = kept.clear();
        }
        finished
    }

    /// Keeps the least sure rows until all have gone by, and writes them then: nothing of a run that
    /// was killed is left, and none is gone on with.
    fn least_sure(
        &self,
        wanted: LeastSure,
        target: Target<'_>,
        encoders: Vec<BoxedEncoder>,
        observer: &mut dyn Observer,
    ) -> Result<Summary, BulkError> {
        if self.job.unfinished == Unfinished::Resume {
            return Err(BulkError::NotResumable);
        }
        if let Target::File(out) = &target {
            self.check_other_file(out)?;
            let path = || out.display().to_string();
            Places::of(out).unfinished(self.job.unfinished)?;
            if out.exists() && !self.job.replace {
                return Err(BulkError::Exists { path: path() });
            }
        }
        let mut ranking = Ranking::new(wanted.limit);
        let mut output = Output::Ranking(&mut ranking);
        let summary = self.go(self.given.start(), &mut output, encoders, observer)?;
        let (kept, counts) =
            (ranking.len() as u64, Counts { rows: ranking.len() as u64, ..Counts::default() });
        let rows = ranking.into_rows(self.schema().as_ref())?;
        let mut output = match target {
            Target::File(out) => {
                let identity = Identity::from([("the order".to_owned(), "uncertain".to_owned())]);
                Output::File(Box::new(self.partial(Places::of(out), identity, None)?))
            }
            Target::Stream(stream) => Output::Stream(stream, Counts::default()),
        };
        self.begin_stream(&mut output)?;
        output.write(&rows, self.given.start(), counts, None)?;
        self.finish(output)?;
        Ok(Summary { kept: Some(kept), ..summary })
    }

    fn partial(
        &self,
        places: Places,
        identity: Identity,
        unfinished: Option<State>,
    ) -> Result<Partial, BulkError> {
        let beginning =
            Beginning { identity, header: header(&self.given.layout)?, place: self.given.start() };
        let rows = self.given.total().unwrap_or(0);
        let group_rows = self.job.group_rows.get();
        let parts = self.schema().map(|schema| PartWriter::new(schema, rows, group_rows));
        Partial::open(places, beginning, unfinished, parts, self.job.save_interval)
    }

    fn finish(&self, output: Output<'_>) -> Result<(), BulkError> {
        if let Kind::File { path, seen, .. } = &self.given.kind
            && Seen::at(path)? != *seen
        {
            return Err(BulkError::Changed { path: self.given.name.clone() });
        }
        match output {
            Output::File(partial) => partial.finish(self.job.replace),
            Output::Stream(_, _) | Output::Ranking(_) => Ok(()),
        }
    }

    fn begin_stream(&self, output: &mut Output<'_>) -> Result<(), BulkError> {
        match output {
            Output::Stream(stream, _) => stream
                .write_all(&header(&self.given.layout)?)
                .map_err(BulkError::write("the output")),
            Output::File(_) | Output::Ranking(_) => Ok(()),
        }
    }

    /// Computes and writes the rows from a place on.
    fn go(
        &self,
        from: Place,
        output: &mut Output<'_>,
        encoders: Vec<BoxedEncoder>,
        observer: &mut dyn Observer,
    ) -> Result<Summary, BulkError> {
        let (job, stop) = (self.job, &self.stop);
        let resumed = output.counts().rows;
        let total = self.given.total();
        observer.begin(&Progress { counts: output.counts(), total });
        let source = self.source(from)?;
        let tokens = job.batch_tokens.get();
        let stages = Stages {
            scorer: Scorer::new(job.predictor, job.templates, tokens, encoders, stop)?,
            layout: &self.given.layout,
            input: self.given.dialect,
            schema: self.schema(),
            least_sure: job.naming.least_sure,
            stop,
        };
        let can_resume = matches!(self.given.kind, Kind::File { .. });
        let max_errors = job.max_errors;
        stages.run(source, Line { output, observer, total, max_errors, can_resume })?;
        let (counts, first_error) = (output.counts(), output.first_error().cloned());
        Ok(Summary { counts, resumed, first_error, was_there: false, kept: None })
    }

    fn source(&self, from: Place) -> Result<Source<'a>, BulkError> {
        let chunk_rows = self.job.chunk_rows.get();
        match &self.given.kind {
            Kind::File { path, rows, survey, .. } => {
                let (dialect, spooled) = (&self.given.dialect, survey.spooled.as_ref());
                Source::of_file(path, dialect, spooled, from, rows.clone(), chunk_rows)
            }
            Kind::Stream(records) => records
                .take()
                .map(|records| Source::of_stream(records, &self.given.name, chunk_rows))
                .ok_or(BulkError::NeedsFile { what: "reading twice" }),
        }
    }

    fn schema(&self) -> Option<SchemaRef> {
        let is_parquet = self.output_format == Format::Parquet;
        is_parquet.then(|| output_schema(&self.given.layout, self.given.schema.as_ref()))
    }

    fn was_there(&self, counts: Counts) -> Summary {
        Summary { counts, resumed: counts.rows, first_error: None, was_there: true, kept: None }
    }

    fn check_other_file(&self, out: &Path) -> Result<(), BulkError> {
        let Kind::File { path, .. } = &self.given.kind else { return Ok(()) };
        let same = path.canonicalize().ok().zip(out.canonicalize().ok());
        match same.is_some_and(|(input, output)| input == output) {
            true => Err(BulkError::SameFile { path: self.given.name.clone() }),
            false => Ok(()),
        }
    }

    /// What the bytes of the output depend on; `None` of a stream.
    fn identity(&self) -> Option<Identity> {
        let Kind::File { survey, .. } = &self.given.kind else { return None };
        let job = self.job;
        let templates = &job.predictor.file.prompts.templates;
        let templates: Vec<&str> =
            job.templates.iter().map(|&at| templates[at].id.as_str()).collect();
        let fields = self.given.layout.fields.iter().zip(&self.given.layout.task.fields);
        let fields: Vec<String> =
            fields.map(|(column, field)| format!("{}={}", field.name, column.name)).collect();
        let shard = job.shard.map_or_else(|| "none".to_owned(), |shard| shard.name());
        let pairs = [
            ("the input", format!("a file of sha256 {}", survey.digest)),
            ("the checkpoint", job.checkpoint.to_owned()),
            ("the task", self.given.layout.task.name.clone()),
            ("the choice of templates", templates.join(", ")),
            ("the columns of the fields", fields.join(", ")),
            ("--scores", job.naming.scores.to_string()),
            ("--prefix", format!("{:?}", job.naming.prefix)),
            ("the input's format", self.given.dialect.to_string()),
            ("the output's format", self.output_format.to_string()),
            ("the shard", shard),
            ("--chunk-rows", job.chunk_rows.to_string()),
            ("--group-rows", job.group_rows.to_string()),
            ("batching.max_batch_tokens", job.batch_tokens.to_string()),
            ("the version of dynamar", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        Some(pairs.map(|(name, value)| (name.to_owned(), value)).into())
    }
}
