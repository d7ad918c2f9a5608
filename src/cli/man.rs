//! `dynamar man`.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};

use super::{Cli, output};

/// Prints a page of the manual, or writes all of them: dynamar.1, and one for each verb
///
/// Example: dynamar man predict | man -l -
///          dynamar man --out /usr/local/share/man/man1
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The verb whose page is printed [default: the program's]
    #[arg(conflicts_with = "out")]
    verb: Option<String>,
    /// Write all pages into this directory, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints or writes them.
pub fn run(args: &Args) -> Result<()> {
    let pages = pages();
    let Some(directory) = &args.out else {
        let name =
            args.verb.as_ref().map_or("dynamar".to_owned(), |verb| format!("dynamar-{verb}"));
        let page = pages.iter().find(|page| self::name(page) == name);
        let page = page.with_context(|| format!("there is no verb {:?}", args.verb))?;
        return output::text(&render(page)?);
    };
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot write {}", directory.display()))?;
    for page in &pages {
        let path = directory.join(format!("{}.1", name(page)));
        output::Page::new(&path)?.write(&render(page)?)?;
    }
    output::text(&format!("{}: {} pages\n", directory.display(), pages.len()))
}

/// The program and each verb.
fn pages() -> Vec<Command> {
    let mut program = Cli::command();
    // With what all verbs take, and with their whole names.
    program.build();
    let verbs = program.get_subcommands().filter(|verb| verb.get_name() != "help");
    let verbs: Vec<Command> = verbs.cloned().collect();
    [vec![program], verbs].concat()
}

/// A page's name, such as dynamar-serve.
fn name(page: &Command) -> &str {
    page.get_display_name().unwrap_or_else(|| page.get_name())
}

fn render(page: &Command) -> Result<String> {
    let mut text = Vec::new();
    clap_mangen::Man::new(page.clone()).render(&mut text)?;
    Ok(String::from_utf8(text)?)
}
