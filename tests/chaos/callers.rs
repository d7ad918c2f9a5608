//! Those who ask: every call must end, in the right answer or in an error that is legitimate.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dynamar::server::proto::inference_client::InferenceClient;
use tokio::{task::JoinSet, time};
use tonic::{Code, transport::Channel};

use crate::{
    invalid,
    judge::Circumstances,
    proxy::Line,
    questions::Question,
    scene::{self, PATIENCE, Scene},
    spell::pass,
    tables::Dice,
};

/// Calls of a burst at least, and how many more at most: several times what may wait.
const BURST: usize = 150;
const MORE_OF_BURST: usize = 250;

/// A caller's pause at most, in milliseconds.
const MAX_PAUSE_MS: usize = 8;

/// Asks all the time, each time something else.
pub struct Caller {
    pub scene: Arc<Scene>,
    /// `None` if it goes to the server directly.
    pub line: Option<Arc<Line>>,
    pub dice: Dice,
}

/// A way of asking.
#[derive(Clone, Copy)]
enum Way {
    Patient,
    Deadline(Duration),
    /// The caller goes away after this time.
    Dropped(Duration),
}

impl Caller {
    pub async fn run(mut self) {
        let address = self.line.as_ref().map_or(self.scene.address, |line| line.address);
        let mut client = scene::client(address);
        while self.scene.goes_on() {
            match self.dice.roll(100) {
                0 => {
                    // A new connection.
                    client = scene::client(address);
                    self.one(&mut client).await;
                }
                1 => self.burst(&client).await,
                2..8 => {
                    invalid::ask(&self.scene, &mut client, self.line.as_deref(), &mut self.dice)
                        .await;
                }
                _ => self.one(&mut client).await,
            }
            let pause = self.dice.roll(MAX_PAUSE_MS);
            self.scene.pass(Duration::from_millis(pause as u64)).await;
        }
    }

    fn way(&mut self) -> Way {
        let ms = |ms: usize| Duration::from_millis(ms as u64);
        match self.dice.roll(10) {
            0 | 1 => Way::Deadline(ms(1 + self.dice.roll(60))),
            2 => Way::Dropped(ms(self.dice.roll(12))),
            _ => Way::Patient,
        }
    }

    async fn one(&mut self, client: &mut InferenceClient<Channel>) {
        let way = self.way();
        let question = Question::draw(self.scene.versions.questions(), &mut self.dice);
        ask(&self.scene, client, self.line.as_deref(), &question, way).await;
    }

    /// Far more at once than there is room for.
    async fn burst(&mut self, client: &InferenceClient<Channel>) {
        let mut calls = JoinSet::new();
        for _ in 0..BURST + self.dice.roll(MORE_OF_BURST) {
            let (scene, line) = (Arc::clone(&self.scene), self.line.clone());
            let (mut client, way) = (client.clone(), self.way());
            let question = Question::draw(scene.versions.questions(), &mut self.dice);
            calls.spawn(async move {
                ask(&scene, &mut client, line.as_deref(), &question, way).await;
            });
        }
        self.scene.tally.fault("bursts");
        while let Some(ended) = calls.join_next().await {
            self.scene.tally.expect(ended.is_ok(), || format!("a caller of a burst: {ended:?}"));
        }
    }
}

/// Asks, and judges how it ends.
async fn ask(
    scene: &Scene,
    client: &mut InferenceClient<Channel>,
    line: Option<&Line>,
    question: &Question,
    way: Way,
) {
    let tables = scene.versions.questions();
    let (deadline, patience) = match way {
        Way::Patient => (None, PATIENCE),
        Way::Deadline(deadline) => (Some(deadline), PATIENCE),
        Way::Dropped(after) => (None, after),
    };
    let tasks = question.asked().iter().map(|asked| tables[asked.table].task).collect();
    let circumstances = Circumstances { begun: Instant::now(), tasks, deadline, line };
    let Ok(reply) = time::timeout(patience, question.ask(client, tables, deadline)).await else {
        return match way {
            Way::Dropped(_) => scene.tally.outcome("dropped half-way"),
            _ => {
                let found = describe_hang(scene, client, line, question).await;
                scene.tally.failed(format!(
                    "a call of {:?}, deadline {deadline:?}, hangs: no end within {patience:?}; {found}",
                    circumstances.tasks
                ));
            }
        };
    };
    // Also what came of a stream before it ended with an error.
    if let Err(wrong) = scene.versions.check(question, &reply) {
        return scene.tally.failed(format!("a wrong answer: {wrong}"));
    }
    match reply.error {
        None => scene.tally.outcome("answered rightly"),
        Some(status) => match circumstances.judge(scene, &status) {
            Ok(counted) => scene.tally.outcome(counted),
            Err(wrong) => scene.tally.failed(wrong),
        },
    }
}

/// Tells where a call hangs: by its connection, or alone on one that others get through.
async fn describe_hang(
    scene: &Scene,
    client: &mut InferenceClient<Channel>,
    line: Option<&Line>,
    question: &Question,
) -> String {
    const SOON: Duration = Duration::from_secs(5);
    let (way, address) = match line {
        Some(line) => ("through a line", line.address),
        None => ("direct", scene.address),
    };
    let tables = scene.versions.questions();
    let what = match question {
        Question::Call(_) => "a call",
        Question::Stream(_) => "a stream",
        Question::Predict(_) => "several tasks",
    };
    let mut found = format!("{what} {way}");
    for (name, client) in [("the same", client), ("a new", &mut scene::client(address))] {
        let ends = match time::timeout(SOON, question.ask(client, tables, None)).await {
            Ok(reply) => format!("ends with {:?}", reply.error),
            Err(_) => "hangs too".to_owned(),
        };
        found += &format!("; another on {name} connection {ends}");
    }
    found
}

/// Times that a call which is told to come back later does so, in quiet times.
const MAX_RETRIES: usize = 50;

/// Asks, and sees that each question is answered rightly. Only for quiet times: nothing but a
/// request to come back later is taken for an answer. Batches that were held up let the encoders look
/// slower than they are until some more have been computed.
pub async fn ask_all(scene: &Scene, line: Option<&Line>, count: usize) {
    let mut client = scene::client(line.map_or(scene.address, |line| line.address));
    let mut dice = Dice(count as u64);
    for _ in 0..count {
        let question = Question::draw(scene.versions.questions(), &mut dice);
        match ask_patiently(scene, &mut client, &question).await {
            Ok(()) => scene.tally.outcome("answered rightly"),
            Err(wrong) => scene.tally.failed(format!("in a quiet time: {wrong}")),
        }
    }
}

async fn ask_patiently(
    scene: &Scene,
    client: &mut InferenceClient<Channel>,
    question: &Question,
) -> Result<(), String> {
    for _ in 0..MAX_RETRIES {
        let asked = question.ask(client, scene.versions.questions(), None);
        let reply = time::timeout(PATIENCE, asked).await.map_err(|_| "a call hangs")?;
        scene.versions.check(question, &reply)?;
        match reply.error {
            None => return Ok(()),
            Some(status) if status.code() == Code::ResourceExhausted => {
                scene.tally.outcome("RESOURCE_EXHAUSTED");
                pass(Duration::from_millis(100)).await;
            }
            Some(status) => return Err(format!("{status:?}")),
        }
    }
    Err(format!("told {MAX_RETRIES} times to come back later"))
}
