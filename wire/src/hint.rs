//! What one node tells another over the relay.

use bytes::Bytes;
use prost::Message as _;

use crate::{
    Change, Conversation, Destination, Device, Group, Incarnation, MessageId, NodeRef, Room, User,
    proto::relay::{self as proto, changed, drain, envelope},
};

/// The version of the envelope that this build writes.
const ENVELOPE_VERSION: u32 = 1;

/// A hint that has been decoded: who published it, its number, and what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Hint {
    /// Who published it.
    pub publisher: NodeRef,
    /// Its number from this publisher to this target: 1, 2, 3 …
    pub number: u64,
    /// The start of the target node that it was meant for.
    pub target_incarnation: Incarnation,
    /// What it says.
    pub payload: Payload,
}

/// What a hint says.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// A message was stored.
    Message(MessageHint),
    /// Somebody joined or left a group.
    Membership(MembershipChange),
    /// Older connections of a device are to be closed.
    Kick(Kick),
    /// They are closed.
    Released(Released),
    /// A spear checks its own path through the relay.
    Probe(u64),
    /// A message to a room.
    RoomMessage(RoomMessageHint),
    /// A node holds members of rooms, or none any more.
    RoomMembers(RoomCounts),
    /// Something that is not stored.
    Signal(SignalHint),
    /// Something else than a message has happened to a conversation.
    Changed(ChangeHint),
    /// Connections of these users have begun or ended: whoever watches them looks again.
    Presence(Vec<User>),
    /// A message to everybody who is connected.
    Broadcast(BroadcastHint),
    /// An operator asks something of the spear.
    Drain(Drain),
}

/// A message was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageHint {
    /// Where.
    pub conversation: Conversation,
    /// Its place there.
    pub seq: u64,
    /// The group's members version when it was appended; 0 for two users.
    pub members_version: u64,
    /// The session that sent it (it has the message by its acknowledgement); 0 for a back end.
    pub origin_session: u64,
    /// When it was stored, milliseconds since the Unix epoch.
    pub sent_at: i64,
    /// The payload of the `message` event, encoded once and shared.
    pub json: Bytes,
}

/// Members of a group changed: the target's own users among `users` are to be looked at again.
#[derive(Debug, Clone, PartialEq)]
pub struct MembershipChange {
    /// Which group.
    pub group: Group,
    /// Its members version after the change.
    pub members_version: u64,
    /// Who joined or left.
    pub users: Vec<User>,
}

/// Connections of a device with an epoch below `below_epoch` are to be closed.
#[derive(Debug, Clone, PartialEq)]
pub struct Kick {
    /// Whose.
    pub user: User,
    /// Which device.
    pub device: Device,
    /// The epoch of the connection that replaces them; `u64::MAX` closes all.
    pub below_epoch: u64,
    /// The `reason` of the `kicked` event.
    pub reason: String,
    /// The `message` of the `kicked` event, for people; `None` where there is none to say. Never empty.
    pub message: Option<String>,
    /// Who is told once they have ended: see [`Released`].
    pub answer_to: Option<NodeRef>,
}

/// The answer to a [`Kick`]: here the device has no connection below this epoch any more, and what they had confirmed was
/// written.
#[derive(Debug, Clone, PartialEq)]
pub struct Released {
    /// Whose.
    pub user: User,
    /// Which device.
    pub device: Device,
    /// The `below_epoch` of the [`Kick`].
    pub epoch: u64,
}

/// A message to a room. Stored nowhere: this is all there is of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomMessageHint {
    /// Which room.
    pub room: Room,
    /// The session that sent it (it has the message by its acknowledgement); 0 for a back end.
    pub origin_session: u64,
    /// When it was sent, milliseconds since the Unix epoch.
    pub sent_at: i64,
    /// The payload of the `message` event, encoded once and shared.
    pub json: Bytes,
}

/// How many members of rooms a node holds, as it has told the store before.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomCounts {
    /// Which node.
    pub node: NodeRef,
    /// Grows with each of these that the node tells: of two, the one with the higher number counts.
    pub number: u64,
    /// The members of each room; 0 where it holds none any more.
    pub rooms: Vec<(Room, u64)>,
}

