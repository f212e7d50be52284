//! `/api/…`: what the page asks for. Read-only, and only these calls.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::PathRejection},
    http::header,
    response::{IntoResponse, Response},
};
use boot::{NodeContext, Problem};
use roster::Snapshot;
use serde_json::{Value, json};
use tokio::sync::watch;
use wire::{Code, Role};

use crate::{Settings, stat::Stat};

/// What the handlers work on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

struct Inner {
    node: Arc<str>,
    version: &'static str,
    ticket_url: String,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    stat: Stat,
}

impl Api {
    pub(crate) fn new(
        settings: &Settings,
        node: &NodeContext,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        stat: Stat,
    ) -> Self {
        let ticket_url = settings.ticket_url.trim_end_matches('/').to_owned();
        Self(Arc::new(Inner { node: node.id.clone(), version: node.version, ticket_url, snapshot, stat }))
    }

    /// Where clients get their tickets; empty while no ticket node is known.
    fn ticket_url(&self) -> String {
        if !self.0.ticket_url.is_empty() {
            return self.0.ticket_url.clone();
        }
        let snapshot = self.0.snapshot.borrow();
        let first = snapshot.available(Role::Ticket).chain(snapshot.of_role(Role::Ticket)).next();
        first.map(|record| record.public_url.clone()).unwrap_or_default()
    }
}

pub(crate) async fn config(State(api): State<Api>) -> Json<Value> {
    Json(json!({ "ticket_url": api.ticket_url(), "node": &*api.0.node, "version": api.0.version }))
}

pub(crate) async fn cluster(State(api): State<Api>) -> Result<Response, Problem> {
    api.0.stat.get("/v1/cluster").await.map(as_json)
}

pub(crate) async fn totals(State(api): State<Api>) -> Result<Response, Problem> {
    api.0.stat.get("/v1/totals").await.map(as_json)
}

pub(crate) async fn node(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(id) = id?;
    if !is_id(&id) {
        return Err(Problem::new(Code::BadRequest, "a node's id has 1 to 64 letters, digits or _ . : @ -"));
    }
    api.0.stat.get(&format!("/v1/nodes/{id}")).await.map(as_json)
}

/// Whether this can stand in a path as it is: a part of dots only would climb out of it.
fn is_id(text: &str) -> bool {
    let taken = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:@-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(taken) && text.bytes().any(|byte| byte != b'.')
}

fn as_json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::is_id;

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        for good in ["spear-1", "a", "eu.spear:1@x"] {
            assert!(is_id(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a?b", "a%2Fb", "ü", &"x".repeat(65)] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
