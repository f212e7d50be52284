//! The one thread that writes. It gathers what is queued into one transaction, so that many share one wait for the disk.

use std::{sync::Arc, thread, time::Instant};

use parking_lot::RwLock;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{
    SqliteOptions, bans,
    cids::Sweep,
    consumers,
    failure::{failed, passing, signed},
    job::{Job, Weight},
    live::Live,
    unit::{Memory, Unit},
};
use crate::{StoreError, outbox::Wanted};

/// Versions reserved ahead with one write. Half of them are left when the next ones are reserved: far more than one
/// transaction and the changes of interest beside it can use.
const VERSIONS_AHEAD: u64 = 1 << 32;

pub(super) struct Writer {
    connection: Connection,
    options: SqliteOptions,
    live: Arc<RwLock<Live>>,
    memory: Memory,
    sweep: Sweep,
    /// Every version below this may be given out.
    reserved: u64,
    /// The time of the latest birth of a device. No message bears an earlier time from then on, or a clock that was set back
    /// would make it older than the device, which would never get it.
    latest_birth: i64,
    /// What consumers want to be written down, of the transaction under way.
    wanted: Wanted,
}

impl Writer {
    /// Reserves versions; the first of them is where `live` is to start.
    pub(super) fn new(connection: Connection, options: SqliteOptions) -> Result<Self, StoreError> {
        let first: i64 =
            connection.query_row("SELECT reserved FROM version", [], |row| row.get(0)).map_err(failed)?;
        let first = first.unsigned_abs();
        let latest_birth = connection
            .query_row("SELECT COALESCE(MAX(born_at), 0) FROM device", [], |row| row.get(0))
            .map_err(failed)?;
        let mut writer = Self {
            connection,
            options,
            live: Arc::new(RwLock::new(Live::new(first))),
            memory: Memory::new(),
            sweep: Sweep::default(),
            reserved: first,
            latest_birth,
            wanted: Wanted::default(),
        };
        writer.reserved = writer.reserve(first).map_err(failed)?;
        let banned = bans::all(&writer.connection).map_err(failed)?;
        let wanted = consumers::wanted(&writer.connection).map_err(failed)?;
        {
            let mut live = writer.live.write();
            live.banned.extend(banned);
            live.wanted = wanted;
        }
        Ok(writer)
    }

    pub(super) fn live(&self) -> Arc<RwLock<Live>> {
        self.live.clone()
    }

    /// Runs until the queue's other end is dropped and everything in it is done.
    pub(super) fn spawn(
        mut self,
        mut queue: mpsc::Receiver<Box<dyn Job>>,
    ) -> std::io::Result<thread::JoinHandle<()>> {
        thread::Builder::new().name("store-writer".into()).spawn(move || {
            while let Some(first) = queue.blocking_recv() {
                let jobs = self.gather(first, &mut queue);
                self.run(jobs);
            }
            if let Err((_, error)) = self.connection.close() {
                tracing::warn!(%error, "the store was not closed cleanly; nothing is lost");
            }
        })
    }

    /// What waits already, up to the bounds of one transaction; the rest waits for the next one.
    fn gather(&self, first: Box<dyn Job>, queue: &mut mpsc::Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        let Weight { mut rows, mut bytes } = first.weight();
        let mut jobs = vec![first];
        while rows < self.options.batch_rows
            && bytes < self.options.batch_bytes
            && let Ok(job) = queue.try_recv()
        {
            let weight = job.weight();
            rows += weight.rows;
            bytes += weight.bytes;
            jobs.push(job);
        }
        metrics::histogram!("phalanx_store_batch_rows").record(rows as f64);
        jobs
    }

    /// One transaction. Nobody is answered, and nothing is seen in memory, before it is durable.
    fn run(&mut self, jobs: Vec<Box<dyn Job>>) {
        let started = Instant::now();
        let mut written = match self.write(jobs) {
            Ok(written) => written,
            Err((jobs, error)) => return self.abandon(jobs, &error),
        };
        self.memory.trim();
        metrics::histogram!("phalanx_store_transaction_seconds").record(started.elapsed().as_secs_f64());
        {
            let mut live = self.live.write();
            written.iter_mut().for_each(|job| job.settle(&mut live));
        }
        written.into_iter().for_each(|job| job.answer());
    }