/// Typing and the like.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalHint {
    /// Whom it is for.
    pub to: Destination,
    /// The session that sent it: that connection does not get it.
    pub origin_session: u64,
    /// The payload of the `signal` event, encoded once and shared.
    pub json: Bytes,
}

/// A message to everybody who is connected. Stored nowhere: this is all there is of it.
#[derive(Debug, Clone, PartialEq)]
pub struct BroadcastHint {
    /// When it was sent, milliseconds since the Unix epoch.
    pub sent_at: i64,
    /// The payload of the `message` event, encoded once and shared.
    pub json: Bytes,
}

/// What an operator asks of a spear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// Chosen at random: the same order is told several times.
    pub id: u64,
    /// What is asked.
    pub order: DrainOrder,
}

/// See [`Drain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainOrder {
    /// No newcomers, and everybody here moves within this time; `None`: the time of the spear's own setting.
    Leave {
        /// In milliseconds.
        within_ms: Option<u64>,
    },
    /// No newcomers; nobody moves.
    Hold,
    /// A part of those who are here moves, newcomers are taken.
    Shed {
        /// In milliseconds; `None`: the time of the spear's own setting.
        within_ms: Option<u64>,
        /// In thousandths of all connections.
        share: u32,
    },
    /// Newcomers are taken, and nobody else is told to move.
    Stay,
}

/// Something has happened to a conversation beside a new message.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeHint {
    /// Where.
    pub conversation: Conversation,
    /// Its place in the conversation's change log; 0 where it is not kept there.
    pub rev: u64,
    /// The log's last place before it: whoever is not there yet has missed something. The same as `rev` where the change is an
    /// older one that is told again.
    pub previous_rev: u64,
    /// The group's members version when it was changed; 0 for two users.
    pub members_version: u64,
    /// The session that has it by its acknowledgement; 0 for none.
    pub origin_session: u64,
    /// Only this user's connections are told, of what is not kept in the log.
    pub audience: Option<User>,
    /// What happened.
    pub change: Change,
}

/// Why bytes from the relay are not a hint.
#[derive(Debug, thiserror::Error)]
pub enum HintError {
    /// Not protobuf, or cut short.
    #[error("the envelope cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A field does not hold what it must.
    #[error("the envelope's {field} is not valid: {reason}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A payload that this build does not know: a newer node sent it.
    #[error("the envelope (version {0}) has no payload that this build knows")]
    Unknown(u32),
}

fn field<T, E: std::fmt::Display>(field: &'static str, parsed: Result<T, E>) -> Result<T, HintError> {
    parsed.map_err(|reason| HintError::Field { field, reason: reason.to_string() })
}

fn destination(to: Option<proto::signal::To>) -> Result<Destination, HintError> {
    Ok(match to {
        Some(proto::signal::To::User(user)) => Destination::User(field("to", user.parse())?),
        Some(proto::signal::To::Group(group)) => Destination::Group(field("to", group.parse())?),
        Some(proto::signal::To::Room(room)) => Destination::Room(field("to", room.parse())?),
        None => return Err(HintError::Field { field: "to", reason: "it is missing".to_owned() }),
    })
}

