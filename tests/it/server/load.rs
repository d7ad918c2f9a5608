//! Thousands of mixed requests at once: every answer is that of the same example alone.

use std::sync::Arc;

use dynamar::{
    inference::TemplateChoice,
    server::proto::{
        self, inference_client::InferenceClient, options::TemplateMode, task_prediction::Answer,
    },
    task::{Output, Prediction},
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::{
    reference::{Reference, labels},
    stage::{Stage, config, example, options, predict, soon},
};

/// Callers that ask at the same time, each in bursts.
const CALLERS: usize = 24;
const BURSTS: usize = 8;

/// Requests of a burst at most.
const BURST: usize = 12;

/// How far an answer may be from that of its example alone: what shares a batch changes the last
/// digits.
const TOLERANCE: f64 = 1e-4;

/// Random numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    /// Below `sides`.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 33) as usize % sides
    }
}

/// A way to ask a task, and examples with what it must say of each.
struct Table {
    task: &'static str,
    options: Option<proto::Options>,
    rows: Vec<(proto::Example, Prediction)>,
}

/// Texts from one word to more than a prompt can hold.
fn words(dice: &mut Dice) -> String {
    let words = ["bad", "great", "a", "camera", "works", "not", "at", "all", "lovely", "!", "für"];
    let length = 1 + dice.roll(4) * dice.roll(18);
    (0..length).map(|_| words[dice.roll(words.len())]).collect::<Vec<_>>().join(" ")
}

fn tables(reference: &mut Reference) -> Vec<Table> {
    let mut dice = Dice(1);
    let reviews: Vec<proto::Example> =
        (0..80).map(|_| example(&[("text", &words(&mut dice))])).collect();
    let items: Vec<proto::Example> = (0..80)
        .map(|_| example(&[("query", &words(&mut dice)), ("title", &words(&mut dice))]))
        .collect();
    let ways = [
        ("polarity", None, TemplateChoice::Default, &reviews),
        (
            "polarity",
            options(TemplateMode::Ensemble, &[]),
            TemplateChoice::Ensemble(vec![]),
            &reviews,
        ),
        ("intensity", None, TemplateChoice::Default, &reviews),
        ("match", None, TemplateChoice::Default, &items),
        ("match", options(TemplateMode::Single, &[]), TemplateChoice::Single(None), &items),
    ];
    let table = |(task, options, choice, examples): (_, _, _, &Vec<proto::Example>)| {
        let rows = examples.iter().map(|one| {
            let alone = reference.predict(task, std::slice::from_ref(one), &choice);
            (one.clone(), alone.into_iter().next().expect("one"))
        });
        Table { task, options, rows: rows.collect() }
    };
    ways.into_iter().map(table).collect()
}

impl Table {
    /// Some rows, by their numbers.
    fn draw(&self, dice: &mut Dice) -> Vec<usize> {
        (0..1 + dice.roll(4)).map(|_| dice.roll(self.rows.len())).collect()
    }

    fn classify(&self, rows: &[usize]) -> proto::ClassifyRequest {
        let examples = rows.iter().map(|&row| self.rows[row].0.clone()).collect();
        proto::ClassifyRequest {
            task: self.task.to_owned(),
            examples,
            options: self.options.clone(),
        }
    }

    fn regress(&self, rows: &[usize]) -> proto::RegressRequest {
        let proto::ClassifyRequest { task, examples, options } = self.classify(rows);
        proto::RegressRequest { task, examples, options }
    }

    fn assert_classified(&self, rows: &[usize], found: &[proto::Classification]) {
        assert_eq!(found.len(), rows.len());
        for (found, &row) in found.iter().zip(rows) {
            let expected = &self.rows[row].1;
            let Output::Probabilities(probabilities) = &expected.output else {
                panic!("{} is a classification", self.task);
            };
            for score in &found.labels {
                let at = labels(self.task).iter().position(|label| *label == score.label);
                let expected = probabilities[at.expect("a label of the task")];
                let difference = f64::from((score.probability - expected).abs());
                assert!(difference < TOLERANCE, "{score:?}, expected {expected}");
            }
            assert_eq!(found.truncated, expected.truncated);
        }
    }

    fn assert_regressed(&self, rows: &[usize], found: &[proto::Regression]) {
        assert_eq!(found.len(), rows.len());
        for (found, &row) in found.iter().zip(rows) {
            let Output::Value(value) = self.rows[row].1.output else {
                panic!("{} is a regression", self.task);
            };
            assert!((found.value - value).abs() < TOLERANCE, "{found:?}, expected {value}");
        }
    }
}

/// What was sent, and what came of it.
#[derive(Default)]
struct Tally {
    requests: usize,
    cached: usize,
}

impl Tally {
    fn count(&mut self, metadata: Option<&proto::Metadata>) {
        self.requests += 1;
        self.cached += metadata.expect("told").cached as usize;
    }
}

