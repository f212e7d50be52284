//! A topic of RocketMQ.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use relay::RocketMqOptions;
use rocketmq_link::{Error, Outgoing, Queue, RocketMq};
use tokio::time::{self, Instant};
use xxhash_rust::xxh64::xxh64;

use super::{ExportSettings, Record, topic::Topic};

/// A client for all shares, and the topic's queues.
pub(super) struct RocketMqTopic {
    topic: String,
    name: String,
    queues: u32,
    timeout: Duration,
    client: RocketMq,
    /// By broker and number. Kept until a broker says that it has no such topic: while one is away its queues are not named, and a conversation must
    /// not go to another one meanwhile.
    found: Mutex<Option<Arc<[Queue]>>>,
    is_less_safe: AtomicBool,
}

impl RocketMqTopic {
    pub(super) fn new(settings: &ExportSettings, options: &RocketMqOptions) -> Self {
        Self {
            topic: settings.topic().to_owned(),
            name: format!("rocketmq:{}", settings.topic()),
            queues: settings.partitions,
            timeout: Duration::from_millis(settings.timeout_ms),
            client: RocketMq::new(options.client()),
            found: Mutex::default(),
            is_less_safe: AtomicBool::new(false),
        }
    }

    /// The topic's queues; makes it where no broker that is there has it.
    async fn queues(&self) -> Result<Arc<[Queue]>, Error> {
        let found = self.found.lock().clone();
        match found {
            Some(found) => Ok(found),
            None => {
                let queues: Arc<[Queue]> = self.client.queues_or_make(&self.topic, self.queues).await?.into();
                // Another share may have found them meanwhile.
                Ok(self.found.lock().get_or_insert(queues).clone())
            }
        }
    }

    /// Where a broker is that has been started elsewhere.
    async fn address(&self, queue: &Queue) -> Option<Arc<str>> {
        let queues = self.client.queues(&self.topic).await.ok()?;
        queues.into_iter().find(|now| now.is_same(queue)).map(|now| now.address)
    }

    /// Stores records of one queue; answers how many it will never take.
    async fn send(&self, queue: &Queue, records: &[&Record], deadline: Instant) -> Result<usize, Error> {
        let messages: Vec<_> = records
            .iter()
            .map(|record| Outgoing { key: record.key.clone(), body: record.value.clone().into() })
            .collect();
        // Half of the time is left for a broker that has been started elsewhere.
        let within = self.timeout / 2;
        let sent = match self.client.send(queue, &messages, within).await {
            Err(error @ (Error::Unreachable { .. } | Error::NoAnswer { .. })) => {
                let Some(address) = self.address(queue).await.filter(|address| *address != queue.address)
                else {
                    return Err(error);
                };
                self.client
                    .send(&Queue { address, ..queue.clone() }, &messages, deadline - Instant::now())
                    .await?
            }
            sent => sent?,
        };
        for record in sent.too_large.iter().filter_map(|number| records.get(*number)) {
            tracing::error!(
                conversation = record.key,
                bytes = record.value.len(),
                "a message is larger than the broker's maxMessageSize: it is not exported"
            );
        }
        self.tell(sent.less_safe.as_ref());
        Ok(sent.too_large.len())
    }

    /// Says once that the broker keeps records less safely than it is set to, and once that it does again. Sent again, they would be there twice and no
    /// safer.
    fn tell(&self, less_safe: Option<&Error>) {
        if self.is_less_safe.swap(less_safe.is_some(), Ordering::Relaxed) == less_safe.is_some() {
            return;
        }
        match less_safe {
            Some(error) => {
                tracing::warn!(topic = self.topic, %error, "what is exported is not stored as safely as the broker is set to")
            }
            None => tracing::info!(topic = self.topic, "what is exported is stored safely again"),
        }
    }
}

#[async_trait::async_trait]
impl Topic for RocketMqTopic {
    fn name(&self) -> &str {
        &self.name
    }

    async fn publish(&self, records: &[Record]) -> Result<usize, String> {
        let deadline = Instant::now() + self.timeout;
        let queues = time::timeout_at(deadline, self.queues())
            .await
            .map_err(|_| format!("the topic {} is not known within {:?}", self.topic, self.timeout))?
            .map_err(|error| error.to_string())?;
        let mut shares = vec![Vec::new(); queues.len()];
        for record in records {
            let share = xxh64(record.key.as_bytes(), 0) % queues.len() as u64;
            shares[usize::try_from(share).unwrap_or_default()].push(record);
        }
        let sent = queues
            .iter()
            .zip(&shares)
            .filter(|(_, share)| !share.is_empty())
            .map(|(queue, share)| self.send(queue, share, deadline));
        let sent = futures_util::future::join_all(sent).await;
        if sent.iter().any(|sent| sent.as_ref().is_err_and(Error::is_topic_missing)) {
            *self.found.lock() = None;
        }
        let refused: Result<usize, Error> = sent.into_iter().sum();
        refused.map_err(|error| error.to_string())
    }
}
