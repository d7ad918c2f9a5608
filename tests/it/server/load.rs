//! Thousands of mixed requests at once: every answer is that of the same example alone.

use std::sync::Arc;

use dynamar::server::proto::inference_client::InferenceClient;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::{
    questions::Question,
    reference::Reference,
    stage::{Stage, config, soon},
    tables::{Dice, Table, tables},
};

/// Callers that ask at the same time, each in bursts.
const CALLERS: usize = 24;
const BURSTS: usize = 8;

/// Requests of a burst at most.
const BURST: usize = 12;

/// How far an answer may be from that of its example alone: what shares a batch changes the last
/// digits.
const TOLERANCE: f64 = 1e-4;

/// What was sent, and what came of it.
#[derive(Default)]
struct Tally {
    requests: usize,
    cached: usize,
}

/// Asks one way or another and checks the answer.
async fn ask(mut client: InferenceClient<Channel>, tables: Arc<Vec<Table>>, seed: u64) -> Tally {
    let question = Question::draw(&tables, &mut Dice(seed));
    let reply = question.ask(&mut client, &tables, None).await;
    assert!(reply.error.is_none(), "{:?}", reply.error);
    for (asked, said) in question.asked().iter().zip(&reply.said) {
        let checked = tables[asked.table].check(&asked.rows, said, TOLERANCE);
        checked.unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    Tally {
        requests: reply.costs.len(),
        cached: reply.costs.iter().map(|cost| cost.cached as usize).sum(),
    }
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