impl Hint {
    /// The bytes that travel.
    pub fn encode(self) -> Bytes {
        let payload = match self.payload {
            Payload::Message(message) => envelope::Payload::Appended(proto::Appended {
                conversation: message.conversation.to_string(),
                seq: message.seq,
                members_version: message.members_version,
                origin_session: message.origin_session,
                json: message.json,
                sent_at: message.sent_at,
            }),
            Payload::Membership(change) => envelope::Payload::Membership(proto::Membership {
                group: change.group.to_string(),
                members_version: change.members_version,
                users: change.users.iter().map(ToString::to_string).collect(),
            }),
            Payload::Kick(kick) => envelope::Payload::Kick(proto::Kick {
                user: kick.user.to_string(),
                device: kick.device.to_string(),
                below_epoch: kick.below_epoch,
                reason: kick.reason,
                message: kick.message.unwrap_or_default(),
                answer_node: kick.answer_to.as_ref().map(|node| node.id.to_string()).unwrap_or_default(),
                answer_incarnation: kick.answer_to.map_or(0, |node| node.incarnation.0),
            }),
            Payload::Released(released) => envelope::Payload::Released(proto::Released {
                user: released.user.to_string(),
                device: released.device.to_string(),
                epoch: released.epoch,
            }),
            Payload::Probe(number) => envelope::Payload::Probe(proto::Probe { number }),
            Payload::RoomMessage(message) => envelope::Payload::RoomMessage(proto::RoomMessage {
                room: message.room.to_string(),
                origin_session: message.origin_session,
                json: message.json,
                sent_at: message.sent_at,
            }),
            Payload::RoomMembers(counts) => envelope::Payload::RoomMembers(proto::RoomMembers {
                node: counts.node.id.to_string(),
                incarnation: counts.node.incarnation.0,
                number: counts.number,
                rooms: counts
                    .rooms
                    .iter()
                    .map(|(room, members)| proto::RoomCount { room: room.to_string(), members: *members })
                    .collect(),
            }),
            Payload::Signal(signal) => envelope::Payload::Signal(proto::Signal {
                to: Some(match signal.to {
                    Destination::User(user) => proto::signal::To::User(user.to_string()),
                    Destination::Group(group) => proto::signal::To::Group(group.to_string()),
                    Destination::Room(room) => proto::signal::To::Room(room.to_string()),
                }),
                origin_session: signal.origin_session,
                json: signal.json,
            }),
            Payload::Changed(hint) => envelope::Payload::Changed(encode_change(hint)),
            Payload::Presence(users) => {
                let users = users.iter().map(ToString::to_string).collect();
                envelope::Payload::Presence(proto::Presence { users })
            }
            Payload::Broadcast(BroadcastHint { json, sent_at }) => {
                envelope::Payload::Broadcast(proto::Broadcast { json, sent_at })
            }
            Payload::Drain(drain) => envelope::Payload::Drain(encode_drain(&drain)),
        };
        let envelope = proto::Envelope {
            version: ENVELOPE_VERSION,
            publisher: self.publisher.id.to_string(),
            publisher_incarnation: self.publisher.incarnation.0,
            number: self.number,
            target_incarnation: self.target_incarnation.0,
            payload: Some(payload),
        };
        envelope.encode_to_vec().into()
    }

    /// Reads what [`Hint::encode`] wrote; payload bytes are shared with `bytes`, not copied.
    ///
    /// # Errors
    /// [`HintError`] says which field is wrong.
    pub fn decode(bytes: Bytes) -> Result<Self, HintError> {
        let envelope = proto::Envelope::decode(bytes)?;
        let payload = match envelope.payload.ok_or(HintError::Unknown(envelope.version))? {
            envelope::Payload::Appended(appended) => Payload::Message(MessageHint {
                conversation: field("conversation", appended.conversation.parse())?,
                seq: appended.seq,
                members_version: appended.members_version,
                origin_session: appended.origin_session,
                json: appended.json,
                sent_at: appended.sent_at,
            }),
            envelope::Payload::Membership(membership) => Payload::Membership(MembershipChange {
                group: field("group", membership.group.parse())?,
                members_version: membership.members_version,
                users: membership
                    .users
                    .iter()
                    .map(|user| field("users", user.parse()))
                    .collect::<Result<_, _>>()?,
            }),
            envelope::Payload::Kick(kick) => Payload::Kick(Kick {
                user: field("user", kick.user.parse())?,
                device: field("device", kick.device.parse())?,
                below_epoch: kick.below_epoch,
                reason: kick.reason,
                message: Some(kick.message).filter(|message| !message.is_empty()),
                answer_to: (!kick.answer_node.is_empty()).then(|| NodeRef {
                    id: kick.answer_node.into(),
                    incarnation: Incarnation(kick.answer_incarnation),
                }),
            }),
            envelope::Payload::Released(released) => Payload::Released(Released {
                user: field("user", released.user.parse())?,
                device: field("device", released.device.parse())?,
                epoch: released.epoch,
            }),
            envelope::Payload::Probe(probe) => Payload::Probe(probe.number),
            envelope::Payload::RoomMessage(message) => Payload::RoomMessage(RoomMessageHint {
                room: field("room", message.room.parse())?,
                origin_session: message.origin_session,
                sent_at: message.sent_at,
                json: message.json,
            }),
            envelope::Payload::RoomMembers(counts) => Payload::RoomMembers(RoomCounts {
                node: NodeRef { id: counts.node.into(), incarnation: Incarnation(counts.incarnation) },
                number: counts.number,
                rooms: counts
                    .rooms
                    .iter()
                    .map(|count| Ok((field("room", count.room.parse())?, count.members)))
                    .collect::<Result<_, HintError>>()?,
            }),
            envelope::Payload::Signal(signal) => Payload::Signal(SignalHint {
                to: destination(signal.to)?,
                origin_session: signal.origin_session,
                json: signal.json,
            }),
            envelope::Payload::Broadcast(proto::Broadcast { json, sent_at }) => {
                Payload::Broadcast(BroadcastHint { sent_at, json })
            }
            envelope::Payload::Drain(drain) => Payload::Drain(decode_drain(&drain, envelope.version)?),
            envelope::Payload::Changed(changed) => {
                Payload::Changed(decode_change(changed, envelope.version)?)
            }
            envelope::Payload::Presence(presence) => {
                let users = presence.users.iter().map(|user| field("users", user.parse()));
                Payload::Presence(users.collect::<Result<_, _>>()?)
            }
        };
        Ok(Self {
            publisher: NodeRef {
                id: envelope.publisher.into(),
                incarnation: Incarnation(envelope.publisher_incarnation),
            },
            number: envelope.number,
            target_incarnation: Incarnation(envelope.target_incarnation),
            payload,
        })
    }
}

