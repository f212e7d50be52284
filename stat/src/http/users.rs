//! `/v1/users/…`: who is connected.

use std::sync::Arc;

use axum::{Json, extract::State};
use boot::Problem;
use serde::Serialize;
use wire::{Code, Device, Role, User};

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
    let found = api.inner.store.presence(vec![user.clone()]).await.map_err(|error| {
        tracing::warn!(%error, "presence cannot be read");
        Problem::new(Code::Unavailable, "the store cannot be reached").retry_after_s(1)
    })?;
    let known = found.into_iter().next().unwrap_or_default();
    let snapshot = api.inner.observed.snapshot();
    let devices: Vec<Connected> = known
        .devices
        .into_iter()
        .filter(|device| snapshot.holds(Role::Spear, &device.node))
        .map(|device| Connected { device: device.device, node: device.node.id, since_at: device.since_at })
        .collect();
    Ok(Json(Presence { user, online: !devices.is_empty(), devices, last_seen_at: known.last_seen_at }))
}
