//! `send`: a message to a user, a group or a room.

use std::sync::Arc;

use conversation::{Pending, Refusal, SendRequest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::Author;
use wire::{Code, Destination};

use super::{Answer, Asking, answer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    to: Destination,
    cid: Option<Arc<str>>,
    #[serde(rename = "type")]
    kind: Option<Arc<str>>,
    body: Box<RawValue>,
}

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let payload: Payload = asking.payload()?;
    let connection = asking.connection;
    let identity = &connection.identity;
    let request = SendRequest {
        from: identity.key.user.clone(),
        author: Author {
            device: Some(identity.key.device.clone()),
            epoch: connection.epoch(),
            session: identity.session,
        },
        to: payload.to,
        cid: payload.cid,
        kind: payload.kind,
        body: payload.body.into(),
        members_only: true,
    };
    let conversations = &asking.context.conversations;
    let Destination::Room(room) = &request.to else {
        return Ok(answered(&asking, conversations.send(request)));
    };
    if !connection.is_in_room(room) {
        return Err(Refusal::new(Code::NotMember, format!("room {room}: this connection is not in it")));
    }
    Ok(answered(&asking, conversations.send_to_room(request)))
}

fn answered<T: Serialize + Send + 'static>(asking: &Asking<'_>, pending: Pending<T>) -> Answer {
    let counters = asking.context.hub.counters.clone();
    Box::pin(async move {
        let outcome = pending.await;
        if outcome.is_ok() {
            counters.sent();
        }
        answer::of(outcome)
    })
}
