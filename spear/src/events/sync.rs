//! `sync`: a page of a conversation's history.

use conversation::{HistoryRequest, Reader, Refusal};
use serde::Deserialize;
use wire::Conversation;

use super::{Answer, Asking, answer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    conversation: Conversation,
    after: Option<u64>,
    before: Option<u64>,
    limit: Option<usize>,
}

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let Payload { conversation, after, before, limit } = asking.payload()?;
    let reader = Reader::User(asking.connection.identity.key.user.clone());
    let conversations = asking.context.conversations.clone();
    let request = HistoryRequest { conversation, after, before, limit };
    Ok(Box::pin(async move { answer::of(conversations.history(&reader, request).await) }))
}