fn encode_drain(drain: &Drain) -> proto::Drain {
    let order = match drain.order {
        DrainOrder::Leave { within_ms } => {
            drain::Order::Leave(drain::Leave { within_ms: within_ms.unwrap_or(0) })
        }
        DrainOrder::Hold => drain::Order::Hold(drain::Hold {}),
        DrainOrder::Shed { within_ms, share } => {
            drain::Order::Shed(drain::Shed { within_ms: within_ms.unwrap_or(0), share })
        }
        DrainOrder::Stay => drain::Order::Stay(drain::Stay {}),
    };
    proto::Drain { id: drain.id, order: Some(order) }
}

fn decode_drain(drain: &proto::Drain, version: u32) -> Result<Drain, HintError> {
    let within = |within_ms: u64| Some(within_ms).filter(|within_ms| *within_ms > 0);
    let order = match drain.order.as_ref().ok_or(HintError::Unknown(version))? {
        drain::Order::Leave(leave) => DrainOrder::Leave { within_ms: within(leave.within_ms) },
        drain::Order::Hold(_) => DrainOrder::Hold,
        drain::Order::Shed(shed) => DrainOrder::Shed { within_ms: within(shed.within_ms), share: shed.share },
        drain::Order::Stay(_) => DrainOrder::Stay,
    };
    Ok(Drain { id: drain.id, order })
}

fn encode_change(hint: ChangeHint) -> proto::Changed {
    proto::Changed {
        conversation: hint.conversation.to_string(),
        rev: hint.rev,
        previous_rev: hint.previous_rev,
        members_version: hint.members_version,
        origin_session: hint.origin_session,
        audience: hint.audience.map(|user| user.to_string()).unwrap_or_default(),
        change: Some(match hint.change {
            Change::Recalled { seq, id } => changed::Change::Recalled(proto::Recalled { seq, id: id.0 }),
            Change::Read { user, read_seq } => {
                changed::Change::Read(proto::Read { user: user.to_string(), read_seq })
            }
        }),
    }
}

