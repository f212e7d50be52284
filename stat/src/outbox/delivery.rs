//! The work of a share: read what waits, hand it over, confirm.
//!
//! Each share hands over one batch at a time, and confirms in the store what was taken before it reads on. So events of a
//! conversation come in the order of `seq`, and at least once: who dies in between leaves the successor to do it again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use roster::{Roster, Snapshot};
use store::{Confirm, Consumer, OutboxEntry, OutboxPage, Store, StoreError, Told};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;
use wire::{NodeRef, Role, User};

use super::{Counters, Delivered, Event, Held, Item, Leases, Reader, Sink, What, Work};

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

/// How much is handed over at once, and how soon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The most events of a batch.
    pub(crate) batch_events: usize,
    /// The most bytes of one, save where one event has more.
    pub(crate) batch_bytes: usize,
    /// For how long events gather, and how often an idle share looks.
    pub(crate) linger: Duration,
}

/// Gives a sink what waits for a consumer.
pub(crate) struct Delivery<S> {
    consumer: Consumer,
    pace: Pace,
    store: Arc<dyn Store>,
    reader: Reader,
    sink: S,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    counters: Counters,
    /// Batches so far: part of their ids.
    delivered: AtomicU64,
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

/// What waits for a consumer is forgotten, and nothing is written down for it. Again and again until `stop`, because a stat node with
/// older settings may still say otherwise.
pub(crate) async fn forget(name: &'static str, store: Arc<dyn Store>, stop: CancellationToken) {
    let forgetting = async {
        loop {
            let pause = match store.unregister(name).await {
                Ok(()) => FORGET_EVERY,
                Err(error) => {
                    tracing::warn!(%error, consumer = name, "what waits in the outboxes cannot be forgotten yet");
                    RETRY
                }
            };
            time::sleep(pause).await;
        }
    };
    stop.run_until_cancelled(forgetting).await;
}

#[async_trait]
impl<S: Sink> Work for Delivery<S> {
    async fn work(&self, held: Held) {
        let share = held.share.number;
        tracing::info!(consumer = self.name(), share, "this node hands over what waits in this share");
        let _gone = self.counters.of_share(share);
        tokio::select! {
            () = self.persist(&held) => {}
            () = self.look(&held) => {}
        }
    }
}

impl<S: Sink> Delivery<S> {
    /// Nothing is handed over before [`Delivery::start`].
    pub(crate) fn new(
        consumer: Consumer,
        pace: Pace,
        sink: S,
        counters: Counters,
        roster: &dyn Roster,
        store: Arc<dyn Store>,
    ) -> Self {
        Self {
            reader: Reader::new(consumer.clone(), store.clone(), roster.watch()),
            snapshot: roster.watch(),
            delivered: AtomicU64::new(0),
            consumer,
            store,
            pace,
            sink,
            counters,
        }
    }

    /// The node `id` takes part in the work until `stop`.
    pub(crate) fn start(self, id: Arc<str>, roster: Arc<dyn Roster>, stop: CancellationToken) {
        let leases = Leases::new(id, self.consumer.clone(), roster, self.store.clone());
        boot::spawn(leases.run(Arc::new(self), stop));
    }

    fn name(&self) -> &str {
        &self.consumer.name
    }

