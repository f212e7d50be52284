//! What requests are answered.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

/// The errors of Engine.IO, numbered as its reference server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    UnknownTransport,
    UnknownSession,
    BadHandshakeMethod,
    BadRequest,
    Crowded,
    UnsupportedRevision,
}

impl Problem {
    fn code(self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSession => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Crowded => 4,
            Self::UnsupportedRevision => 5,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSession => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Crowded => "Too many clients that are not connected yet",
            Self::UnsupportedRevision => "Unsupported protocol version",
        }
    }
}

pub(crate) fn problem(status: StatusCode, problem: Problem) -> Response<Full<Bytes>> {
    let body = json!({"code": problem.code(), "message": problem.message()}).to_string();
    build(status, "application/json", body)
}

/// Packets for a client.
pub(crate) fn packets(body: String) -> Response<Full<Bytes>> {
    build(StatusCode::OK, "text/plain; charset=UTF-8", body)
}

/// A body was taken.
pub(crate) fn ok() -> Response<Full<Bytes>> {
    // As html, for the oldest browsers; there is nothing in it.
    build(StatusCode::OK, "text/html", "ok".to_owned())
}

pub(crate) fn not_found() -> Response<Full<Bytes>> {
    build(StatusCode::NOT_FOUND, "text/plain; charset=UTF-8", String::new())
}

fn build(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
