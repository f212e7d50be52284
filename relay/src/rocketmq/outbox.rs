//! What waits to be published: a lane a node, each with one request under way.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, future, stream};
use parking_lot::Mutex;
use rocketmq_link::{Error, Outgoing, Queue, RocketMq};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{self, Instant},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Publication, RelayError, topic::topic};

use super::{RocketMqOptions, wrapped};

/// How much may wait to be published, in KiB; beyond it hints are dropped. As in the other relays.
const WAITING_KIB_MAX: usize = 64 * 1024;
/// How many hints may wait for one node.
const LANE_MAX: usize = 32 * 1024;
/// The most hints that are taken at once.
const BATCH_MAX: usize = 256;
/// How many nodes are remembered. Above it all are forgotten, once what is for them is published, and found again by their next publication.
const LANES_MAX: usize = 4_096;
/// Pauses after a failure, and before it is asked again where a node's queue is.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How often it is asked for all nodes where their queues are: name servers that have just started may have led to a second queue.
const LOOK: Duration = Duration::from_secs(5);

/// For how many at once.
const LOOK_AT_ONCE: usize = 16;

/// Takes hints, and publishes them by itself. What becomes of them is only counted.
pub(super) struct Outbox {
    client: RocketMq,
    prefix: String,
    publish_timeout: Duration,
    room: Arc<Semaphore>,
    lanes: Arc<Lanes>,
    _looking: DropGuard,
}

type Lanes = Mutex<HashMap<Arc<str>, Entry>>;

/// A lane as the outbox knows it.
#[derive(Clone)]
struct Entry {
    topic: Arc<str>,
    items: mpsc::Sender<Item>,
    queue: Arc<Mutex<Option<Queue>>>,
}

enum Item {
    Hint(Waiting),
    /// Told once all before it is settled.
    Mark(oneshot::Sender<()>),
}

struct Waiting {
    body: Bytes,
    until: Instant,
    _room: OwnedSemaphorePermit,
}

impl Outbox {
    pub(super) fn new(client: RocketMq, options: &RocketMqOptions) -> Self {
        let (lanes, end) = (Arc::default(), CancellationToken::new());
        let looking = end.clone().run_until_cancelled_owned(look(client.clone(), Arc::clone(&lanes)));
        tokio::spawn(looking);
        Self {
            client,
            prefix: options.topic_prefix.clone(),
            publish_timeout: options.publish_timeout,
            room: Arc::new(Semaphore::new(WAITING_KIB_MAX)),
            lanes,
            _looking: end.drop_guard(),
        }
    }

