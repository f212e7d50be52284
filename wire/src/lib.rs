//! Identifiers, envelopes, error codes and protobuf: the only place that knows bytes.
//!
//! | file | what |
//! |---|---|
//! | `name.rs` | `User`, `Group`, `Room`, `Device`: checked names |
//! | `conversation.rs` | `Conversation`: `u:<a>:<b>` and `g:<group>` |
//! | `message_id.rs` | `MessageId`: a 64-bit snowflake, a decimal string in JSON |
//! | `message.rs` | `Message`, `RoomMessage`, `Broadcast`: what is stored and what a client is given |
//! | `node.rs` | `Role`, `NodeRef`, `NodeRecord`: who takes part in the cluster |
//! | `change.rs` | `Change`: what happened to a conversation beside new messages |
//! | `code.rs` | `Code`: why something was refused, for clients and back ends |
//! | `hint.rs` | `Hint`: what travels over the relay |
//! | `ticket.rs` | `TicketClaims`, `TicketKey`, `TicketKeys`: what lets one connection onto one spear |
//! | `time.rs` | milliseconds since the Unix epoch |
//! | `proto/` (beside `src/`) | the protobuf files: `proto::idgen`, `proto::stat`, `proto::relay` |

mod change;
mod code;
mod conversation;
mod hint;
mod message;
mod message_id;
mod name;
mod node;
mod ticket;
pub mod time;

pub use change::Change;
pub use code::Code;
pub use conversation::{Conversation, ConversationError};
pub use hint::{
    BroadcastHint, ChangeHint, Drain, DrainOrder, Hint, HintError, Kick, MembershipChange, MessageHint,
    Payload, Released, RoomCounts, RoomMessageHint, SignalHint,
};
pub use message::{Broadcast, Destination, Message, RoomMessage};
pub use message_id::MessageId;
pub use name::{Device, Group, NameError, Room, User};
pub use node::{Incarnation, NodeRecord, NodeRef, NodeState, Role, UnknownRole};
pub use ticket::{TicketClaims, TicketError, TicketKey, TicketKeys};

/// Protobuf messages and gRPC services, generated from `wire/proto`.
#[allow(missing_docs, clippy::unwrap_used, unreachable_pub)]
pub mod proto {
    /// Ids from idgen.
    pub mod idgen {
        tonic::include_proto!("phalanx.idgen");
    }
    /// Reports to stat.
    pub mod stat {
        tonic::include_proto!("phalanx.stat");
    }
    /// The envelope on the relay.
    pub mod relay {
        tonic::include_proto!("phalanx.relay");
    }
}
