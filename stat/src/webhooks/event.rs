//! What is told, as JSON.

use conversation::Presence;
use serde::Serialize;
use wire::{Message, User};

use super::WebhookEvent;
use crate::outbox::Event;

/// One event, written.
#[derive(Debug)]
pub(crate) struct WrittenEvent {
    pub(super) json: String,
}

#[derive(Serialize)]
struct MessageEvent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    message: &'a Message,
}

#[derive(Serialize)]
struct PresenceEvent<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    user: &'a User,
    at: i64,
    last_seen_at: Option<i64>,
}

impl WrittenEvent {
    /// A message that was stored. Whoever is told twice knows it by the id.
    pub(super) fn message(message: &Message) -> serde_json::Result<Self> {
        let id = format!("message:{}:{}", message.conversation, message.seq);
        Self::of(&MessageEvent { kind: "message", id, message })
    }

    /// A user is online or offline from `at` on, milliseconds since the Unix epoch, by this node's clock.
    pub(super) fn presence(
        kind: WebhookEvent,
        user: &User,
        presence: &Presence,
        at: i64,
    ) -> serde_json::Result<Self> {
        let kind = kind.name();
        let id = format!("{kind}:{user}:{at}");
        Self::of(&PresenceEvent { kind, id, user, at, last_seen_at: presence.last_seen_at })
    }

    fn of(event: &impl Serialize) -> serde_json::Result<Self> {
        Ok(Self { json: serde_json::to_string(event)? })
    }
}

impl Event for WrittenEvent {
    fn bytes(&self) -> usize {
        self.json.len()
    }
}

/// The body of a request.
pub(super) fn body(events: &[WrittenEvent]) -> String {
    let events: Vec<&str> = events.iter().map(|event| &*event.json).collect();
    format!("{{\"events\":[{}]}}", events.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_is_told_in_one_way() {
        let presence = Presence { online: true, devices: Vec::new(), last_seen_at: Some(5) };
        let user = User::new("al:ice").expect("a name");
        let event =
            WrittenEvent::presence(WebhookEvent::Online, &user, &presence, 7).expect("it can be written");
        assert_eq!(
            body(&[event]),
            r#"{"events":[{"type":"online","id":"online:al:ice:7","user":"al:ice","at":7,"last_seen_at":5}]}"#
        );
        assert_eq!(body(&[]), r#"{"events":[]}"#);
    }
}
