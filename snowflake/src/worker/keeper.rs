//! Takes a number, renews it, gives it back.

use std::{future::Future, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use roster::{Health, Roster, RosterError, Version};
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use super::{
    Holder, WorkerLease,
    numbers::Numbers,
    record::{Record, path},
};

/// Between two renewals, or a quarter of what is reserved where that is less; up to a fifth is taken off, so that nodes
/// do not write in step.
const RENEW: Duration = Duration::from_secs(60);

/// How many numbers one try looks at: one read each. Until all were looked at, tries follow one another after the first pause.
const LOOKS: u16 = 64;

/// Between two tries, at first and at most, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long one operation may take.
const OPERATION: Duration = Duration::from_secs(5);

/// How long giving the number back may hold up a node that stops.
const RELEASE: Duration = Duration::from_secs(1);

/// How far clocks of two nodes may differ before one takes a number whose holder only seems gone, in milliseconds. No id is
/// repeated even then; the holder has to take another number.
const CLOCKS_DIFFER_MS: u64 = 10 * 60_000;

/// How far ahead of the clock a node takes up where its earlier start ended, in milliseconds. Two hours are usual after a
/// crash; a day means that a clock was wrong, so that number is left alone.
const AHEAD_MS: u64 = 24 * 3_600_000;

/// Keeps one [`WorkerLease`]: run it beside whoever cuts.
pub struct Keeper {
    roster: Arc<dyn Roster>,
    health: watch::Receiver<Health>,
    holder: Holder,
    lease: WorkerLease,
    pub(super) numbers: Numbers,
    held: Option<Held>,
    /// The number that a write was to take whose answer never came.
    unclear: Option<Unclear>,
    /// How many numbers in a row were taken by others.
    taken: u16,
    /// How many of this round were looked at; all of them are a round.
    looked: u16,
}

struct Held {
    number: u16,
    /// `None` after a write whose answer never came: it is to be read.
    version: Option<Version>,
}

struct Unclear {
    number: u16,
    record: Record,
    /// Where its ids would have begun.
    floor_ms: u64,
}

/// Why a try to take or renew a number failed. All of them are worth another one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Roster(#[from] RosterError),
    #[error(
        "all {0} worker numbers are taken by other nodes: /idgen/workers in ZooKeeper says by which; a number is free again ten \
         minutes after its until_at"
    )]
    AllTaken(u16),
    #[error("the {0} worker numbers that were looked at so far are taken by other nodes")]
    NoneFree(u16),
    #[error("worker number {0} was taken by another node")]
    Lost(u16),
}

impl Keeper {
    pub(super) fn new(roster: Arc<dyn Roster>, holder: Holder, lease: WorkerLease) -> Self {
        let numbers = Numbers::of(holder.role, &holder.node.id);
        let health = roster.health();
        Self { roster, health, holder, lease, numbers, held: None, unclear: None, taken: 0, looked: 0 }
    }

