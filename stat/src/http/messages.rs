//! `/v1/messages` sends, to rooms and to everybody too; `/v1/conversations/{conversation}/messages` reads.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use boot::Problem;
use conversation::{BroadcastRequest, HistoryPage, HistoryRequest, Reader, RoomSent, SendRequest, Sent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::Author;
use utoipa::{IntoParams, ToSchema};
use wire::{Code, Conversation, Destination, Group, Role, Room, User};

use super::{
    Api,
    extract::{Body, Params, Segment, Whole},
    keys::Caller,
    refused,
    schemas::{self, ConversationName, SentMessage, Target, UserName},
};
use crate::api_key::Scope;

/// The user in whose name a back end writes that names none. It needs not be a member of a group.
const SYSTEM: &str = "system";

/// A message to be sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    as = NewMessage,
    example = json!({"from": "alice", "to": {"user": "bob"}, "type": "text", "body": {"text": "hello"}, "cid": "order-17"}),
)]
pub(super) struct Message {
    /// In whose name; the system's, as the user `system`, where there is none.
    #[schema(value_type = Option<UserName>)]
    from: Option<User>,
    #[schema(value_type = Target)]
    to: To,
    /// 1 to 64 bytes, for your use; `text` where there is none.
    #[serde(rename = "type")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
    kind: Option<Arc<str>>,
    /// Any JSON, at most 64 KiB by default.
    #[schema(value_type = Value)]
    body: Box<RawValue>,
    /// Your own id for it, 1 to 64 bytes: the same one by the same user in the same conversation within 24 hours is stored once.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64)]
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

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// Only `seq` above this; then the page begins at the oldest message.
    #[param(value_type = u64, required = false, minimum = 0, maximum = 9007199254740991_u64)]
    after: Option<Whole>,
    /// Only `seq` below this.
    #[param(value_type = u64, required = false, minimum = 0, maximum = 9007199254740991_u64)]
    before: Option<Whole>,
    /// At most so many; the setting's bound (200) where there is none, or where it is more.
    #[param(value_type = u64, required = false, minimum = 0, maximum = 9007199254740991_u64)]
    limit: Option<Whole>,
}

/// What was sent; what goes to a room is stored nowhere and has no `seq`.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Stored(Sent),
    Live(RoomSent),
}

/// Sends a message
///
/// As a user or as the system, to a user, a group, a room, or everybody. Answers once it is stored.
/// Send it with a `cid` and repeat until it is answered: it is stored once.
#[utoipa::path(
    post, path = "/v1/messages", tag = "messages", operation_id = "send",
    request_body = Message,
    responses(
        (status = 200, description = "It is stored; or, where nothing is stored, on its way.", body = SentMessage),
        (status = 403, description = "The key does not have the scope (`to.all` needs `manage` as well), or `from` is not a member of the group."),
        (status = 404, description = "There is no such group."),
    )
)]
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

/// Reads a conversation, by pages
///
/// Of the newest messages, or with `after` from there on.
#[utoipa::path(
    get, path = "/v1/conversations/{conversation}/messages", tag = "messages", operation_id = "conversation_history",
    params(("conversation" = inline(ConversationName), Path, description = "Which."), PageParams),
    responses(
        (status = 200, description = "A page.", body = schemas::HistoryPage),
    )
)]
pub(super) async fn history(
    State(api): State<Api>,
    Segment(conversation): Segment<Conversation>,
    Params(params): Params<PageParams>,
) -> Result<Json<HistoryPage>, Problem> {
    let request = HistoryRequest {
        conversation,
        after: params.after.map(|Whole(seq)| seq),
        before: params.before.map(|Whole(seq)| seq),
        limit: params.limit.map(Whole::count),
    };
    api.inner.conversations.history(&Reader::BackEnd, request).await.map(Json).map_err(refused)
}
