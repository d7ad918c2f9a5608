use super::*;

/// A made-up experiment: two tasks, three methods, two numbers of examples, three seeds.
pub fn experiment() -> ComparisonPage {
    let method = |id: &str| Method {
        id: id.to_owned(),
        name: String::new(),
        description: format!("what {id} does"),
    };
    ComparisonPage {
        title: "Made-up figures".to_owned(),
        encoder: "tiny".to_owned(),
        baseline: "M0".to_owned(),
        methods: ["M0", "M3", "linear"].map(method).to_vec(),
        tasks: vec![task("polarity", TaskKind::Classification), task("size", TaskKind::Regression)],
        commands: vec!["dynamar compare --out x".to_owned()],
        settings: BTreeMap::from([("steps".to_owned(), "100".to_owned())]),
    }
}

fn task(name: &str, kind: TaskKind) -> TaskResults {
    let (metric, higher_is_better) = match kind {
        TaskKind::Classification => ("accuracy", true),
        TaskKind::Regression => ("rmse", false),
    };
    let shots = |gain: f64| {
        [(Shot::Count(4), 0.5), (Shot::All, 0.8)]
            .map(|(shot, level)| results(metric, shot, level, gain))
            .to_vec()
    };
    let methods = [("M0", 0.0), ("M3", 0.1), ("linear", -0.05)];
    TaskResults {
        name: name.to_owned(),
        kind,
        headline: Metric { name: metric.to_owned(), higher_is_better },
        secondary: vec![Metric { name: "ece".to_owned(), higher_is_better: false }],
        methods: methods.map(|(id, gain)| (id.to_owned(), shots(gain))).into(),
    }
}

fn results(metric: &str, shot: Shot, level: f64, gain: f64) -> ShotResults {
    let template = |id: &str, role, value| TemplateScore { id: id.to_owned(), role, value };
    let run = |seed: u64| {
        let value = level + gain + 0.01 * seed as f64;
        Run {
            seed,
            metrics: [(metric, value), ("ece", 0.1)]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            templates: vec![
                template("plain", TemplateRole::Canonical, value),
                template("new", TemplateRole::HeldOut, value - 0.1),
            ],
            collapsed: seed == 0 && level < 0.6,
            seconds: Some(30.0),
        }
    };
    let bin = ReliabilityBin { examples: 9, weight: 9.0, confidence: 0.9, accuracy: 0.7 };
    ShotResults { shot, runs: (0..3).map(run).collect(), reliability: vec![bin; 15] }
}

#[test]
fn a_record_survives_json() {
    let page = experiment();
    let json = serde_json::to_string(&page).expect("JSON");
    assert!(json.contains("\"shot\":\"4\"") && json.contains("\"shot\":\"all\""), "{json}");
    assert_eq!(serde_json::from_str::<ComparisonPage>(&json).expect("the same"), page);
    let wrong = json.replace("\"shot\":\"all\"", "\"shot\":\"some\"");
    let error = serde_json::from_str::<ComparisonPage>(&wrong).expect_err("no number");
    assert!(error.to_string().contains("\"some\" is neither"), "{error}");
}

#[test]
fn pairs_are_made_by_seed() {
    let mut page = experiment();
    let task = &mut page.tasks[0];
    task.methods.get_mut("M3").expect("M3")[0].runs.remove(1);
    let pairs = task.pairs("M0", "M3", Shot::Count(4)).expect("two seeds");
    assert_eq!(pairs.baseline, [0.5, 0.52]);
    assert_eq!(pairs.method, [0.6, 0.62]);
    assert_eq!(task.pairs("M0", "M3", Shot::Count(8)), None);
    assert_eq!(task.shots().into_iter().collect::<Vec<_>>(), [Shot::Count(4), Shot::All]);
}

fn check(change: impl Fn(&mut ComparisonPage), words: &str) {
    let mut page = experiment();
    change(&mut page);
    let fault = page.check().expect_err("a fault").to_string();
    assert!(fault.contains(words), "{fault}");
}

#[test]
fn faults_are_named() {
    assert_eq!(experiment().check(), Ok(()));
    check(|page| page.baseline = "M9".to_owned(), "\"M9\" is not among");
    check(|page| page.methods.push(page.methods[0].clone()), "\"M0\" is listed twice");
    check(|page| drop(page.methods.pop()), "results of \"linear\"");
    check(|page| page.tasks = vec![page.tasks[0].clone(); 65], "65 tasks; at most 64");
    check(
        |page| {
            let run = &mut page.tasks[0].methods.get_mut("M3").expect("M3")[1].runs[2];
            run.templates[0].value = f64::NAN;
        },
        "\"polarity\", \"M3\", all, seed 2: plain is not finite",
    );
}
