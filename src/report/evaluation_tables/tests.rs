use super::*;
use crate::{
    evaluation::{Threshold, evaluate},
    report::Style,
    task::{Kind, Output, Prediction, Target},
};

fn kind() -> Kind {
    Kind::Classification { labels: ["no", "yes"].map(str::to_owned).to_vec() }
}

fn predictions(positive: &[f32]) -> Vec<Prediction> {
    let output = |p: &f32| Output::Probabilities(vec![1.0 - p, *p]);
    let prediction = |p| Prediction::of(output(p));
    positive.iter().map(prediction).collect()
}

fn metrics(positive: &[f32]) -> Metrics {
    let targets = [0, 1, 1].map(Target::Label);
    evaluate(&kind(), &targets, &predictions(positive)).expect("metrics")
}

#[test]
fn the_headline_comes_first_and_gaps_are_dashes() {
    let template = |id: &str, role, value| TemplateMetrics {
        id: id.to_owned(),
        role,
        metrics: BTreeMap::from([("auroc".to_owned(), 0.9), ("accuracy".to_owned(), value)]),
    };
    let templates = [
        template("plain", TemplateRole::Canonical, 0.75),
        template("new", TemplateRole::HeldOut, 0.5),
    ];
    let ensemble = BTreeMap::from([("accuracy".to_owned(), 1.0)]);
    let table = templates_table("accuracy", &templates, Some(&ensemble));
    let expected = "template       part  accuracy  AUROC\n\
                    plain     canonical     0.750  0.900\n\
                    new        held out     0.500  0.900\n\
                    ensemble   averaged     1.000      –\n";
    assert_eq!(table.render(Style::Text), expected);
}

#[test]
fn thresholds_that_are_equal_share_a_row() {
    let targets = [0, 1, 1].map(Target::Label);
    let stored = Some(Threshold { positive: 1, value: 0.5 });
    let found =
        Thresholds::of(&kind(), &targets, &predictions(&[0.2, 0.9, 0.4]), stored, Some(0.3));
    let found = found.expect("two labels");
    let tables = metric_tables(&metrics(&[0.2, 0.9, 0.4]), Some(&found), &Intervals::new());
    let names: Vec<&str> = tables[1].rows.iter().map(|row| row[0].text.as_str()).collect();
    let expected = [
        "from 0.300 (chosen with --threshold, highest F1 on these examples)",
        "from 0.500 (the more probable label, stored with the task)",
    ];
    assert_eq!(names, expected);
    assert!(tables[1].caption.contains("\"yes\", the true label of 2 of 3 examples"));
}

#[test]
fn intervals_have_a_column_where_there_are_any() {
    let intervals = Intervals::from([("accuracy".to_owned(), (0.25, 0.875))]);
    let table = &metric_tables(&metrics(&[0.2, 0.9, 0.4]), None, &intervals)[0];
    assert_eq!(table.columns, ["metric", "value", "95 % interval"]);
    assert_eq!(table.rows[0][2].text, "0.250 to 0.875");
    assert_eq!(table.rows[1][2].text, "–");
}

#[test]
fn this_model_stands_below_the_simpler_ones() {
    let baselines = [("majority".to_owned(), metrics(&[0.7, 0.7, 0.7]))];
    let table = baselines_table("macro_f1", &metrics(&[0.2, 0.9, 0.4]), &baselines);
    assert_eq!(table.columns[..3], ["answers of", "macro F1", "accuracy"]);
    let names: Vec<&str> = table.rows.iter().map(|row| row[0].text.as_str()).collect();
    assert_eq!(names, ["majority", "this model"]);
}

#[test]
fn lengths_are_told_as_ranges() {
    let bin = |from, to| LengthBin {
        from,
        to,
        examples: 10,
        metrics: BTreeMap::from([("accuracy".to_owned(), 0.5)]),
    };
    let found = lengths_table("accuracy", &[bin(3, 3), bin(4, 90)]).render(Style::Text);
    let expected = "characters  examples  accuracy\n\
                    3                 10     0.500\n\
                    4 to 90           10     0.500\n";
    assert_eq!(found, expected);
}
