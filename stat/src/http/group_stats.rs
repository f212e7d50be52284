//! `/v1/groups/{group}/stats`: how many members a group has, how many of them are online, how much is written.
//!
//! Everything is counted when it is asked for; nothing is written on the road of a message for it.

use std::sync::Arc;

use axum::{Json, extract::State};
use boot::Problem;
use roster::Snapshot;
use serde::Serialize;
use store::{Store, StoreError};
use tokio::{sync::OwnedSemaphorePermit, task::JoinSet};
use utoipa::ToSchema;
use wire::{Code, Conversation, Group, Role, User};

use super::{Api, extract::Segment, refused, schemas::GroupName};

/// How many pages of members this node looks up at once, for all requests together: a store that is asked for the presence of
/// a thousand users has messages waiting behind it for some milliseconds.
pub(super) const LOOK_UPS: usize = 2;

const MINUTE_MS: u64 = 60_000;

/// What is counted of a group.
#[derive(Serialize, ToSchema)]
pub(super) struct GroupStats {
    #[schema(value_type = GroupName)]
    group: Group,
    members: u64,
    /// Members with a device on a spear that is in the roster.
    online: u64,
    /// Stored within the last minute.
    messages_per_minute: u64,
}

/// Counts members, those online and the messages of a minute
///
/// Counted when it is asked for. Members who come or go meanwhile may count or not; never are more online than there are.
#[utoipa::path(
    get, path = "/v1/groups/{group}/stats", tag = "groups", operation_id = "group_stats",
    params(("group" = inline(GroupName), Path, description = "The group's name.")),
    responses(
        (status = 200, description = "The counts.", body = GroupStats),
        (status = 404, description = "There is no such group."),
    )
)]
pub(super) async fn stats(
    State(api): State<Api>,
    Segment(group): Segment<Group>,
) -> Result<Json<GroupStats>, Problem> {
    let (members, online) = count(&api, &group).await?;
    let conversation = Conversation::Group(group.clone());
    let sent = api.inner.store.sent_within(MINUTE_MS, &conversation).await;
    let messages_per_minute = sent.map_err(|error| refused(error.into()))?;
    Ok(Json(GroupStats { group, members, online, messages_per_minute }))
}

/// How many members there are, and how many of them are online.
async fn count(api: &Api, group: &Group) -> Result<(u64, u64), Problem> {
    let snapshot = api.inner.observed.snapshot();
    let mut look_ups = JoinSet::new();
    let (mut members, mut cursor) = (0, None);
    loop {
        let page = api.inner.conversations.members(group, cursor, None).await.map_err(refused)?;
        members += page.members.len() as u64;
        let turn = api.inner.look_ups.clone().acquire_owned().await.map_err(|_| ended())?;
        look_ups.spawn(online(api.inner.store.clone(), snapshot.clone(), page.members, turn));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut sum = 0;
    while let Some(counted) = look_ups.join_next().await {
        sum += counted.map_err(|_| ended())?.map_err(|error| refused(error.into()))?;
    }
    Ok((members, sum))
}

/// How many of these users are online.
async fn online(
    store: Arc<dyn Store>,
    snapshot: Arc<Snapshot>,
    users: Vec<User>,
    _turn: OwnedSemaphorePermit,
) -> Result<u64, StoreError> {
    let found = store.presence(users).await?;
    let online = found
        .iter()
        .filter(|user| user.devices.iter().any(|device| snapshot.holds(Role::Spear, &device.node)));
    Ok(online.count() as u64)
}

fn ended() -> Problem {
    Problem::new(Code::Unavailable, "this node is ending").retry_after_s(1)
}
