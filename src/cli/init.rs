//! `dynamar init`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{init_report, output, progress::note, reading::ReadArgs};
use crate::{
    checkpoint::Checkpoint,
    inference::load_tokenizer,
    init::{self, KindChoice, Options, shell_quoted},
    tokenization::PromptTokenizer,
};

/// The encoder that the first command names.
const USUAL_ENCODER: &str = "models/encoders/minilm-l6";

/// Makes a task file, and splits to train and test on, from a file of labelled rows
///
/// Looks at the columns and decides what they are: the texts, pairs of texts, the labels or numbers.
/// Prints what it decided and why, and the commands that follow; every decision has a flag. The
/// directory --out holds task.toml, train.csv, dev.csv and test.csv, and appears whole or not at all.
///
/// Example: dynamar init reviews.tsv --target stars --out mine/
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Labelled rows: CSV or otherwise separated, JSON Lines, a JSON array or Parquet, also packed (.gz,
    /// .zst); - is standard input
    file: PathBuf,
    #[command(flatten)]
    read: ReadArgs,
    /// The column to predict [default: one called label, sentiment, stars, rating, ...]
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// The directory to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Predict labels or a number, instead of what the values look like
    #[arg(long, value_enum)]
    kind: Option<KindArg>,
    /// The columns to read, instead of those that look like text
    #[arg(long, value_name = "COLUMN", num_args = 1..)]
    text: Vec<String>,
    /// The labels, in this order; rows with other labels are left out
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    labels: Vec<String>,
    /// Keep rows that are alike in this column in one split, such as reviews of one product
    #[arg(long, value_name = "COLUMN")]
    group: Option<String>,
    /// Write the task file alone, and train on FILE as it is
    #[arg(long, conflicts_with = "group")]
    no_split: bool,
    /// The task's name [default: from FILE and the target]
    #[arg(long)]
    name: Option<String>,
    /// The encoder to train on: its tokenizer measures the texts
    #[arg(long, value_name = "DIR", default_value = USUAL_ENCODER)]
    encoder: PathBuf,
    /// Write anew what dynamar init has written to --out
    #[arg(long)]
    replace: bool,
    /// Print what was decided as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum KindArg {
    Classification,
    Regression,
}

/// Looks, writes and prints.
pub fn run(args: &Args) -> Result<()> {
    ensure!(
        args.labels.is_empty() || args.kind != Some(KindArg::Regression),
        "--labels are for --kind classification; a regression has none"
    );
    init::check_place(&args.out, args.replace)?;
    let tokenizer = tokenizer(&args.encoder)?;
    let count = tokenizer.as_ref().map(|tokenizer| {
        // A text that the tokenizer cannot read is told of when it is trained on.
        move |text: &str| tokenizer.token_count(text).unwrap_or(0)
    });
    let table = init::input::read(&args.file, &args.read.options())?;
    let directory = args.out.file_name().unwrap_or_default().to_string_lossy();
    let command = command(args);
    let options = Options {
        target: args.target.as_deref(),
        kind: args.kind.map(|kind| match kind {
            KindArg::Classification => KindChoice::Classification,
            KindArg::Regression => KindChoice::Regression,
        }),
        text: &args.text,
        labels: &args.labels,
        group: args.group.as_deref(),
        no_split: args.no_split,
        name: args.name.as_deref(),
        fallback_name: &directory,
        command: &command,
        count_tokens: count.as_ref().map(|count| count as init::CountTokens),
    };
    let plan = init::plan(&table, &options)?;
    let files = init::write(&table, &plan, &args.out, args.replace)?;
    let commands = init::commands(&plan, &args.file, &args.out, &args.encoder);
    let report =
        init_report::Report { table: &table, plan: &plan, files: &files, commands: &commands };
    if args.json {
        return output::json(&report.json());
    }
    output::text(&report.text())?;
    if tokenizer.is_none() {
        note(&format!(
            "note: there is no encoder at {} yet: make serve fetches one, and dynamar import takes a \
             Hugging Face directory. Lengths are estimated from words",
            args.encoder.display()
        ));
    }
    Ok(())
}

/// The encoder's tokenizer; none where the usual encoder is not there.
fn tokenizer(encoder: &Path) -> Result<Option<PromptTokenizer>> {
    if encoder == Path::new(USUAL_ENCODER) && !encoder.exists() {
        return Ok(None);
    }
    let checkpoint = Checkpoint::open(encoder)?;
    Ok(Some(load_tokenizer(&checkpoint).context("--encoder")?))
}

/// The command that decides the same again.
fn command(args: &Args) -> String {
    let mut words = vec!["dynamar".to_owned(), "init".to_owned(), args.file.display().to_string()];
    let mut flag = |flag: &str, values: &[String]| {
        if !values.is_empty() {
            words.push(flag.to_owned());
            words.extend_from_slice(values);
        }
    };
    flag("--target", args.target.as_slice());
    let kind = args.kind.map(|kind| match kind {
        KindArg::Classification => "classification".to_owned(),
        KindArg::Regression => "regression".to_owned(),
    });
    flag("--kind", kind.as_slice());
    flag("--text", &args.text);
    flag("--labels", &if args.labels.is_empty() { vec![] } else { vec![args.labels.join(",")] });
    flag("--group", args.group.as_slice());
    flag("--name", args.name.as_slice());
    if args.no_split {
        words.push("--no-split".to_owned());
    }
    words.extend(["--out".to_owned(), args.out.display().to_string()]);
    words.iter().map(|word| shell_quoted(word)).collect::<Vec<_>>().join(" ")
}
