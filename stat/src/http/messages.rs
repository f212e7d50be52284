//! `/v1/messages` sends, to rooms and to everybody too; `/v1/conversations/{conversation}/messages` reads.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use boot::Problem;
use conversation::{BroadcastRequest, HistoryPage, HistoryRequest, Reader, RoomSent, SendRequest, Sent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::Author;
use wire::{Code, Conversation, Destination, Group, Role, Room, User};

use super::{
    Api,
    extract::{Body, Params, Segment},
    keys::Caller,
    refused,
};
use crate::api_key::Scope;

/// The user in whose name a back end writes that names none. It needs not be a member of a group.
const SYSTEM: &str = "system";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    from: Option<User>,
    to: To,
    #[serde(rename = "type")]
    kind: Option<Arc<str>>,
    body: Box<RawValue>,
    cid: Option<Arc<str>>,
}

/// Where a back end sends: `{"user": …}`, `{"group": …}`, `{"room": …}` or `{"all": true}`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum To {
    /// One user.
    User(User),
    /// All members of a group.
    Group(Group),
    /// Everybody who is in a room now; nothing is stored.
    Room(Room),
    /// Everybody who is connected now; nothing is stored. `true`.
    All(bool),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    after: Option<u64>,
    before: Option<u64>,
    limit: Option<usize>,
}

/// What was sent; what goes to a room is stored nowhere and has no `seq`.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Stored(Sent),
    Live(RoomSent),
}

pub(super) async fn send(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Body(message): Body<Message>,
) -> Result<Json<Answer>, Problem> {
    let from = match message.from {
        Some(from) => from,
        None => User::new(SYSTEM).map_err(|error| Problem::new(Code::BadRequest, format!("from {error}")))?,
    };
    let to = match message.to {
        To::User(user) => Destination::User(user),
        To::Group(group) => Destination::Group(group),
        To::Room(room) => Destination::Room(room),
        To::All(true) => {
            // Whoever may send cannot reach everybody for that alone.
            caller.may(Scope::Manage)?;
            let (cid, kind, body) = (message.cid, message.kind, message.body.into());
            let request = BroadcastRequest { from, cid, kind, body };
            let snapshot = api.inner.observed.snapshot();
            let spears = snapshot.of_role(Role::Spear).map(|spear| spear.node_ref());
            let sent = api.inner.conversations.broadcast(request, spears).await;
            return sent.map(|sent| Json(Answer::Live(sent))).map_err(refused);
        }
        To::All(false) => return Err(Problem::new(Code::BadRequest, "to.all: expected true")),
    };
    let request = SendRequest {
        members_only: from.as_str() != SYSTEM,
        from,
        author: Author { device: None, epoch: 0, session: 0 },
        to,
        cid: message.cid,
        kind: message.kind,
        body: message.body.into(),
    };
    let conversations = &api.inner.conversations;
    let sent = match request.to {
        // A back end is in no room, and may write to all.
        Destination::Room(_) => conversations.send_to_room(request).await.map(Answer::Live),
        Destination::User(_) | Destination::Group(_) => conversations.send(request).await.map(Answer::Stored),
    };
    sent.map(Json).map_err(refused)
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
