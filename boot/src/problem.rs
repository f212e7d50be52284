//! Errors of the HTTP APIs: `application/problem+json` (RFC 9457) with a stable `code`.

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use wire::Code;

/// Why a request was refused. As an answer it has the code's HTTP status, unless another one was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable, for programs.
    pub code: Code,
    /// For people: what is wrong and what to do. Never a secret.
    pub detail: String,
    /// After how many seconds trying again makes sense.
    pub retry_after_s: Option<u64>,
    status: Option<StatusCode>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    code: Code,
    detail: &'a str,
}

impl Problem {
    /// A problem with the HTTP status that goes with `code`.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after_s: None, status: None }
    }

    /// With a `Retry-After` of this many seconds.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// With another HTTP status than the code's.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// There is nothing at this path: 404. Fits `Router::fallback`.
    pub async fn unknown_path() -> Self {
        Self::new(Code::NotFound, "there is nothing at this path")
    }

    /// The path is there, the method is not: 405. Fits `Router::method_not_allowed_fallback`.
    pub async fn wrong_method() -> Self {
        Self::new(Code::BadRequest, "this path does not take this method")
            .status(StatusCode::METHOD_NOT_ALLOWED)
    }

    /// The handler panicked: 500. Says nothing about the reason, which stands in the log.
    pub fn internal() -> Self {
        Self::new(Code::Unavailable, "the request failed inside the server")
            .status(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let usual =
            StatusCode::from_u16(self.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let status = self.status.unwrap_or(usual);
        let body = Body {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("error"),
            status: status.as_u16(),
            code: self.code,
            detail: &self.detail,
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::TooLarge, "the body is larger than allowed"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(Code::BadRequest, "the body must be JSON, with content-type: application/json")
                    .status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            _ => Self::new(Code::BadRequest, rejection.body_text()),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(Code::BadRequest, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Code::BadRequest, rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_status_of_its_code_and_says_when_to_retry() {
        let response = Problem::new(Code::RateLimited, "slow down").retry_after_s(3).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "3");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn a_missing_key_says_how_to_bring_one() {
        let response = Problem::new(Code::TokenInvalid, "no key").into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
}
