//! A stored message, and the `message` event made of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{Conversation, Device, Group, MessageId, Room, User};

/// Where a message is sent: `{"user": …}`, `{"group": …}` or `{"room": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Destination {
    /// One user (may be the sender).
    User(User),
    /// All members of a group.
    Group(Group),
    /// Everybody who is in a room now; nothing is stored.
    Room(Room),
}

/// A message as it is stored; serialised, it is the payload of the `message` event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// The conversation that it belongs to.
    pub conversation: Conversation,
    /// Its place in the conversation: 1, 2, 3 … without holes.
    pub seq: u64,
    /// Unique in the cluster.
    pub id: MessageId,
    /// The sender's own id for it, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cid: Option<Arc<str>>,
    /// Who wrote it.
    pub from: User,
    /// The device that it came from; absent where a back end sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// What the sender addressed.
    pub to: Destination,
    /// The kind of message; `text` where the sender named none.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// Any JSON, as the sender wrote it; `null` once it was recalled.
    pub body: Arc<RawValue>,
    /// Milliseconds since the Unix epoch; never decreases with `seq`.
    pub sent_at: i64,
    /// When its sender took it back, milliseconds since the Unix epoch: then only its place is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recalled_at: Option<i64>,
    /// The session that sent it, 0 for a back end. Not part of the event.
    #[serde(skip)]
    pub origin_session: u64,
}

/// A message to a room as it is sent: the payload of the `message` event. It is stored nowhere and has no `seq`.
#[derive(Debug, Clone, Serialize)]
pub struct RoomMessage {
    /// The room; stands in JSON as `r:<room>`.
    #[serde(rename = "conversation", serialize_with = "of_room")]
    pub room: Room,
    /// Unique in the cluster.
    pub id: MessageId,
    /// The sender's own id for it, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cid: Option<Arc<str>>,
    /// Who wrote it.
    pub from: User,
    /// The device that it came from; absent where a back end sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// What the sender addressed: the room.
    pub to: Destination,
    /// The kind of message; `text` where the sender named none.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// Any JSON, as the sender wrote it.
    pub body: Arc<RawValue>,
    /// Milliseconds since the Unix epoch.
    pub sent_at: i64,
}

/// A message to everybody who is connected as it is sent: the payload of the `message` event, with `conversation: "all"` and
/// `to: {"all": true}`. It is stored nowhere and has no `seq`.
#[derive(Debug, Clone, Serialize)]
#[serde(into = "BroadcastEvent")]
pub struct Broadcast {
    /// Unique in the cluster.
    pub id: MessageId,
    /// The sender's own id for it, if one was given.
    pub cid: Option<Arc<str>>,
    /// Who wrote it.
    pub from: User,
    /// The kind of message.
    pub kind: Arc<str>,
    /// Any JSON, as the sender wrote it.
    pub body: Arc<RawValue>,
    /// Milliseconds since the Unix epoch.
    pub sent_at: i64,
}

#[derive(Serialize)]
struct BroadcastEvent {
    conversation: &'static str,
    id: MessageId,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<Arc<str>>,
    from: User,
    to: ToAll,
    #[serde(rename = "type")]
    kind: Arc<str>,
    body: Arc<RawValue>,
    sent_at: i64,
}

#[derive(Serialize)]
struct ToAll {
    all: bool,
}

impl From<Broadcast> for BroadcastEvent {
    fn from(Broadcast { id, cid, from, kind, body, sent_at }: Broadcast) -> Self {
        Self { conversation: "all", id, cid, from, to: ToAll { all: true }, kind, body, sent_at }
    }
}

fn of_room<S: Serializer>(room: &Room, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("r:{room}"))
}