    /// Takes the batch, without waiting.
    ///
    /// # Errors
    /// [`RelayError::Unavailable`]: too much waits, so some of it is dropped.
    pub(super) fn publish(&self, batch: Vec<Publication>) -> Result<(), RelayError> {
        let mut failure = None;
        for Publication { target, bytes } in batch {
            let kib = u32::try_from(bytes.len() / 1024 + 1).unwrap_or(u32::MAX);
            let taken = match self.room.clone().try_acquire_many_owned(kib) {
                Ok(room) => {
                    let waiting = Waiting {
                        body: wrapped(&bytes),
                        until: Instant::now() + self.publish_timeout,
                        _room: room,
                    };
                    self.lane(&target).try_send(Item::Hint(waiting)).is_ok()
                }
                Err(_) => false,
            };
            if !taken {
                lose(&target, 1);
                failure =
                    Some(RelayError::Unavailable(format!("too much waits to be published to {target}")));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Waits until what was handed over for a node is published or dropped, and lets it be asked at once where that node's queue is.
    pub(super) async fn settle(&self, target: &Arc<str>) {
        let Some(lane) = self.lanes.lock().get(target).map(|lane| lane.items.clone()) else { return };
        let (mark, settled) = oneshot::channel();
        // All in it goes within its time-out, and so does the mark, unless the process ends.
        if lane.send(Item::Mark(mark)).await.is_ok() {
            let _ = settled.await;
        }
    }

    /// The same for all nodes.
    pub(super) async fn flush(&self) {
        let targets: Vec<_> = self.lanes.lock().keys().cloned().collect();
        future::join_all(targets.iter().map(|target| self.settle(target))).await;
    }

    fn lane(&self, target: &Arc<str>) -> mpsc::Sender<Item> {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get(target) {
            return lane.items.clone();
        }
        if lanes.len() >= LANES_MAX {
            lanes.clear();
        }
        let (sender, items) = mpsc::channel(LANE_MAX);
        let topic: Arc<str> = topic(&self.prefix, target).into();
        let queue = Arc::default();
        let lane = Lane {
            client: self.client.clone(),
            target: target.clone(),
            topic: topic.clone(),
            queue: Arc::clone(&queue),
            is_stale: false,
            ask_at: Instant::now(),
            why_not: Error::NoTopic(topic.to_string()),
            pause: PAUSE.0,
            is_failing: false,
        };
        tokio::spawn(lane.run(items));
        lanes.insert(target.clone(), Entry { topic, items: sender.clone(), queue });
        sender
    }
}

/// Asks again and again where the queues are that were found.
async fn look(client: RocketMq, lanes: Arc<Lanes>) {
    loop {
        time::sleep(LOOK).await;
        let known: Vec<_> =
            lanes.lock().values().filter(|lane| lane.queue.lock().is_some()).cloned().collect();
        let asked = known.into_iter().map(async |Entry { topic, queue, .. }| {
            if let Ok(queues) = client.queues(&topic).await
                && let Some(now) = queues.into_iter().next()
            {
                *queue.lock() = Some(now);
            }
        });
        stream::iter(asked).for_each_concurrent(LOOK_AT_ONCE, |asked| asked).await;
    }
}

fn lose(target: &Arc<str>, count: usize) {
    if count > 0 {
        metrics::counter!("phalanx_relay_unpublished_total", "target" => target.to_string())
            .increment(count as u64);
    }
}

/// Publishes to one node.
struct Lane {
    client: RocketMq,
    target: Arc<str>,
    topic: Arc<str>,
    /// Where the node's queue is, as far as is known.
    queue: Arc<Mutex<Option<Queue>>>,
    /// Whether the queue may be elsewhere by now.
    is_stale: bool,
    /// Before that nobody is asked where it is.
    ask_at: Instant,
    /// Why it was not said the last time.
    why_not: Error,
    /// The next pause.
    pause: Duration,
    /// Whether the last hints were not published, so that an outage is logged once.
    is_failing: bool,
}

impl Lane {
    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        let mut some = Vec::new();
        while items.recv_many(&mut some, BATCH_MAX).await > 0 {
            let (mut hints, mut marks) = (Vec::new(), Vec::new());
            for item in some.drain(..) {
                match item {
                    Item::Hint(waiting) => hints.push(waiting),
                    Item::Mark(mark) => marks.push(mark),
                }
            }
            self.publish(hints).await;
            for mark in marks {
                self.ask_at = Instant::now();
                self.pause = PAUSE.0;
                let _ = mark.send(());
            }
        }
    }

    /// Tries until they are published, or nobody need have them any more.
    async fn publish(&mut self, mut hints: Vec<Waiting>) {
        loop {
            let (before, now) = (hints.len(), Instant::now());
            hints.retain(|hint| hint.until > now);
            lose(&self.target, before - hints.len());
            let Some(last) = hints.last() else { return };
            match self.attempt(&hints, last.until).await {
                Ok(too_large) => {
                    if too_large > 0 {
                        tracing::warn!(
                            target = &*self.target,
                            too_large,
                            "hints are larger than the broker's maxMessageSize"
                        );
                        lose(&self.target, too_large);
                    }
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!(target = &*self.target, "hints are published again");
                    }
                    self.pause = PAUSE.0;
                    return;
                }
                // Nobody has subscribed.
                Err(Error::NoTopic(_)) => return,
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        tracing::warn!(
                            target = &*self.target, %error,
                            "hints are not published; their target will find the messages in the store"
                        );
                    }
                    self.is_stale |= !error.is_busy();
                    if error.is_topic_missing() {
                        *self.queue.lock() = None;
                    }
                }
            }
            time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(PAUSE.1);
        }
    }

    /// How many are too large.
    async fn attempt(&mut self, hints: &[Waiting], until: Instant) -> Result<usize, Error> {
        let queue = self.queue().await?;
        let outgoing: Vec<_> =
            hints.iter().map(|hint| Outgoing { key: String::new(), body: hint.body.clone() }).collect();
        // However safely: for a hint it is safe enough.
        Ok(self.client.send(&queue, &outgoing, until - Instant::now()).await?.too_large.len())
    }

    /// Where the node's queue is. What is known counts until something else is: a name server that has just started knows no topic.
    async fn queue(&mut self) -> Result<Queue, Error> {
        let known = self.queue.lock().clone();
        if let Some(queue) = known
            && !self.is_stale
        {
            return Ok(queue);
        }
        if Instant::now() >= self.ask_at {
            match self.client.queues(&self.topic).await {
                Ok(queues) => {
                    *self.queue.lock() = queues.into_iter().next();
                    self.is_stale = false;
                }
                Err(error) => {
                    self.ask_at = Instant::now() + self.pause;
                    self.pause = (self.pause * 2).min(PAUSE.1);
                    self.why_not = error;
                }
            }
        }
        self.queue.lock().clone().ok_or_else(|| self.why_not.clone())
    }
}
