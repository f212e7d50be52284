//! What waits to be published: a queue for each server, a task that empties it, one round trip at a time.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use parking_lot::Mutex;
use redis_link::{Call, Link as RedisLink, redis::cmd};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::RelayError;

use super::{sharded, unavailable};

/// How many bytes may wait to be published, those under way included: more than Redis takes in a second. Beyond it,
/// publishing fails at once.
const WAITING_MAX: usize = 64 * 1024 * 1024;
/// What a hint costs besides its own bytes: its place in the queue, its channel's name, its command.
const OVERHEAD: usize = 256;
/// At how many bytes a round trip takes no more; what came together to one server is never split.
const ROUND_TRIP_BYTES: usize = 4 * 1024 * 1024;

/// Batches take their place in the order when they are handed over, and each round trip takes all that waits: so their
/// order is kept, and it costs the fewer round trips the more there is to do. The servers of a cluster do not wait for one
/// another: one that hangs holds up its own channels only.
#[derive(Debug)]
pub(super) struct Outbox {
    link: RedisLink,
    room: Arc<Semaphore>,
    /// Made with the task behind it, by the first batch.
    queue: OnceLock<mpsc::UnboundedSender<Batch>>,
}

/// Channels and what is published there.
type Publications = Vec<(String, Bytes)>;

#[derive(Debug)]
struct Batch {
    publications: Publications,
    completion: Arc<Completion>,
}

/// Tells the caller of a batch what became of it, once the last of its parts is done and has dropped this.
#[derive(Debug)]
struct Completion {
    failure: Mutex<Option<RelayError>>,
    done: Option<oneshot::Sender<Result<(), RelayError>>>,
    /// What bounds the queues: room for the batch's bytes.
    _room: OwnedSemaphorePermit,
}

impl Drop for Completion {
    fn drop(&mut self) {
        let result = self.failure.get_mut().take().map_or(Ok(()), Err);
        if let Some(done) = self.done.take() {
            // Whoever does not wait any more does not want to know.
            let _ = done.send(result);
        }
    }
}

fn cost(publications: &Publications) -> usize {
    publications.iter().map(|(_, bytes)| bytes.len() + OVERHEAD).sum()
}

impl Outbox {
    pub(super) fn new(link: RedisLink) -> Self {
        Self { link, room: Arc::new(Semaphore::new(WAITING_MAX)), queue: OnceLock::new() }
    }

    /// Takes the batch's place in the order at the first poll, without waiting; then waits until it is published.
    ///
    /// # Errors
    /// [`RelayError::Unavailable`]: too much waits already, or Redis did not do it.
    pub(super) async fn publish(&self, publications: Publications) -> Result<(), RelayError> {
        if publications.is_empty() {
            return Ok(());
        }
        let room = u32::try_from(cost(&publications).min(WAITING_MAX)).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().try_acquire_many_owned(room) else {
            return Err(RelayError::Unavailable(format!(
                "{WAITING_MAX} bytes wait to be published already; redis is too slow"
            )));
        };
        let (done, published) = oneshot::channel();
        let completion = Completion { failure: Mutex::default(), done: Some(done), _room: room };
        let ended = || RelayError::Unavailable("the task that publishes has ended".into());
        let batch = Batch { publications, completion: Arc::new(completion) };
        self.queue().send(batch).map_err(|_| ended())?;
        published.await.map_err(|_| ended())?
    }

    fn queue(&self) -> &mpsc::UnboundedSender<Batch> {
        self.queue.get_or_init(|| {
            let (queue, waiting) = mpsc::unbounded_channel();
            let link = self.link.clone();
            if sharded(&link) {
                tokio::spawn(part(link, waiting));
            } else {
                tokio::spawn(empty(link, waiting));
            }
            queue
        })
    }
}

/// Gives each server of a cluster its part of each batch, until the outbox is dropped.
async fn part(link: RedisLink, mut waiting: mpsc::UnboundedReceiver<Batch>) {
    // As many as the cluster has ever had servers.
    let mut queues: HashMap<Arc<str>, mpsc::UnboundedSender<Batch>> = HashMap::new();
    while let Some(batch) = waiting.recv().await {
        let mut parts: HashMap<Arc<str>, Publications> = HashMap::new();
        for (channel, bytes) in batch.publications {
            match link.owner(&channel).await {
                Ok(owner) => parts.entry(owner).or_default().push((channel, bytes)),
                Err(error) => *batch.completion.failure.lock() = Some(unavailable(&error)),
            }
        }
        for (owner, publications) in parts {
            let queue = queues.entry(owner).or_insert_with(|| {
                let (queue, waiting) = mpsc::unbounded_channel();
                tokio::spawn(empty(link.clone(), waiting));
                queue
            });
            // The task behind it ends after this one only.
            let _ = queue.send(Batch { publications, completion: batch.completion.clone() });
        }
    }
}

/// Publishes until nothing can come any more.
async fn empty(link: RedisLink, mut waiting: mpsc::UnboundedReceiver<Batch>) {
    let command = if sharded(&link) { "SPUBLISH" } else { "PUBLISH" };
    while let Some(first) = waiting.recv().await {
        let mut bytes = cost(&first.publications);
        let mut batches = vec![first];
        while bytes < ROUND_TRIP_BYTES
            && let Ok(batch) = waiting.try_recv()
        {
            bytes += cost(&batch.publications);
            batches.push(batch);
        }
        let publications = batches.iter_mut().flat_map(|batch| std::mem::take(&mut batch.publications));
        let calls = publications.map(|(channel, bytes)| {
            let publish = cmd(command).arg(&channel).arg(&*bytes).take();
            Call::command(channel, publish)
        });
        if let Err(error) = link.run(calls.collect(), None).await {
            for batch in batches {
                *batch.completion.failure.lock() = Some(unavailable(&error));
            }
        }
    }
}
