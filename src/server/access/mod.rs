//! Who may call: certificates of the server and of clients, tokens, and what each caller may ask.
//!
//! What the files say is kept in memory and looked at again while the server runs; what is broken
//! is logged and leaves the old in force. No secret is ever logged or shown: the types that hold
//! one cannot be printed.

mod caller;
mod certificate;
mod client;
mod files;
mod guard;
mod tls;
mod tokens;

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::Notify, time};

pub(super) use caller::Caller;
pub(super) use client::ClientTlsStream;
pub use client::{ClientTls, Identity, Trust};
pub(super) use guard::Guard;
pub(super) use tls::{Tls, TlsStream};
pub(super) use tokens::Refusal;
pub use tokens::{NewToken, new_token};

use crate::config::Config;
use files::Kept;
use tokens::Callers;

/// Why the files that say who may call are of no use.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// One key of the configuration needs another one.
    #[error("{set} is set but {missing} is not: set both or none")]
    Incomplete {
        /// The one that is set.
        set: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// A file cannot be read.
    #[error("{key}: cannot read {}: {source}", path.display())]
    Unreadable {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{key}: {} {problem}", path.display())]
    Unfit {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right, to follow the path.
        problem: String,
    },
    /// A defect of this program.
    #[error("TLS cannot be had: {message}")]
    Encryption {
        /// What its library says.
        message: String,
    },
}

/// Who may call.
#[derive(Clone)]
pub struct Access {
    tls: Option<Tls>,
    callers: Option<Arc<Kept<Callers>>>,
    interval: Duration,
    reload: Arc<Notify>,
}

impl Access {
    /// As configured in `[tls]` and `[auth]`, with all their files read.
    ///
    /// # Errors
    ///
    /// If a file is missing or does not hold what it should.
    pub fn open(config: &Config) -> Result<Self, AccessError> {
        let tls = Tls::open(&config.tls)?;
        let callers = tokens::open(&config.auth)?;
        if callers.is_some() && tls.is_none() && !config.server.address.ip().is_loopback() {
            tracing::warn!("tokens travel unencrypted: set [tls], or let a proxy encrypt");
        }
        let interval = Duration::from_millis(config.server.reload_interval_ms);
        let callers = callers.map(Arc::new);
        Ok(Self { tls, callers, interval, reload: Arc::default() })
    }

    /// Has the files looked at when it is told, and not only now and then.
    pub fn reload(&self) -> Arc<Notify> {
        Arc::clone(&self.reload)
    }

    /// When the certificate that is in force expires, in seconds since 1970; `None` without TLS.
    pub(super) fn certificate_expires_at(&self) -> Option<i64> {
        self.tls.as_ref().map(|tls| tls.files().current().expires_at)
    }

    /// Sections of the configuration whose files are of no use as they are now, so that what they said
    /// before holds.
    pub(super) fn stale(&self) -> Vec<&'static str> {
        let tls = self.tls.iter().filter(|tls| tls.files().is_stale()).map(|_| "tls");
        let callers = self.callers.iter().filter(|callers| callers.is_stale()).map(|_| "auth");
        tls.chain(callers).collect()
    }

    pub(super) fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    pub(super) fn guard(&self) -> Guard {
        Guard::new(self.callers.clone())
    }

    /// Looks at the files again and again.
    pub(super) async fn keep_fresh(&self) -> Infallible {
        loop {
            // Whichever comes first.
            let _ = time::timeout(self.interval, self.reload.notified()).await;
            if let Some(tls) = &self.tls {
                tls.files().refresh().await;
            }
            if let Some(callers) = &self.callers {
                callers.refresh().await;
            }
        }
    }
}
