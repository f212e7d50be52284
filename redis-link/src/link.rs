//! The link itself.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::Value;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    Call, Connection, LeaseStanding, LinkError, OnPush, RedisOptions, Wait,
    batch::{self, Outcome, Pending},
    connection::Login,
    gate::pause,
    server::Server,
    topology::Topology,
};

/// How often a run follows redirections, loads scripts or waits for a slot before it gives up.
const ROUNDS_MAX: usize = 8;
/// How long a run waits where a slot is on its way and some keys of a call have left already.
const SLOT_PAUSE: Duration = Duration::from_millis(20);
/// After so many attempts at a server without room the pauses, 100 to 200 ms then, grow no more.
const FULL_PAUSES: u32 = 3;

/// The way to Redis. Clones share everything; connections are made when they are first needed, and again when lost.
#[derive(Debug, Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Arc<RedisOptions>,
    topology: Topology,
    /// By address; those that the topology does not name are removed when another one is added.
    servers: Mutex<HashMap<Arc<str>, Arc<Server>>>,
    round_trips: AtomicU64,
    calls: AtomicU64,
}

impl Link {
    /// A link; it does nothing before the first call.
    ///
    /// # Errors
    /// [`LinkError::Options`]: they do not fit together.
    pub fn new(options: RedisOptions) -> Result<Self, LinkError> {
        options.check()?;
        let options = Arc::new(options);
        let topology = Topology::new(options.clone());
        let (round_trips, calls) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self {
            inner: Arc::new(Inner { options, topology, servers: Mutex::default(), round_trips, calls }),
        })
    }

    /// What it was made with.
    pub fn options(&self) -> &RedisOptions {
        &self.inner.options
    }

    /// Does the calls, and gives their answers in their order. Takes at most `response_timeout`; where a server has no room,
    /// `full_timeout` more, in which what it did not take is tried again.
    ///
    /// It is one round trip to each server concerned, all at once. Calls of one tag are done in their order, save that
    /// one which a server did not do at first (an unknown script, a slot on its way) is done after the others; so what
    /// needs order among several steps belongs into one script.
    ///
    /// A caller that stops waiting before that leaves it open what was done, as with [`LinkError::Unavailable`].
    ///
    /// With `wait`, each server's part ends with `WAIT` on the connection that did it, and with Sentinel it counts only where
    /// nobody can have replaced the server by then.
    ///
    /// # Errors
    /// [`LinkError::Unavailable`], [`LinkError::Full`], [`LinkError::Refused`], [`LinkError::NotReplicated`]. In each case some of the
    /// calls may have been done, in the last one all of them.
    pub async fn run(&self, calls: Vec<Call>, wait: Option<Wait>) -> Result<Vec<Value>, LinkError> {
        let inner = &self.inner;
        inner.calls.fetch_add(calls.len() as u64, Ordering::Relaxed);
        let began = Instant::now();
        let mut deadline = began + inner.options.response_timeout;
        let longest = inner.options.response_timeout * 3 / 4;
        let wait = wait
            .filter(|wait| wait.replicas > 0)
            .map(|wait| Wait { timeout: wait.timeout.min(longest), ..wait });
        let mut answers = vec![Value::Nil; calls.len()];
        let mut pending: Vec<_> = calls
            .into_iter()
            .enumerate()
            .map(|(place, call)| Pending { place, call, redirect: None })
            .collect();
        let (mut rounds, mut full) = (0, 0);
        while rounds < ROUNDS_MAX && !pending.is_empty() {
            let parts = inner.part(pending, deadline).await?;
            let sending = parts.into_iter().map(|(server, part)| inner.send(server, part, wait, deadline));
            let mut all = Outcome::default();
            for outcome in join_all(sending).await {
                all.done.extend(outcome.done);
                all.again.extend(outcome.again);
                all.pause |= outcome.pause;
                all.full = outcome.full.or(all.full);
                outcome.error.into_iter().for_each(|error| all.fail(error));
            }
            if let Some(error) = all.error {
                return Err(error);
            }
            all.done.into_iter().for_each(|(place, answer)| answers[place] = answer);
            pending = all.again;
            pending.sort_unstable_by_key(|pending| pending.place);
            if let Some(error) = all.full {
                // Somebody may be making room.
                full += 1;
                let again_at = Instant::now() + pause(full.min(FULL_PAUSES));
                if again_at > began + inner.options.full_timeout {
                    return Err(error);
                }
                sleep_until(again_at).await;
                deadline = Instant::now() + inner.options.response_timeout;
                continue;
            }
            rounds += 1;
            if all.pause && !pending.is_empty() {
                sleep(SLOT_PAUSE).await;
            }
        }
        if pending.is_empty() {
            return Ok(answers);
        }
        Err(LinkError::Unavailable(format!("redis sent {} calls from server to server", pending.len())))
    }

    /// Opens a connection of the caller's own to the server that serves `tag` now, for subscribing: what arrives there
    /// unasked, and the loss of the connection, is given to `on_push`, which must not block. Takes at most twice
    /// `connect_timeout`.
    ///
    /// The caller paces its attempts.
    ///
    /// # Errors
    /// [`LinkError::Unavailable`]. The next attempt finds out anew which server it is.
    pub async fn connect(&self, tag: impl AsRef<[u8]>, on_push: OnPush) -> Result<Connection, LinkError> {
        let address = self.owner(tag).await?;
        let opening = Connection::open(&self.inner.options, address, Login::Server, Some(on_push)).await;
        opening.inspect_err(|_| self.doubt())
    }

    /// The server (`host:port`) that serves `tag`, as far as is known; finds out where that is in doubt.
    ///
    /// # Errors
    /// [`LinkError::Unavailable`]: nobody who could know answers.
    pub async fn owner(&self, tag: impl AsRef<[u8]>) -> Result<Arc<str>, LinkError> {
        self.inner.topology.owner(crate::call::slot(tag.as_ref())).await
    }

    /// Makes the next call find out anew which server serves what: the caller has reason to think that it changed.
    pub fn doubt(&self) {
        self.inner.topology.doubt();
    }

    /// How the lease stands under which what replicas confirm counts; `None` where none is held: without Sentinels, or without
    /// `lease`. The first run with `wait` begins it. Told within a second.
    pub fn lease(&self) -> Option<watch::Receiver<LeaseStanding>> {
        self.inner.topology.lease()
    }

    /// How many pipelines were sent, one to one server each; repeats and `WAIT` included, loading of scripts not.
    pub fn round_trips(&self) -> u64 {
        self.inner.round_trips.load(Ordering::Relaxed)
    }

    /// How many calls were asked for.
    pub fn calls(&self) -> u64 {
        self.inner.calls.load(Ordering::Relaxed)
    }
}

