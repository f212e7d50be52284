//! Reads the queue of one node, from the end that it had when the node subscribed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use rocketmq_link::{Error, Outgoing, Queue, RocketMq};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};

use crate::{RelayError, inbox::Inbox};

use super::{BEGINNING, RocketMqOptions, unwrapped};

/// Between two looks whether the broker still answers: one that is frozen, or cut off, closes no connection.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After so many of them it is asked where the queue is.
const HEARTBEATS_A_ROUTE: u32 = 5;
/// After so many of them without a pull that was refused, which comes again after a second, pulls are let through: one that waits has no answer yet.
const HEARTBEATS_UNREFUSED: u32 = 3;
/// How long a pull waits at the broker for something to come.
const PULL_WAIT: Duration = Duration::from_secs(10);
/// Pauses after a pull that failed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How long subscribing may take, where the response's time is not longer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads one queue.
pub(super) struct Subscriber {
    client: RocketMq,
    queue: Mutex<Queue>,
    /// What is before that is not for this subscription.
    begins: u64,
    /// The offset of the next message.
    next: AtomicU64,
    /// The pull that is under way is of no use.
    anew: Notify,
    /// Heartbeats since the broker has answered that the queue may not be read.
    unrefused: AtomicU32,
}

impl Subscriber {
    /// Makes the topic where it is missing, and reads it from its end. Takes at most 10 s, or the response's time if that is longer.
    ///
    /// # Errors
    /// [`RelayError::Unavailable`].
    pub(super) async fn open(
        client: RocketMq,
        options: &RocketMqOptions,
        topic: String,
    ) -> Result<Self, RelayError> {
        // A broker that has just started may not be known yet.
        let deadline = Instant::now() + options.response_timeout.max(OPEN_TIMEOUT);
        let mut pause = PAUSE.0;
        let mut why = RelayError::Unavailable(format!("rocketmq does not answer about the topic {topic}"));
        let (queue, end, begins) = loop {
            match time::timeout_at(deadline, begin(&client, &topic, options.response_timeout)).await {
                Ok(Ok(begun)) => break begun,
                Ok(Err(error)) => {
                    tracing::debug!(topic, %error, "it is not subscribed yet");
                    why = RelayError::Unavailable(error.to_string());
                }
                Err(_) => return Err(why),
            }
            if Instant::now() + pause > deadline {
                return Err(why);
            }
            time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        };
        Ok(Self {
            client,
            queue: Mutex::new(queue),
            begins,
            next: AtomicU64::new(end),
            anew: Notify::new(),
            unrefused: AtomicU32::new(HEARTBEATS_UNREFUSED),
        })
    }

    /// Receives until the receiver is gone, another subscription has replaced this one, or the queue has become another one.
    pub(super) async fn run(self, inbox: Arc<Inbox>) {
        let topic = self.queue.lock().topic.clone();
        let receiving = async {
            tokio::select! {
                why = self.receive(&inbox) => why,
                why = self.watch(&inbox) => why,
            }
        };
        inbox.fill(&topic, receiving).await;
    }

    /// Pulls until it cannot go on, and says why.
    async fn receive(&self, inbox: &Inbox) -> String {
        let mut pause = PAUSE.0;
        loop {
            let (queue, next) = (self.queue.lock().clone(), self.next.load(Ordering::Relaxed));
            let pulled = tokio::select! {
                pulled = self.client.pull(&queue, next, PULL_WAIT) => pulled,
                () = self.anew.notified() => continue,
            };
            match pulled {
                Ok(pulled) => {
                    self.next.store(pulled.next, Ordering::Relaxed);
                    for (offset, body) in pulled.messages {
                        if offset >= self.begins
                            && let Some(hint) = unwrapped(body)
                        {
                            inbox.take(hint);
                        }
                    }
                    pause = PAUSE.0;
                    if pulled.next != next {
                        continue;
                    }
                }
                Err(error @ Error::Moved { .. }) => return error.to_string(),
                Err(error @ Error::Refused { .. }) if !error.is_busy() => {
                    self.unrefused.store(0, Ordering::Relaxed);
                    if inbox.down() {
                        tracing::warn!(topic = &*queue.topic, %error, "the subscription is lost until rocketmq lets it be read again");
                    }
                }
                Err(error) => tracing::debug!(topic = &*queue.topic, %error, "nothing is pulled"),
            }
            // Whoever sees the broker again says so.
            tokio::select! {
                () = time::sleep(pause) => {}
                () = self.anew.notified() => {}
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Looks after the broker until it cannot go on, and says why.
    async fn watch(&self, inbox: &Inbox) -> String {
        let mut beats = time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beats.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let (mut beat, mut stood_at, mut is_lost) = (0_u32, None, false);
        loop {
            beats.tick().await;
            beat = beat.wrapping_add(1);
            let unrefused = self.unrefused.fetch_add(1, Ordering::Relaxed);
            let (queue, next) = (self.queue.lock().clone(), self.next.load(Ordering::Relaxed));
            match self.client.end(&queue).await {
                // More may have arrived since it was asked, never less.
                Ok(end) if end < next => return "the queue was made anew".into(),
                Ok(end) => {
                    if unrefused >= HEARTBEATS_UNREFUSED {
                        inbox.up();
                    }
                    // What is there does not come: the pull waits for an answer that nobody will give.
                    if std::mem::take(&mut is_lost) || (end > next && stood_at == Some(next)) {
                        self.anew.notify_one();
                    }
                    stood_at = (end > next).then_some(next);
                }
                Err(error) if error.is_busy() => {}
                Err(error) => {
                    is_lost = true;
                    if inbox.down() {
                        tracing::warn!(topic = &*queue.topic, %error, "the subscription is lost until rocketmq answers again");
                    }
                }
            }
            if (is_lost || beat.is_multiple_of(HEARTBEATS_A_ROUTE))
                && let Ok(queues) = self.client.queues(&queue.topic).await
                && let Some(now) = queues.into_iter().next()
            {
                // Those who publish take the first one, too.
                if !now.is_same(&queue) {
                    return format!("the queue is on broker {} now", now.broker);
                }
                if now.address != queue.address {
                    *self.queue.lock() = now;
                    self.anew.notify_one();
                }
            }
        }
    }
}

/// Where the topic's queue is, its end as it can be read, and where the subscription begins: there may be messages between, which were stored before
/// and cannot be read yet.
async fn begin(client: &RocketMq, topic: &str, within: Duration) -> Result<(Queue, u64, u64), Error> {
    let queues = client.queues_or_make(topic, 1).await?;
    let queue = queues.into_iter().next().ok_or(Error::NoBroker)?;
    let end = client.end(&queue).await?;
    let beginning = Outgoing { key: String::new(), body: Bytes::from_static(BEGINNING) };
    match client.append(&queue, &beginning, within).await {
        Ok(offset) => Ok((queue, end, offset + 1)),
        // The name servers still lead to what is no more.
        Err(error) if error.is_topic_missing() => {
            client.make(topic, 1).await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}