    /// The whole transaction failed: everybody in it is refused, and the thread goes on.
    fn abandon(&mut self, jobs: Vec<Box<dyn Job>>, error: &rusqlite::Error) {
        metrics::counter!("phalanx_store_failed_transactions_total").increment(1);
        tracing::error!(%error, calls = jobs.len(), "a transaction of the store failed, nothing of it was acknowledged");
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "the failed transaction could not be rolled back");
        }
        self.memory.forget();
        self.sweep.forget();
        for job in jobs {
            job.refuse(passing(error));
        }
    }

    /// Answers the jobs that were written and committed; those that failed alone have been refused.
    #[allow(clippy::type_complexity, reason = "the jobs and why they all failed")]
    fn write(
        &mut self,
        jobs: Vec<Box<dyn Job>>,
    ) -> Result<Vec<Box<dyn Job>>, (Vec<Box<dyn Job>>, rusqlite::Error)> {
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            return Err((jobs, error));
        }
        let now = (self.options.clock)().max(self.latest_birth);
        self.wanted = self.live.read().wanted;
        let mut cids = 0;
        let mut written = Vec::with_capacity(jobs.len());
        let mut queue = jobs.into_iter();
        while let Some(mut job) = queue.next() {
            match self.write_one(job.as_mut(), now, &mut cids) {
                Ok(Ok(())) => written.push(job),
                Ok(Err(error)) => {
                    metrics::counter!("phalanx_store_failed_calls_total").increment(1);
                    tracing::error!(%error, "a call to the store failed");
                    job.refuse(failed(error));
                }
                Err(error) => {
                    written.push(job);
                    written.extend(queue);
                    return Err((written, error));
                }
            }
        }
        match self.finish(now, cids) {
            Ok(()) => Ok(written),
            Err(error) => Err((written, error)),
        }
    }

    /// One job under its own savepoint: if it fails, nothing of it stays, and the others do. The outer error is the whole
    /// transaction's.
    fn write_one(
        &mut self,
        job: &mut dyn Job,
        now: i64,
        cids: &mut usize,
    ) -> rusqlite::Result<rusqlite::Result<()>> {
        self.execute("SAVEPOINT job")?;
        let mut unit = Unit {
            connection: &self.connection,
            memory: &mut self.memory,
            live: &self.live,
            now,
            cids: 0,
            births: false,
            wanted: self.wanted,
        };
        match job.write(&mut unit) {
            Ok(()) => {
                *cids += unit.cids;
                if unit.births {
                    self.latest_birth = now;
                }
                self.execute("RELEASE job")?;
                self.memory.keep();
                Ok(Ok(()))
            }
            // SQLite itself has rolled everything back: what was written before is gone with it.
            Err(error) if self.connection.is_autocommit() => Err(error),
            Err(error) => {
                self.execute("ROLLBACK TO job")?;
                self.execute("RELEASE job")?;
                self.memory.take_back();
                Ok(Err(error))
            }
        }
    }

    fn finish(&mut self, now: i64, cids: usize) -> rusqlite::Result<()> {
        self.memory.flush(&self.connection)?;
        self.sweep.step(&self.connection, now, cids)?;
        let given = self.live.read().version();
        let reserved =
            if given + VERSIONS_AHEAD / 2 > self.reserved { self.reserve(given)? } else { self.reserved };
        let started = Instant::now();
        self.execute("COMMIT")?;
        metrics::histogram!("phalanx_store_commit_seconds").record(started.elapsed().as_secs_f64());
        self.reserved = reserved;
        Ok(())
    }

    fn reserve(&self, given: u64) -> rusqlite::Result<u64> {
        let reserved = given + VERSIONS_AHEAD;
        self.connection.execute("UPDATE version SET reserved = ?1", [signed(reserved)])?;
        Ok(reserved)
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}
