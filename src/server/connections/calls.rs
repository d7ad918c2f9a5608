//! The tasks in which calls are answered, one for each, until the client has its answer.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use hyper::rt::Executor;

use super::{
    Connection,
    answer::{UNSENT, Unsent},
};

/// Runs the calls of one connection.
#[derive(Clone)]
pub(super) struct Calls {
    connection: Arc<Connection>,
    send_timeout: Duration,
}

impl Calls {
    pub(super) fn new(connection: Arc<Connection>, send_timeout: Duration) -> Self {
        Self { connection, send_timeout }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, exchange: F) {
        let call = OpenCall::new(Arc::clone(&self.connection));
        tokio::spawn(to_its_end(exchange, call, self.send_timeout));
    }
}

async fn to_its_end(exchange: impl Future<Output = ()>, call: OpenCall, send_timeout: Duration) {
    let unsent = Unsent::new();
    {
        let mut exchange = pin!(UNSENT.scope(Arc::clone(&unsent), exchange));
        tokio::select! {
            biased;
            () = &mut exchange => {}
            () = unsent.stalled(send_timeout) => {
                let connection = call.0.id();
                tracing::info!(connection, "an answer is broken off: its client does not take it");
                // Dropped, the exchange resets its stream.
                return;
            }
        }
    }
    // Now HTTP/2 has all of it, and only the connection can get rid of what it keeps.
    if !unsent.gone(send_timeout).await {
        call.0.break_off("its client does not take an answer");
    }
}

/// Counts as a call of its connection until it is dropped.
struct OpenCall(Arc<Connection>);

impl OpenCall {
    fn new(connection: Arc<Connection>) -> Self {
        connection.begin_call();
        Self(connection)
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.end_call();
    }
}
