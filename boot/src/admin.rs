//! The admin port of a node.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use parking_lot::RwLock;
use serde_json::json;
use tower::ServiceExt;

use crate::{NodeContext, Problem, metric};

/// What the role serves under `/admin/`; it may be set while the server runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct AdminRoutes(Arc<RwLock<Option<Router>>>);

impl AdminRoutes {
    pub(crate) fn set(&self, routes: Router) {
        *self.0.write() = Some(routes);
    }

    async fn serve(self, request: Request) -> Result<Response, Infallible> {
        let routes = self.0.read().clone();
        match routes {
            Some(routes) if request.uri().path().starts_with("/admin/") => routes.oneshot(request).await,
            _ => Ok(Problem::unknown_path().await.into_response()),
        }
    }
}

/// Everything that the admin port of `node` answers.
pub(crate) fn router(node: NodeContext) -> Router {
    let routes = node.admin_routes.clone();
    health_routes(node.clone()).merge(
        Router::new()
            .route("/metrics", get(metrics))
            .fallback_service(tower::service_fn(move |request| routes.clone().serve(request)))
            .with_state(node),
    )
}

/// `/healthz` and `/readyz` of `node`, for a main port that answers them too (CONTRACT §1: spear).
pub fn health_routes(node: NodeContext) -> Router {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready)).with_state(node)
}

async fn ready(State(node): State<NodeContext>) -> Response {
    let report = node.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": report.ready,
        "node": &*node.id,
        "role": node.role,
        "conditions": report.conditions,
    });
    (status, Json(body)).into_response()
}

async fn metrics(State(node): State<NodeContext>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metric::render(&node.id))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use wire::Role;

    use super::*;

    async fn status(router: &Router, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        router.clone().oneshot(request).await.expect("infallible").status()
    }

    #[tokio::test]
    async fn readyz_follows_the_conditions() {
        let node = NodeContext::for_test(Role::Spear, "spear-1");
        let router = router(node.clone());
        assert_eq!(status(&router, "/healthz").await, StatusCode::OK);
        assert_eq!(status(&router, "/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
        let _listener = node.listen().await.expect("a free port");
        assert_eq!(status(&router, "/readyz").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_role_adds_routes_while_the_server_runs() {
        let node = NodeContext::for_test(Role::Spear, "spear-1");
        let router = router(node.clone());
        assert_eq!(status(&router, "/admin/hello").await, StatusCode::NOT_FOUND);
        node.mount_admin(Router::new().route("/admin/hello", get(async || "hello")));
        assert_eq!(status(&router, "/admin/hello").await, StatusCode::OK);
    }
}
