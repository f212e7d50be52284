//! `read`: the user has read a conversation up to a `seq`.

use conversation::{ReadRequest, Refusal};
use serde::Deserialize;
use serde_json::json;
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
    let identity = &asking.connection.identity;
    let request =
        ReadRequest { user: identity.key.user.clone(), session: identity.session, conversation, seq };
    let conversations = asking.context.conversations.clone();
    Ok(Box::pin(async move { answer::of(conversations.read(request).await.map(|()| json!({}))) }))
}
