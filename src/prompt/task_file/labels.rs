//! `[labels]`: what a classification task tells apart.

use std::collections::{BTreeMap, HashSet};

use super::{
    raw,
    validate::{Faults, Outputs},
};
use crate::task::Kind;

const MAX_LABELS: usize = 1_000;

/// Shares that people round sum to 1 within this.
const PRIOR_TOLERANCE: f64 = 0.01;

/// Checks `[labels]`.
pub(super) fn outputs(faults: &mut Faults, labels: raw::Labels) -> Option<Outputs> {
    let span = labels.names.span();
    let names = labels.names.into_inner().into_iter().map(raw::LabelName::into_text);
    let names: Vec<String> = names.collect();
    if !(2..=MAX_LABELS).contains(&names.len()) {
        faults.add(&span, format!("between 2 and {MAX_LABELS} label names are needed"));
    }
    // Each of these is looked for among the names.
    let priors = labels.priors.as_ref().map_or(0, |priors| priors.get_ref().len());
    if [names.len(), labels.words.len(), priors].iter().any(|count| *count > MAX_LABELS) {
        faults.add(&span, format!("at most {MAX_LABELS} labels have names, words or priors"));
        return None;
    }
    let mut seen = HashSet::new();
    for name in &names {
        if name.trim().is_empty() {
            faults.add(&span, "a label name is empty");
        } else if !seen.insert(name) {
            faults.add(&span, format!("label {name:?} is named twice"));
        }
    }
    let mut label_words = BTreeMap::new();
    for (label, words) in labels.words {
        if !names.contains(label.get_ref()) {
            faults.add(
                &label.span(),
                format!("label words for an unknown label {:?}", label.get_ref()),
            );
        }
        label_words.insert(label.into_inner(), words);
    }
    let positive = positive(faults, labels.positive.as_ref(), &names);
    let priors = labels.priors.as_ref().and_then(|priors| self::priors(faults, priors, &names));
    let threshold = labels.threshold.and_then(|value| threshold(faults, &value, &names));
    let kind = Kind::Classification { labels: names };
    Some(Outputs { kind, column: labels.column, label_words, positive, priors, threshold })
}

/// The probability from which on the positive of two labels is decided for.
fn threshold(faults: &mut Faults, value: &toml::Spanned<f64>, names: &[String]) -> Option<f32> {
    let (span, value) = (value.span(), *value.get_ref());
    if names.len() != 2 {
        faults.add(&span, "a threshold is for two labels");
        return None;
    }
    if !(0.0..=1.0).contains(&value) {
        faults.add(&span, format!("threshold = {value}: it must lie between 0 and 1"));
        return None;
    }
    Some(value as f32)
}

/// Of two labels one is looked for: the one named, or the second.
fn positive(
    faults: &mut Faults,
    named: Option<&toml::Spanned<String>>,
    names: &[String],
) -> Option<usize> {
    let two = names.len() == 2;
    let Some(named) = named else {
        return two.then_some(1);
    };
    let at = names.iter().position(|name| name == named.get_ref());
    if at.is_none() || !two {
        let message = format!("positive = {:?}: it must be one of two labels", named.get_ref());
        faults.add(&named.span(), message);
    }
    at
}

/// The labels' shares, in the labels' order.
fn priors(
    faults: &mut Faults,
    priors: &toml::Spanned<BTreeMap<String, f64>>,
    names: &[String],
) -> Option<Vec<f64>> {
    let (span, given) = (priors.span(), priors.get_ref());
    if let Some(unknown) = given.keys().find(|name| !names.contains(name)) {
        faults.add(&span, format!("a prior for an unknown label {unknown:?}"));
        return None;
    }
    let shares: Vec<f64> =
        names.iter().map(|name| given.get(name).copied().unwrap_or(0.0)).collect();
    let sum: f64 = shares.iter().sum();
    if shares.iter().any(|share| !(share.is_finite() && *share > 0.0)) {
        faults.add(&span, "every label needs a prior above 0");
        return None;
    }
    if (sum - 1.0).abs() > PRIOR_TOLERANCE {
        faults.add(&span, format!("the priors are shares: they must sum to 1, not {sum}"));
        return None;
    }
    Some(shares.iter().map(|share| share / sum).collect())
}
