//! `/v1/users/…`: who is connected, and who may not be.

use axum::{Json, extract::State, http::StatusCode};
use boot::Problem;
use conversation::Presence;
use serde::Serialize;
use store::{StoreError, UserPresence};
use wire::{Code, Kick, Payload, User};

use super::{Api, extract::Segment};

#[derive(Serialize)]
pub(super) struct OfUser {
    user: User,
    #[serde(flatten)]
    presence: Presence,
}

pub(super) async fn presence(
    State(api): State<Api>,
    Segment(user): Segment<User>,
) -> Result<Json<OfUser>, Problem> {
    let presence = Presence::new(known(&api, &user).await?, &api.inner.observed.snapshot());
    Ok(Json(OfUser { user, presence }))
}

/// No ticket from now on, and every connection is closed. Doing it again closes what may have slipped in.
pub(super) async fn ban(State(api): State<Api>, Segment(user): Segment<User>) -> Result<StatusCode, Problem> {
    // First the list, then who is connected: a spear notes a connection first and asks the list then.
    api.inner.store.set_banned(&user, true).await.map_err(unreachable)?;
    let kicks = known(&api, &user).await?.devices.into_iter().map(|device| {
        let (user, reason) = (user.clone(), "banned".to_owned());
        (
            device.node,
            Payload::Kick(Kick {
                user,
                device: device.device,
                below_epoch: u64::MAX,
                reason,
                answer_to: None,
            }),
        )
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
