//! What an experiment comes to, in a sentence for each task.

use super::{
    comparison::{ComparisonPage, Method, Shot, TaskResults},
    comparison_tables::{bounds, shot_name},
    derived::cell_improvements,
    figure::{figure, signed, words},
};
use crate::evaluation::paired::{Improvement, mean};

/// The method that a verdict tells of beside the winner.
const BAG_OF_WORDS: &str = "bag of words";

/// A method and the mean of a task's headline metric over its seeds.
type Scored<'a> = (&'a Method, f64);

/// The verdict on each task that has results: which method is ahead with most training examples,
/// by how much, whether that may be chance, and what the bag of words gets.
pub fn verdicts(page: &ComparisonPage) -> Vec<String> {
    page.tasks.iter().filter_map(|task| verdict(page, task)).collect()
}

fn verdict(page: &ComparisonPage, task: &TaskResults) -> Option<String> {
    let shot = task.shots().into_iter().next_back()?;
    let ranked = ranked(page, task, shot);
    let (winner, best) = *ranked.first()?;
    let (metric, where_) = (words(&task.headline.name), shot_in_words(shot));
    let mut sentence = format!(
        "On {}, {} {} {where_}: {metric} {}",
        task.name,
        winner.shown(),
        if ranked.len() > 1 { "is ahead" } else { "alone was tried" },
        figure(best)
    );
    let baseline = ranked.iter().find(|(method, _)| method.id == page.baseline);
    let against = match baseline {
        Some((baseline, _)) if baseline.id == winner.id => ranked.get(1),
        other => other,
    };
    if let Some((other, value)) = against {
        let is_baseline = other.id == page.baseline;
        let rival = if is_baseline { winner } else { other };
        sentence += &format!(
            " against {} of {}{}{}",
            figure(*value),
            other.shown(),
            if is_baseline { "" } else { ", the next best" },
            difference(page, task, shot, rival).as_ref().map_or(String::new(), told)
        );
    }
    let is_told = |method: &Method| {
        method.id == winner.id || against.is_some_and(|(other, _)| method.id == other.id)
    };
    if let Some((_, value)) = ranked.iter().find(|(m, _)| is_bag_of_words(m) && !is_told(m)) {
        sentence += &format!("; the bag of words gets {}", figure(*value));
    }
    Some(sentence + ".")
}

fn is_bag_of_words(method: &Method) -> bool {
    method.id.to_lowercase().contains(BAG_OF_WORDS)
        || method.shown().to_lowercase().contains(BAG_OF_WORDS)
}

/// The methods with results, the best first; equal ones in the order of the page.
fn ranked<'a>(page: &'a ComparisonPage, task: &TaskResults, shot: Shot) -> Vec<Scored<'a>> {
    let scored = page.methods.iter().filter_map(|method| {
        let values = task.results(&method.id, shot)?.values(&task.headline.name);
        Some((method, mean(&values.into_values().collect::<Vec<_>>())?))
    });
    let mut scored: Vec<Scored> = scored.collect();
    scored.sort_by(|(_, a), (_, b)| match task.headline.higher_is_better {
        true => b.total_cmp(a),
        false => a.total_cmp(b),
    });
    scored
}

/// The method against the baseline.
fn difference(
    page: &ComparisonPage,
    task: &TaskResults,
    shot: Shot,
    method: &Method,
) -> Option<Improvement> {
    let found = cell_improvements(page, task).into_iter();
    let mut found = found.filter(|cell| cell.shot == shot);
    found.find(|cell| page.methods[cell.method].id == method.id).map(|cell| cell.improvement)
}

fn told(found: &Improvement) -> String {
    format!(" (difference {}, {})", signed(found.absolute.estimate), certainty(found))
}

fn certainty(found: &Improvement) -> String {
    let Some((low, high)) = found.absolute.bounds else {
        return "one seed: it may be chance".to_owned();
    };
    let meaning = if low > 0.0 || high < 0.0 {
        "which excludes 0"
    } else {
        "which has 0 in it: it may be chance"
    };
    format!("95 % interval {}, {meaning}", bounds(&found.absolute, signed))
}

fn shot_in_words(shot: Shot) -> String {
    match shot {
        Shot::All => "with all training data".to_owned(),
        Shot::Count(_) => format!("with {}", shot_name(shot)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::comparison::tests::experiment;

    fn check(change: impl Fn(&mut ComparisonPage), expected: &[&str]) {
        let mut page = experiment();
        change(&mut page);
        assert_eq!(verdicts(&page), expected);
    }

    #[test]
    fn the_winner_is_told_with_its_lead() {
        check(
            |_| {},
            &[
                "On polarity, M3 is ahead with all training data: accuracy 0.910 against 0.810 of \
                 M0 (difference +0.100, 95 % interval +0.100 to +0.100, which excludes 0).",
                "On size, linear is ahead with all training data: RMSE 0.760 against 0.810 of M0 \
                 (difference +0.050, 95 % interval +0.050 to +0.050, which excludes 0).",
            ],
        );
    }

    #[test]
    fn a_baseline_that_wins_is_told_with_the_next_best_and_the_bag_of_words() {
        check(
            |page| {
                page.tasks.pop();
                page.baseline = "M3".to_owned();
                page.methods[2].name = "bag of words".to_owned();
            },
            &["On polarity, M3 is ahead with all training data: accuracy 0.910 against 0.810 of \
               M0, the next best (difference -0.100, 95 % interval -0.100 to -0.100, which \
               excludes 0); the bag of words gets 0.760."],
        );
    }

    #[test]
    fn chance_is_called_chance() {
        let one_seed = |page: &mut ComparisonPage| {
            page.tasks.pop();
            let shots = page.tasks[0].methods.values_mut().flatten();
            shots.for_each(|shots| shots.runs.truncate(1));
        };
        check(
            one_seed,
            &["On polarity, M3 is ahead with all training data: accuracy 0.900 against 0.800 of \
               M0 (difference +0.100, one seed: it may be chance)."],
        );
        let luck = |page: &mut ComparisonPage| {
            page.tasks.pop();
            page.methods.truncate(2);
            let runs = &mut page.tasks[0].methods.get_mut("M3").expect("M3")[1].runs;
            runs[0].metrics.insert("accuracy".to_owned(), 0.7);
        };
        let mut page = experiment();
        luck(&mut page);
        let told = verdicts(&page);
        assert!(told[0].contains("which has 0 in it: it may be chance"), "{told:?}");
    }

    #[test]
    fn no_results_are_no_verdict() {
        check(|page| page.tasks.clear(), &[]);
        check(|page| page.tasks.iter_mut().for_each(|task| task.methods.clear()), &[]);
    }
}
