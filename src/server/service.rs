//! The calls of `dynamar.v1.Inference`, each from the request to the answer.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    CurrentRegistry,
    call::{self, Answer},
    convert::{self, Limits},
    cpus::Cpus,
    layers::RequestId,
    proto::{self, inference_server::Inference},
    status::{self, CallError},
};
use crate::{
    config::ServerConfig,
    inference::SelectionError,
    registry::{Registry, Route},
    task::Kind,
};

/// Answers calls with whatever registry serves now.
pub(super) struct InferenceService {
    current: CurrentRegistry,
    limits: Limits,
    cpus: Cpus,
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

    async fn predict(
        &self,
        request: Request<proto::PredictRequest>,
    ) -> Result<Response<proto::PredictResponse>, Status> {
        let id = id_of(&request);
        respond(self.answer_predict(request.into_inner()).await, &id)
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
        let limits = Limits {
            max_examples: config.max_examples.get(),
            max_text_bytes: config.max_text_bytes.get(),
        };
        Self { current, limits, cpus: Cpus::new() }
    }

    async fn answer_classify(
        &self,
        request: proto::ClassifyRequest,
    ) -> Result<proto::ClassifyResponse, CallError> {
        let route = self.route(&request.task)?;
        let kind = &route.task.predictor.file.task.kind;
        let Kind::Classification { .. } = kind else {
            return Err(CallError::wrong_kind(&request.task, kind));
        };
        let options = request.options.unwrap_or_default();
        let answer = self.answer(vec![route], request.examples, &options).await?;
        Ok(convert::classify_response(answer, options.top_k))
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
        let answer = self.answer(vec![route], request.examples, &options).await?;
        Ok(convert::regress_response(answer))
    }

    async fn answer_predict(
        &self,
        request: proto::PredictRequest,
    ) -> Result<proto::PredictResponse, CallError> {
        let routes = self.routes(&request.tasks)?;
        let options = request.options.unwrap_or_default();
        let answer = self.answer(routes, request.examples, &options).await?;
        Ok(convert::predict_response(answer, options.top_k))
    }

    async fn answer(
        &self,
        routes: Vec<Arc<Route>>,
        examples: Vec<proto::Example>,
        options: &proto::Options,
    ) -> Result<Answer, CallError> {
        let span = tracing::Span::current();
        // Only names of real tasks, so that nobody fills the log with words of their own.
        span.record("task", status::list(routes.iter().map(|route| route.name())));
        span.record("examples", examples.len());
        let questions = convert::question(routes, examples, options, self.limits)?;
        call::answer(questions, &self.cpus).await
    }

    fn registry(&self) -> Result<Arc<Registry>, CallError> {
        self.current.borrow().clone().ok_or(CallError::Loading)
    }

    fn route(&self, task: &str) -> Result<Arc<Route>, CallError> {
        find(self.registry()?.as_ref(), task)
    }

    /// Who answers for these tasks: each known, none of them twice, and so never very many.
    fn routes(&self, tasks: &[String]) -> Result<Vec<Arc<Route>>, CallError> {
        let registry = self.registry()?;
        let (count, served) = (tasks.len(), registry.routes().len());
        if count == 0 {
            return Err(CallError::invalid("tasks", "missing: at least one is needed"));
        }
        if count > served {
            let description = format!("{count} tasks; this server has {served}");
            return Err(CallError::invalid("tasks", description));
        }
        let mut routes: Vec<Arc<Route>> = Vec::with_capacity(count);
        for (at, task) in tasks.iter().enumerate() {
            let route = find(&registry, task)?;
            if routes.iter().any(|known| known.name() == task) {
                let field = format!("tasks[{at}]");
                return Err(CallError::invalid(field, format!("{task} is asked twice")));
            }
            routes.push(route);
        }
        Ok(routes)
    }
}

fn find(registry: &Registry, task: &str) -> Result<Arc<Route>, CallError> {
    registry.route(task).ok_or_else(|| {
        let known = registry.routes().map(|route| route.name());
        CallError::unknown_task(task, known)
    })
}

impl From<SelectionError> for CallError {
    /// `convert` has checked the ids, so this is for templates that it did not see.
    fn from(error: SelectionError) -> Self {
        Self::invalid("options.template_ids", error.to_string())
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
