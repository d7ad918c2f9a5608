//! Questions of every kind, and how they are asked.

use std::time::Duration;

use dynamar::server::proto::{self, inference_client::InferenceClient, task_prediction::Answer};
use tonic::{Request, Status, Streaming, transport::Channel};

use super::{
    stage::predict,
    tables::{Asked, Dice, INTENSITY, MATCH, POLARITY, Said, Table},
};

/// Something to ask.
pub enum Question {
    Call(Asked),
    /// Of one table.
    Stream(Vec<Asked>),
    /// Several tasks of the same examples.
    Predict([Asked; 3]),
}

/// What came of it.
#[derive(Default)]
pub struct Reply {
    /// In the order asked. Of a stream that ended with an error, what came before.
    pub said: Vec<Said>,
    /// What each request cost.
    pub costs: Vec<proto::Metadata>,
    pub error: Option<Status>,
}

impl Question {
    /// A call, sometimes a stream, sometimes all tasks at once.
    pub fn draw(tables: &[Table], dice: &mut Dice) -> Self {
        let table = dice.roll(tables.len());
        let asked = |dice: &mut Dice| Asked { table, rows: tables[table].draw(dice) };
        match dice.roll(4) {
            0 => {
                let reviews = tables[POLARITY].draw(dice);
                let items = tables[MATCH].rows.len();
                Self::Predict([
                    Asked {
                        table: MATCH,
                        rows: reviews.iter().map(|_| dice.roll(items)).collect(),
                    },
                    Asked { table: POLARITY, rows: reviews.clone() },
                    Asked { table: INTENSITY, rows: reviews },
                ])
            }
            1 => Self::Stream((0..1 + dice.roll(12)).map(|_| asked(dice)).collect()),
            _ => Self::Call(asked(dice)),
        }
    }

    /// What is asked, in the order in which it is answered.
    pub fn asked(&self) -> &[Asked] {
        match self {
            Self::Call(asked) => std::slice::from_ref(asked),
            Self::Stream(asked) => asked,
            Self::Predict(asked) => asked,
        }
    }

    /// Asks it, with a deadline or none.
    pub async fn ask(
        &self,
        client: &mut InferenceClient<Channel>,
        tables: &[Table],
        deadline: Option<Duration>,
    ) -> Reply {
        let mut reply = Reply::default();
        let asked = match self {
            Self::Call(asked) => call(client, tables, asked, deadline, &mut reply).await,
            Self::Stream(asked) => stream(client, tables, asked, deadline, &mut reply).await,
            Self::Predict(asked) => several(client, tables, asked, deadline, &mut reply).await,
        };
        reply.error = asked.err();
        reply
    }
}

impl Reply {
    fn take(&mut self, said: Said) {
        let metadata = match &said {
            Said::Classified(said) => said.metadata.clone(),
            Said::Regressed(said) => said.metadata.clone(),
        };
        self.costs.extend(metadata);
        self.said.push(said);
    }
}

fn request<T>(message: T, deadline: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    request
}

fn is_regression(table: &Table) -> bool {
    table.task == "intensity"
}

async fn call(
    client: &mut InferenceClient<Channel>,
    tables: &[Table],
    asked: &Asked,
    deadline: Option<Duration>,
    reply: &mut Reply,
) -> Result<(), Status> {
    let table = &tables[asked.table];
    reply.take(match is_regression(table) {
        true => {
            let regress = request(table.regress(&asked.rows), deadline);
            Said::Regressed(client.regress(regress).await?.into_inner())
        }
        false => {
            let classify = request(table.classify(&asked.rows), deadline);
            Said::Classified(client.classify(classify).await?.into_inner())
        }
    });
    Ok(())
}

async fn stream(
    client: &mut InferenceClient<Channel>,
    tables: &[Table],
    asked: &[Asked],
    deadline: Option<Duration>,
    reply: &mut Reply,
) -> Result<(), Status> {
    let Some(first) = asked.first() else { return Ok(()) };
    let table = &tables[first.table];
    if is_regression(table) {
        let requests: Vec<_> = asked.iter().map(|asked| table.regress(&asked.rows)).collect();
        let requests = request(tokio_stream::iter(requests), deadline);
        let answers = client.regress_stream(requests).await?.into_inner();
        take_all(answers, Said::Regressed, asked.len(), reply).await
    } else {
        let requests: Vec<_> = asked.iter().map(|asked| table.classify(&asked.rows)).collect();
        let requests = request(tokio_stream::iter(requests), deadline);
        let answers = client.classify_stream(requests).await?.into_inner();
        take_all(answers, Said::Classified, asked.len(), reply).await
    }
}

async fn take_all<T>(
    mut answers: Streaming<T>,
    said: fn(T) -> Said,
    count: usize,
    reply: &mut Reply,
) -> Result<(), Status> {
    while let Some(answer) = answers.message().await? {
        reply.take(said(answer));
    }
    let found = reply.said.len();
    assert_eq!(found, count, "a stream that ends well has an answer to each request");
    Ok(())
}

async fn several(
    client: &mut InferenceClient<Channel>,
    tables: &[Table],
    asked: &[Asked; 3],
    deadline: Option<Duration>,
    reply: &mut Reply,
) -> Result<(), Status> {
    let [pairs, reviews, _] = asked;
    let examples = reviews.rows.iter().zip(&pairs.rows).map(|(&review, &item)| {
        let mut union = tables[reviews.table].rows[review].0.clone();
        union.fields.extend(tables[pairs.table].rows[item].0.fields.clone());
        union
    });
    let tasks: Vec<&str> = asked.iter().map(|asked| tables[asked.table].task).collect();
    let message = predict(&tasks, examples.collect());
    let answer = client.predict(request(message, deadline)).await?.into_inner();
    reply.costs.extend(answer.metadata);
    reply.said.extend(answer.predictions.into_iter().filter_map(|one| {
        Some(match one.answer? {
            Answer::Classify(said) => Said::Classified(said),
            Answer::Regress(said) => Said::Regressed(said),
        })
    }));
    assert_eq!(reply.said.len(), asked.len(), "every task has an answer");
    Ok(())
}
