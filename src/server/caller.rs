//! Who makes a call and on what terms, as the layers found it.

use tonic::Request;

use super::{deadline::Deadline, layers::RequestId};
use crate::batching::Terms;

/// Who makes a call.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub id: RequestId,
    pub terms: Terms,
}

impl Caller {
    /// The caller of a request that went through the layers.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let extensions = request.extensions();
        let id = extensions.get::<RequestId>().cloned();
        let deadline = extensions.get::<Deadline>().map(|deadline| deadline.0);
        Self {
            id: id.unwrap_or_else(|| RequestId::from_header(None)),
            terms: Terms { deadline, connection: None },
        }
    }
}
