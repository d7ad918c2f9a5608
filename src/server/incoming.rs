//! What the layers found out about a call before it came to a service.

use std::sync::Arc;

use tonic::Request;

use super::{access::Caller, connections::Connection, deadline::Deadline, layers::RequestId};
use crate::batching::Terms;

/// A call that came in.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub id: RequestId,
    pub caller: Arc<Caller>,
    pub terms: Terms,
}

impl Incoming {
    /// The call of a request that went through the layers. What came past the guard may nothing.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let extensions = request.extensions();
        let id = extensions.get::<RequestId>().cloned();
        let caller = extensions.get::<Arc<Caller>>().cloned();
        let connection = extensions.get::<Arc<Connection>>();
        let deadline = extensions.get::<Deadline>().map(|deadline| deadline.0);
        Self {
            id: id.unwrap_or_else(|| RequestId::from_header(None)),
            caller: caller.unwrap_or_else(|| Arc::new(Caller::nobody())),
            terms: Terms {
                deadline,
                connection: connection.map(|connection| Arc::clone(connection.load())),
            },
        }
    }
}
