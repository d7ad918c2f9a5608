//! Callers of the server. All of them live on one thread, which they share with nothing else, so
//! that their CPU time is known and leaves the machine to the server.

pub mod closed;
pub mod open;

use std::time::Duration;

use anyhow::{Context, Result};
use dynamar::server::proto::{self, inference_client::InferenceClient};
use tokio::time;
use tonic::{Status, transport::Channel};

use crate::{
    mixes::Item,
    setup::{INTENSITY, POLARITY},
};

/// A measurement that takes so much longer than any does will never end.
const PATIENCE: Duration = Duration::from_secs(900);

/// The outcome of a measurement, or an error if it never ends: a call has no deadline of its own,
/// which would be work for the server.
pub async fn in_time<T>(measurement: impl Future<Output = Result<T>>) -> Result<T> {
    time::timeout(PATIENCE, measurement).await.context("the server does not answer any more")?
}

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
