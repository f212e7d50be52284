//! `/v1/users/…`: who is connected, who has to go, and who may not be.

use axum::{Json, extract::State, http::StatusCode};
use boot::Problem;
use conversation::Presence;
use serde::{Deserialize, Serialize};
use store::{StoreError, UserPresence};
use utoipa::ToSchema;
use wire::{Code, Device, Kick, Payload, User};

use super::{
    Api,
    extract::{OptionalBody, Segment},
    schemas::{DeviceName, PresentDevice, UserName, time_or_null},
};

/// The longest `reason` of a kick, in characters.
const REASON_MAX: usize = 256;

/// A user's presence.
#[derive(ToSchema)]
#[schema(as = Presence)]
#[expect(dead_code, reason = "only its schema")]
pub(super) struct OfUserSchema {
    #[schema(value_type = UserName)]
    user: String,
    /// Whether a device is connected.
    online: bool,
    /// Those that are, by name.
    devices: Vec<PresentDevice>,
    /// When a connection of the user last began or ended; `null` where there never was one.
    #[schema(schema_with = time_or_null)]
    last_seen_at: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct OfUser {
    user: User,
    #[serde(flatten)]
    presence: Presence,
}

/// Whose connections are to be closed, and what the client is told.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Kick, example = json!({"device": "phone-1", "reason": "the password was changed"}))]
pub(super) struct KickRequest {
    /// Only this device; all where there is none.
    #[schema(value_type = Option<DeviceName>)]
    device: Option<Device>,
    /// For people: the `message` of the `kicked` event.
    #[schema(min_length = 1, max_length = 256)]
    reason: Option<String>,
}

/// Who was told to go.
#[derive(Serialize, ToSchema)]
pub(super) struct Kicked {
    /// The devices that were connected and have been told to go, by name.
    #[schema(value_type = Vec<DeviceName>)]
    devices: Vec<Device>,
}

/// Whether a user is online, and with which devices
///
/// A user who never connected is offline.
#[utoipa::path(
    get, path = "/v1/users/{user}/presence", tag = "users", operation_id = "presence",
    params(("user" = inline(UserName), Path, description = "The user's name.")),
    responses(
        (status = 200, description = "As it is now.", body = OfUserSchema),
    )
)]
pub(super) async fn presence(
    State(api): State<Api>,
    Segment(user): Segment<User>,
) -> Result<Json<OfUser>, Problem> {
    let presence = Presence::new(known(&api, &user).await?, &api.inner.observed.snapshot());
    Ok(Json(OfUser { user, presence }))
}

/// Closes a user's connections of now
///
/// Nothing is written down: the user may come back, and a connection that the hint does not reach stays.
#[utoipa::path(
    post, path = "/v1/users/{user}/kick", tag = "users", operation_id = "kick",
    params(("user" = inline(UserName), Path, description = "The user's name.")),
    request_body = Option<KickRequest>,
    responses(
        (status = 200, description = "Those who were connected have been told.", body = Kicked),
    )
)]
pub(super) async fn kick(
    State(api): State<Api>,
    Segment(user): Segment<User>,
    OptionalBody(KickRequest { device, reason }): OptionalBody<KickRequest>,
) -> Result<Json<Kicked>, Problem> {
    if let Some(reason) = &reason
        && !(1..=REASON_MAX).contains(&reason.chars().count())
    {
        let detail = format!("reason: expected 1 to {REASON_MAX} characters");
        return Err(Problem::new(Code::BadRequest, detail));
    }
    let mut held = known(&api, &user).await?;
    held.devices.retain(|held| device.as_ref().is_none_or(|device| held.device == *device));
    api.tell_to_go(&user, &held, "admin", reason).await;
    // Who was on a spear that is gone is not connected.
    let told = Presence::new(held, &api.inner.observed.snapshot());
    Ok(Json(Kicked { devices: told.devices.into_iter().map(|device| device.device).collect() }))
}

/// Bans a user
///
/// No ticket from now on, and every connection is closed. Doing it again closes what may have slipped in.
#[utoipa::path(
    put, path = "/v1/users/{user}/ban", tag = "users", operation_id = "ban",
    params(("user" = inline(UserName), Path, description = "The user's name.")),
    responses(
        (status = 204, description = "The user is banned."),
    )
)]
pub(super) async fn ban(State(api): State<Api>, Segment(user): Segment<User>) -> Result<StatusCode, Problem> {
    // First the list, then who is connected: a spear notes a connection first and asks the list then.
    api.inner.store.set_banned(&user, true).await.map_err(unreachable)?;
    let held = known(&api, &user).await?;
    api.tell_to_go(&user, &held, "banned", None).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a ban back
#[utoipa::path(
    delete, path = "/v1/users/{user}/ban", tag = "users", operation_id = "unban",
    params(("user" = inline(UserName), Path, description = "The user's name.")),
    responses(
        (status = 204, description = "The user is not banned."),
    )
)]
pub(super) async fn unban(
    State(api): State<Api>,
    Segment(user): Segment<User>,
) -> Result<StatusCode, Problem> {
    api.inner.store.set_banned(&user, false).await.map_err(unreachable)?;
    Ok(StatusCode::NO_CONTENT)
}

impl Api {
    /// Tells the spears that hold these devices to close their connections.
    pub(super) async fn tell_to_go(
        &self,
        user: &User,
        held: &UserPresence,
        reason: &str,
        message: Option<String>,
    ) {
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

pub(super) async fn known(api: &Api, user: &User) -> Result<UserPresence, Problem> {
    let found = api.inner.store.presence(vec![user.clone()]).await.map_err(unreachable)?;
    Ok(found.into_iter().next().unwrap_or_default())
}

pub(super) fn unreachable(error: StoreError) -> Problem {
    tracing::warn!(%error, "the store refused a call about a user");
    let detail = match error {
        StoreError::Full(_) => "the store is full",
        _ => "the store cannot be reached",
    };
    Problem::new(Code::Unavailable, detail).retry_after_s(1)
}