    /// Goes on after a store that did not answer.
    async fn persist(&self, held: &Held) {
        let share = held.share.number;
        loop {
            match self.go_on(held).await {
                End::Yielded => return,
                End::Refused => {
                    tracing::warn!(
                        consumer = self.name(),
                        share,
                        "another node hands over what waits in this share"
                    );
                    return;
                }
                End::Store(error) => {
                    tracing::warn!(%error, consumer = self.name(), share, "the outboxes wait for the store");
                    if held.yields.run_until_cancelled(time::sleep(RETRY)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Shows how much waits, also while nothing is taken.
    async fn look(&self, held: &Held) {
        loop {
            time::sleep(LOOK_EVERY).await;
            // Who works here logs what is wrong with the store.
            if let Ok(pages) = self.store.waiting(self.name(), &held.share.partitions, 1).await {
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
        let linger = self.pace.linger;
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
            let limit = (self.pace.batch_events * READ_BATCHES).div_ceil(busy);
            let pages = self.store.waiting(self.name(), &held.share.partitions, limit).await?;
            self.note(held, &pages);
            busy = pages.len().max(1);
            idle = if pages.is_empty() { (idle + 1).min(IDLE_MOST) } else { 0 };
            let entries: Vec<(u16, OutboxEntry)> = pages
                .into_iter()
                .flat_map(|page| page.entries.into_iter().map(move |entry| (page.partition, entry)))
                .collect();
            for entries in entries.chunks(self.pace.batch_events) {
                let items = self.reader.read(entries).await?;
                self.tell(held, items).await?;
            }
            // While much waits there is no pause.
            if idle > 0 || entries.len() < self.pace.batch_events {
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
            tracing::error!(
                consumer = self.name(),
                target = self.sink.target(),
                dropped,
                share,
                "the queue is full: the oldest events are lost to who is to be given them"
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
        if !self.consumer.presence {
            return Ok(());
        }
        for partition in &held.share.partitions {
            let mut from = String::new();
            loop {
                let found = self.reader.sweep(*partition, &from).await?;
                let mut items = found.items.into_iter().peekable();
                while items.peek().is_some() {
                    let batch = items.by_ref().take(self.pace.batch_events).collect();
                    self.tell(held, batch).await?;
                }
                let Some(next) = found.next else { break };
                from = next;
                time::sleep(SWEEP_PAUSE).await;
            }
        }
        Ok(())
    }

    /// Hands over what is to be told, at once or, where it is too large, in several batches; confirms each.
    async fn tell(&self, held: &Held, items: Vec<Item>) -> Result<(), End> {
        let mut batch = Batch::default();
        for item in items {
            let event = self.sink.event(&item.what)?;
            if matches!(item.what, What::Gone | What::Recalled(_)) && event.is_none() {
                self.counters.skipped.increment(1);
            }
            let size = event.as_ref().map_or(0, S::Event::bytes);
            if !batch.events.is_empty() && batch.bytes + size > self.pace.batch_bytes {
                self.deliver(held, std::mem::take(&mut batch)).await?;
            }
            batch.add(item, event);
        }
        self.deliver(held, batch).await
    }

    async fn deliver(&self, held: &Held, batch: Batch<S::Event>) -> Result<(), End> {
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
            let number = self.delivered.fetch_add(1, Ordering::Relaxed);
            let id = format!("evt_{}_{term}_{number}", held.share.number);
            match self.sink.deliver(&id, &batch.events, &held.yields).await {
                Delivered::Taken => self.counters.taken(batch.events.len()),
                Delivered::GivenUp => self.counters.given_up(batch.events.len()),
                Delivered::Yielded => return Err(End::Yielded),
            }
        }
        let confirms = batch.confirms.into_iter().map(|(partition, Reached { place, told })| Confirm {
            partition,
            term: held.terms.get(&partition).copied().unwrap_or_default(),
            place,
            told,
        });
        let answers = self.store.confirm(self.name(), confirms.collect()).await?;
        self.counters.confirmed(held.share.number);
        if answers.iter().all(|counts| *counts) { Ok(()) } else { Err(End::Refused) }
    }
}

/// What is handed over at once, and what is confirmed once it was taken.
struct Batch<E> {
    events: Vec<E>,
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

impl<E> Default for Batch<E> {
    fn default() -> Self {
        Self { events: Vec::new(), bytes: 0, oldest: None, confirms: BTreeMap::new() }
    }
}

impl<E: Event> Batch<E> {
    fn add(&mut self, item: Item, event: Option<E>) {
        let reached = self.confirms.entry(item.partition).or_default();
        reached.place = item.place.max(reached.place);
        match item.what {
            What::Presence(user, state, _) | What::Remember(user, state) => reached.told.push((user, state)),
            What::Message(message) | What::Recalled(message) => {
                self.oldest = self.oldest.or(Some(message.sent_at))
            }
            What::Gone | What::Nothing => {}
        }
        if let Some(event) = event {
            self.bytes += event.bytes();
            self.events.push(event);
        }
    }
}
