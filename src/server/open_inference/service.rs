//! The calls of `inference.GRPCInferenceService`, as tonic has them.

use std::{sync::Arc, time::Instant};

use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::{
    metadata::{self, task_name},
    proto::{self, GrpcInferenceService},
    request::{Inquiry, read},
    response::response,
};
use crate::{
    batching::Terms,
    server::{
        answerer::{self, Answerer, Asked},
        convert::Protocol,
        deadline::Deadline,
        incoming::Incoming,
        layers::in_time,
        service::respond,
        status::CallError,
    },
};

/// The service.
pub(in crate::server) struct OpenInferenceService {
    answerer: Arc<Answerer>,
    /// Whether predictions come out.
    serving: watch::Receiver<bool>,
}

impl OpenInferenceService {
    pub(in crate::server) fn new(answerer: Arc<Answerer>, serving: watch::Receiver<bool>) -> Self {
        Self { answerer, serving }
    }

    async fn infer(
        &self,
        mut request: proto::ModelInferRequest,
        call: &Incoming,
    ) -> Result<proto::ModelInferResponse, CallError> {
        let name = task_name(&request.model_name, &request.model_version);
        let route = self.answerer.route(&call.caller, &name)?;
        let (model, id) =
            (std::mem::take(&mut request.model_name), std::mem::take(&mut request.id));
        let task = &route.task.predictor.file.task;
        let inquiry = read(task, request, self.answerer.limits().max_examples);
        let Inquiry { examples, options, timeout, form } = inquiry.map_err(CallError::Invalid)?;
        let given = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let deadline = call.terms.deadline.into_iter().chain(given).min();
        let terms = Terms { deadline, ..call.terms.clone() };
        let call = Incoming { terms, ..call.clone() };
        let asked = Asked { examples, options, protocol: Protocol::OpenInference };
        let answer = self.answerer.answer(vec![route], asked, &call, None);
        let answer = in_time(answer, deadline.map(Deadline)).await??;
        let top_k_path = Protocol::OpenInference.option("top_k");
        self.answerer.fitting(response(model, id, &form, answer), top_k_path)
    }

    fn is_ready(&self) -> bool {
        *self.serving.borrow()
    }

    fn model_is_ready(
        &self,
        asked: &proto::ModelReadyRequest,
        call: &Incoming,
    ) -> Result<proto::ModelReadyResponse, CallError> {
        let name = task_name(&asked.name, &asked.version);
        let ready = match self.answerer.route(&call.caller, &name) {
            Ok(_) => self.is_ready(),
            // There is a field to say so.
            Err(CallError::Loading | CallError::UnknownTask { .. }) => false,
            Err(error) => return Err(error),
        };
        Ok(proto::ModelReadyResponse { ready })
    }

    fn model(
        &self,
        asked: &proto::ModelMetadataRequest,
        call: &Incoming,
    ) -> Result<proto::ModelMetadataResponse, CallError> {
        let name = task_name(&asked.name, &asked.version);
        let registry = self.answerer.registry()?;
        let route = answerer::find(&call.caller, &registry, &name)?;
        Ok(metadata::model(&route, &registry))
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for OpenInferenceService {
    async fn server_live(
        &self,
        _: Request<proto::ServerLiveRequest>,
    ) -> Result<Response<proto::ServerLiveResponse>, Status> {
        Ok(Response::new(proto::ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<proto::ServerReadyRequest>,
    ) -> Result<Response<proto::ServerReadyResponse>, Status> {
        Ok(Response::new(proto::ServerReadyResponse { ready: self.is_ready() }))
    }

    async fn model_ready(
        &self,
        request: Request<proto::ModelReadyRequest>,
    ) -> Result<Response<proto::ModelReadyResponse>, Status> {
        let call = Incoming::of(&request);
        respond(self.model_is_ready(request.get_ref(), &call), &call)
    }

    async fn server_metadata(
        &self,
        _: Request<proto::ServerMetadataRequest>,
    ) -> Result<Response<proto::ServerMetadataResponse>, Status> {
        Ok(Response::new(proto::ServerMetadataResponse {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: Vec::new(),
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<proto::ModelMetadataRequest>,
    ) -> Result<Response<proto::ModelMetadataResponse>, Status> {
        let call = Incoming::of(&request);
        respond(self.model(request.get_ref(), &call), &call)
    }

    async fn model_infer(
        &self,
        request: Request<proto::ModelInferRequest>,
    ) -> Result<Response<proto::ModelInferResponse>, Status> {
        let call = Incoming::of(&request);
        respond(self.infer(request.into_inner(), &call).await, &call)
    }
}
