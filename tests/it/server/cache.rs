//! A server that remembers.

use dynamar::server::proto::{self, options::TemplateMode};

use super::stage::{Stage, classify, config, options, predict, soon, texts};

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_was_asked_before_costs_no_tokens() {
    let mut config = config();
    config.cache.max_bytes = 1 << 20;
    let stage = Stage::ready_with(config).await;
    let mut client = stage.client().await;
    let mut ask = async |words: &[&str]| {
        let answer = soon(client.classify(classify("polarity", texts(words)))).await;
        let answer = answer.expect("answered").into_inner();
        let proto::Metadata { tokens, cached, .. } = answer.metadata.expect("told");
        (answer.results, tokens, cached)
    };
    let (first, tokens, cached) = ask(&["fine camera"]).await;
    assert!(tokens > 0 && cached == 0);
    assert_eq!(ask(&["fine camera"]).await, (first.clone(), 0, 1));
    // Equal ones of one call are one prompt, wherever its vector comes from.
    let (both, other, cached) = ask(&["poor", "fine camera", "poor", "fine camera"]).await;
    assert!(other > 0 && other < tokens && cached == 1);
    assert_eq!((&both[1], &both[3], &both[2]), (&first[0], &first[0], &both[0]));
    // Another template is another prompt.
    let request = proto::PredictRequest {
        options: options(TemplateMode::Ensemble, &[]),
        ..predict(&["polarity"], texts(&["fine camera"]))
    };
    let answer = soon(client.predict(request)).await.expect("answered").into_inner();
    let metadata = answer.metadata.expect("told");
    assert_eq!(metadata.cached, 1);
    assert!(metadata.tokens > 0);
    stage.stop().await;
}
