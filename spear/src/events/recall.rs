//! `recall`: the sender takes a message back.

use conversation::{RecallRequest, Refusal};
use serde::Deserialize;
use serde_json::json;
use store::Author;
use wire::Conversation;

use super::{Answer, Asking, answer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    conversation: Conversation,
    seq: u64,
}

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let Payload { conversation, seq } = asking.payload()?;
    let connection = asking.connection;
    let identity = &connection.identity;
    let request = RecallRequest {
        user: identity.key.user.clone(),
        author: Author {
            device: Some(identity.key.device.clone()),
            epoch: connection.epoch(),
            session: identity.session,
        },
        conversation,
        seq,
    };
    let conversations = asking.context.conversations.clone();
    Ok(Box::pin(async move { answer::of(conversations.recall(request).await.map(|()| json!({}))) }))
}
