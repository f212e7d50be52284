//! `/v1/messages` sends, `/v1/conversations/{conversation}/messages` reads.

use std::sync::Arc;

use axum::{Json, extract::State};
use boot::Problem;
use conversation::{HistoryPage, HistoryRequest, Reader, SendRequest, Sent};
use serde::Deserialize;
use serde_json::value::RawValue;
use store::Author;
use wire::{Code, Conversation, Destination, User};

use super::{
    Api,
    extract::{Body, Params, Segment},
    refused,
};

/// The user in whose name a back end writes that names none. It needs not be a member of a group.
const SYSTEM: &str = "system";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    from: Option<User>,
    to: Destination,
    #[serde(rename = "type")]
    kind: Option<Arc<str>>,
    body: Box<RawValue>,
    cid: Option<Arc<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    after: Option<u64>,
    before: Option<u64>,
    limit: Option<usize>,
}

pub(super) async fn send(
    State(api): State<Api>,
    Body(message): Body<Message>,
) -> Result<Json<Sent>, Problem> {
    let from = match message.from {
        Some(from) => from,
        None => User::new(SYSTEM).map_err(|error| Problem::new(Code::BadRequest, format!("from {error}")))?,
    };
    let request = SendRequest {
        members_only: from.as_str() != SYSTEM,
        from,
        author: Author { device: None, epoch: 0, session: 0 },
        to: message.to,
        cid: message.cid,
        kind: message.kind,
        body: message.body.into(),
    };
    api.inner.conversations.send(request).await.map(Json).map_err(refused)
}

pub(super) async fn history(
    State(api): State<Api>,
    Segment(conversation): Segment<Conversation>,
    Params(params): Params<PageParams>,
) -> Result<Json<HistoryPage>, Problem> {
    let request =
        HistoryRequest { conversation, after: params.after, before: params.before, limit: params.limit };
    api.inner.conversations.history(&Reader::BackEnd, request).await.map(Json).map_err(refused)
}
