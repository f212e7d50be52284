//! `/v1/cluster`, `/v1/nodes/…`, `/v1/totals`.

use std::sync::Arc;

use axum::{Json, extract::State};
use boot::Problem;
use serde::{Deserialize, Serialize};
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

#[derive(Serialize)]
pub(super) struct Cluster {
    nodes: Vec<Node>,
}

/// `window` is a number with its unit: `90s`, `15m`, `1h`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryParams {
    window: Option<String>,
}

#[derive(Serialize)]
pub(super) struct NodeHistory {
    id: Arc<str>,
    role: Role,
    window_ms: i64,
    #[serde(flatten)]
    columns: Columns,
}

pub(super) async fn cluster(State(api): State<Api>) -> Json<Cluster> {
    Json(Cluster { nodes: api.inner.observed.nodes() })
}

pub(super) async fn node(
    State(api): State<Api>,
    Segment(id): Segment<String>,
) -> Result<Json<Node>, Problem> {
    api.node(&id).map(Json)
}

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

pub(super) async fn totals(State(api): State<Api>) -> Json<Totals> {
    Json(api.inner.observed.totals())
}

impl Api {
    fn node(&self, id: &str) -> Result<Node, Problem> {
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
    let number: u32 = text[..text.len() - 1].parse().ok().filter(|&number| number > 0)?;
    i64::from(number).checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_number_with_its_unit() {
        assert_eq!(parse_window("90s"), Some(90_000));
        assert_eq!(parse_window("15m"), Some(900_000));
        assert_eq!(parse_window("1h"), Some(3_600_000));
        for text in ["", "s", "0s", "-1s", "15", "15 m", "1d", "1é", "99999999999h"] {
            assert_eq!(parse_window(text), None, "{text}");
        }
    }
}