    /// Keeps a number until `stop`, then gives it back: nothing is cut afterwards.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep()).await;
        self.release().await;
    }

    async fn keep(&mut self) {
        let mut pauses = pauses().build();
        loop {
            // While the roster cannot be reached there is nothing to do. An error would say that the roster is gone.
            let _ = self.health.wait_for(|health| *health == Health::Good).await;
            let pause = match self.step().await {
                Ok(()) => {
                    pauses = self::pauses().build();
                    let quarter = Duration::from_millis(self.lease.ahead.hold_ms / 4);
                    RENEW.min(quarter).mul_f64(rand::random_range(0.8..=1.0))
                }
                Err(Trouble::NoneFree(_) | Trouble::AllTaken(_)) if self.looked < self.numbers.count() => {
                    FIRST_PAUSE
                }
                Err(trouble) => {
                    self.looked = 0;
                    let number = self.lease.number();
                    tracing::warn!(%trouble, number, "no worker number could be taken or renewed");
                    pauses.next().unwrap_or(LONGEST_PAUSE)
                }
            };
            time::sleep(pause).await;
        }
    }

    /// One try to take or to renew. An operation that is dropped leaves its result open, so what is believed of the record
    /// is given up before each write and set again after its answer.
    pub(super) async fn step(&mut self) -> Result<(), Trouble> {
        let done = match self.held.take() {
            Some(held) => self.renew(held).await,
            None => self.take().await,
        };
        if let Err(trouble) = &done
            && self.held.is_none()
        {
            self.lease.close(trouble.to_string());
        }
        done
    }

    async fn renew(&mut self, Held { number, version }: Held) -> Result<(), Trouble> {
        // Until the answer is there, the number is held and its record in doubt.
        self.held = Some(Held { number, version: None });
        let version = match version {
            Some(version) => Some(version),
            None => match self.read(number).await? {
                Some((Some(record), version)) if record.is_of(&self.holder) => Some(version),
                Some(_) => return Err(self.lost(number)),
                // Somebody deleted it. Whoever makes it first holds the number.
                None => None,
            },
        };
        let until_ms = self.lease.next_until_ms();
        match self.put(number, &Record::new(&self.holder, until_ms), version).await {
            Ok(version) => {
                self.held = Some(Held { number, version: Some(version) });
                self.lease.extend(until_ms);
                Ok(())
            }
            // A write of our own that came late, somebody else's, or it was deleted: the next try reads it.
            Err(error) => Err(error.into()),
        }
    }

    fn lost(&mut self, number: u16) -> Trouble {
        self.held = None;
        Trouble::Lost(number)
    }

    async fn take(&mut self) -> Result<(), Trouble> {
        for _ in 0..LOOKS {
            let number = self.unclear.as_ref().map_or_else(|| self.numbers.next(), |unclear| unclear.number);
            let found = self.read(number).await?;
            let Some((floor_ms, version)) = self.free(found) else {
                self.unclear = None;
                self.taken = self.taken.saturating_add(1);
                self.looked = self.looked.saturating_add(1);
                continue;
            };
            let until_ms = self.lease.ahead.until_ms(self.lease.now_ms(), floor_ms);
            let record = Record::new(&self.holder, until_ms);
            self.unclear = Some(Unclear { number, record: record.clone(), floor_ms });
            match self.put(number, &record, version).await {
                Ok(version) => {
                    self.unclear = None;
                    (self.taken, self.looked) = (0, 0);
                    self.held = Some(Held { number, version: Some(version) });
                    self.lease.open(number, floor_ms, until_ms);
                    tracing::info!(number, "holds a worker number, to cut ids of its own");
                    return Ok(());
                }
                Err(RosterError::Exists(_) | RosterError::Conflict { .. }) => {
                    self.unclear = None;
                    self.numbers.jump();
                }
                Err(error) => return Err(error.into()),
            }
        }
        let all = self.numbers.count();
        Err(if self.taken >= all { Trouble::AllTaken(all) } else { Trouble::NoneFree(self.taken) })
    }

    /// Whether a number may be taken: where its ids then begin, and which version of the record is replaced.
    fn free(&self, found: Option<(Option<Record>, Version)>) -> Option<(u64, Option<Version>)> {
        let now_ms = self.lease.now_ms();
        let Some((record, version)) = found else { return Some((now_ms, None)) };
        let record = record?;
        // It is what the unclear write was to write. Nothing was cut since, and only one write of this version succeeds.
        if let Some(unclear) = self.unclear.as_ref().filter(|unclear| unclear.record == record) {
            return Some((unclear.floor_ms, Some(version)));
        }
        let reserved_ms = record.until_ms();
        let follows = record.is_of_predecessor(&self.holder) && reserved_ms <= now_ms + AHEAD_MS;
        let abandoned = reserved_ms + CLOCKS_DIFFER_MS <= now_ms;
        (follows || abandoned).then(|| (reserved_ms.max(now_ms), Some(version)))
    }

    /// Gives the number back: a later start of this node takes up at once where this one ended.
    pub(super) async fn release(&mut self) {
        let untouched_ms = self.lease.close("this node stops");
        let (Some(untouched_ms), Some(held)) = (untouched_ms, self.held.take()) else { return };
        // Without a version, or without a roster, the record stays as it is: it is taken up from its end.
        let Some(version) = held.version else { return };
        let record = Record::new(&self.holder, untouched_ms);
        let written = time::timeout(RELEASE, self.put(held.number, &record, Some(version))).await;
        if !matches!(written, Ok(Ok(_))) {
            tracing::info!(
                number = held.number,
                "the worker number was not given back: it is free in some hours"
            );
        }
    }

    async fn read(&self, number: u16) -> Result<Option<(Option<Record>, Version)>, RosterError> {
        let path = path(number);
        let found = bounded(self.roster.read(&path)).await?;
        Ok(found.map(|(data, version)| (Record::read(&data), version)))
    }

    async fn put(
        &self,
        number: u16,
        record: &Record,
        expected: Option<Version>,
    ) -> Result<Version, RosterError> {
        let (path, data) = (path(number), record.bytes());
        match expected {
            Some(version) => bounded(self.roster.write(&path, &data, version)).await,
            None => bounded(self.roster.create(&path, &data)).await,
        }
    }
}

fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
}

async fn bounded<T>(operation: impl Future<Output = Result<T, RosterError>>) -> Result<T, RosterError> {
    time::timeout(OPERATION, operation).await.unwrap_or_else(|_| {
        Err(RosterError::Unavailable(format!("no answer about a worker number within {OPERATION:?}")))
    })
}
