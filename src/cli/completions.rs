//! `dynamar completions`.

use anyhow::Result;
use clap::CommandFactory;

use super::{Cli, output};

/// Prints what makes a shell complete this program's verbs and flags
///
/// Example: dynamar completions bash > /etc/bash_completion.d/dynamar
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints it.
pub fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dynamar", &mut script);
    output::text(&String::from_utf8(script)?)
}
