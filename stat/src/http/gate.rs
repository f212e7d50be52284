//! At most so many requests at once, each bounded in time, all counted.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use boot::Problem;
use metrics::Label;
use tokio::sync::Semaphore;
use wire::Code;

use super::keys::Caller;

/// What every request passes. Cheap to clone; clones count together.
#[derive(Clone)]
pub(super) struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    slots: Semaphore,
    timeout: Duration,
    labels: Vec<Label>,
    answered: AtomicU64,
    refused: AtomicU64,
}

/// Refuses at once what is too much, ends what takes too long, and counts.
pub(super) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("unknown", MatchedPath::as_str).to_owned();
    let method = method_label(request.method());
    let response = gate.answer(request, next).await;
    gate.count(method, path, &response, started);
    response
}

/// What a panic is answered with.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::internal().into_response()
}

impl Gate {
    pub(super) fn new(requests: usize, timeout: Duration, labels: Vec<Label>) -> Self {
        let inner = Inner {
            slots: Semaphore::new(requests),
            timeout,
            labels,
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Requests answered since the start, and how many of them with an error.
    pub(super) fn requests(&self) -> (u64, u64) {
        (self.inner.answered.load(Ordering::Relaxed), self.inner.refused.load(Ordering::Relaxed))
    }

    async fn answer(&self, request: Request, next: Next) -> Response {
        let Ok(_slot) = self.inner.slots.try_acquire() else {
            let problem = Problem::new(Code::Overloaded, "too many requests are being worked on");
            return problem.retry_after_s(1).into_response();
        };
        match tokio::time::timeout(self.inner.timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                let problem =
                    Problem::new(Code::Unavailable, "the request took too long; it may have been done");
                problem.retry_after_s(1).into_response()
            }
        }
    }

    fn count(&self, method: &'static str, path: String, response: &Response, started: Instant) {
        self.inner.answered.fetch_add(1, Ordering::Relaxed);
        if !response.status().is_success() {
            self.inner.refused.fetch_add(1, Ordering::Relaxed);
        }
        let status = response.status().as_u16().to_string();
        // Whose key it was: its name, of which there are as many as the settings have.
        let key = response.extensions().get::<Caller>().map_or("none", Caller::name).to_owned();
        let mut labels = self.inner.labels.clone();
        labels.extend([
            Label::new("method", method),
            Label::new("path", path),
            Label::new("status", status),
            Label::new("key", key),
        ]);
        metrics::counter!("phalanx_stat_requests_total", labels).increment(1);
        metrics::histogram!("phalanx_stat_request_seconds", self.inner.labels.clone())
            .record(started.elapsed().as_secs_f64());
    }
}

/// Only the usual ones, or a caller could make as many series of metrics as they like.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "PUT" => "PUT",
        "POST" => "POST",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware, routing::get};
    use tower::ServiceExt;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    async fn broken() {
        panic!("on purpose");
    }

    fn router(gate: &Gate) -> Router {
        Router::new()
            .route("/never", get(async || std::future::pending::<()>().await))
            .route("/panic", get(broken))
            .route("/fine", get(async || "fine"))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(middleware::from_fn_with_state(gate.clone(), pass))
    }

    async fn status(router: &Router, path: &str) -> u16 {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        router.clone().oneshot(request).await.expect("infallible").status().as_u16()
    }

    #[tokio::test]
    async fn what_takes_too_long_or_panics_is_answered_and_gives_its_slot_back() {
        let gate = Gate::new(1, Duration::from_millis(50), Vec::new());
        let router = router(&gate);
        assert_eq!(status(&router, "/never").await, 503);
        assert_eq!(status(&router, "/panic").await, 500);
        assert_eq!(status(&router, "/fine").await, 200);
        assert_eq!(gate.requests(), (3, 2));
    }

    #[tokio::test]
    async fn what_is_too_much_is_refused_at_once() {
        let gate = Gate::new(1, Duration::from_secs(60), Vec::new());
        let router = router(&gate);
        let slot = gate.inner.slots.try_acquire().expect("nobody else is here");
        assert_eq!(status(&router, "/fine").await, 503);
        drop(slot);
        assert_eq!(status(&router, "/fine").await, 200);
    }
}
