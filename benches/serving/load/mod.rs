//! Callers of the server. All of them live on one thread, which they share with nothing else, so
//! that their CPU time is known and leaves the machine to the server.

pub mod closed;
pub mod open;

use std::time::Duration;

use dynamar::server::proto::{self, inference_client::InferenceClient};
use tonic::{Status, transport::Channel};

use crate::{
    mixes::Item,
    setup::{INTENSITY, POLARITY},
};

/// Asks for one classification; gives the time that the encoder took for the batch it was in.
pub async fn classify(
    client: &mut InferenceClient<Channel>,
    item: &Item,
) -> Result<Duration, Status> {
    let examples = item.examples();
    let request = proto::ClassifyRequest { task: POLARITY.to_owned(), examples, options: None };
    let answer = client.classify(request).await?.into_inner();
    check(answer.results.len())?;
    let inference = answer.metadata.and_then(|metadata| metadata.inference_time);
    Ok(inference.and_then(|time| time.try_into().ok()).unwrap_or_default())
}

/// Asks for one regression.
async fn regress(client: &mut InferenceClient<Channel>, item: &Item) -> Result<(), Status> {
    let examples = item.examples();
    let request = proto::RegressRequest { task: INTENSITY.to_owned(), examples, options: None };
    check(client.regress(request).await?.into_inner().results.len())
}

fn check(results: usize) -> Result<(), Status> {
    match results {
        1 => Ok(()),
        _ => Err(Status::internal(format!("{results} results for one example"))),
    }
}
