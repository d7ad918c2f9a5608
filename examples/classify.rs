//! Asks a running server what it makes of texts, with the generated client of this crate.

use std::{env, error::Error, time::Duration};

use dynamar::server::proto::{ClassifyRequest, Example, inference_client::InferenceClient};
use tonic::Request;

const USAGE: &str = "usage: classify http://HOST:PORT TASK TEXT...";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().ok_or(USAGE)?;
    let task = arguments.next().ok_or(USAGE)?;
    let texts: Vec<String> = arguments.collect();
    let example = |text: &String| Example { fields: [("text".to_owned(), text.clone())].into() };
    let examples = texts.iter().map(example).collect();
    let mut request = Request::new(ClassifyRequest { task, examples, options: None });
    // A server that cannot answer in time says so at once, and computes nothing in vain.
    request.set_timeout(Duration::from_secs(5));

    let mut client = InferenceClient::connect(address).await?;
    // The message of an error says what is wrong with which example.
    let answer = client.classify(request).await.map_err(|status| status.message().to_owned())?;
    for (text, result) in texts.iter().zip(answer.into_inner().results) {
        let best = result.labels.first().ok_or("no label")?;
        println!("{}\t{:.3}\t{text}", best.label, best.probability);
    }
    Ok(())
}
