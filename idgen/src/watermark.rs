//! The persistent record that fences one active node from the next.

use std::{future::Future, sync::Arc, time::Duration};

use roster::{Roster, RosterError, Version};
use serde::{Deserialize, Serialize};
use snowflake::{Clock, layout};
use tokio::time;
use wire::{Incarnation, NodeRef};

use crate::settings::Bounds;

/// Where it is kept (CONTRACT §7).
pub(crate) const PATH: &str = "/idgen/watermark";

/// The version of [`Record`]; a greater one was written by a newer build.
const RECORD_VERSION: u32 = 1;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// No id at or above this time has been served yet; milliseconds since the Unix epoch.
    reserved_until_at: i64,
    /// Who wrote it.
    holder: Arc<str>,
    incarnation: Incarnation,
    /// How long after this write somebody may still believe to be the active one.
    lease_ms: u64,
    /// The holder has stopped serving: nobody need wait.
    released: bool,
}

/// Why the watermark cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatermarkError {
    /// Somebody else has written it: another node is the active one.
    #[error("another node has written {PATH}: it is the active one now")]
    Taken,
    /// It was there, and is gone: served ids may lie ahead of the clock.
    #[error(
        "{PATH} was deleted while idgen ran: put it back with reserved_until_at at or above {last_at}, or stop all \
         idgen nodes, make sure that the clocks show at least that time, and start them again"
    )]
    Deleted { last_at: i64 },
    /// A clock was once wrong by decades, or it is time for another layout.
    #[error(
        "{PATH} says that ids are served up to {at} (milliseconds since 1970), within 5 years of the end of their 41 bits in 2093: if a \
         clock was wrong, stop all idgen nodes and write a reserved_until_at there that is above the ids in use"
    )]
    Spent { at: i64 },
    /// It holds something else.
    #[error("{PATH} cannot be understood: {0}")]
    Unreadable(String),
    /// The roster did not do it; it may work later.
    #[error(transparent)]
    Roster(#[from] RosterError),
}

/// The record as this process knows it, over all its terms.
pub(crate) struct Watermark {
    roster: Arc<dyn Roster>,
    node: NodeRef,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    /// What it said when this process last saw it.
    last_at: Option<i64>,
    /// The version that this process has read last, and when on the boot clock it read it for the first time.
    seen: Option<(Version, u64)>,
    /// [`Claim::free_boot_ms`] of the last claim, or of one whose answer never came.
    free_boot_ms: u64,
}

/// The watermark is this node's until somebody else writes it. Times in milliseconds since the ids' epoch.
#[derive(Debug)]
pub(crate) struct Claim {
    version: Version,
    /// Where this term's ids begin: below, the predecessors may have served any.
    pub(crate) floor_ms: u64,
    /// Ids below this may be served, once the predecessor's lease is over.
    pub(crate) until_ms: u64,
    /// How long the predecessor may still believe to be active when this is written; 0 where it has released.
    pub(crate) wait_ms: u64,
    /// When on the boot clock that is over.
    pub(crate) free_boot_ms: u64,
    /// Whose ids went before.
    pub(crate) predecessor: Option<NodeRef>,
}

