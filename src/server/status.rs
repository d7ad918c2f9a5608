//! Why a call fails, and what the client reads about it: the one place where our errors become
//! gRPC codes. What only an operator can use goes to the log instead.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, StatusExt};

use super::{access::Refusal, content_type::NotGrpc, convert::Protocol, request_id::RequestId};
use crate::{
    batching::BatchError,
    task::{FieldViolation, Kind},
    tokenization::TokenizerError,
};

/// Who defines the reasons in `ErrorInfo`.
const DOMAIN: &str = "dynamar";

/// The reason of what is our own fault.
const INTERNAL: &str = "INTERNAL";

/// When to come back to a full queue: about what a few batches take.
const RETRY_WHEN_FULL: Duration = Duration::from_millis(500);

/// When to come back, at least and at most, to a server that has too much to do.
const RETRY_WHEN_BUSY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(30));

/// When to come back to a server that is loading.
const RETRY_WHEN_LOADING: Duration = Duration::from_secs(1);

/// Details travel in a header, and clients limit those to some 8 KiB: of more violations the
/// number alone is told.
const MAX_VIOLATIONS: usize = 24;

/// Characters of a client's own words that are quoted back.
const MAX_SHOWN: usize = 48;

/// Kinds of violations that a message tells.
const MAX_KINDS: usize = 4;

/// Names that are listed when one is not known.
const MAX_NAMES: usize = 24;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// Nobody who may call.
    #[error(transparent)]
    Unauthenticated(#[from] Refusal),
    /// Whether there is such a task is not told.
    #[error("the task {task} is not among those that you may ask")]
    OutOfScope { task: String },
    /// HTTP/2, but not gRPC.
    #[error(transparent)]
    NotGrpc(#[from] NotGrpc),
    /// Bytes that are not the message that the method takes.
    #[error("the request cannot be decoded: {0}")]
    Malformed(String),
    /// The checkpoints are not loaded yet.
    #[error("loading: the server does not answer calls yet")]
    Loading,
    #[error("no task {task}; this server has: {known}")]
    UnknownTask { task: String, known: String },
    #[error("the task {task:?} is a {kind}: ask {call}")]
    WrongKind { task: String, kind: &'static str, call: &'static str },
    /// Everything that is wrong with the request; never empty.
    #[error("{}", summary(.0))]
    Invalid(Vec<FieldViolation>),
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// More prompts than a call may have. `field` is what there is too much of.
    #[error("{error}")]
    TooLarge { error: BatchError, field: &'static str },
    /// More than a message may hold. `field` is what makes it smaller.
    #[error(
        "{field}: the answer has {bytes} bytes, and no more than server.max_message_bytes = {limit} are sent"
    )]
    AnswerTooLarge { bytes: usize, limit: usize, field: String },
    #[error("task {task:?} of checkpoint {checkpoint} answers what is no number")]
    NotFinite { task: String, checkpoint: String },
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A defect of this program.
    #[error("a panic: {0}")]
    Panic(String),
}

impl CallError {
    /// What tonic says of bytes that it cannot decode. It calls them its own fault; they are their
    /// sender's.
    pub(super) fn of_decoding(status: &Status) -> Option<Self> {
        let is_fault = status.code() == Code::Internal;
        is_fault.then(|| Self::Malformed(status.message().to_owned()))
    }