fn decode_change(changed: proto::Changed, version: u32) -> Result<ChangeHint, HintError> {
    let change = match changed.change.ok_or(HintError::Unknown(version))? {
        changed::Change::Recalled(recalled) => {
            Change::Recalled { seq: recalled.seq, id: MessageId(recalled.id) }
        }
        changed::Change::Read(read) => {
            Change::Read { user: field("user", read.user.parse())?, read_seq: read.read_seq }
        }
    };
    let audience = Some(changed.audience).filter(|audience| !audience.is_empty());
    Ok(ChangeHint {
        conversation: field("conversation", changed.conversation.parse())?,
        rev: changed.rev,
        previous_rev: changed.previous_rev,
        members_version: changed.members_version,
        origin_session: changed.origin_session,
        audience: audience.map(|user| field("audience", user.parse())).transpose()?,
        change,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(payload: Payload) -> Hint {
        let publisher = NodeRef { id: "spear-1".into(), incarnation: Incarnation(7) };
        Hint { publisher, number: 3, target_incarnation: Incarnation(9), payload }
    }

    fn signal(to: Destination) -> Payload {
        Payload::Signal(SignalHint { to, origin_session: 11, json: Bytes::from_static(b"{}") })
    }

    #[test]
    fn every_payload_survives_its_bytes() {
        let name = |text: &str| User::new(text).expect("a name");
        let payloads = [
            Payload::Message(MessageHint {
                conversation: Conversation::direct(name("b"), name("a:1")),
                seq: 4,
                members_version: 0,
                origin_session: 11,
                sent_at: 12,
                json: Bytes::from_static(b"{}"),
            }),
            Payload::Membership(MembershipChange {
                group: "team".parse().expect("a name"),
                members_version: 5,
                users: vec![name("a")],
            }),
            Payload::Kick(Kick {
                user: name("a"),
                device: Device::default(),
                below_epoch: 2,
                reason: "replaced".into(),
                message: None,
                answer_to: Some(NodeRef { id: "spear-2".into(), incarnation: Incarnation(3) }),
            }),
            Payload::Kick(Kick {
                user: name("a"),
                device: Device::default(),
                below_epoch: u64::MAX,
                reason: "admin".into(),
                message: Some("come back later".into()),
                answer_to: None,
            }),
            Payload::Released(Released { user: name("a"), device: Device::default(), epoch: 2 }),
            Payload::Probe(1),
            Payload::RoomMessage(RoomMessageHint {
                room: "lobby".parse().expect("a name"),
                origin_session: 11,
                sent_at: 12,
                json: Bytes::from_static(b"{}"),
            }),
            Payload::RoomMembers(RoomCounts {
                node: NodeRef { id: "spear-2".into(), incarnation: Incarnation(3) },
                number: 4,
                rooms: vec![("lobby".parse().expect("a name"), 5), ("hall".parse().expect("a name"), 0)],
            }),
            signal(Destination::User(name("b"))),
            signal(Destination::Group("team".parse().expect("a name"))),
            signal(Destination::Room("lobby".parse().expect("a name"))),
            Payload::Changed(ChangeHint {
                conversation: Conversation::direct(name("b"), name("a")),
                rev: 9,
                previous_rev: 8,
                members_version: 0,
                origin_session: 0,
                audience: None,
                change: Change::Recalled { seq: 3, id: MessageId(7) },
            }),
            Payload::Changed(ChangeHint {
                conversation: Conversation::Group("team".parse().expect("a name")),
                rev: 0,
                previous_rev: 0,
                members_version: 5,
                origin_session: 11,
                audience: Some(name("a")),
                change: Change::Read { user: name("a"), read_seq: 4 },
            }),
            Payload::Broadcast(BroadcastHint { sent_at: 12, json: Bytes::from_static(b"{}") }),
            Payload::Drain(Drain { id: 1, order: DrainOrder::Leave { within_ms: None } }),
            Payload::Drain(Drain { id: u64::MAX, order: DrainOrder::Leave { within_ms: Some(5) } }),
            Payload::Drain(Drain { id: 2, order: DrainOrder::Hold }),
            Payload::Drain(Drain { id: 3, order: DrainOrder::Shed { within_ms: Some(5), share: 250 } }),
            Payload::Drain(Drain { id: 4, order: DrainOrder::Stay }),
        ];
        for payload in payloads.into_iter().chain([Payload::Presence(vec![name("a"), name("b:1")])]) {
            let sent = hint(payload);
            assert_eq!(Hint::decode(sent.clone().encode()).expect("our own bytes"), sent);
        }
    }

    #[test]
    fn broken_bytes_are_refused_not_guessed() {
        let whole = hint(Payload::Probe(1)).encode();
        assert!(Hint::decode(whole.slice(..whole.len() - 1)).is_err());
        assert!(matches!(Hint::decode(Bytes::new()), Err(HintError::Unknown(0))));
    }
}
