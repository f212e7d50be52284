//! `/v1/cluster`, `/v1/nodes/…`, `/v1/totals`.

use std::sync::Arc;

use axum::{Json, extract::State};
use boot::Problem;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wire::{Code, Role};

use super::{
    Api,
    extract::{Params, Segment},
};
use crate::{history::Columns, nodes::Node, totals::Totals};

/// The window where the caller names none.
const WINDOW_DEFAULT_MS: i64 = 300_000;

/// The most samples in one answer; a longer window is thinned evenly.
const HISTORY_POINTS: usize = 600;

/// Every node of every role.
#[derive(Serialize, ToSchema)]
pub(super) struct Cluster {
    /// By role and id.
    nodes: Vec<Node>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryParams {
    /// How far back: a number with its unit, like `90s`, `15m` or `1h`; `5m` where there is none.
    #[param(pattern = "^[1-9][0-9]{0,8}[smh]$", nullable = false)]
    window: Option<String>,
}

/// One node's counters over time.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeHistory {
    #[schema(value_type = String)]
    id: Arc<str>,
    #[schema(value_type = String)]
    role: Role,
    /// The window of the answer: what was asked for, or as much as is kept.
    window_ms: i64,
    #[serde(flatten)]
    columns: Columns,
}

/// Every node of every role
///
/// With its state, addresses and version, and the counters that it reported last.
#[utoipa::path(get, path = "/v1/cluster", tag = "cluster", responses((status = 200, description = "All of them.", body = Cluster)))]
pub(super) async fn cluster(State(api): State<Api>) -> Json<Cluster> {
    Json(Cluster { nodes: api.inner.observed.nodes() })
}

/// One node
#[utoipa::path(
    get, path = "/v1/nodes/{id}", tag = "cluster",
    params(("id" = String, Path, description = "The node's id.", example = "spear-1")),
    responses((status = 200, description = "It.", body = Node), (status = 404, description = "There is no such node."))
)]
pub(super) async fn node(
    State(api): State<Api>,
    Segment(id): Segment<String>,
) -> Result<Json<Node>, Problem> {
    api.node(&id).map(Json)
}

/// One node's counters over time
///
/// A column each, as charts take them; at most 600 samples, a longer window is thinned evenly.
#[utoipa::path(
    get, path = "/v1/nodes/{id}/history", tag = "cluster", operation_id = "node_history",
    params(("id" = String, Path, description = "The node's id.", example = "spear-1"), HistoryParams),
    responses((status = 200, description = "Its samples.", body = NodeHistory), (status = 404, description = "There is no such node."))
)]
pub(super) async fn history(
    State(api): State<Api>,
    Segment(id): Segment<String>,
    Params(params): Params<HistoryParams>,
) -> Result<Json<NodeHistory>, Problem> {
    let window_ms = match params.window.as_deref() {
        Some(text) => parse_window(text).ok_or_else(|| {
            Problem::new(Code::BadRequest, "window: expected a number with its unit, like 90s, 15m or 1h")
        })?,
        None => WINDOW_DEFAULT_MS,
    };
    let window_ms = window_ms.min(api.inner.history_window_ms);
    let node = api.node(&id)?;
    let columns = api.inner.observed.history(&node, window_ms, HISTORY_POINTS);
    Ok(Json(NodeHistory { id: node.id, role: node.role, window_ms, columns }))
}

/// Sums over all live spears
#[utoipa::path(get, path = "/v1/totals", tag = "cluster", responses((status = 200, description = "The sums.", body = Totals)))]
pub(super) async fn totals(State(api): State<Api>) -> Json<Totals> {
    Json(api.inner.observed.totals())
}

impl Api {
    pub(super) fn node(&self, id: &str) -> Result<Node, Problem> {
        let missing = || Problem::new(Code::NotFound, "there is no node of this id; /v1/cluster lists all");
        self.inner.observed.node(id).ok_or_else(missing)
    }
}

fn parse_window(text: &str) -> Option<i64> {
    let unit_ms = match text.chars().last()? {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    // As `/openapi.json` says it.
    if digits.len() > 9 || digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<i64>().ok()?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_number_with_its_unit() {
        assert_eq!(parse_window("90s"), Some(90_000));
        assert_eq!(parse_window("15m"), Some(900_000));
        assert_eq!(parse_window("1h"), Some(3_600_000));
        for text in ["", "s", "0s", "-1s", "15", "15 m", "+1s", "01s", "1d", "1é", "99999999999h"] {
            assert_eq!(parse_window(text), None, "{text}");
        }
    }
}