    /// One thing is wrong with the request.
    pub(super) fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        let (field, description) = (field.into(), description.into());
        Self::Invalid(vec![FieldViolation { field, description }])
    }

    /// No task with this name.
    pub(super) fn unknown_task<'a>(
        task: &str,
        known: impl ExactSizeIterator<Item = &'a str>,
    ) -> Self {
        Self::UnknownTask { task: shown(task), known: list(known) }
    }

    /// The caller may not ask this task.
    pub(super) fn out_of_scope(task: &str) -> Self {
        Self::OutOfScope { task: shown(task) }
    }

    /// The task predicts something else than the call is for.
    pub(super) fn wrong_kind(task: &str, kind: &Kind) -> Self {
        let call = match kind {
            Kind::Classification { .. } => "Classify",
            Kind::Regression { .. } => "Regress",
        };
        Self::WrongKind { task: task.to_owned(), kind: kind.name(), call }
    }

    /// The same in the words of how the call came.
    pub(super) fn in_words_of(self, protocol: Protocol) -> Self {
        match self {
            Self::Batch(error @ BatchError::TooLarge { .. }) => {
                Self::TooLarge { error, field: protocol.examples() }
            }
            other => other,
        }
    }

    /// The code, and the reason in the words of `ErrorInfo`.
    pub(super) fn reason(&self) -> (Code, &'static str) {
        match self {
            Self::Unauthenticated(_) => (Code::Unauthenticated, "UNAUTHENTICATED"),
            Self::OutOfScope { .. } => (Code::PermissionDenied, "TASK_NOT_ALLOWED"),
            Self::NotGrpc(_) => (Code::Unimplemented, "NOT_GRPC"),
            Self::Malformed(_) => (Code::InvalidArgument, "MALFORMED_REQUEST"),
            Self::Loading => (Code::Unavailable, "LOADING"),
            Self::UnknownTask { .. } => (Code::NotFound, "UNKNOWN_TASK"),
            Self::WrongKind { .. } => (Code::FailedPrecondition, "WRONG_KIND_OF_TASK"),
            Self::Invalid(_) => (Code::InvalidArgument, "INVALID_REQUEST"),
            Self::AnswerTooLarge { .. } => (Code::InvalidArgument, "ANSWER_TOO_LARGE"),
            Self::Batch(error) | Self::TooLarge { error, .. } => reason_of_batch(error),
            Self::NotFinite { .. } | Self::Tokenizer(_) | Self::Panic(_) => {
                (Code::Internal, INTERNAL)
            }
        }
    }

    /// What the client gets.
    pub(super) fn into_status(self, request: &RequestId) -> Status {
        let message = self.to_string();
        let (code, reason) = self.reason();
        let mut details = match self {
            Self::Unauthenticated(_) => return unauthenticated(message),
            _ if code == Code::Internal => return failed(&message, request),
            Self::Invalid(violations) => bad_request(violations),
            Self::Loading => retry(RETRY_WHEN_LOADING),
            Self::Batch(error) => details_of_batch(&error),
            Self::TooLarge { field, .. } => {
                let description = format!("{message}: send fewer examples or tasks in one call");
                bad_request(vec![FieldViolation { field: field.to_owned(), description }])
            }
            Self::AnswerTooLarge { field, .. } => {
                let description =
                    format!("{message}: ask for fewer labels (top_k), or send fewer examples");
                bad_request(vec![FieldViolation { field, description }])
            }
            _ => ErrorDetails::new(),
        };
        details.set_error_info(reason, DOMAIN, HashMap::new());
        Status::with_error_details(code, message, details)
    }
}

/// The name of a code, as the specification of gRPC writes it.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn reason_of_batch(error: &BatchError) -> (Code, &'static str) {
    match error {
        BatchError::TooLarge { .. } => (Code::InvalidArgument, "CALL_TOO_LARGE"),
        BatchError::Full { .. } => (Code::ResourceExhausted, "QUEUE_FULL"),
        BatchError::ConnectionFull { .. } => (Code::ResourceExhausted, "CONNECTION_FULL"),
        BatchError::Overloaded { .. } => (Code::ResourceExhausted, "OVERLOADED"),
        BatchError::TooLate { .. } => (Code::ResourceExhausted, "DEADLINE_TOO_SHORT"),
        BatchError::Expired => (Code::DeadlineExceeded, "DEADLINE"),
        BatchError::Closed => (Code::Unavailable, "STOPPING"),
        BatchError::Encoder(_) => (Code::Internal, INTERNAL),
    }
}

/// What helps a client on whose prompts were not encoded.
fn details_of_batch(error: &BatchError) -> ErrorDetails {
    let retry_when_less_busy =
        |after: Duration| retry(after.clamp(RETRY_WHEN_BUSY.0, RETRY_WHEN_BUSY.1));
    match *error {
        BatchError::Full { .. } | BatchError::ConnectionFull { .. } => retry(RETRY_WHEN_FULL),
        // By then the wait is what is allowed, if no more comes meanwhile.
        BatchError::Overloaded { wait, max_wait } => {
            retry_when_less_busy(wait.saturating_sub(max_wait))
        }
        BatchError::TooLate { wait, left } => retry_when_less_busy(wait.saturating_sub(left)),
        BatchError::TooLarge { .. }
        | BatchError::Expired
        | BatchError::Closed
        | BatchError::Encoder(_) => ErrorDetails::new(),
    }
}

fn retry(after: Duration) -> ErrorDetails {
    ErrorDetails::with_retry_info(Some(after))
}

/// Our fault: the log has the reason, the client an id.
fn failed(reason: &str, request: &RequestId) -> Status {
    tracing::error!(reason, "a call failed");
    internal(request)
}

/// The status of one request of a stream, counted from 0, as that of the stream.
pub(super) fn of_request(status: Status, at: usize) -> Status {
    let message = format!("request {at} of the stream: {}", status.message());
    let (code, metadata) = (status.code(), status.metadata().clone());
    if status.details().is_empty() {
        return Status::with_details_and_metadata(code, message, Default::default(), metadata);
    }
    // They have the message once more, and that is the one that many clients show.
    let details = status.get_error_details();
    Status::with_error_details_and_metadata(code, message, details, metadata)
}

