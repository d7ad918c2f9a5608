//! What the server adds to the time of a lone request.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use crate::{
    load,
    measure::Bench,
    mixes::Mix,
    server::Server,
    statistics::{Latencies, median},
};

/// Turns of each side, and its requests in one.
const ROUNDS: usize = 40;
const REQUESTS: usize = 25;

/// Latencies of both sides, and their difference turn by turn.
pub struct Added {
    server: Latencies,
    session: Latencies,
    /// Milliseconds that the median of a server's turn is above that of the session's beside it.
    of_rounds: Vec<f64>,
}

impl Added {
    /// One caller, the same prompt again and again: through the server, and through a session of the
    /// encoder in this process.
    pub fn measure(bench: &mut Bench<'_>, server: &Server, mix: &Mix) -> Result<Self> {
        let item = mix.items.first().context("a mix has items")?;
        let mut added =
            Self { server: Latencies::default(), session: Latencies::default(), of_rounds: vec![] };
        let mut client = server.client(0);
        for round in 0..=ROUNDS {
            let mut asked: Vec<Duration> = Vec::with_capacity(REQUESTS);
            bench.tokio.block_on(async {
                for _ in 0..REQUESTS {
                    let begin = Instant::now();
                    let answer = load::classify(&mut client, item).await;
                    answer.map_err(|status| server.explain(anyhow!("a call failed: {status}")))?;
                    asked.push(begin.elapsed());
                }
                anyhow::Ok(())
            })?;
            let computed = (0..REQUESTS).map(|_| bench.in_process.one(&item.prompt));
            let computed = Latencies::of(computed.collect::<Result<Vec<Duration>>>()?);
            // The first round warms both up.
            if round > 0 {
                added.add(&Latencies::of(asked), &computed);
            }
        }
        Ok(added)
    }

    fn add(&mut self, asked: &Latencies, computed: &Latencies) {
        self.of_rounds.push(asked.ms(0.5) - computed.ms(0.5));
        self.server = Latencies::joined([&self.server, asked]);
        self.session = Latencies::joined([&self.session, computed]);
    }

    /// The median over the turns, so that a neighbour that slows some of them does not count.
    pub fn ms(&self) -> f64 {
        median(self.of_rounds.iter().copied())
    }

    pub fn sentence(&self) -> String {
        let (server, session) = (self.server.ms(0.5), self.session.ms(0.5));
        let added = self.ms();
        format!(
            "a lone request: {server:.2} ms, {added:.2} more than a bare session's {session:.2}"
        )
    }

    pub fn json(&self) -> Value {
        json!({"server": self.server.json(), "session": self.session.json()})
    }
}