impl Inner {
    /// Who gets what; the order of the calls is kept.
    async fn part(
        &self,
        pending: Vec<Pending>,
        deadline: Instant,
    ) -> Result<Vec<(Arc<Server>, Vec<Pending>)>, LinkError> {
        let mut parts: HashMap<Arc<str>, Vec<Pending>> = HashMap::new();
        for pending in pending {
            let address = match &pending.redirect {
                Some(redirect) => redirect.address.as_str().into(),
                None => timeout_at(deadline, self.topology.owner(pending.call.slot))
                    .await
                    .map_err(|_| LinkError::Unavailable("nobody says in time which server it is".into()))??,
            };
            parts.entry(address).or_default().push(pending);
        }
        Ok(parts.into_iter().map(|(address, part)| (self.server(address), part)).collect())
    }

    fn server(&self, address: Arc<str>) -> Arc<Server> {
        let mut servers = self.servers.lock();
        if let Some(server) = servers.get(&address) {
            return server.clone();
        }
        servers.retain(|address, _| self.topology.knows(address));
        let server = Arc::new(Server::new(self.options.clone(), address.clone()));
        servers.insert(address, server.clone());
        server
    }

    /// What became of one server's part of a run.
    async fn send(
        &self,
        server: Arc<Server>,
        part: Vec<Pending>,
        wait: Option<Wait>,
        deadline: Instant,
    ) -> Outcome {
        let lent_by = server.address();
        let sent = async {
            if wait.is_some() {
                self.topology.prepare();
            }
            let lent = server.connection(wait.is_some(), deadline, &self.topology).await?;
            self.round_trips.fetch_add(1, Ordering::Relaxed);
            let sent = match batch::send(&lent.connection, part, wait, deadline).await {
                Ok(outcome) => outcome.load(&lent.connection, deadline).await,
                Err(error) => Err(error),
            };
            match &sent {
                Ok(_) => lent.give_back(),
                Err(_) => lent.give_up(),
            }
            let mut outcome = sent?;
            if wait.is_some() && outcome.error.is_none() {
                let counts = self.topology.counts(lent_by, deadline).await;
                counts.unwrap_or_else(|error| outcome.fail(error));
            }
            Ok(outcome)
        };
        let outcome = sent.await.unwrap_or_else(|error| Outcome { error: Some(error), ..Outcome::default() });
        // A primary that was replaced notices late, or only by what its replicas do not confirm.
        if outcome.moved
            || matches!(outcome.error, Some(LinkError::Unavailable(_) | LinkError::NotReplicated { .. }))
        {
            self.topology.doubt();
        }
        outcome
    }
}