/// Our fault. The client learns under which id the log says more.
pub(super) fn internal(request: &RequestId) -> Status {
    let id = request.as_str();
    let message = format!("an internal error; the server's log says more under request {id}");
    let mut details = ErrorDetails::with_request_info(id, "");
    details.set_error_info(INTERNAL, DOMAIN, HashMap::new());
    Status::with_error_details(Code::Internal, message, details)
}

/// With the scheme of the credentials that are asked for, as HTTP has it.
fn unauthenticated(message: String) -> Status {
    let details = ErrorDetails::with_error_info("UNAUTHENTICATED", DOMAIN, HashMap::new());
    let mut status = Status::with_error_details(Code::Unauthenticated, message, details);
    status.metadata_mut().insert("www-authenticate", MetadataValue::from_static("Bearer"));
    status
}

fn bad_request(mut violations: Vec<FieldViolation>) -> ErrorDetails {
    let untold = violations.len().saturating_sub(MAX_VIOLATIONS);
    violations.truncate(MAX_VIOLATIONS);
    let mut details = ErrorDetails::new();
    for violation in violations {
        details.add_bad_request_violation(violation.field, violation.description);
    }
    if untold > 0 {
        let description = format!("{untold} more violations like these");
        details.add_bad_request_violation("", description);
    }
    details
}

/// The first violation of each kind in full, and how many more there are of it: many clients show the
/// message alone.
fn summary(violations: &[FieldViolation]) -> String {
    let mut kinds: Vec<(&FieldViolation, usize)> = Vec::new();
    let mut others = 0usize;
    for violation in violations {
        let known = kinds.iter().position(|(known, _)| known.description == violation.description);
        match known {
            Some(at) => kinds[at].1 += 1,
            None if kinds.len() < MAX_KINDS => kinds.push((violation, 0)),
            None => others += 1,
        }
    }
    if kinds.is_empty() {
        return "invalid request".to_owned();
    }
    let tell = |(FieldViolation { field, description }, more): &(&FieldViolation, usize)| match more
    {
        0 => format!("{field}: {description}"),
        more => format!("{field}: {description} (and {more} more)"),
    };
    let mut told: Vec<String> = kinds.iter().map(tell).collect();
    if others > 0 {
        told.push(format!("and {others} others"));
    }
    told.join("; ")
}

/// A client's own words in quotation marks, on one line and not too many of them.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}

/// Names in a row; of very many the first.
pub(super) fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let listed: Vec<&str> = names.take(MAX_NAMES).collect();
    match count {
        0 => "none".to_owned(),
        _ if count > MAX_NAMES => format!("{} and {} more", listed.join(", "), count - MAX_NAMES),
        _ => listed.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_words_are_quoted_short_and_on_one_line() {
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        let long = shown(&"ä".repeat(5000));
        assert!(long.chars().count() < 60 && long.ends_with("..."), "{long}");
    }

    #[test]
    fn details_stay_small_however_much_is_wrong() {
        let violation = |at: usize| FieldViolation {
            field: format!("examples[{at}].fields.text"),
            description: "missing".to_owned(),
        };
        let request = RequestId::from_header(None);
        let error = CallError::Invalid((0..60_000).map(violation).collect());
        let status = error.into_status(&request);
        assert!(status.details().len() < 4096, "{}", status.details().len());
        assert_eq!(status.message(), "examples[0].fields.text: missing (and 59999 more)");
    }

    #[test]
    fn every_kind_of_violation_is_told_in_its_words() {
        let violation = |field: &str, description: &str| FieldViolation {
            field: field.to_owned(),
            description: description.to_owned(),
        };
        let unknown = "no such field; the task has: text";
        let two = [violation("text", "missing"), violation("body", unknown)];
        assert_eq!(summary(&two), format!("text: missing; body: {unknown}"));
        let many: Vec<FieldViolation> =
            (0..10).map(|at| violation("text", &format!("fault {}", at % 6))).collect();
        let told = summary(&many);
        assert!(told.starts_with("text: fault 0 (and 1 more); text: fault 1"), "{told}");
        assert!(told.ends_with("; and 2 others"), "{told}");
    }

    #[test]
    fn lists_of_names_end() {
        assert_eq!(list([].into_iter()), "none");
        assert_eq!(list(["a", "b"].into_iter()), "a, b");
        let many = ["a"; 100];
        assert!(list(many.into_iter()).ends_with("a and 76 more"));
    }
}
