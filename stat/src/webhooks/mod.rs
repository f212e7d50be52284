//! Tells a back end what happens, by HTTP: messages after they were stored, users who come and go.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Webhooks`]: the work of a share: read, post, confirm |
//! | `settings.rs` | [`WebhookSettings`]: the table `[stat.webhooks]` |
//! | `event.rs` | what is told, as JSON |
//! | `endpoint.rs` | the back end: posting again and again; `webhook/` makes the requests |
//! | `counters.rs` | metrics |
//!
//! Each share posts one request at a time, and confirms in the store what the back end has taken before it reads on. So events of a
//! conversation come in the order of `seq`, and at least once: who dies in between leaves the successor to post it again.

mod counters;
mod endpoint;
mod event;
mod settings;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use boot::NodeContext;
use roster::{Roster, Snapshot};
use store::{Confirm, Consumer, OutboxEntry, OutboxPage, Store, StoreError, Told};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;
use wire::{NodeRef, Role, User, time::now_ms};

pub use self::settings::{WebhookEvent, WebhookSettings, WebhookSettingsError};
use self::{
    counters::Counters,
    endpoint::{Endpoint, Posted},
    event::Event,
};
use crate::outbox::{Held, Item, Leases, Reader, What, Work};

/// The consumer's name in the store. Never to be changed: what waits would be left behind.
const NAME: &str = "webhooks";

/// Entries of a partition that are read at once, in batches.
const READ_BATCHES: usize = 4;

/// An idle share looks less and less often, up to so many times the linger.
const IDLE_MOST: u32 = 4;

/// After a store that did not answer.
const RETRY: Duration = Duration::from_secs(1);

/// How often it is looked how much waits.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often what waits is forgotten, where it is to be.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Between two pages of a sweep: the store has messages to take.
const SWEEP_PAUSE: Duration = Duration::from_millis(10);

/// Who tells the back end.
pub(crate) struct Webhooks {
    settings: WebhookSettings,
    store: Arc<dyn Store>,
    reader: Reader,
    endpoint: Endpoint,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    counters: Counters,
    /// Requests so far: part of their ids.
    posted: AtomicU64,
}

/// Why the work in a share ends.
enum End {
    /// Another node goes on.
    Yielded,
    /// Another one has claimed the share.
    Refused,
    /// The store does not answer.
    Store(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Takes part in telling the back end until `stop`; where none is set, says so if the store still waits for one.
pub(crate) fn start(
    settings: &WebhookSettings,
    node: &NodeContext,
    roster: Arc<dyn Roster>,
    store: Arc<dyn Store>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    if settings.url.is_empty() {
        if settings.forget {
            boot::spawn(forget(store, stop));
        }
        return Ok(());
    }
    let consumer = Consumer {
        name: NAME.into(),
        messages: settings.wants(WebhookEvent::Message),
        presence: settings.wants(WebhookEvent::Online) || settings.wants(WebhookEvent::Offline),
        most: settings.queue_entries,
    };
    let counters = Counters::new(node.labels());
    let webhooks = Webhooks {
        reader: Reader::new(consumer.clone(), store.clone(), roster.watch()),
        endpoint: Endpoint::new(settings, counters.clone())?,
        snapshot: roster.watch(),
        posted: AtomicU64::new(0),
        settings: settings.clone(),
        store: store.clone(),
        counters,
    };
    tracing::info!(url = webhooks.endpoint.name(), events = ?settings.events, "webhooks are on");
    let leases = Leases::new(node.id.clone(), consumer, roster, store);
    boot::spawn(leases.run(Arc::new(webhooks), stop));
    Ok(())
}

/// Nobody is to be told any more. Again and again, because a stat node with older settings may still say otherwise.
async fn forget(store: Arc<dyn Store>, stop: CancellationToken) {
    let forgetting = async {
        loop {
            let pause = match store.unregister(NAME).await {
                Ok(()) => FORGET_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "what waits for webhooks cannot be forgotten yet");
                    RETRY
                }
            };
            time::sleep(pause).await;
        }
    };
    stop.run_until_cancelled(forgetting).await;
}

