//! The connections to one server.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use crate::{
    LinkError, RedisOptions,
    connection::{Connection, Login},
    gate::Gate,
    topology::Topology,
};

/// How many runs with `WAIT` are under way at once on one server; further ones queue for a connection.
const WAITING_MAX: usize = 8;

/// One server. `WAIT` blocks its connection and counts that connection's writes only, so a run with it has a connection
/// to itself; all others share one, on which nothing ever waits.
#[derive(Debug)]
pub(crate) struct Server {
    options: Arc<RedisOptions>,
    address: Arc<str>,
    gate: Gate,
    shared: Mutex<Option<Connection>>,
    free: Mutex<Vec<Connection>>,
    permits: Semaphore,
    /// Counts how often all connections were given up; one from before is not kept.
    generation: AtomicU64,
}

/// A connection for one run.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    pub(crate) connection: Connection,
    server: &'a Server,
    topology: &'a Topology,
    generation: u64,
    lent_at: Instant,
    settled: bool,
    /// Held by a run with `WAIT`.
    permit: Option<SemaphorePermit<'a>>,
}

impl Server {
    pub(crate) fn new(options: Arc<RedisOptions>, address: Arc<str>) -> Self {
        Self {
            options,
            address,
            gate: Gate::default(),
            shared: Mutex::default(),
            free: Mutex::default(),
            permits: Semaphore::new(WAITING_MAX),
            generation: AtomicU64::new(0),
        }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// A connection to the server, by the deadline.
    pub(crate) async fn connection<'a>(
        self: &'a Arc<Self>,
        waits: bool,
        deadline: Instant,
        topology: &'a Topology,
    ) -> Result<Lent<'a>, LinkError> {
        let lending = async {
            let permit = if waits { self.permits.acquire().await.ok() } else { None };
            let generation = self.generation.load(Ordering::Acquire);
            let connection = if waits { self.own().await? } else { self.shared().await? };
            let (server, lent_at, settled) = (self, Instant::now(), false);
            Ok(Lent { connection, server, topology, generation, lent_at, settled, permit })
        };
        timeout_at(deadline, lending).await.map_err(|_| LinkError::late(&self.address))?
    }

    async fn shared(self: &Arc<Self>) -> Result<Connection, LinkError> {
        let find = || self.shared.lock().clone().filter(|connection| !connection.is_lost());
        let make = || {
            let server = self.clone();
            async move {
                let made = server.open().await?;
                *server.shared.lock() = Some(made);
                Ok(())
            }
        };
        self.gate.pass(find, make).await
    }

    async fn own(self: &Arc<Self>) -> Result<Connection, LinkError> {
        let find = || {
            let mut free = self.free.lock();
            free.retain(|connection| !connection.is_lost());
            free.pop()
        };
        let make = || {
            let server = self.clone();
            async move {
                let made = server.open().await?;
                server.free.lock().push(made);
                Ok(())
            }
        };
        self.gate.pass(find, make).await
    }

    async fn open(&self) -> Result<Connection, LinkError> {
        Connection::open(&self.options, self.address.clone(), Login::Server, None).await
    }
}

impl Server {
    /// Gives all connections up: the server is gone or does not answer, and each would find out for itself.
    fn give_up(&self, lost: &Lent<'_>) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.free.lock().clear();
        let mut shared = self.shared.lock();
        // Another run may have replaced the shared one already.
        if shared.as_ref().is_some_and(|now| lost.permit.is_some() || now.is_same(&lost.connection)) {
            *shared = None;
        }
    }
}

impl Lent<'_> {
    /// Gives the connection back, for others to use.
    pub(crate) fn give_back(mut self) {
        self.settled = true;
        let current = self.generation == self.server.generation.load(Ordering::Acquire);
        if self.permit.is_some() && current && !self.connection.is_lost() {
            self.server.free.lock().push(self.connection.clone());
        }
    }

    /// Gives all connections to the server up.
    pub(crate) fn give_up(mut self) {
        self.settled = true;
        self.server.give_up(&self);
    }
}

impl Drop for Lent<'_> {
    /// A caller that stops waiting for an answer after a while has met a server that hangs.
    fn drop(&mut self) {
        if !self.settled && self.lent_at.elapsed() >= self.server.options.connect_timeout {
            self.server.give_up(self);
            self.topology.doubt();
        }
    }
}
