//! How many connections the live spears hold, told to whoever subscribes: gRPC `Stat.Loads`.

use std::{collections::BTreeSet, pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt as _};
use parking_lot::Mutex;
use roster::Snapshot;
use store::Report;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use wire::{
    Role,
    proto::stat::{SpearLoad, SpearLoads},
};

/// The version of `SpearLoads` that is told.
const VERSION: u32 = 1;

/// The most subscribers at once: one a ticket node, with much room.
const SUBSCRIBERS_MAX: usize = 256;

/// What a subscriber is given.
pub(crate) type LoadStream = Pin<Box<dyn Stream<Item = Result<SpearLoads, Status>> + Send>>;

/// Tells subscribers what the spears reported. One that is slow gets the latest only. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Loads {
    sender: Arc<watch::Sender<SpearLoads>>,
    /// What was read last.
    known: Arc<Mutex<BTreeSet<Known>>>,
    stop: CancellationToken,
}

/// Which report it was: node, incarnation and the node's own time.
type Known = (String, u64, i64);

impl Loads {
    /// Nothing known yet. With `stop` all streams end.
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self { sender: Arc::new(watch::Sender::default()), known: Arc::default(), stop }
    }

    /// Tells what was just read, if it holds anything new: reports that repeat themselves may be old, and nobody is to take
    /// them for fresh.
    pub(crate) fn offer(&self, snapshot: &Snapshot, reports: &[Report], now: i64) {
        let live = || {
            reports.iter().filter(|report| {
                report.role == Role::Spear
                    && snapshot.incarnation(Role::Spear, &report.node) == Some(report.incarnation)
            })
        };
        let known: BTreeSet<Known> =
            live().map(|report| (report.node.clone(), report.incarnation.0, report.reported_at)).collect();
        let before = std::mem::replace(&mut *self.known.lock(), known.clone());
        if known.is_subset(&before) || self.sender.receiver_count() == 0 {
            return;
        }
        let spears = live().map(|report| SpearLoad {
            node: report.node.clone(),
            incarnation: report.incarnation.0,
            // What is no number is 0, what is negative too.
            connections: report.counters.get("connections").copied().unwrap_or_default() as u64,
        });
        self.sender.send_replace(SpearLoads { read_at: now, spears: spears.collect() });
    }

    /// What is told from now on.
    ///
    /// # Errors
    /// Another version is asked for, or there are too many subscribers already.
    pub(crate) fn subscribe(&self, version: u32) -> Result<LoadStream, Status> {
        if version != VERSION {
            return Err(Status::failed_precondition(format!(
                "version {version} of the loads is asked for; this stat knows {VERSION}: update the older of the two"
            )));
        }
        if self.sender.receiver_count() >= SUBSCRIBERS_MAX {
            return Err(Status::resource_exhausted(format!("{SUBSCRIBERS_MAX} subscribers are enough")));
        }
        let changes = WatchStream::from_changes(self.sender.subscribe());
        Ok(changes.map(Ok).take_until(self.stop.clone().cancelled_owned()).boxed())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{history::tests::report, nodes::tests::record};

    fn next(stream: &mut LoadStream) -> Option<Vec<(String, u64)>> {
        let told = stream.next().now_or_never()?.expect("it goes on").expect("no refusal");
        Some(told.spears.into_iter().map(|spear| (spear.node, spear.connections)).collect())
    }

    #[test]
    fn only_what_is_new_is_told_and_only_of_living_starts() {
        let loads = Loads::new(CancellationToken::new());
        let snapshot = Snapshot::new([record("a", 1), record("b", 2), record("silent", 1)]);
        let early =
            [report("a", 1, 10, &[("connections", 3.0)]), report("b", 1, 10, &[("connections", 9.0)])];
        loads.offer(&snapshot, &early, 1_000);
        let mut stream = loads.subscribe(1).expect("there is room");
        loads.offer(&snapshot, &early, 2_000);
        assert_eq!(next(&mut stream), None, "nothing has reported since");
        let late = [report("a", 1, 11, &[("connections", 4.0)]), report("b", 1, 11, &[("connections", 9.0)])];
        loads.offer(&snapshot, &late, 3_000);
        assert_eq!(next(&mut stream), Some(vec![("a".into(), 4)]), "b reported as an earlier start");
        let later = [report("a", 1, 11, &[("connections", 4.0)]), report("b", 2, 12, &[])];
        loads.offer(&snapshot, &later, 4_000);
        assert_eq!(next(&mut stream), Some(vec![("a".into(), 4), ("b".into(), 0)]));
        loads.offer(&Snapshot::new([record("a", 1)]), &later, 5_000);
        assert_eq!(next(&mut stream), None, "a node less is seen in the roster");
    }

    #[test]
    fn streams_end_with_the_node_and_are_bounded() {
        let stop = CancellationToken::new();
        let loads = Loads::new(stop.clone());
        assert!(loads.subscribe(2).is_err(), "another version");
        let mut streams: Vec<_> =
            (0..SUBSCRIBERS_MAX).map(|_| loads.subscribe(1).expect("there is room")).collect();
        assert!(loads.subscribe(1).is_err());
        drop(streams.pop());
        let mut last = loads.subscribe(1).expect("there is room again");
        stop.cancel();
        assert!(last.next().now_or_never().expect("it has ended").is_none());
    }
}
