//! Requests over HTTP/2 that are not gRPC: another method than POST, JSON, gRPC-Web. They are answered
//! in words for people, with the status of HTTP and the status of gRPC.

use http_body_util::Full;
use hyper::body::Bytes;
use tonic::{
    Status,
    body::Body,
    codegen::http::{
        HeaderMap, HeaderValue, Method, Response, StatusCode,
        header::{ALLOW, CONTENT_TYPE},
    },
};

use super::status::shown;

/// What gRPC's content types begin with; `+proto` or parameters may follow.
const GRPC: &str = "application/grpc";

/// What gRPC-Web's begin with.
const GRPC_WEB: &str = "application/grpc-web";

/// Why a request is not gRPC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotGrpc {
    #[error("{method} is no gRPC call: gRPC sends POST")]
    Method { method: String },
    #[error(
        "gRPC-Web is not spoken here: put a proxy in front that translates it to gRPC, such as Envoy"
    )]
    Web,
    #[error(
        "the content type is {found}, which is not gRPC: send application/grpc, as gRPC clients do"
    )]
    ContentType { found: String },
}

/// What is wrong with a request before anything of it is read.
pub(super) fn fault(method: &Method, headers: &HeaderMap) -> Option<NotGrpc> {
    if method != Method::POST {
        return Some(NotGrpc::Method { method: shown(method.as_str()) });
    }
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let content_type = String::from_utf8_lossy(content_type).to_ascii_lowercase();
    if content_type.starts_with(GRPC_WEB) {
        return Some(NotGrpc::Web);
    }
    let is_grpc = content_type
        .strip_prefix(GRPC)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';', ' ']));
    (!is_grpc).then(|| NotGrpc::ContentType {
        found: if content_type.is_empty() { "missing".to_owned() } else { shown(&content_type) },
    })
}

impl NotGrpc {
    /// The answer: `status` in the headers, and its message as text.
    pub(super) fn answer(&self, status: Status) -> Response<Body> {
        let text = Bytes::from(format!("{}\n", status.message()));
        let (mut head, ()) = status.into_http::<()>().into_parts();
        head.status = match self {
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Web | Self::ContentType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        };
        if let Self::Method { .. } = self {
            head.headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        head.headers.insert(CONTENT_TYPE, plain);
        Response::from_parts(head, Body::new(Full::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use tonic::codegen::http::Request;

    use super::*;

    fn check(method: Method, content_type: Option<&str>, expected: Option<&str>) {
        let mut request = Request::new(());
        if let Some(content_type) = content_type {
            let value = HeaderValue::from_str(content_type).expect("a header");
            request.headers_mut().insert(CONTENT_TYPE, value);
        }
        let found = fault(&method, request.headers()).map(|fault| fault.to_string());
        let is_expected = match expected {
            None => found.is_none(),
            Some(words) => found.as_ref().is_some_and(|found| found.contains(words)),
        };
        assert!(is_expected, "{method} {content_type:?}: {found:?}");
    }

    #[test]
    fn grpc_is_told_from_what_is_not() {
        for good in ["application/grpc", "application/grpc+proto", "Application/gRPC; x=1"] {
            check(Method::POST, Some(good), None);
        }
        check(Method::POST, None, Some("the content type is missing"));
        check(Method::POST, Some("application/json"), Some("\"application/json\", which is not"));
        check(Method::POST, Some("application/grpcx"), Some("application/grpcx"));
        for web in
            ["application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text"]
        {
            check(Method::POST, Some(web), Some("gRPC-Web"));
        }
        check(Method::OPTIONS, Some("application/grpc"), Some("\"OPTIONS\" is no gRPC call"));
        check(Method::GET, None, Some("GET"));
    }
}
