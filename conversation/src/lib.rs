//! What may be done to a conversation: send, mark as read, recall, page through it, list it, change its members.
//!
//! Spears call it for their clients and stat for back ends, so both take the same road:
//! check → id → append → wait until durable → answer and tell the nodes that hold recipients.
//!
//! | file | what |
//! |---|---|
//! | `conversations.rs` | [`Conversations`], the handle that callers keep |
//! | `send.rs` | [`SendRequest`], [`Sent`] and the checks before anything is stored |
//! | `lanes.rs` | batches of sends: ids, append, answers, in the order of the calls |
//! | `gate.rs` | [`Judge`]: who may refuse a message before it is stored |
//! | `rooms.rs` | messages to rooms: batches of ids, nothing stored |
//! | `broadcast.rs` | messages to everybody who is connected: an id, nothing stored |
//! | `signals.rs` | [`SignalRequest`]: typing and the like, nothing stored and nothing waited for |
//! | `presence.rs` | [`Presence`]: who is online, by the starts of nodes that are in the roster |
//! | `announce.rs` | [`Announcer`]: tells the nodes, this one without a detour |
//! | `routes.rs` | which nodes hold members of a group, cached by version |
//! | `membership.rs` | groups and their members, and who is told of a change |
//! | `marks.rs` | read marks and recalled messages, and who is told |
//! | `erasure.rs` | erasing what a user has said and where they were, and telling them all of it |
//! | `history.rs` | pages of a conversation, within what the reader may see |
//! | `overview.rs` | a user's conversations, most recent first, with unread counts |
//! | `limits.rs` | [`Limits`]: sizes that are checked |
//! | `refusal.rs` | [`Refusal`]: a code, a sentence, and when to try again |

mod announce;
mod broadcast;
mod conversations;
mod erasure;
mod gate;
mod history;
mod lanes;
mod limits;
mod marks;
mod membership;
mod overview;
mod presence;
mod refusal;
mod rooms;
mod routes;
mod send;
mod signals;

pub use announce::{Announcer, LocalDelivery};
pub use conversations::Conversations;
pub use erasure::{Belonging, Erased, MemberSpan};
pub use gate::Judge;
pub use history::{HistoryPage, HistoryRequest, Reader};
pub use limits::{JoinHistory, LimitError, Limits};
pub use marks::{ReadRequest, RecallRequest};
pub use overview::{ConversationList, ConversationSummary, OverviewRequest};
pub use presence::{Presence, PresentDevice};
pub use refusal::Refusal;
pub use rooms::RoomSent;
pub use send::{BroadcastRequest, Pending, SendRequest, Sent};
pub use signals::SignalRequest;
