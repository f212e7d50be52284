//! `/v1/users/…`: who is connected, and who may not be.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use boot::Problem;
use serde::Serialize;
use store::{StoreError, UserPresence};
use wire::{Code, Device, Kick, Payload, Role, User};

use super::{Api, extract::Segment};

#[derive(Serialize)]
pub(super) struct Presence {
    user: User,
    online: bool,
    devices: Vec<Connected>,
    last_seen_at: Option<i64>,
}

#[derive(Serialize)]
struct Connected {
    device: Device,
    node: Arc<str>,
    since_at: i64,
}

/// A device counts while that very start of its spear is in the roster: who was on a spear that died is offline.
pub(super) async fn presence(
    State(api): State<Api>,
    Segment(user): Segment<User>,
) -> Result<Json<Presence>, Problem> {
    let known = known(&api, &user).await?;
    let snapshot = api.inner.observed.snapshot();
    let devices: Vec<Connected> = known
        .devices
        .into_iter()
        .filter(|device| snapshot.holds(Role::Spear, &device.node))
        .map(|device| Connected { device: device.device, node: device.node.id, since_at: device.since_at })
        .collect();
    Ok(Json(Presence { user, online: !devices.is_empty(), devices, last_seen_at: known.last_seen_at }))
}

/// No ticket from now on, and every connection is closed. Doing it again closes what may have slipped in.
pub(super) async fn ban(State(api): State<Api>, Segment(user): Segment<User>) -> Result<StatusCode, Problem> {
    // First the list, then who is connected: a spear notes a connection first and asks the list then.
    api.inner.store.set_banned(&user, true).await.map_err(unreachable)?;
    let kicks = known(&api, &user).await?.devices.into_iter().map(|device| {
        let (user, reason) = (user.clone(), "banned".to_owned());
        (device.node, Payload::Kick(Kick { user, device: device.device, below_epoch: u64::MAX, reason }))
    });
    api.inner.conversations.announcer().tell(kicks.collect()).await;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn unban(
    State(api): State<Api>,
    Segment(user): Segment<User>,
) -> Result<StatusCode, Problem> {
    api.inner.store.set_banned(&user, false).await.map_err(unreachable)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn known(api: &Api, user: &User) -> Result<UserPresence, Problem> {
    let found = api.inner.store.presence(vec![user.clone()]).await.map_err(unreachable)?;
    Ok(found.into_iter().next().unwrap_or_default())
}

fn unreachable(error: StoreError) -> Problem {
    tracing::warn!(%error, "the store refused a call about a user");
    Problem::new(Code::Unavailable, "the store cannot be reached").retry_after_s(1)
}
