//! The command line: one file per verb. The only place that prints.

mod baselines;
mod compare;
mod compare_progress;
mod completions;
mod data_warnings;
mod evaluate;
mod evaluate_review;
mod health;
mod import;
mod init;
mod init_report;
mod inspect;
mod interrupt;
mod logging;
mod man;
mod output;
mod predict;
mod predict_progress;
mod pretrain;
mod progress;
mod reading;
mod search_progress;
mod serve;
mod settings;
mod templates;
mod time_left;
mod token;
mod train;
mod usage;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::{config::Config, inference::Runtime};

/// Serves and trains prompt-tuned classifiers and regressors over text.
#[derive(Parser)]
#[command(name = "dynamar", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every verb takes.
#[derive(Args)]
struct Global {
    /// The configuration file, instead of dynamar.toml in the working directory
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Args),
    Init(init::Args),
    Train(train::Args),
    Pretrain(pretrain::Args),
    Evaluate(evaluate::Args),
    Predict(Box<predict::Args>),
    // Boxed, as predict's: it has many more arguments than the others.
    Compare(Box<compare::Args>),
    Import(import::Args),
    Inspect(inspect::Args),
    Health(health::Args),
    Token(token::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Runs what the command line says. Exit codes: 0 done, 1 failed, 2 wrong usage.
pub fn main() -> ExitCode {
    // clap itself exits with 2 on wrong usage and with 0 after --help.
    let cli = Cli::try_parse().unwrap_or_else(|error| usage::advised(error).exit());
    let done = match cli.command {
        Command::Serve(args) => serve::run(&args, &cli.global),
        Command::Init(args) => init::run(&args),
        Command::Train(args) => train::run(&args, &cli.global),
        Command::Pretrain(args) => pretrain::run(&args, &cli.global),
        Command::Evaluate(args) => evaluate::run(&args, &cli.global),
        Command::Predict(args) => predict::run(&args, &cli.global),
        Command::Compare(args) => compare::run(&args),
        Command::Import(args) => import::run(&args, &cli.global),
        Command::Inspect(args) => inspect::run(&args),
        Command::Health(args) => health::run(&args, &cli.global),
        Command::Token(args) => token::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

impl Global {
    /// ONNX Runtime from where the configuration says, or from where it usually is.
    fn runtime(&self) -> Result<Runtime> {
        let loaded = Config::load(self.config.as_deref(), &[])?;
        Ok(Runtime::load(loaded.config.onnxruntime.path.as_deref())?)
    }
}
