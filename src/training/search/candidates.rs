//! The recipes that a search tries: the one chosen from the data, and changes of it.

use crate::training::{Requested, settings::Settings};

/// A recipe to try.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The change from the recipe that the data chose.
    pub name: String,
    pub settings: Settings,
}

/// What of the tasks limits the changes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Whether all tasks have labels to contrast.
    pub has_labels: bool,
    /// Whether an example can come in two templates in a batch.
    pub has_views: bool,
}

/// The recipe of the data first, then its changes. A setting that was requested stays as it is.
pub fn candidates(base: &Settings, requested: &Requested, limits: Limits) -> Vec<Candidate> {
    let mut found = vec![Candidate { name: "as chosen".to_owned(), settings: base.clone() }];
    let mut add = |name: &str, is_free: bool, settings: Settings| {
        if is_free && settings.check().is_ok() {
            found.push(Candidate { name: name.to_owned(), settings });
        }
    };
    let with_rate = |factor: f64| Settings {
        learning_rate: base.learning_rate * factor,
        head_learning_rate: match requested.head_learning_rate {
            Some(rate) => rate,
            None => base.head_learning_rate * factor,
        },
        ..base.clone()
    };
    let is_rate_free = requested.learning_rate.is_none();
    add("twice the learning rate", is_rate_free, with_rate(2.0));
    add("half the learning rate", is_rate_free, with_rate(0.5));
    let contrasts = base.contrastive > 0.0;
    let contrastive = if contrasts { 0.0 } else { 1.0 };
    let can_contrast = limits.has_labels && limits.has_views && requested.contrastive.is_none();
    let contrastive = Settings { contrastive, ..base.clone() };
    let name = if contrasts { "without contrastive loss" } else { "with contrastive loss" };
    add(name, can_contrast, contrastive);
    let consistency = Settings { consistency: 1.0, ..base.clone() };
    let can_compare = limits.has_views && requested.consistency.is_none();
    add("with consistency between templates", can_compare, consistency);
    let batch_size = if base.batch_size > 16 { 16 } else { 32 };
    let other_batch = Settings { batch_size, ..base.clone() };
    add(&format!("batches of {batch_size}"), requested.batch_size.is_none(), other_batch);
    let decayed = Settings { layer_decay: 0.8, ..base.clone() };
    add("lower layers slower", requested.layer_decay.is_none(), decayed);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::settings::Tune;

    const ALL: Limits = Limits { has_labels: true, has_views: true };

    fn names(requested: &Requested, limits: Limits) -> Vec<String> {
        let found = candidates(&Settings::new(Tune::Full), requested, limits);
        found.into_iter().map(|candidate| candidate.name).collect()
    }

    #[test]
    fn the_recipe_of_the_data_comes_first_and_requested_settings_stay() {
        let found = names(&Requested::default(), ALL);
        assert_eq!((found.len(), found[0].as_str()), (7, "as chosen"));
        let requested = Requested {
            learning_rate: Some(1e-4),
            contrastive: Some(0.0),
            batch_size: Some(8),
            ..Requested::default()
        };
        let found = names(&requested, ALL);
        assert_eq!(
            found,
            ["as chosen", "with consistency between templates", "lower layers slower"]
        );
        let limits = Limits { has_labels: false, has_views: false };
        assert!(names(&Requested::default(), limits).iter().all(|name| !name.contains("with")));
    }
}
