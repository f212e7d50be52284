//! `/v1/users/…`: who is connected, who has to go, and who may not be.

use axum::{Json, extract::State, http::StatusCode};
use boot::Problem;
use conversation::Presence;
use serde::{Deserialize, Serialize};
use store::{StoreError, UserPresence};
use wire::{Code, Device, Kick, Payload, User};

use super::{
    Api,
    extract::{OptionalBody, Segment},
};

/// The longest `reason` of a kick, in bytes.
const REASON_MAX_BYTES: usize = 256;

#[derive(Serialize)]
pub(super) struct OfUser {
    user: User,
    #[serde(flatten)]
    presence: Presence,
}

/// Whose connections are to be closed, and what the client is told.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KickRequest {
    /// Only this device; all where there is none.
    device: Option<Device>,
    /// For people, 1 to 256 bytes: the `message` of the `kicked` event.
    reason: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Kicked {
    /// The devices that were connected and have been told to go, by name.
    devices: Vec<Device>,
}

pub(super) async fn presence(
    State(api): State<Api>,
    Segment(user): Segment<User>,
) -> Result<Json<OfUser>, Problem> {
    let presence = Presence::new(known(&api, &user).await?, &api.inner.observed.snapshot());
    Ok(Json(OfUser { user, presence }))
}

/// Closes the connections of now. Nothing is written down: one that the hint does not reach stays.
pub(super) async fn kick(
    State(api): State<Api>,
    Segment(user): Segment<User>,
    OptionalBody(KickRequest { device, reason }): OptionalBody<KickRequest>,
) -> Result<Json<Kicked>, Problem> {
    if let Some(reason) = &reason
        && (reason.is_empty() || reason.len() > REASON_MAX_BYTES)
    {
        let detail = format!("reason: expected 1 to {REASON_MAX_BYTES} bytes, it has {}", reason.len());
        return Err(Problem::new(Code::BadRequest, detail));
    }
    let mut held = known(&api, &user).await?;
    held.devices.retain(|held| device.as_ref().is_none_or(|device| held.device == *device));
    api.tell_to_go(&user, &held, "admin", reason).await;
    // Who was on a spear that is gone is not connected.
    let told = Presence::new(held, &api.inner.observed.snapshot());
    Ok(Json(Kicked { devices: told.devices.into_iter().map(|device| device.device).collect() }))
}

/// No ticket from now on, and every connection is closed. Doing it again closes what may have slipped in.
pub(super) async fn ban(State(api): State<Api>, Segment(user): Segment<User>) -> Result<StatusCode, Problem> {
    // First the list, then who is connected: a spear notes a connection first and asks the list then.
    api.inner.store.set_banned(&user, true).await.map_err(unreachable)?;
    let held = known(&api, &user).await?;
    api.tell_to_go(&user, &held, "banned", None).await;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn unban(
    State(api): State<Api>,
    Segment(user): Segment<User>,
) -> Result<StatusCode, Problem> {
    api.inner.store.set_banned(&user, false).await.map_err(unreachable)?;
    Ok(StatusCode::NO_CONTENT)
}

impl Api {
    /// Tells the spears that hold these devices to close their connections.
    async fn tell_to_go(&self, user: &User, held: &UserPresence, reason: &str, message: Option<String>) {
        let kicks = held.devices.iter().map(|device| {
            let kick = Kick {
                user: user.clone(),
                device: device.device.clone(),
                below_epoch: u64::MAX,
                reason: reason.to_owned(),
                message: message.clone(),
                answer_to: None,
            };
            (device.node.clone(), Payload::Kick(kick))
        });
        self.inner.conversations.announcer().tell(kicks.collect()).await;
    }
}

async fn known(api: &Api, user: &User) -> Result<UserPresence, Problem> {
    let found = api.inner.store.presence(vec![user.clone()]).await.map_err(unreachable)?;
    Ok(found.into_iter().next().unwrap_or_default())
}

fn unreachable(error: StoreError) -> Problem {
    tracing::warn!(%error, "the store refused a call about a user");
    Problem::new(Code::Unavailable, "the store cannot be reached").retry_after_s(1)
}