impl Watermark {
    pub(crate) fn new(roster: Arc<dyn Roster>, node: NodeRef, bounds: Bounds, clock: Arc<dyn Clock>) -> Self {
        Self { roster, node, bounds, clock, last_at: None, seen: None, free_boot_ms: 0 }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Looks whether it is there and can be read; answers how far it reserves (milliseconds since the Unix epoch).
    pub(crate) async fn look(&mut self) -> Result<Option<i64>, WatermarkError> {
        Ok(self.read().await?.map(|(record, _)| record.reserved_until_at))
    }

    /// Makes it this node's: from then on every write of the predecessor fails.
    ///
    /// The predecessor's last write was sent before this node saw it for the first time, so its lease is over when its length has
    /// passed since then: a backup that has looked for a while need not wait.
    pub(crate) async fn claim(&mut self) -> Result<Claim, WatermarkError> {
        let now_ms = layout::followed_ms(self.clock.wall_ms());
        let Some((old, version)) = self.read().await? else {
            let until_ms = now_ms + self.bounds.reserve_ms;
            let record = self.record(until_ms, self.bounds.lease_ms, false);
            let version = self.put(&record, None).await?;
            return Ok(Claim {
                version,
                floor_ms: now_ms,
                until_ms,
                wait_ms: 0,
                free_boot_ms: 0,
                predecessor: None,
            });
        };
        let floor_ms = layout::since_epoch(old.reserved_until_at);
        layout::check_floor(floor_ms).map_err(|_| WatermarkError::Spent { at: old.reserved_until_at })?;
        let until_ms = floor_ms.max(now_ms) + self.bounds.reserve_ms;
        let free_boot_ms = if old.released {
            0
        } else if old.holder == self.node.id && old.incarnation == self.node.incarnation {
            // An earlier term of this very process has ended; it may have been waiting for somebody.
            self.free_boot_ms
        } else {
            self.seen.map_or_else(|| self.clock.boot_ms(), |(_, at_boot_ms)| at_boot_ms) + old.lease_ms
        };
        self.free_boot_ms = free_boot_ms;
        let wait_ms = free_boot_ms.saturating_sub(self.clock.boot_ms());
        // Who takes over while this one still waits must wait for both.
        let record = self.record(until_ms, self.bounds.lease_ms.max(wait_ms), false);
        let version = self.put(&record, Some(version)).await?;
        let predecessor = Some(NodeRef { id: old.holder, incarnation: old.incarnation });
        Ok(Claim { version, floor_ms, until_ms, wait_ms, free_boot_ms, predecessor })
    }

    /// Reserves up to `until_ms`, and shows that nobody else has claimed.
    pub(crate) async fn renew(&mut self, claim: &mut Claim, until_ms: u64) -> Result<(), WatermarkError> {
        let record = self.record(until_ms, self.bounds.lease_ms, false);
        claim.version = self.put(&record, Some(claim.version)).await?;
        claim.until_ms = until_ms;
        Ok(())
    }

    /// Says that this node has stopped and has served nothing at or above `untouched_ms`.
    pub(crate) async fn release(&mut self, claim: Claim, untouched_ms: u64) -> Result<(), WatermarkError> {
        let record = self.record(untouched_ms, self.bounds.lease_ms, true);
        self.put(&record, Some(claim.version)).await.map(|_| ())
    }

    fn record(&self, until_ms: u64, lease_ms: u64, released: bool) -> Record {
        Record {
            version: RECORD_VERSION,
            reserved_until_at: layout::to_unix(until_ms),
            holder: self.node.id.clone(),
            incarnation: self.node.incarnation,
            lease_ms,
            released,
        }
    }

    async fn read(&mut self) -> Result<Option<(Record, Version)>, WatermarkError> {
        let Some((data, version)) = bounded(self.bounds, self.roster.read(PATH)).await? else {
            return match self.last_at {
                Some(last_at) => Err(WatermarkError::Deleted { last_at }),
                None => Ok(None),
            };
        };
        let record: Record =
            serde_json::from_slice(&data).map_err(|error| WatermarkError::Unreadable(error.to_string()))?;
        if record.version > RECORD_VERSION {
            return Err(WatermarkError::Unreadable(format!(
                "a newer build wrote it (version {}, this build knows {RECORD_VERSION}): start that build",
                record.version
            )));
        }
        self.last_at = Some(record.reserved_until_at);
        if self.seen.is_none_or(|(seen, _)| seen != version) {
            self.seen = Some((version, self.clock.boot_ms()));
        }
        Ok(Some((record, version)))
    }

    async fn put(&mut self, record: &Record, expected: Option<Version>) -> Result<Version, WatermarkError> {
        let data =
            serde_json::to_vec(record).map_err(|error| WatermarkError::Unreadable(error.to_string()))?;
        let put = match expected {
            Some(version) => bounded(self.bounds, self.roster.write(PATH, &data, version)).await,
            None => bounded(self.bounds, self.roster.create(PATH, &data)).await,
        };
        match put {
            Ok(version) => {
                self.last_at = Some(record.reserved_until_at);
                Ok(version)
            }
            // Either somebody wrote it, or it is gone: reading tells.
            Err(RosterError::Conflict { .. } | RosterError::Exists(_)) => {
                self.read().await?;
                Err(WatermarkError::Taken)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// No operation may hang longer than a lease: it would have lapsed anyway.
async fn bounded<T>(
    bounds: Bounds,
    operation: impl Future<Output = Result<T, RosterError>>,
) -> Result<T, RosterError> {
    time::timeout(Duration::from_millis(bounds.lease_ms), operation).await.unwrap_or_else(|_| {
        Err(RosterError::Unavailable(format!("no answer about {PATH} within {} ms", bounds.lease_ms)))
    })
}

#[cfg(test)]
mod tests {
    use roster::EmbeddedRoster;
    use snowflake::{Clock, Generator, ManualClock, layout::EPOCH_AT};

    use super::*;
    use crate::{counters::Counters, cutter::Refusal, dispenser::Dispenser, lease::Lease};

    const BOUNDS: Bounds = Bounds { worker: 0, reserve_ms: 3_000, lease_ms: 1_000 };

    struct Fixture {
        _directory: tempfile::TempDir,
        roster: EmbeddedRoster,
        clock: Arc<ManualClock>,
    }

    impl Fixture {
        async fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let roster = EmbeddedRoster::open(directory.path()).await.expect("a roster");
            Self { _directory: directory, roster, clock: Arc::new(ManualClock::at(EPOCH_AT + 1_000_000_000)) }
        }

        fn watermark(&self, id: &str) -> Watermark {
            let node = NodeRef { id: id.into(), incarnation: Incarnation(1) };
            Watermark::new(Arc::new(self.roster.clone()), node, BOUNDS, self.clock.clone())
        }

        fn open(&self, claim: &Claim) -> Dispenser {
            let dispenser = Dispenser::new(self.clock.clone(), Counters::new(Vec::new()));
            let lease = Lease::granted(BOUNDS.lease_ms, self.clock.boot_ms());
            dispenser.open(Generator::new(0, claim.floor_ms), claim.until_ms, lease);
            dispenser
        }
    }

    #[tokio::test]
    async fn a_frozen_active_node_repeats_nothing() {
        let fixture = Fixture::new().await;
        let (mut first, mut second) = (fixture.watermark("idgen-1"), fixture.watermark("idgen-2"));

        let mut frozen_claim = first.claim().await.expect("the first");
        assert_eq!(frozen_claim.wait_ms, 0, "nobody went before");
        let frozen = fixture.open(&frozen_claim);
        let before = frozen.cut(65_536).expect("active").pop().expect("a run");

        // Given that the first is frozen (it renews nothing), the second takes over and waits its lease out.
        let claim = second.claim().await.expect("elected");
        assert_eq!(claim.wait_ms, BOUNDS.lease_ms);
        fixture.clock.pass(claim.wait_ms);
        let active = fixture.open(&claim);
        let after = active.cut(1).expect("active")[0].first;
        assert!(after >= before.first + u64::from(before.count));

        // When the first wakes, its lease is over, and it can write nothing.
        assert_eq!(frozen.cut(1), Err(Refusal::Lapsed));
        let until = frozen_claim.until_ms + 1_000;
        assert!(matches!(first.renew(&mut frozen_claim, until).await, Err(WatermarkError::Taken)));

        // Even where it froze between the check of its lease and the cut, what it can cut lies below the watermark.
        let all = u32::try_from((frozen_claim.until_ms - frozen_claim.floor_ms) * 4_096).expect("3 s of ids")
            - 65_536;
        let mut unchecked = Generator::new(0, frozen_claim.floor_ms + 16);
        let last =
            unchecked.cut(all, 0, frozen_claim.until_ms).expect("all that is reserved").pop().expect("a run");
        assert!(last.first + u64::from(last.count) <= after, "{last:?} must stay below {after}");
    }

    #[tokio::test]
    async fn a_clean_release_needs_no_wait_and_gives_time_back() {
        let fixture = Fixture::new().await;
        let (mut first, mut second) = (fixture.watermark("idgen-1"), fixture.watermark("idgen-2"));
        let claim = first.claim().await.expect("the first");
        let dispenser = fixture.open(&claim);
        dispenser.cut(1).expect("active");
        let untouched = dispenser.close("it stops").expect("it was open");
        first.release(claim, untouched).await.expect("released");

        let claim = second.claim().await.expect("elected");
        assert_eq!((claim.wait_ms, claim.floor_ms), (0, untouched));
        assert_eq!(untouched, layout::since_epoch(fixture.clock.wall_ms()) + 1);
    }

    #[tokio::test]
    async fn a_backup_that_saw_the_last_write_waits_only_for_what_is_left() {
        let fixture = Fixture::new().await;
        let (mut first, mut second) = (fixture.watermark("idgen-1"), fixture.watermark("idgen-2"));
        let mut claim = first.claim().await.expect("the first");
        second.look().await.expect("there");
        fixture.clock.pass(300);
        let until_ms = claim.until_ms;
        first.renew(&mut claim, until_ms).await.expect("its own");
        let lease = Lease::granted(BOUNDS.lease_ms, fixture.clock.boot_ms());
        fixture.clock.pass(100);
        for _ in 0..3 {
            // Only the first look at a version counts.
            second.look().await.expect("there");
            fixture.clock.pass(200);
        }
        let claim = second.claim().await.expect("elected");
        assert_eq!(claim.wait_ms, BOUNDS.lease_ms - 600);
        assert!(!lease.holds(claim.free_boot_ms), "the predecessor's lease is over by then");
        fixture.clock.pass(1_000);
        assert_eq!(fixture.watermark("idgen-3").claim().await.expect("elected").wait_ms, BOUNDS.lease_ms);
    }

    #[tokio::test]
    async fn nobody_waits_for_its_own_last_term_but_for_those_before() {
        let fixture = Fixture::new().await;
        fixture.watermark("idgen-1").claim().await.expect("the first");
        let mut second = fixture.watermark("idgen-2");
        assert_eq!(second.claim().await.expect("elected").wait_ms, BOUNDS.lease_ms);
        fixture.clock.pass(400);
        let again = second.claim().await.expect("elected again");
        assert_eq!(again.wait_ms, BOUNDS.lease_ms - 400, "it has not waited for the first yet");
        fixture.clock.pass(600);
        let again = second.claim().await.expect("elected again");
        assert_eq!(again.wait_ms, 0);
    }

    #[tokio::test]
    async fn who_takes_over_from_one_that_waits_waits_for_both() {
        let fixture = Fixture::new().await;
        let mut patient = fixture.watermark("idgen-1");
        patient.bounds.lease_ms = 2_500;
        patient.claim().await.expect("the first");
        fixture.watermark("idgen-2").claim().await.expect("elected");
        let third = fixture.watermark("idgen-3").claim().await.expect("elected");
        assert_eq!(third.wait_ms, 2_500);
    }

    #[tokio::test]
    async fn a_clock_set_back_between_two_terms_does_not_repeat_ids() {
        let fixture = Fixture::new().await;
        let claim = fixture.watermark("idgen-1").claim().await.expect("the first");
        fixture.clock.step(-3_600_000);
        let next = fixture.watermark("idgen-2").claim().await.expect("elected");
        assert_eq!((next.floor_ms, next.until_ms), (claim.until_ms, claim.until_ms + BOUNDS.reserve_ms));
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_understood_is_not_replaced() {
        let fixture = Fixture::new().await;
        fixture.roster.create(PATH, b"{\"version\": 2}").await.expect("created");
        let refused = fixture.watermark("idgen-1").claim().await.expect_err("unreadable");
        assert!(matches!(refused, WatermarkError::Unreadable(_)), "{refused}");
    }
}