#[async_trait]
impl Work for Webhooks {
    async fn work(&self, held: Held) {
        let share = held.share.number;
        tracing::info!(share, "this node tells the back end what happens in this share");
        let _gone = self.counters.of_share(share);
        tokio::select! {
            () = self.persist(&held) => {}
            () = self.look(&held) => {}
        }
    }
}

impl Webhooks {
    /// Goes on after a store that did not answer.
    async fn persist(&self, held: &Held) {
        let share = held.share.number;
        loop {
            match self.go_on(held).await {
                End::Yielded => return,
                End::Refused => {
                    tracing::warn!(share, "another node tells the back end what happens in this share");
                    return;
                }
                End::Store(error) => {
                    tracing::warn!(%error, share, "webhooks wait for the store");
                    if held.yields.run_until_cancelled(time::sleep(RETRY)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Shows how much waits, also while the back end takes nothing.
    async fn look(&self, held: &Held) {
        loop {
            time::sleep(LOOK_EVERY).await;
            // Who works here logs what is wrong with the store.
            if let Ok(pages) = self.store.waiting(NAME, &held.share.partitions, 1).await {
                self.note(held, &pages);
            }
        }
    }

    /// Batch after batch, until the work cannot go on.
    async fn go_on(&self, held: &Held) -> End {
        match self.go_on_until(held).await {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    async fn go_on_until(&self, held: &Held) -> Result<std::convert::Infallible, End> {
        let linger = Duration::from_millis(self.settings.linger_ms);
        let mut idle = 0;
        // Whatever came or went while nobody looked.
        let mut spears = None;
        let mut busy = held.share.partitions.len().max(1);
        loop {
            if held.yields.is_cancelled() {
                return Err(End::Yielded);
            }
            let now = self.spears();
            if spears.as_ref() != Some(&now) {
                self.sweep(held).await?;
                spears = Some(now);
            }
            // In all partitions together about as many as this, so that the store is not held up for long.
            let limit = (self.settings.batch_events * READ_BATCHES).div_ceil(busy);
            let pages = self.store.waiting(NAME, &held.share.partitions, limit).await?;
            self.note(held, &pages);
            busy = pages.len().max(1);
            idle = if pages.is_empty() { (idle + 1).min(IDLE_MOST) } else { 0 };
            let entries: Vec<(u16, OutboxEntry)> = pages
                .into_iter()
                .flat_map(|page| page.entries.into_iter().map(move |entry| (page.partition, entry)))
                .collect();
            for entries in entries.chunks(self.settings.batch_events) {
                let items = self.reader.read(entries).await?;
                self.tell(held, items).await?;
            }
            // While much waits there is no pause.
            if idle > 0 || entries.len() < self.settings.batch_events {
                held.yields.run_until_cancelled(time::sleep(linger * idle.max(1))).await;
            }
        }
    }

    fn note(&self, held: &Held, pages: &[OutboxPage]) {
        let share = held.share.number;
        let waiting = pages.iter().map(|page| page.waiting).sum();
        let dropped = pages.iter().map(|page| page.dropped).sum();
        let dropped = self.counters.waiting(share, waiting, dropped);
        if dropped > 0 {
            let url = self.endpoint.name();
            tracing::error!(
                dropped,
                share,
                url,
                "the queue of webhooks is full: the oldest events are lost to the back end"
            );
        }
    }

    /// The starts of spears that are in the roster.
    fn spears(&self) -> Vec<NodeRef> {
        let snapshot = self.snapshot.borrow();
        let spears = snapshot.of_role(Role::Spear);
        spears.map(|node| NodeRef { id: node.id.clone(), incarnation: node.incarnation }).collect()
    }

    /// Nodes have come or gone: their users have, too, and no entry says so.
    async fn sweep(&self, held: &Held) -> Result<(), End> {
        if !self.settings.wants(WebhookEvent::Online) && !self.settings.wants(WebhookEvent::Offline) {
            return Ok(());
        }
        for partition in &held.share.partitions {
            let mut from = String::new();
            loop {
                let found = self.reader.sweep(*partition, &from).await?;
                let mut items = found.items.into_iter().peekable();
                while items.peek().is_some() {
                    let batch = items.by_ref().take(self.settings.batch_events).collect();
                    self.tell(held, batch).await?;
                }
                let Some(next) = found.next else { break };
                from = next;
                time::sleep(SWEEP_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Posts what is to be told, in one request or, where it is too large, in several; confirms each.
    async fn tell(&self, held: &Held, items: Vec<Item>) -> Result<(), End> {
        let mut batch = Batch::default();
        for item in items {
            let event = self.event(&item)?;
            let size = event.as_ref().map_or(0, |event| event.json.len());
            if !batch.events.is_empty() && batch.bytes + size > self.settings.batch_bytes {
                self.post(held, std::mem::take(&mut batch)).await?;
            }
            batch.add(item, event);
        }
        self.post(held, batch).await
    }

    fn event(&self, item: &Item) -> Result<Option<Event>, StoreError> {
        let event = match &item.what {
            What::Message(message) => Event::message(message),
            What::Presence(user, _, presence) => {
                let kind = if presence.online { WebhookEvent::Online } else { WebhookEvent::Offline };
                if !self.settings.wants(kind) {
                    return Ok(None);
                }
                Event::presence(kind, user, presence, now_ms())
            }
            What::Gone => {
                self.counters.skipped.increment(1);
                return Ok(None);
            }
            What::Remember(..) | What::Nothing => return Ok(None),
        };
        event.map(Some).map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    async fn post(&self, held: &Held, batch: Batch) -> Result<(), End> {
        if batch.confirms.is_empty() {
            return Ok(());
        }
        if held.yields.is_cancelled() {
            return Err(End::Yielded);
        }
        if !batch.events.is_empty() {
            self.counters.oldest(held.share.number, batch.oldest);
            // Another holder has other terms, so its ids differ from ours.
            let term = held.terms.values().next().copied().unwrap_or_default();
            let number = self.posted.fetch_add(1, Ordering::Relaxed);
            let id = format!("evt_{}_{term}_{number}", held.share.number);
            match self.endpoint.post(&id, event::body(&batch.events), &held.yields).await {
                Posted::Taken => self.counters.taken(batch.events.len()),
                Posted::GivenUp => self.counters.given_up(batch.events.len()),
                Posted::Yielded => return Err(End::Yielded),
            }
        }
        let confirms = batch.confirms.into_iter().map(|(partition, Reached { place, told })| Confirm {
            partition,
            term: held.terms.get(&partition).copied().unwrap_or_default(),
            place,
            told,
        });
        let answers = self.store.confirm(NAME, confirms.collect()).await?;
        self.counters.confirmed(held.share.number);
        if answers.iter().all(|counts| *counts) { Ok(()) } else { Err(End::Refused) }
    }
}

/// What goes into one request, and what is confirmed once the back end has it.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    bytes: usize,
    /// When the oldest of its messages was sent.
    oldest: Option<i64>,
    /// By partition.
    confirms: BTreeMap<u16, Reached>,
}

/// What is confirmed of a partition.
#[derive(Default)]
struct Reached {
    place: u64,
    told: Vec<(User, Option<Told>)>,
}

impl Batch {
    fn add(&mut self, item: Item, event: Option<Event>) {
        let reached = self.confirms.entry(item.partition).or_default();
        reached.place = item.place.max(reached.place);
        match item.what {
            What::Presence(user, state, _) | What::Remember(user, state) => reached.told.push((user, state)),
            What::Message(message) => self.oldest = self.oldest.or(Some(message.sent_at)),
            What::Gone | What::Nothing => {}
        }
        if let Some(event) = event {
            self.bytes += event.json.len();
            self.events.push(event);
        }
    }
}
