//! Which templates answer, on the command line.

use crate::inference::TemplateChoice;

/// What the verbs take that predict.
#[derive(clap::Args)]
pub struct TemplateArgs {
    /// Answer with this template instead of what the task file says
    #[arg(long, value_name = "ID", conflicts_with = "ensemble")]
    template: Option<String>,
    /// Answer with all templates of the pool, averaged
    #[arg(long)]
    ensemble: bool,
}

impl TemplateArgs {
    /// What was asked for.
    pub fn choice(&self) -> TemplateChoice {
        match (&self.template, self.ensemble) {
            (Some(id), _) => TemplateChoice::Single(Some(id.clone())),
            (None, true) => TemplateChoice::Ensemble(Vec::new()),
            (None, false) => TemplateChoice::Default,
        }
    }
}
