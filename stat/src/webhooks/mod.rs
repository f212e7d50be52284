//! Tells a back end what happens, by HTTP: messages after they were stored, users who come and go.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | what is told to whom: a consumer of the outboxes |
//! | `settings.rs` | [`WebhookSettings`]: the table `[stat.webhooks]` |
//! | `event.rs` | what is told, as JSON |
//! | `endpoint.rs` | the back end: posting again and again; `webhook/` makes the requests |
//!
//! Each share posts one request at a time (`outbox/delivery.rs`).

mod endpoint;
mod event;
mod settings;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use boot::NodeContext;
use roster::Roster;
use store::{Consumer, Store, StoreError};
use tokio_util::sync::CancellationToken;
use wire::time::now_ms;

pub use self::settings::{WebhookEvent, WebhookSettings, WebhookSettingsError};
use self::{endpoint::Endpoint, event::WrittenEvent};
use crate::outbox::{self, Counters, Delivered, Delivery, Lag, Pace, Sink, What};

/// The consumer's name in the store. Never to be changed: what waits would be left behind.
const NAME: &str = "webhooks";

/// The back end, and what it wants to hear.
struct Webhooks {
    settings: WebhookSettings,
    endpoint: Endpoint,
}

/// Takes part in telling the back end until `stop`, and answers how much waits. Where none is set, does nothing, or lets what waits be forgotten.
///
/// # Errors
/// Settings that cannot be used.
pub(crate) fn start(
    settings: &WebhookSettings,
    node: &NodeContext,
    roster: Arc<dyn Roster>,
    store: Arc<dyn Store>,
    stop: CancellationToken,
) -> anyhow::Result<Option<Lag>> {
    if settings.url.is_empty() {
        if settings.forget {
            boot::spawn(outbox::forget(NAME, store, stop));
        }
        return Ok(None);
    }
    let consumer = Consumer {
        name: NAME.into(),
        messages: settings.wants(WebhookEvent::Message),
        presence: settings.wants(WebhookEvent::Online) || settings.wants(WebhookEvent::Offline),
        most: settings.queue_entries,
    };
    let pace = Pace {
        batch_events: settings.batch_events,
        batch_bytes: settings.batch_bytes,
        linger: Duration::from_millis(settings.linger_ms),
    };
    let counters = Counters::new(NAME, node.labels());
    let endpoint = Endpoint::new(settings, counters.clone())?;
    tracing::info!(url = endpoint.name(), events = ?settings.events, "webhooks are on");
    let webhooks = Webhooks { settings: settings.clone(), endpoint };
    let lag = counters.lag();
    let delivery = Delivery::new(consumer, pace, webhooks, counters, &*roster, store);
    delivery.start(node.id.clone(), roster, stop);
    Ok(Some(lag))
}

#[async_trait]
impl Sink for Webhooks {
    type Event = WrittenEvent;

    fn target(&self) -> &str {
        self.endpoint.name()
    }

    fn event(&self, what: &What) -> Result<Option<WrittenEvent>, StoreError> {
        let event = match what {
            What::Message(message) => WrittenEvent::message(message),
            What::Presence(user, _, presence) => {
                let kind = if presence.online { WebhookEvent::Online } else { WebhookEvent::Offline };
                if !self.settings.wants(kind) {
                    return Ok(None);
                }
                WrittenEvent::presence(kind, user, presence, now_ms())
            }
            What::Recalled(_) | What::Gone | What::Remember(..) | What::Nothing => return Ok(None),
        };
        event.map(Some).map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    async fn deliver(&self, id: &str, events: &[WrittenEvent], yields: &CancellationToken) -> Delivered {
        self.endpoint.post(id, event::body(events), yields).await
    }
}
