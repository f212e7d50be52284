//! Topics, sending and pulling.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, future, stream::FuturesUnordered};
use tokio::time::{self, Instant};
use xxhash_rust::xxh64::xxh64;

use crate::{
    Error, Outgoing, Queue,
    command::{Answer, Request},
    error::code,
    loose, message,
    queue::{Broker, Cluster, Route},
    servers::{Servers, refused},
};

/// RocketMQ's `RequestCode`s.
mod request {
    pub(super) const PULL: i32 = 11;
    pub(super) const MAKE_TOPIC: i32 = 17;
    pub(super) const END: i32 = 30;
    pub(super) const ROUTE: i32 = 105;
    pub(super) const BROKERS: i32 = 106;
    pub(super) const SEND: i32 = 310;
    pub(super) const SEND_BATCH: i32 = 320;
    pub(super) const TOPIC: i32 = 351;
}

/// As whom we send and pull. Every broker has this group of consumers, also one that makes none by itself.
const PRODUCERS: &str = "phalanx";
const CONSUMERS: &str = "TOOLS_CONSUMER";
/// A pull's `sysFlag`: wait for something to come; what is wanted stands in the request. Nothing is committed.
const WAIT_AND_SUBSCRIPTION: u32 = 2 + 4;
/// The most messages of a pull; a broker gives 32 by default.
const PULLED_MAX: u32 = 256;
/// The most of a batch; larger messages go alone.
const BATCH_BYTES_MAX: usize = 512 * 1024;
const BATCH_MAX: usize = 256;
/// The largest message, in bytes: no server reads a frame of more than 16 MiB.
const MESSAGE_BYTES_MAX: usize = 15 * 1024 * 1024;
/// For how long the other name servers are waited for after the first has answered, where one answer may do.
const OTHER_NAMES: Duration = Duration::from_millis(200);
/// A broker looks that often which pulls have waited for long enough.
const HOLD_LOOK: Duration = Duration::from_secs(5);
/// Between two looks whether a topic that was made is known.
const LOOK: Duration = Duration::from_millis(20);

/// Where RocketMQ is.
#[derive(Debug, Clone)]
pub struct Options {
    /// `host:port` of every name server.
    pub name_servers: Vec<String>,
    /// How long a server may take to answer.
    pub response_timeout: Duration,
}

/// A client. Clones share their connections; it connects when it is first used, which must be within a tokio runtime.
#[derive(Clone)]
pub struct RocketMq {
    inner: Arc<Inner>,
}

struct Inner {
    names: Vec<Arc<str>>,
    response_timeout: Duration,
    servers: Servers,
}

/// What became of messages that were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Which of them the broker will never take, because they are too large.
    pub too_large: Vec<usize>,
    /// Where the others are not stored as safely as the broker is set to (on its disk, or on its replicas): what it says of it.
    pub less_safe: Option<Error>,
}

/// What a pull has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The messages' offsets and bodies, in order; empty where nothing has come in time.
    pub messages: Vec<(u64, Bytes)>,
    /// The offset to go on at.
    pub next: u64,
}

