//! `dynamar token`.

use anyhow::{Context, Result};

use super::{output, progress};
use crate::server::access;

/// Makes a token for a caller: the token on stderr, its entry for the server's file on stdout
///
/// The token is shown this once; the file (auth.tokens) has its hash alone.
///
/// Example: dynamar token shop --task review-polarity >> callers.toml
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The caller, as the log is to name it
    name: String,
    /// A task that may be asked; may be given several times [default: all]
    #[arg(long = "task", value_name = "TASK")]
    tasks: Vec<String>,
}

/// Makes one.
pub fn run(args: &Args) -> Result<()> {
    let new = access::new_token().context("the system has no random numbers")?;
    let tasks = if args.tasks.is_empty() { vec!["*".to_owned()] } else { args.tasks.clone() };
    // JSON has the same strings and arrays as TOML, for all that a name can be.
    let (name, tasks) = (serde_json::to_string(&args.name)?, serde_json::to_string(&tasks)?);
    let hash = &new.sha256;
    output::text(&format!("[[caller]]\nname = {name}\nsha256 = \"{hash}\"\ntasks = {tasks}\n"))?;
    progress::note(&format!("the token, which is not shown again: {}", new.token));
    Ok(())
}
