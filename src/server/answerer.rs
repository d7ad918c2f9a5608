//! Answers requests with whatever registry serves now, however they came.

use std::sync::Arc;

use prost::Message;

use super::{
    CurrentRegistry,
    access::Caller,
    call::{self, Answer, TaskAnswer},
    convert::{self, Limits, Protocol},
    cpus::Cpus,
    incoming::Incoming,
    monitoring::Metrics,
    proto, record,
    room::Room,
    status::{self, CallError},
};
use crate::{
    config::ServerConfig,
    inference::SelectionError,
    prediction_log::PredictionLog,
    registry::{Registry, Route},
    task::Kind,
};

/// What stands for the task of a call that asks several.
const SEVERAL_TASKS: &str = "(several)";

/// Answers requests. Those of a stream come with the room that the stream has.
pub(super) struct Answerer {
    current: CurrentRegistry,
    limits: Limits,
    /// Bytes of the largest answer.
    max_answer_bytes: usize,
    cpus: Cpus,
    metrics: Metrics,
    log: Option<PredictionLog>,
}

/// What is asked of tasks, not checked yet.
pub(super) struct Asked {
    pub examples: Vec<proto::Example>,
    pub options: proto::Options,
    /// In whose words the caller is told what is wrong.
    pub protocol: Protocol,
}

impl Asked {
    fn by_dynamar(examples: Vec<proto::Example>, options: Option<proto::Options>) -> Self {
        Self { examples, options: options.unwrap_or_default(), protocol: Protocol::Dynamar }
    }
}

impl Answerer {
    pub(super) fn new(
        config: &ServerConfig,
        current: CurrentRegistry,
        metrics: Metrics,
        log: Option<PredictionLog>,
    ) -> Self {
        let limits = Limits {
            max_examples: config.max_examples.get(),
            max_text_bytes: config.max_text_bytes.get(),
        };
        let max_answer_bytes = config.max_message_bytes.get();
        Self { current, limits, max_answer_bytes, cpus: Cpus::new(), metrics, log }
    }

    pub(super) async fn classify(
        &self,
        request: proto::ClassifyRequest,
        call: &Incoming,
        room: Option<&Room>,
    ) -> Result<proto::ClassifyResponse, CallError> {
        let route = self.route(&call.caller, &request.task)?;
        let kind = &route.task.predictor.file.task.kind;
        let Kind::Classification { .. } = kind else {
            return Err(CallError::wrong_kind(&request.task, kind));
        };
        let asked = Asked::by_dynamar(request.examples, request.options);
        let wanted = convert::Wanted::by(&asked.options);
        let answer = self.answer(vec![route], asked, call, room).await?;
        let top_k_path = Protocol::Dynamar.option("top_k");
        self.fitting(convert::classify_response(answer, wanted), top_k_path)
    }

    pub(super) async fn regress(
        &self,
        request: proto::RegressRequest,
        call: &Incoming,
        room: Option<&Room>,
    ) -> Result<proto::RegressResponse, CallError> {
        let route = self.route(&call.caller, &request.task)?;
        let kind = &route.task.predictor.file.task.kind;
        let Kind::Regression { .. } = kind else {
            return Err(CallError::wrong_kind(&request.task, kind));
        };
        let asked = Asked::by_dynamar(request.examples, request.options);
        let answer = self.answer(vec![route], asked, call, room).await?;
        let examples_path = Protocol::Dynamar.examples().to_owned();
        self.fitting(convert::regress_response(answer), examples_path)
    }

    pub(super) async fn predict(
        &self,
        request: proto::PredictRequest,
        call: &Incoming,
    ) -> Result<proto::PredictResponse, CallError> {
        let routes = self.routes(&call.caller, &request.tasks)?;
        let asked = Asked::by_dynamar(request.examples, request.options);
        let wanted = convert::Wanted::by(&asked.options);
        let answer = self.answer(routes, asked, call, None).await?;
        let top_k_path = Protocol::Dynamar.option("top_k");
        self.fitting(convert::predict_response(answer, wanted), top_k_path)
    }

    /// An answer that is no larger than a message may be. A larger one would be refused by its client,
    /// and look like overload there. `field` is what the caller can make smaller.
    pub(super) fn fitting<T: Message>(&self, answer: T, field: String) -> Result<T, CallError> {
        let (bytes, limit) = (answer.encoded_len(), self.max_answer_bytes);
        if bytes <= limit {
            return Ok(answer);
        }
        Err(CallError::AnswerTooLarge { bytes, limit, field })
    }

