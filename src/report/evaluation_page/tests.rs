use super::*;
use crate::{
    evaluation::{Options, Threshold, evaluate, evaluate_with},
    report::comparison::TemplateRole,
    task::{Kind, Output, Prediction, Target},
};

fn prediction(output: Output) -> Prediction {
    Prediction::of(output)
}

fn page(metrics: Metrics) -> EvaluationPage {
    let headline = "accuracy".to_owned();
    let template = |id: &str, role, value| TemplateMetrics {
        id: id.to_owned(),
        role,
        metrics: BTreeMap::from([("auroc".to_owned(), 0.9), (headline.clone(), value)]),
    };
    let example = ShownExample {
        row: 3,
        fields: vec![("text".to_owned(), "It <broke>.".to_owned())],
        truth: "no".to_owned(),
        predicted: "yes".to_owned(),
        ..ShownExample::default()
    };
    EvaluationPage {
        checkpoint: "0123abcd".to_owned(),
        task: "<polarity>".to_owned(),
        data: "test.csv".to_owned(),
        answered_by: "the canonical template".to_owned(),
        metrics,
        intervals: Intervals::new(),
        baselines: Vec::new(),
        thresholds: None,
        lengths: Vec::new(),
        templates: vec![
            template("plain", TemplateRole::Canonical, 0.75),
            template("new", TemplateRole::HeldOut, 0.5),
        ],
        ensemble: Some(BTreeMap::from([("accuracy".to_owned(), 1.0)])),
        points: vec![(1.0, 1.5), (2.0, 2.5)],
        range: (None, None),
        mistakes: 1,
        worst: vec![example],
        least_sure: Vec::new(),
        headline,
    }
}

fn two_labels() -> (Metrics, Thresholds) {
    let kind = Kind::Classification { labels: ["no", "yes"].map(str::to_owned).to_vec() };
    let targets = [0, 1, 1].map(Target::Label);
    let predictions = [0.2, 0.9, 0.4].map(|p| prediction(Output::Probabilities(vec![1.0 - p, p])));
    let threshold = Some(Threshold { positive: 1, value: 0.3 });
    let options = Options { threshold, weights: None };
    let metrics = evaluate_with(&kind, &targets, &predictions, &options).expect("metrics");
    let thresholds = Thresholds::of(&kind, &targets, &predictions, threshold, Some(0.95));
    (metrics, thresholds.expect("two labels"))
}

/// Of a regression.
fn values() -> Metrics {
    let kind = Kind::Regression { min: None, max: None };
    let predictions = [1.5, 2.5].map(|value| prediction(Output::Value(value)));
    evaluate(&kind, &[1.0, 2.0].map(Target::Value), &predictions).expect("metrics")
}

fn check(page: &EvaluationPage, words: &[&str]) {
    let found = evaluation_page(page);
    for words in words {
        assert!(found.contains(words), "{words}: {found}");
    }
}

#[test]
fn classification_has_its_figures_and_charts() {
    let (metrics, thresholds) = two_labels();
    let page = EvaluationPage { thresholds: Some(thresholds), ..page(metrics) };
    check(
        &page,
        &[
            "<h1>&lt;polarity&gt;: evaluation</h1>",
            "0123abcd",
            "On 3 examples",
            "from 0.300 (stored with the task, highest F1 on these examples)",
            "Confusion matrix",
            "yes as no: 1",
            "calibration error",
            "held out",
            "stored 0.300",
            "chosen 0.950",
            "0 of 3 examples get the answer &quot;yes&quot;, and 0 of these are right",
        ],
    );
}

#[test]
fn the_page_opens_with_the_headline_beside_simpler_answers() {
    let (metrics, _) = two_labels();
    let mut page = page(metrics.clone());
    page.baselines = vec![("majority".to_owned(), metrics)];
    page.intervals = Intervals::from([("accuracy".to_owned(), (0.2, 0.9))]);
    check(&page, &["<b>0.667</b> (95 % interval 0.200 to 0.900) on 3 examples; <a", "this model"]);
}

#[test]
fn mistakes_are_shown_with_their_text() {
    let (metrics, _) = two_labels();
    let mut page = page(metrics);
    check(&page, &["Worst mistakes", "It &lt;broke&gt;.", "With --train FILE", "--errors FILE"]);
    page.least_sure = page.worst.clone();
    page.worst[0].nearest = Some(crate::report::NearestExample::default());
    check(&page, &["Least sure answers", "shares most words", "predict --order uncertain"]);
}

#[test]
fn words_are_explained_where_they_stand_and_at_the_end() {
    let (metrics, _) = two_labels();
    let page = page(metrics);
    check(&page, &["<a class=\"term\" href=\"#word-macro-f1\"", "id=\"word-macro-f1\""]);
    let words = evaluation_page(&page);
    assert!(!words.contains("id=\"word-spearman\""), "what the page does not say stays out");
}

#[test]
fn regression_has_a_scatter_plot_within_the_targets_range() {
    let mut page = page(values());
    let found = evaluation_page(&page);
    assert!(found.contains("Spearman") && found.matches("<circle").count() == 2, "{found}");
    assert!(!found.contains("Confusion") && !found.contains("id=\"word-threshold\""), "{found}");
    page.range = (Some(1.0), Some(2.0));
    let found = evaluation_page(&page);
    assert!(found.contains(">2.0<") && !found.contains(">2.5<"), "{found}");
}

#[test]
fn without_templates_the_page_says_how_to_get_them() {
    let mut page = page(values());
    page.templates.clear();
    check(&page, &["With --templates, this page"]);
}
