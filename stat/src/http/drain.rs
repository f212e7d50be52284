//! `/v1/nodes/{id}/drain`, `/undrain`, `/shed`: where clients are, while nodes come and go.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode};
use boot::Problem;
use serde::{Deserialize, Deserializer, de};
use tokio::time;
use utoipa::ToSchema;
use wire::{Code, Drain, DrainOrder, NodeRecord, NodeState, Payload, Role};

use super::{
    Api,
    extract::{Body, OptionalBody, Segment},
};
use crate::nodes::Node;

/// The longest time that clients are given, in milliseconds: an hour, as `drain_timeout_ms`.
const LONGEST_MS: u64 = 3_600_000;

/// A hint may be lost: so long after it the spear is told again, and so often in all.
const TELL_AGAIN: Duration = Duration::from_millis(500);
/// See [`TELL_AGAIN`]. 4 s are less than a request may take.
const TIMES: u32 = 8;

/// How often it is told where the roster shows already what is asked for, and so cannot show that it was heard.
const BLINDLY: u32 = 2;
const BLIND_PAUSE: Duration = Duration::from_millis(100);

/// How a spear drains.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DrainRequest, example = json!({"after_ms": 30000}))]
pub(super) struct DrainRequest {
    /// Within how many milliseconds all clients are to have moved; its `drain_timeout_ms` where there is none.
    #[schema(minimum = 1, maximum = 3_600_000)]
    #[serde(default, deserialize_with = "whole")]
    after_ms: Option<u64>,
    /// It takes no newcomers, and those who are there stay.
    #[serde(default)]
    hold: bool,
}

/// How a spear gives away a part of its connections.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShedRequest, example = json!({"share": 0.25}))]
pub(super) struct ShedRequest {
    /// Which part of its connections is told to move, chosen at random.
    #[schema(exclusive_minimum = 0.0, maximum = 1.0)]
    share: f64,
    /// Within how many milliseconds; its `drain_timeout_ms` where there is none.
    #[schema(minimum = 1, maximum = 3_600_000)]
    #[serde(default, deserialize_with = "whole")]
    after_ms: Option<u64>,
}

/// Drains a spear
///
/// It takes no newcomers, its clients are told to move in waves spread evenly over the time, and those who do not are closed in their
/// turn. The process goes on until it is ended. Again with another time: that one counts from now on.
#[utoipa::path(
    post, path = "/v1/nodes/{id}/drain", tag = "cluster",
    params(("id" = String, Path, description = "The spear's id.", example = "spear-1")),
    request_body = Option<DrainRequest>,
    responses(
        (status = 200, description = "It drains, and the roster shows it.", body = Node),
        (status = 404, description = "There is no such node now."),
        (status = 409, description = "It is no spear, or the only one that takes clients."),
    )
)]
pub(super) async fn drain(
    State(api): State<Api>,
    Segment(id): Segment<String>,
    OptionalBody(DrainRequest { after_ms, hold }): OptionalBody<DrainRequest>,
) -> Result<Json<Node>, Problem> {
    check_time(after_ms)?;
    let spear = api.spear(&id)?;
    api.check_others(&spear)?;
    let order = if hold { DrainOrder::Hold } else { DrainOrder::Leave { within_ms: after_ms } };
    api.order(&spear, order, NodeState::Draining).await
}

/// Takes a drain back
///
/// The spear takes newcomers again, and nobody else is told to move.
#[utoipa::path(
    post, path = "/v1/nodes/{id}/undrain", tag = "cluster",
    params(("id" = String, Path, description = "The spear's id.", example = "spear-1")),
    responses(
        (status = 200, description = "It is up, and the roster shows it.", body = Node),
        (status = 404, description = "There is no such node now."),
        (status = 409, description = "It is no spear."),
    )
)]
pub(super) async fn undrain(
    State(api): State<Api>,
    Segment(id): Segment<String>,
) -> Result<Json<Node>, Problem> {
    let spear = api.spear(&id)?;
    api.order(&spear, DrainOrder::Stay, NodeState::Up).await
}

