//! `signal`: typing and the like; not stored, and answered without waiting for anybody.

use std::sync::Arc;

use conversation::{Refusal, SignalRequest};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use wire::{Code, Destination, Group};

use super::{Answer, Asking, answer};
use crate::context::Context;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    to: Destination,
    #[serde(rename = "type")]
    kind: Arc<str>,
    body: Box<RawValue>,
}

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let Payload { to, kind, body } = asking.payload()?;
    let (context, connection) = (asking.context.clone(), asking.connection);
    let from = connection.identity.key.user.clone();
    let request = SignalRequest { from, session: connection.identity.session, to, kind, body: body.into() };
    match &request.to {
        Destination::User(_) => {}
        Destination::Room(room) => {
            if !connection.is_in_room(room) {
                return Err(not_member(&request.to));
            }
        }
        Destination::Group(group) => {
            if !context.hub.is_member(connection, group) {
                // A connection that has just begun may not have looked at its groups yet.
                let group = group.clone();
                return Ok(Box::pin(
                    async move { answer::of(ask_and_send(&context, &request, group).await) },
                ));
            }
        }
    }
    context.conversations.signal(&request, context.live.signal_bytes)?;
    Ok(Box::pin(std::future::ready(answer::done(&json!({})))))
}

async fn ask_and_send(
    context: &Context,
    request: &SignalRequest,
    group: Group,
) -> Result<serde_json::Value, Refusal> {
    let memberships = context.hub.store.memberships(vec![(request.from.clone(), group)]).await?;
    let spans = memberships.first().and_then(|membership| membership.spans.last());
    if spans.is_none_or(|last| last.left_seq.is_some()) {
        return Err(not_member(&request.to));
    }
    context.conversations.signal(request, context.live.signal_bytes)?;
    Ok(json!({}))
}

fn not_member(to: &Destination) -> Refusal {
    let message = match to {
        Destination::Group(group) => format!("group {group}: you are not a member"),
        Destination::Room(room) => format!("room {room}: this connection is not in it"),
        Destination::User(user) => format!("user {user}"),
    };
    Refusal::new(Code::NotMember, message)
}
