//! `send`: a message to a user or a group.

use std::sync::Arc;

use conversation::{Refusal, SendRequest};
use serde::Deserialize;
use serde_json::value::RawValue;
use store::Author;
use wire::Destination;

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
    let pending = asking.context.conversations.send(SendRequest {
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
    });
    let counters = asking.context.hub.counters.clone();
    Ok(Box::pin(async move {
        let outcome = pending.await;
        if outcome.is_ok() {
            counters.stored();
        }
        answer::of(outcome)
    }))
}