    /// What tasks say of what is asked, whichever they are.
    pub(super) async fn answer(
        &self,
        routes: Vec<Arc<Route>>,
        asked: Asked,
        call: &Incoming,
        room: Option<&Room>,
    ) -> Result<Answer, CallError> {
        let Asked { examples, options, protocol } = asked;
        let span = tracing::Span::current();
        // Only names of real tasks, so that nobody fills the log with words of their own.
        let tasks = status::list(routes.iter().map(|route| route.name()));
        call.trace.set_text("dynamar.task", &tasks);
        call.trace.set_count("dynamar.examples", examples.len());
        span.record("task", tasks);
        span.record("examples", examples.len());
        call.count.set_task(match &routes[..] {
            // Not of a version, of which many come and go.
            [one] => one.task_name(),
            _ => SEVERAL_TASKS,
        });
        if room.is_none() {
            // Who cannot be served now is told before anything is done for it.
            routes.iter().try_for_each(|route| route.batcher.check(&call.terms))?;
        }
        let questions = convert::question(routes, examples, &options, self.limits, protocol)?;
        let samples = self.log.as_ref().map(|log| record::sample(log, &questions));
        let answer = call::answer(questions, &self.cpus, call, room).await;
        let answer = answer.map_err(|error| error.in_words_of(protocol))?;
        check_finite(&answer)?;
        self.count(&answer);
        if let Some((log, samples)) = self.log.as_ref().zip(samples) {
            record::put(log, samples, &answer, call);
        }
        Ok(answer)
    }

    fn count(&self, answer: &Answer) {
        self.metrics.calls.tokenized(answer.cost.tokenization_time);
        for TaskAnswer { route, predictions } in &answer.tasks {
            let kind = &route.task.predictor.file.task.kind;
            let task = route.task_name();
            let metrics = self.metrics.predictions.of(task, &route.checkpoint, kind);
            metrics.observe(predictions);
        }
    }

    /// What a call may ask for.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn registry(&self) -> Result<Arc<Registry>, CallError> {
        self.current.borrow().clone().ok_or(CallError::Loading)
    }

    pub(super) fn route(&self, caller: &Caller, task: &str) -> Result<Arc<Route>, CallError> {
        find(caller, self.registry()?.as_ref(), task)
    }

    /// Who answers for these tasks: each known, none of them twice, and so never very many. Nothing
    /// is said of how many there are: of tasks that are served a moment later or earlier, a caller
    /// must learn that one is unknown, not that the request is wrong.
    fn routes(&self, caller: &Caller, tasks: &[String]) -> Result<Vec<Arc<Route>>, CallError> {
        let registry = self.registry()?;
        if tasks.is_empty() {
            return Err(CallError::invalid("tasks", "missing: at least one is needed"));
        }
        let mut routes: Vec<Arc<Route>> = Vec::new();
        for (at, task) in tasks.iter().enumerate() {
            let route = find(caller, &registry, task)?;
            if routes.iter().any(|known| known.name() == task) {
                let field = format!("tasks[{at}]");
                return Err(CallError::invalid(field, format!("{task} is asked twice")));
            }
            routes.push(route);
        }
        Ok(routes)
    }
}

/// What is no number is an answer to nobody, and would stay in the metrics for ever.
fn check_finite(answer: &Answer) -> Result<(), CallError> {
    let broken = answer.tasks.iter().find(|answered| {
        answered.predictions.iter().any(|prediction| !prediction.output.is_finite())
    });
    match broken {
        None => Ok(()),
        Some(TaskAnswer { route, .. }) => Err(CallError::NotFinite {
            task: route.name().to_owned(),
            checkpoint: route.checkpoint.clone(),
        }),
    }
}

/// Who of this registry answers for a task that this caller asks.
pub(super) fn find(
    caller: &Caller,
    registry: &Registry,
    task: &str,
) -> Result<Arc<Route>, CallError> {
    // Asked first: who may not ask a task does not learn whether it exists.
    if !caller.may_ask(task) {
        return Err(CallError::out_of_scope(task));
    }
    registry.route(task).ok_or_else(|| {
        let known = registry.routes().map(|route| route.name());
        let known: Vec<&str> = known.filter(|name| caller.may_ask(name)).collect();
        CallError::unknown_task(task, known.into_iter())
    })
}

impl From<SelectionError> for CallError {
    /// `convert` has checked the ids, so this is for templates that it did not see.
    fn from(error: SelectionError) -> Self {
        Self::invalid("options.template_ids", error.to_string())
    }
}
