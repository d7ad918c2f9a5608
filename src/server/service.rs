//! The calls of `dynamar.v1.Inference`, as tonic has them.

use std::sync::Arc;

use prost::Message;
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status, Streaming};
use tracing::Span;

use super::{
    answerer::Answerer,
    convert,
    incoming::Incoming,
    proto::{self, inference_server::Inference},
    room::Room,
    status::{self, CallError},
    stream::{self, Answering, Answers},
};
use crate::config::ServerConfig;

/// Smaller answers travel as they are, whatever the client accepts: to compress them takes longer
/// than to send what it would save.
const MIN_COMPRESSED_BYTES: usize = 1024;

/// The service.
pub(super) struct InferenceService {
    answerer: Arc<Answerer>,
    max_stream_in_flight: usize,
    /// Whether the server was told to stop.
    stopping: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl Inference for InferenceService {
    type ClassifyStreamStream = Answers<proto::ClassifyRequest, proto::ClassifyResponse>;
    type RegressStreamStream = Answers<proto::RegressRequest, proto::RegressResponse>;

    async fn classify(
        &self,
        request: Request<proto::ClassifyRequest>,
    ) -> Result<Response<proto::ClassifyResponse>, Status> {
        let call = Incoming::of(&request);
        respond(self.answerer.classify(request.into_inner(), &call, None).await, &call)
    }

    async fn regress(
        &self,
        request: Request<proto::RegressRequest>,
    ) -> Result<Response<proto::RegressResponse>, Status> {
        let call = Incoming::of(&request);
        respond(self.answerer.regress(request.into_inner(), &call, None).await, &call)
    }

    async fn predict(
        &self,
        request: Request<proto::PredictRequest>,
    ) -> Result<Response<proto::PredictResponse>, Status> {
        let call = Incoming::of(&request);
        respond(self.answerer.predict(request.into_inner(), &call).await, &call)
    }

    async fn classify_stream(
        &self,
        requests: Request<Streaming<proto::ClassifyRequest>>,
    ) -> Result<Response<Self::ClassifyStreamStream>, Status> {
        let call = Incoming::of(&requests);
        let (answerer, room) = (Arc::clone(&self.answerer), Arc::new(Room::default()));
        let of_stream = call.clone();
        let answering = move |request| {
            let (answerer, room) = (Arc::clone(&answerer), Arc::clone(&room));
            let call = of_stream.request();
            Box::pin(async move {
                call.trace.log_ids(&Span::current());
                counted(answerer.classify(request, &call, Some(&room)).await, &call)
            }) as _
        };
        Ok(respond_with_stream(self.answers(requests, call, Box::new(answering))))
    }

    async fn regress_stream(
        &self,
        requests: Request<Streaming<proto::RegressRequest>>,
    ) -> Result<Response<Self::RegressStreamStream>, Status> {
        let call = Incoming::of(&requests);
        let (answerer, room) = (Arc::clone(&self.answerer), Arc::new(Room::default()));
        let of_stream = call.clone();
        let answering = move |request| {
            let (answerer, room) = (Arc::clone(&answerer), Arc::clone(&room));
            let call = of_stream.request();
            Box::pin(async move {
                call.trace.log_ids(&Span::current());
                counted(answerer.regress(request, &call, Some(&room)).await, &call)
            }) as _
        };
        Ok(respond_with_stream(self.answers(requests, call, Box::new(answering))))
    }

    async fn list_tasks(
        &self,
        request: Request<proto::ListTasksRequest>,
    ) -> Result<Response<proto::ListTasksResponse>, Status> {
        let call = Incoming::of(&request);
        let tasks = self.answerer.registry().map(|registry| {
            let routes = registry.routes().filter(|route| call.caller.may_ask(route.name()));
            proto::ListTasksResponse { tasks: routes.map(convert::task).collect() }
        });
        respond(tasks, &call)
    }

    async fn get_task(
        &self,
        request: Request<proto::GetTaskRequest>,
    ) -> Result<Response<proto::Task>, Status> {
        let call = Incoming::of(&request);
        let route = self.answerer.route(&call.caller, &request.get_ref().task);
        respond(route.map(|route| convert::task(&route)), &call)
    }
}

impl InferenceService {
    pub(super) fn new(
        config: &ServerConfig,
        answerer: Arc<Answerer>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let max_stream_in_flight = config.max_stream_in_flight.get();
        Self { answerer, max_stream_in_flight, stopping }
    }

    fn answers<Q, A: Send + 'static>(
        &self,
        requests: Request<Streaming<Q>>,
        call: Incoming,
        answering: Answering<Q, A>,
    ) -> Answers<Q, A> {
        let mut stopping = self.stopping.clone();
        let stopping = Box::pin(async move {
            // An error means that the server has ended.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        });
        let deadline = call.terms.deadline;
        let limits = stream::Limits { max_in_flight: self.max_stream_in_flight, deadline };
        Answers::new(requests.into_inner(), answering, limits, stopping, call)
    }
}

/// The answer to one request of a stream, counted.
fn counted<T>(answer: Result<T, CallError>, call: &Incoming) -> Result<T, CallError> {
    let code = answer.as_ref().map_or_else(|error| error.reason().0, |_| Code::Ok);
    if let Err(error) = &answer {
        call.count.refuse(error.reason().1);
    }
    call.count.end(status::code_name(code));
    answer
}

/// The answer or the error, as it travels.
pub(super) fn respond<T: Message>(
    answer: Result<T, CallError>,
    call: &Incoming,
) -> Result<Response<T>, Status> {
    let mut response = Response::new(answer.map_err(|error| call.refuse(error))?);
    if response.get_ref().encoded_len() < MIN_COMPRESSED_BYTES {
        response.disable_compression();
    }
    Ok(response)
}

/// A stream is compressed as a whole or not, and its answers are small as a rule.
fn respond_with_stream<T>(answers: T) -> Response<T> {
    let mut response = Response::new(answers);
    response.disable_compression();
    response
}
