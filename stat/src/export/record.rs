//! A message as it stands in the topic; docs/export.md has the schema.

use serde::Serialize;
use wire::Message;

use crate::outbox::Event;

/// The schema of what is written. A field may be added under the same number; one that changes its meaning takes a new one.
const VERSION: u32 = 1;

/// One message, written.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Its conversation: records with the same key stay in order.
    pub(super) key: String,
    /// JSON.
    pub(super) value: String,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    #[serde(flatten)]
    message: &'a Message,
}

impl Record {
    /// What clients get as `message`, with the schema's version before it.
    pub(super) fn of(message: &Message) -> serde_json::Result<Self> {
        let value = serde_json::to_string(&Written { version: VERSION, message })?;
        Ok(Self { key: message.conversation.to_string(), value })
    }
}

impl Event for Record {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}