/// Moves a part of a spear's clients
///
/// The spear goes on taking newcomers. A hint: `draining_remaining` among its counters shows whether it was heard.
#[utoipa::path(
    post, path = "/v1/nodes/{id}/shed", tag = "cluster",
    params(("id" = String, Path, description = "The spear's id.", example = "spear-1")),
    request_body = ShedRequest,
    responses(
        (status = 202, description = "It has been told.", body = Node),
        (status = 404, description = "There is no such node now."),
        (status = 409, description = "It is no spear, it drains, or it is the only one that takes clients."),
    )
)]
pub(super) async fn shed(
    State(api): State<Api>,
    Segment(id): Segment<String>,
    Body(ShedRequest { share, after_ms }): Body<ShedRequest>,
) -> Result<(StatusCode, Json<Node>), Problem> {
    check_time(after_ms)?;
    if !(share > 0.0 && share <= 1.0) {
        return Err(Problem::new(Code::BadRequest, "share: expected more than 0, and 1 at most"));
    }
    let spear = api.spear(&id)?;
    api.check_others(&spear)?;
    if spear.state != NodeState::Up {
        return Err(conflict("it drains, so all of its clients move"));
    }
    // Of very few one still moves.
    let share = ((share * 1_000.0) as u32).max(1);
    api.tell(&spear, &Drain { id: rand::random(), order: DrainOrder::Shed { within_ms: after_ms, share } })
        .await;
    Ok((StatusCode::ACCEPTED, Json(api.node(&id)?)))
}

impl Api {
    /// A spear that is in the roster.
    fn spear(&self, id: &str) -> Result<NodeRecord, Problem> {
        let snapshot = self.inner.observed.snapshot();
        let missing =
            || Problem::new(Code::NotFound, "no node of this id is in the roster; /v1/cluster lists all");
        let record = snapshot.nodes().find(|record| &*record.id == id).ok_or_else(missing)?;
        if record.role != Role::Spear {
            return Err(conflict(
                "only spears hold clients that have to move: a node of another role hands its work over when it gets SIGTERM",
            ));
        }
        Ok(NodeRecord::clone(record))
    }

    /// Refused where the clients would have nowhere to go.
    fn check_others(&self, spear: &NodeRecord) -> Result<(), Problem> {
        let snapshot = self.inner.observed.snapshot();
        let takes =
            |other: &NodeRecord| other.id != spear.id && other.state == NodeState::Up && other.weight > 0;
        if snapshot.of_role(Role::Spear).any(|other| takes(other)) {
            return Ok(());
        }
        Err(conflict("no other spear takes clients: they would have nowhere to go"))
    }

    async fn tell(&self, spear: &NodeRecord, drain: &Drain) {
        let hint = vec![(spear.node_ref(), Payload::Drain(drain.clone()))];
        self.inner.conversations.announcer().tell(hint).await;
    }

    /// Tells a spear until the roster shows it.
    async fn order(
        &self,
        spear: &NodeRecord,
        order: DrainOrder,
        wanted: NodeState,
    ) -> Result<Json<Node>, Problem> {
        let drain = Drain { id: rand::random(), order };
        let mut snapshot = self.inner.observed.watch();
        if spear.state == wanted {
            // Nothing will show that it was heard.
            for _ in 0..BLINDLY {
                self.tell(spear, &drain).await;
                time::sleep(BLIND_PAUSE).await;
            }
        }
        for _ in 0..TIMES {
            self.tell(spear, &drain).await;
            let shown = snapshot.wait_for(|snapshot| {
                snapshot.get(Role::Spear, &spear.id).is_some_and(|record| record.state == wanted)
            });
            if let Ok(Ok(_)) = time::timeout(TELL_AGAIN, shown).await {
                return self.node(&spear.id).map(Json);
            }
        }
        let detail = "the roster does not show that the spear has done it: it does not hear, or the roster cannot be written";
        Err(Problem::new(Code::Unavailable, detail).retry_after_s(1))
    }
}

/// A whole number, however it is written: for a schema `3.0` is an integer, too.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    match Option::<f64>::deserialize(from)? {
        None => Ok(None),
        Some(number) if number.fract() == 0.0 && (0.0..=LONGEST_MS as f64 + 1.0).contains(&number) => {
            Ok(Some(number as u64))
        }
        Some(number) => {
            Err(de::Error::custom(format!("expected a whole number from 1 to {LONGEST_MS}, got {number}")))
        }
    }
}

fn check_time(after_ms: Option<u64>) -> Result<(), Problem> {
    if after_ms.is_none_or(|after_ms| (1..=LONGEST_MS).contains(&after_ms)) {
        return Ok(());
    }
    Err(Problem::new(Code::BadRequest, format!("after_ms: expected 1 to {LONGEST_MS}")))
}

fn conflict(detail: &str) -> Problem {
    Problem::new(Code::BadRequest, detail).status(StatusCode::CONFLICT)
}
