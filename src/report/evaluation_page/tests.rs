use super::*;
use crate::{
    evaluation::{Options, Threshold, evaluate, evaluate_with},
    report::table::Style,
    task::{Kind, Output, Prediction, Target},
};

fn prediction(output: Output) -> Prediction {
    Prediction { output, truncated: false, template_spread: 0.0 }
}

fn page(metrics: Metrics) -> EvaluationPage {
    let headline = "accuracy".to_owned();
    let template = |id: &str, role, value| TemplateMetrics {
        id: id.to_owned(),
        role,
        metrics: BTreeMap::from([("auroc".to_owned(), 0.9), (headline.clone(), value)]),
    };
    EvaluationPage {
        checkpoint: "0123abcd".to_owned(),
        task: "<polarity>".to_owned(),
        data: "test.csv".to_owned(),
        answered_by: "the canonical template".to_owned(),
        metrics,
        templates: vec![
            template("plain", TemplateRole::Canonical, 0.75),
            template("new", TemplateRole::HeldOut, 0.5),
        ],
        ensemble: Some(BTreeMap::from([("accuracy".to_owned(), 1.0)])),
        points: vec![(1.0, 1.5), (2.0, 2.5)],
        headline,
    }
}

fn two_labels() -> Metrics {
    let kind = Kind::Classification { labels: ["no", "yes"].map(str::to_owned).to_vec() };
    let targets = [0, 1, 1].map(Target::Label);
    let predictions = [0.2, 0.9, 0.4].map(|p| prediction(Output::Probabilities(vec![1.0 - p, p])));
    let threshold = Some(Threshold { positive: 1, value: 0.3 });
    let options = Options { threshold, weights: None };
    evaluate_with(&kind, &targets, &predictions, &options).expect("metrics")
}

#[test]
fn classification_has_its_figures_and_charts() {
    let found = evaluation_page(&page(two_labels()));
    for words in [
        "<h1>&lt;polarity&gt;: evaluation</h1>",
        "0123abcd",
        "On 3 examples",
        "from 0.300",
        "Confusion matrix",
        "yes as no: 1",
        "calibration error",
        "held out",
    ] {
        assert!(found.contains(words), "{words}: {found}");
    }
}

#[test]
fn regression_has_a_scatter_plot() {
    let kind = Kind::Regression { min: None, max: None };
    let predictions = [1.5, 2.5].map(|value| prediction(Output::Value(value)));
    let metrics = evaluate(&kind, &[1.0, 2.0].map(Target::Value), &predictions).expect("metrics");
    let found = evaluation_page(&page(metrics));
    assert!(found.contains("Spearman") && found.matches("<circle").count() == 2, "{found}");
    assert!(!found.contains("Confusion"), "{found}");
}

#[test]
fn the_headline_comes_first_and_gaps_are_dashes() {
    let page = page(two_labels());
    let table = templates_table(&page.headline, &page.templates, page.ensemble.as_ref());
    let expected = "template       part  accuracy  AUROC\n\
                    plain     canonical     0.750  0.900\n\
                    new        held out     0.500  0.900\n\
                    ensemble   averaged     1.000      –\n";
    assert_eq!(table.render(Style::Text), expected);
}