impl RocketMq {
    /// A client of these servers.
    pub fn new(options: Options) -> Self {
        let names = options.name_servers.into_iter().map(Arc::from).collect();
        let inner = Inner { names, response_timeout: options.response_timeout, servers: Servers::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The queues of a topic that can be read and written, in the order of their brokers' names and their numbers.
    ///
    /// # Errors
    /// [`Error::NoTopic`]: of those name servers that answer some do not know it, and the others do not say; it may be that none was told yet. And
    /// whatever keeps all of them from answering.
    pub async fn queues(&self, topic: &str) -> Result<Vec<Queue>, Error> {
        let topic: Arc<str> = topic.into();
        let (mut queues, mut failure) = (BTreeSet::new(), None);
        for (address, answer) in self.routes(&topic, OTHER_NAMES).await? {
            let route = match answer.code {
                code::SUCCESS => read::<Route>(&address, &answer.body),
                code::TOPIC_NOT_EXIST => Err(Error::NoTopic(topic.to_string())),
                _ => Err(refused(&address, answer)),
            };
            match route {
                Ok(route) => queues.extend(route.queues(&topic)),
                Err(error) if error.is_topic_missing() => failure = Some(error),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let mut queues: Vec<_> = queues.into_iter().collect();
        // A name server may still have a broker's former address.
        queues.dedup_by(|later, earlier| later.is_same(earlier));
        if queues.is_empty() {
            return Err(failure.unwrap_or_else(|| Error::NoTopic(topic.to_string())));
        }
        Ok(queues)
    }

    /// The queues of a topic, as [`queues`](Self::queues) answers them; where nobody knows it, it is made as by [`make`](Self::make).
    ///
    /// # Errors
    /// What either may answer.
    pub async fn queues_or_make(&self, topic: &str, queues: u32) -> Result<Vec<Queue>, Error> {
        match self.queues(topic).await {
            Err(Error::NoTopic(_)) => {
                self.make(topic, queues).await?;
                tracing::info!(topic, "the topic is there");
                self.queues(topic).await
            }
            found => found,
        }
    }

    /// Makes a topic of so many queues on one broker, which its name decides, unless a broker has it already; waits until the name servers know it.
    /// All brokers must answer: one that does not may have it. Those older than 5.0 do not know the question, and take the new number of queues.
    ///
    /// # Errors
    /// Whatever keeps a name server or a broker from doing so; [`Error::NoTopic`]: it is not known in time.
    pub async fn make(&self, topic: &str, queues: u32) -> Result<(), Error> {
        let brokers = self.brokers().await?;
        let asked = brokers.iter().map(|broker| async {
            let request = Request::new(request::TOPIC, [("topic", topic.to_owned())]);
            self.ask(&broker.address, &request).await.map(|answer| answer.code == code::SUCCESS)
        });
        if !future::try_join_all(asked).await?.contains(&true) {
            let chosen = xxh64(topic.as_bytes(), 0) % brokers.len().max(1) as u64;
            let broker =
                usize::try_from(chosen).ok().and_then(|at| brokers.get(at)).ok_or(Error::NoBroker)?;
            let make = Request::new(
                request::MAKE_TOPIC,
                [
                    ("topic", topic.to_owned()),
                    ("defaultTopic", topic.to_owned()),
                    ("readQueueNums", queues.to_string()),
                    ("writeQueueNums", queues.to_string()),
                    ("perm", "6".into()),
                    ("topicFilterType", "SINGLE_TAG".into()),
                    ("topicSysFlag", "0".into()),
                    ("order", "false".into()),
                ],
            );
            self.must(&broker.address, &make).await?;
        }
        let deadline = Instant::now() + self.inner.response_timeout;
        let topic: Arc<str> = topic.into();
        while self
            .routes(&topic, self.inner.response_timeout)
            .await?
            .iter()
            .any(|(_, answer)| answer.code != code::SUCCESS)
        {
            if Instant::now() > deadline {
                return Err(Error::NoTopic(topic.to_string()));
            }
            time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// The offset after the last message of a queue that can be read; some may be stored that cannot be read yet.
    ///
    /// # Errors
    /// Whatever keeps its broker from answering.
    pub async fn end(&self, queue: &Queue) -> Result<u64, Error> {
        let fields = [("topic", queue.topic.to_string()), ("queueId", queue.id.to_string())];
        let answer = self.must(&queue.address, &Request::new(request::END, fields)).await?;
        number(queue, &answer, "offset")
    }

    /// Sends one message, and answers its offset.
    ///
    /// # Errors
    /// As [`RocketMq::send`], and [`Error::Refused`] where it is too large.
    pub async fn append(&self, queue: &Queue, message: &Outgoing, within: Duration) -> Result<u64, Error> {
        let request = sending(queue, request::SEND, message.properties(), message.body.clone());
        number(queue, &self.send_one(queue, &request, Instant::now() + within).await?, "queueOffset")
    }

    /// Sends in order, in batches where that is possible.
    ///
    /// # Errors
    /// Whatever keeps the broker from storing them all within this time; some may be stored.
    pub async fn send(&self, queue: &Queue, messages: &[Outgoing], within: Duration) -> Result<Sent, Error> {
        let deadline = Instant::now() + within;
        let mut sent = Sent::default();
        let mut at = 0;
        while at < messages.len() {
            let mut size = 0;
            let fits = |message: &&Outgoing| {
                size += message.size();
                size <= BATCH_BYTES_MAX
            };
            let count = messages[at..].iter().take(BATCH_MAX).take_while(fits).count().max(1);
            let some = &messages[at..at + count];
            let together = match message::batch(some).filter(|_| count > 1) {
                Some(batch) => {
                    let request = sending(queue, request::SEND_BATCH, String::new(), batch);
                    match self.send_one(queue, &request, deadline).await {
                        // Brokers that take less say so in two ways.
                        Err(Error::Refused { code: code::MESSAGE_ILLEGAL | code::SYSTEM_ERROR, .. }) => false,
                        answer => {
                            sent.note(queue, answer?);
                            true
                        }
                    }
                }
                None => false,
            };
            if !together {
                self.send_alone(queue, some, at, deadline, &mut sent).await?;
            }
            at += count;
        }
        Ok(sent)
    }

    async fn send_alone(
        &self,
        queue: &Queue,
        messages: &[Outgoing],
        first: usize,
        deadline: Instant,
        sent: &mut Sent,
    ) -> Result<(), Error> {
        for (number, message) in messages.iter().enumerate() {
            if message.body.len() > MESSAGE_BYTES_MAX {
                sent.too_large.push(first + number);
                continue;
            }
            let request = sending(queue, request::SEND, message.properties(), message.body.clone());
            match self.send_one(queue, &request, deadline).await {
                Err(Error::Refused { code: code::MESSAGE_ILLEGAL, .. }) => {
                    sent.too_large.push(first + number)
                }
                answer => sent.note(queue, answer?),
            }
        }
        Ok(())
    }

    /// Answers what says that it is stored, however safely.
    async fn send_one(&self, queue: &Queue, request: &Request, deadline: Instant) -> Result<Answer, Error> {
        let within = deadline.saturating_duration_since(Instant::now());
        let answer = self.inner.servers.ask(&queue.address, request, within).await?;
        match answer.code {
            code::SUCCESS
            | code::FLUSH_DISK_TIMEOUT
            | code::SLAVE_NOT_AVAILABLE
            | code::FLUSH_SLAVE_TIMEOUT => Ok(answer),
            _ => Err(refused(&queue.address, answer)),
        }
    }

    /// Reads from `offset` on; waits for `wait`, or up to 5 s longer, where nothing is there.
    ///
    /// # Errors
    /// [`Error::Moved`], and whatever keeps the broker from answering.
    pub async fn pull(&self, queue: &Queue, offset: u64, wait: Duration) -> Result<Pulled, Error> {
        let fields = [
            ("consumerGroup", CONSUMERS.to_owned()),
            ("topic", queue.topic.to_string()),
            ("queueId", queue.id.to_string()),
            ("queueOffset", offset.to_string()),
            ("maxMsgNums", PULLED_MAX.to_string()),
            ("sysFlag", WAIT_AND_SUBSCRIPTION.to_string()),
            ("commitOffset", "0".into()),
            ("suspendTimeoutMillis", wait.as_millis().to_string()),
            ("subscription", "*".into()),
            ("subVersion", "0".into()),
            ("expressionType", "TAG".into()),
        ];
        let request = Request::new(request::PULL, fields);
        let within = wait + HOLD_LOOK + self.inner.response_timeout;
        let answer = self.inner.servers.ask(&queue.address, &request, within).await?;
        match answer.code {
            code::SUCCESS => {
                let next = number(queue, &answer, "nextBeginOffset")?;
                let messages =
                    message::stored(answer.body).map_err(|why| malformed(&queue.address, why.into()))?;
                Ok(Pulled { messages, next })
            }
            code::PULL_NOT_FOUND | code::PULL_RETRY_IMMEDIATELY => {
                Ok(Pulled { messages: Vec::new(), next: number(queue, &answer, "nextBeginOffset")? })
            }
            code::PULL_OFFSET_MOVED => Err(Error::Moved { next: number(queue, &answer, "nextBeginOffset")? }),
            _ => Err(refused(&queue.address, answer)),
        }
    }

    /// The brokers that can be written to, by their names.
    async fn brokers(&self) -> Result<Vec<Broker>, Error> {
        let (mut brokers, mut failure) = (BTreeSet::new(), Error::NoBroker);
        for (address, answer) in
            self.ask_names(&Request::new(request::BROKERS, []), self.inner.response_timeout).await?
        {
            let cluster = match answer.code {
                code::SUCCESS => read::<Cluster>(&address, &answer.body),
                _ => Err(refused(&address, answer)),
            };
            match cluster {
                Ok(cluster) => brokers.extend(cluster.brokers()),
                Err(error) => failure = error,
            }
        }
        let mut brokers: Vec<_> = brokers.into_iter().collect();
        brokers.dedup_by(|later, earlier| later.name == earlier.name);
        if brokers.is_empty() { Err(failure) } else { Ok(brokers) }
    }

    async fn routes(&self, topic: &Arc<str>, others: Duration) -> Result<Vec<(Arc<str>, Answer)>, Error> {
        self.ask_names(&Request::new(request::ROUTE, [("topic", topic.to_string())]), others).await
    }

    /// Asks all name servers at once: each knows only what brokers have told it. Answers what those say that answer, and waits for so long for the others
    /// once one has.
    ///
    /// # Errors
    /// Why the last one does not, where none does.
    async fn ask_names(&self, request: &Request, others: Duration) -> Result<Vec<(Arc<str>, Answer)>, Error> {
        let mut asked: FuturesUnordered<_> = self
            .inner
            .names
            .iter()
            .map(|name| async move { (name.clone(), self.ask(name, request).await) })
            .collect();
        let (mut answers, mut failure) = (Vec::new(), Error::NoBroker);
        while answers.is_empty()
            && let Some((name, answer)) = asked.next().await
        {
            match answer {
                Ok(answer) => answers.push((name, answer)),
                Err(error) => failure = error,
            }
        }
        let deadline = Instant::now() + others;
        while let Ok(Some((name, answer))) = time::timeout_at(deadline, asked.next()).await {
            answers.extend(answer.ok().map(|answer| (name, answer)));
        }
        if answers.is_empty() { Err(failure) } else { Ok(answers) }
    }

    async fn ask(&self, address: &Arc<str>, request: &Request) -> Result<Answer, Error> {
        self.inner.servers.ask(address, request, self.inner.response_timeout).await
    }

    async fn must(&self, address: &Arc<str>, request: &Request) -> Result<Answer, Error> {
        self.inner.servers.must(address, request, self.inner.response_timeout).await
    }
}

impl Sent {
    fn note(&mut self, queue: &Queue, answer: Answer) {
        if answer.code != code::SUCCESS {
            self.less_safe = Some(refused(&queue.address, answer));
        }
    }
}

fn sending(queue: &Queue, code: i32, properties: String, body: Bytes) -> Request {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let fields = [
        ("a", PRODUCERS.to_owned()),
        ("b", queue.topic.to_string()),
        // The topic that a missing one would be made after: none.
        ("c", queue.topic.to_string()),
        ("d", "1".into()),
        ("e", queue.id.to_string()),
        ("f", "0".into()),
        ("g", now.to_string()),
        ("h", "0".into()),
        ("i", properties),
        ("j", "0".into()),
        ("k", "false".into()),
        ("m", (code == request::SEND_BATCH).to_string()),
    ];
    Request { body, ..Request::new(code, fields) }
}

fn number(queue: &Queue, answer: &Answer, field: &str) -> Result<u64, Error> {
    answer.number(field).ok_or_else(|| malformed(&queue.address, format!("no {field}")))
}

fn read<T: serde::de::DeserializeOwned>(address: &Arc<str>, body: &[u8]) -> Result<T, Error> {
    loose::from_slice(body).map_err(|why| malformed(address, why))
}

fn malformed(address: &Arc<str>, why: String) -> Error {
    Error::Malformed { address: address.to_string(), why }
}