/// Asks one way or another and checks the answer.
async fn ask(mut client: InferenceClient<Channel>, tables: Arc<Vec<Table>>, seed: u64) -> Tally {
    let (mut dice, mut tally) = (Dice(seed), Tally::default());
    let table = &tables[dice.roll(tables.len())];
    let rows = table.draw(&mut dice);
    match (dice.roll(4), table.task) {
        (0, _) => ask_several(&mut client, &tables, &mut dice, &mut tally).await,
        (1, "intensity") => {
            let calls: Vec<_> = (0..1 + dice.roll(12)).map(|_| table.draw(&mut dice)).collect();
            let requests: Vec<_> = calls.iter().map(|rows| table.regress(rows)).collect();
            let stream = client.regress_stream(tokio_stream::iter(requests)).await;
            let mut answers = stream.expect("a stream").into_inner();
            for rows in calls {
                let answer = answers.message().await.expect("answered").expect("one for each");
                table.assert_regressed(&rows, &answer.results);
                tally.count(answer.metadata.as_ref());
            }
        }
        (1, _) => {
            let calls: Vec<_> = (0..1 + dice.roll(12)).map(|_| table.draw(&mut dice)).collect();
            let requests: Vec<_> = calls.iter().map(|rows| table.classify(rows)).collect();
            let stream = client.classify_stream(tokio_stream::iter(requests)).await;
            let mut answers = stream.expect("a stream").into_inner();
            for rows in calls {
                let answer = answers.message().await.expect("answered").expect("one for each");
                table.assert_classified(&rows, &answer.results);
                tally.count(answer.metadata.as_ref());
            }
        }
        (_, "intensity") => {
            let answer = client.regress(table.regress(&rows)).await.expect("answered").into_inner();
            table.assert_regressed(&rows, &answer.results);
            tally.count(answer.metadata.as_ref());
        }
        _ => {
            let answer =
                client.classify(table.classify(&rows)).await.expect("answered").into_inner();
            table.assert_classified(&rows, &answer.results);
            tally.count(answer.metadata.as_ref());
        }
    }
    tally
}

/// The first, third and fourth table: all tasks, each as it is asked by default.
async fn ask_several(
    client: &mut InferenceClient<Channel>,
    tables: &[Table],
    dice: &mut Dice,
    tally: &mut Tally,
) {
    let [polarity, _, intensity, pairs, _] = tables else { panic!("five tables") };
    let reviews = polarity.draw(dice);
    let items: Vec<usize> = reviews.iter().map(|_| dice.roll(pairs.rows.len())).collect();
    let examples = reviews.iter().zip(&items).map(|(&review, &item)| {
        let mut union = polarity.rows[review].0.clone();
        union.fields.extend(pairs.rows[item].0.fields.clone());
        union
    });
    let request = predict(&["match", "polarity", "intensity"], examples.collect());
    let answer = client.predict(request).await.expect("answered").into_inner();
    tally.count(answer.metadata.as_ref());
    let answers: Vec<&Answer> =
        answer.predictions.iter().map(|one| one.answer.as_ref().expect("told")).collect();
    let [Answer::Classify(first), Answer::Classify(second), Answer::Regress(third)] = answers[..]
    else {
        panic!("two classifications and a regression were asked");
    };
    pairs.assert_classified(&items, &first.results);
    polarity.assert_classified(&reviews, &second.results);
    intensity.assert_regressed(&reviews, &third.results);
}

/// Calls in bursts until enough have been answered.
async fn load(cache_bytes: u64) -> Tally {
    let mut config = config();
    config.cache.max_bytes = cache_bytes;
    let stage = Stage::ready_with(config).await;
    let tables = Arc::new(tables(&mut Reference::new(&stage)));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS as u64 {
        let (client, tables) = (stage.client().await, Arc::clone(&tables));
        callers.spawn(async move {
            let (mut dice, mut tally) = (Dice(caller), Tally::default());
            for _ in 0..BURSTS {
                let mut burst = JoinSet::new();
                for _ in 0..1 + dice.roll(BURST) {
                    let seed = (caller << 32) + dice.roll(1 << 30) as u64;
                    burst.spawn(ask(client.clone(), Arc::clone(&tables), seed));
                }
                for one in burst.join_all().await {
                    tally.requests += one.requests;
                    tally.cached += one.cached;
                }
            }
            tally
        });
    }
    let tallies = soon(callers.join_all()).await;
    stage.stop().await;
    Tally {
        requests: tallies.iter().map(|one| one.requests).sum(),
        cached: tallies.iter().map(|one| one.cached).sum(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_answer_is_that_of_its_example_alone() {
    let tally = load(0).await;
    assert!(tally.requests > 2000, "{} requests", tally.requests);
    assert_eq!(tally.cached, 0);
}

/// With room for about a third of the prompts, so that they come and go.
#[tokio::test(flavor = "multi_thread")]
async fn and_so_it_is_with_a_cache() {
    let tally = load(200 << 10).await;
    assert!(tally.requests > 2000, "{} requests", tally.requests);
    assert!(tally.cached > 500, "{} from the cache", tally.cached);
}
