//! What the layers found out about a call before it came to a service.

use std::sync::Arc;

use tonic::{Request, Status};

use super::{
    access::Caller, connections::Connection, deadline::Deadline, request_id::RequestId,
    status::CallError,
};
use crate::{
    batching::Terms,
    metrics::{Call, CallMetrics},
    telemetry::Trace,
};

/// A call that came in.
#[derive(Clone)]
pub(super) struct Incoming {
    pub id: RequestId,
    pub caller: Arc<Caller>,
    pub terms: Terms,
    /// Where it is counted.
    pub count: Arc<Call>,
    pub trace: Trace,
}

impl Incoming {
    /// The call of a request that went through the layers. What came past the guard may nothing.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let extensions = request.extensions();
        let id = extensions.get::<RequestId>().cloned();
        let caller = extensions.get::<Arc<Caller>>().cloned();
        let connection = extensions.get::<Arc<Connection>>();
        let deadline = extensions.get::<Deadline>().map(|deadline| deadline.0);
        let count = extensions.get::<Arc<Call>>().cloned();
        Self {
            id: id.unwrap_or_else(|| RequestId::from_header(None)),
            trace: extensions.get::<Trace>().cloned().unwrap_or_default(),
            caller: caller.unwrap_or_else(|| Arc::new(Caller::nobody())),
            terms: Terms {
                deadline,
                connection: connection.map(|connection| Arc::clone(connection.load())),
            },
            // What came past the layers is counted where nobody looks.
            count: count.unwrap_or_else(|| {
                let nowhere = Arc::new(CallMetrics::default());
                Arc::new(Call::begin(&nowhere, &"".into(), false))
            }),
        }
    }

    /// A request of it, where it is a stream of them.
    pub(super) fn request(&self) -> Self {
        let (count, trace) = (Arc::new(self.count.request()), self.trace.part("request"));
        Self { count, trace, ..self.clone() }
    }

    /// What the client gets where the call fails.
    pub(super) fn refuse(&self, error: CallError) -> Status {
        self.count.refuse(error.reason().1);
        error.into_status(&self.id)
    }
}
