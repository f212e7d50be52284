//! What waits to be published: one queue, one task, one round trip at a time.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use redis_link::{Call, Link as RedisLink, redis::cmd};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::RelayError;

use super::{sharded, unavailable};

/// How many bytes may wait to be published, the one under way included: more than Redis takes in a second. Beyond it,
/// publishing fails at once.
const WAITING_MAX: usize = 64 * 1024 * 1024;
/// What a hint costs besides its own bytes: its place in the queue, its channel's name, its command.
const OVERHEAD: usize = 256;
/// At how many bytes a round trip takes no further batch; a single batch is never split.
const ROUND_TRIP_BYTES: usize = 4 * 1024 * 1024;

/// Batches take their place in the queue when they are handed over, and each round trip takes all that waits: so their
/// order is kept, and it costs the fewer round trips the more there is to do.
#[derive(Debug)]
pub(super) struct Outbox {
    link: RedisLink,
    room: Arc<Semaphore>,
    /// Made with the task that empties it, by the first batch.
    queue: OnceLock<mpsc::UnboundedSender<Batch>>,
}

#[derive(Debug)]
struct Batch {
    /// Channels and what is published there.
    publications: Vec<(String, Bytes)>,
    cost: usize,
    done: oneshot::Sender<Result<(), RelayError>>,
    /// What bounds the queue: room for the batch's bytes, free again when it is done.
    _room: OwnedSemaphorePermit,
}

impl Outbox {
    pub(super) fn new(link: RedisLink) -> Self {
        Self { link, room: Arc::new(Semaphore::new(WAITING_MAX)), queue: OnceLock::new() }
    }

    /// Takes the batch's place in the queue at the first poll, without waiting; then waits until it is published.
    ///
    /// # Errors
    /// [`RelayError::Unavailable`]: too much waits already, or Redis did not do it.
    pub(super) async fn publish(&self, publications: Vec<(String, Bytes)>) -> Result<(), RelayError> {
        if publications.is_empty() {
            return Ok(());
        }
        let cost: usize = publications.iter().map(|(_, bytes)| bytes.len() + OVERHEAD).sum();
        let room = u32::try_from(cost.min(WAITING_MAX)).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().try_acquire_many_owned(room) else {
            return Err(RelayError::Unavailable(format!(
                "{WAITING_MAX} bytes wait to be published already; redis is too slow"
            )));
        };
        let (done, published) = oneshot::channel();
        let ended = || RelayError::Unavailable("the task that publishes has ended".into());
        self.queue().send(Batch { publications, cost, done, _room: room }).map_err(|_| ended())?;
        published.await.map_err(|_| ended())?
    }

    fn queue(&self) -> &mpsc::UnboundedSender<Batch> {
        self.queue.get_or_init(|| {
            let (queue, waiting) = mpsc::unbounded_channel();
            tokio::spawn(empty(self.link.clone(), waiting));
            queue
        })
    }
}

/// Publishes until the outbox is dropped and nothing waits any more.
async fn empty(link: RedisLink, mut waiting: mpsc::UnboundedReceiver<Batch>) {
    let command = if sharded(&link) { "SPUBLISH" } else { "PUBLISH" };
    while let Some(first) = waiting.recv().await {
        let mut bytes = first.cost;
        let mut batches = vec![first];
        while bytes < ROUND_TRIP_BYTES
            && let Ok(batch) = waiting.try_recv()
        {
            bytes += batch.cost;
            batches.push(batch);
        }
        let publications = batches.iter_mut().flat_map(|batch| std::mem::take(&mut batch.publications));
        let calls = publications.map(|(channel, bytes)| {
            let publish = cmd(command).arg(&channel).arg(&*bytes).take();
            Call::command(channel, publish)
        });
        let published = link.run(calls.collect(), None).await;
        for batch in batches {
            // Whoever does not wait any more does not want to know.
            let _ = batch.done.send(published.as_ref().map(drop).map_err(unavailable));
        }
    }
}
