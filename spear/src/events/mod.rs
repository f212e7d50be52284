//! What clients may ask for: one event a file, one table that lists them.
//!
//! | file | event |
//! |---|---|
//! | `send.rs` | `send` |
//! | `ack.rs` | `ack` |
//! | `read.rs` | `read` |
//! | `recall.rs` | `recall` |
//! | `sync.rs` | `sync` |
//! | `conversations.rs` | `conversations` |
//! | `signal.rs` | `signal` |
//! | `presence.rs` | `presence` |
//! | `watch.rs`, `unwatch.rs` | `watch`, `unwatch` |
//! | `join.rs`, `leave.rs` | `join`, `leave` |
//! | `members.rs` | `members` |
//! | `refresh.rs` | `refresh` |
//! | `answer.rs` | the acknowledgement: `{ok: true, …}` or `{ok: false, error}` |

mod ack;
mod answer;
mod conversations;
mod join;
mod leave;
mod members;
mod presence;
mod read;
mod recall;
mod refresh;
mod send;
mod signal;
mod sync;
mod unwatch;
mod watch;

use std::{future::Future, pin::Pin, sync::Arc};

use conversation::Refusal;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

pub(crate) use answer::{Answered, refused};

use crate::{connection::Connection, context::Context};

/// The acknowledgement of an event.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// Who asks, and what it needs.
pub(crate) struct Asking<'a> {
    pub(crate) context: &'a Arc<Context>,
    pub(crate) connection: &'a Arc<Connection>,
    pub(crate) payload: Option<&'a RawValue>,
}

/// Begins what an event asks for. What has an order (a send) has taken its place when this returns.
type Handler = fn(Asking<'_>) -> Result<Answer, Refusal>;

/// All events.
const EVENTS: &[(&str, Handler)] = &[
    ("send", send::begin),
    ("ack", ack::begin),
    ("read", read::begin),
    ("recall", recall::begin),
    ("sync", sync::begin),
    ("conversations", conversations::begin),
    ("signal", signal::begin),
    ("presence", presence::begin),
    ("watch", watch::begin),
    ("unwatch", unwatch::begin),
    ("join", join::begin),
    ("leave", leave::begin),
    ("members", members::begin),
    ("refresh", refresh::begin),
];

/// Begins an event; one that is not in the table is refused.
pub(crate) fn begin(name: &str, asking: Asking<'_>) -> Result<Answer, Refusal> {
    let Some((_, handler)) = EVENTS.iter().find(|(known, _)| *known == name) else {
        let known: Vec<_> = EVENTS.iter().map(|(known, _)| *known).collect();
        return Err(Refusal::bad_request(format!(
            "there is no event {name:?}: expected {}",
            known.join(", ")
        )));
    };
    handler(asking)
}

impl Asking<'_> {
    /// The payload as the event expects it.
    fn payload<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        object(self.payload.map_or("null", RawValue::get))
    }
}

/// Reads an object. A list is refused: its entries would be taken for the fields, in the order in which our code names them.
fn object<T: DeserializeOwned>(json: &str) -> Result<T, Refusal> {
    if json.starts_with('[') {
        return Err(Refusal::bad_request("expected an object, not a list"));
    }
    serde_json::from_str(json).map_err(|error| Refusal::bad_request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_by_their_names_only() {
        #[derive(Debug, serde::Deserialize)]
        struct Named {
            #[allow(dead_code)]
            seq: u64,
        }
        assert!(object::<Named>("{\"seq\":1}").is_ok());
        assert!(object::<Named>("[1]").is_err());
    }
}
