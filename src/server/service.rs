//! The calls of `dynamar.v1.Inference`, each from the request to the answer.

use std::{num::NonZeroUsize, sync::Arc, thread};

use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{
    CurrentRegistry,
    convert::{self, Answer, Limits, Question},
    layers::RequestId,
    proto::{self, inference_server::Inference},
    status::CallError,
};
use crate::{
    config::ServerConfig,
    inference::SelectionError,
    registry::{Registry, Route},
    task::{FieldViolation, Kind, Prediction},
};

/// Answers calls with whatever registry serves now.
pub(super) struct InferenceService {
    current: CurrentRegistry,
    limits: Limits,
    /// Tokenising and heads take CPU time; as many calls do that at once as there are CPUs.
    cpus: Arc<Semaphore>,
}

#[tonic::async_trait]
impl Inference for InferenceService {
    async fn classify(
        &self,
        request: Request<proto::ClassifyRequest>,
    ) -> Result<Response<proto::ClassifyResponse>, Status> {
        let id = id_of(&request);
        respond(self.answer_classify(request.into_inner()).await, &id)
    }

    async fn regress(
        &self,
        request: Request<proto::RegressRequest>,
    ) -> Result<Response<proto::RegressResponse>, Status> {
        let id = id_of(&request);
        respond(self.answer_regress(request.into_inner()).await, &id)
    }

    async fn list_tasks(
        &self,
        request: Request<proto::ListTasksRequest>,
    ) -> Result<Response<proto::ListTasksResponse>, Status> {
        let tasks = self.registry().map(|registry| proto::ListTasksResponse {
            tasks: registry.routes().map(convert::task).collect(),
        });
        respond(tasks, &id_of(&request))
    }

    async fn get_task(
        &self,
        request: Request<proto::GetTaskRequest>,
    ) -> Result<Response<proto::Task>, Status> {
        let id = id_of(&request);
        let route = self.route(&request.get_ref().task);
        respond(route.map(|route| convert::task(&route)), &id)
    }
}

impl InferenceService {
    pub(super) fn new(config: &ServerConfig, current: CurrentRegistry) -> Self {
        let cpus = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            current,
            limits: Limits {
                max_examples: config.max_examples.get(),
                max_text_bytes: config.max_text_bytes.get(),
            },
            cpus: Arc::new(Semaphore::new(cpus)),
        }
    }

    async fn answer_classify(
        &self,
        request: proto::ClassifyRequest,
    ) -> Result<proto::ClassifyResponse, CallError> {
        let route = self.route(&request.task)?;
        let kind = &route.task.predictor.file.task.kind;
        let Kind::Classification { labels } = kind else {
            return Err(CallError::wrong_kind(&request.task, kind));
        };
        let options = request.options.unwrap_or_default();
        let answer = self.answer(&route, request.examples, &options).await?;
        Ok(convert::classify_response(labels, answer, options.top_k))
    }

    async fn answer_regress(
        &self,
        request: proto::RegressRequest,
    ) -> Result<proto::RegressResponse, CallError> {
        let route = self.route(&request.task)?;
        let kind = &route.task.predictor.file.task.kind;
        let Kind::Regression { .. } = kind else {
            return Err(CallError::wrong_kind(&request.task, kind));
        };
        let options = request.options.unwrap_or_default();
        let answer = self.answer(&route, request.examples, &options).await?;
        Ok(convert::regress_response(answer))
    }

    /// From examples to predictions: prompts, mask vectors, heads.
    async fn answer(
        &self,
        route: &Arc<Route>,
        examples: Vec<proto::Example>,
        options: &proto::Options,
    ) -> Result<Answer, CallError> {
        tracing::Span::current().record("examples", examples.len());
        let Question { examples, templates } =
            convert::question(route, examples, options, self.limits)?;
        let templates = route.task.predictor.select(&templates)?;
        let asked = templates.len();
        let task = Arc::clone(&route.task);
        let prompts = self.compute(move || task.predictor.prompts(&examples, &templates)).await??;
        let tokens = prompts.iter().map(|prompt| prompt.input_ids.len()).sum();
        let truncated: Vec<bool> = prompts
            .chunks(asked)
            .map(|prompts| prompts.iter().any(|prompt| prompt.truncated))
            .collect();
        let encoded = route.batcher.encode(prompts).await?;
        let metadata = convert::metadata(route, tokens, &encoded);
        let task = Arc::clone(&route.task);
        let apply_heads = move || -> Vec<Prediction> {
            let of_examples = encoded.chunks(asked).zip(truncated);
            let predictions = of_examples.map(|(encoded, truncated)| {
                let vectors = encoded.iter().map(|one| one.mask_vector.as_slice());
                task.predictor.answer(vectors, truncated)
            });
            predictions.collect()
        };
        let predictions = self.compute(apply_heads).await?;
        Ok(Answer { predictions, metadata })
    }

    fn registry(&self) -> Result<Arc<Registry>, CallError> {
        self.current.borrow().clone().ok_or(CallError::Loading)
    }

    fn route(&self, task: &str) -> Result<Arc<Route>, CallError> {
        let registry = self.registry()?;
        let Some(route) = registry.route(task) else {
            let known = registry.routes().map(|route| route.name());
            return Err(CallError::unknown_task(task, known));
        };
        // Only names of real tasks, so that nobody fills the log with words of their own.
        tracing::Span::current().record("task", route.name());
        Ok(route)
    }

    /// Does what takes CPU time away from the threads that serve connections.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CallError> {
        // The semaphore is never closed; should it be, work goes on without its limit.
        let turn = Arc::clone(&self.cpus).acquire_owned().await.ok();
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work itself, which goes on when the call is given up.
            let _turn = turn;
            work()
        })
        .await;
        done.map_err(|error| CallError::Panic(error.to_string()))
    }
}

impl From<SelectionError> for CallError {
    /// `convert` has checked the ids, so this is for templates that it did not see.
    fn from(error: SelectionError) -> Self {
        Self::Invalid(vec![FieldViolation {
            field: "options.template_ids".to_owned(),
            description: error.to_string(),
        }])
    }
}

/// The id that the layers gave the call.
fn id_of<T>(request: &Request<T>) -> RequestId {
    let id = request.extensions().get::<RequestId>().cloned();
    id.unwrap_or_else(|| RequestId::from_header(None))
}

fn respond<T>(answer: Result<T, CallError>, id: &RequestId) -> Result<Response<T>, Status> {
    match answer {
        Ok(answer) => Ok(Response::new(answer)),
        Err(error) => Err(error.into_status(id)),
    }
}
