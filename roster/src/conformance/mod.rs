//! What every implementation must do. [`conformance!`](crate::conformance!) makes a test of each case.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Fixture`], the list of cases, helpers |
//! | `members.rs` | registration and the snapshot |
//! | `elections.rs` | at most one leader |
//! | `records.rs` | persistent nodes |
//!
//! A case panics where the implementation is wrong. It waits for what must come, up to 20 seconds, so it is quick where the
//! implementation is.

pub mod elections;
pub mod members;
pub mod records;

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;
use wire::{Incarnation, NodeRecord, NodeState, Role};

use crate::{Roster, Snapshot};

/// How long a case waits for what must come.
const BUDGET: Duration = Duration::from_secs(20);

/// One empty cluster, made anew for each case.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A roster as one more process of the cluster would have it, with a session of its own where there are sessions.
    async fn connect(&self) -> Arc<dyn Roster>;

    /// Ends everything that does not outlive a stop of the whole cluster. Called when the case holds nothing that
    /// [`Fixture::connect`] gave.
    async fn restart(&mut self);
}

/// Makes a test of each case of the suite: `roster::conformance!(my_fixture())`, where `my_fixture` is an async function
/// that gives an empty [`Fixture`]. The caller needs tokio with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! conformance {
    ($fixture:expr) => {
        $crate::conformance! { $fixture;
            members::a_registered_node_is_seen_until_it_leaves,
            members::dropping_a_registration_leaves,
            members::a_newer_start_takes_the_place,
            members::an_older_start_is_refused,
            members::a_node_that_left_may_come_back,
            members::a_change_of_state_is_seen,
            members::two_roles_may_have_the_same_id,
            members::everybody_sees_the_same,
            members::a_slow_watcher_sees_the_last_state,
            members::an_id_that_is_no_path_is_refused,
            elections::many_candidates_and_at_most_one_leader,
            elections::a_leader_stays_until_it_is_dropped,
            elections::resigning_passes_it_on,
            elections::who_gives_up_is_passed_over,
            elections::elections_do_not_mix,
            elections::a_name_that_is_no_path_is_refused,
            records::what_was_written_is_read,
            records::a_node_is_created_once,
            records::a_write_needs_the_version_that_was_read,
            records::parents_come_without_content,
            records::contents_of_every_size_up_to_the_limit,
            records::a_path_that_is_none_is_refused,
            records::fifty_increments_at_once_lose_nothing,
            records::one_of_many_creates_wins,
            records::records_outlive_a_restart,
        }
    };
    ($fixture:expr; $($file:ident :: $case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::conformance::$file::$case($fixture.await).await;
            }
        )*
    };
}

/// What a node of this role and id registers.
fn record(role: Role, id: &str, incarnation: u64) -> NodeRecord {
    NodeRecord {
        id: id.into(),
        role,
        incarnation: Incarnation(incarnation),
        host: "127.0.0.1".into(),
        port: 30_001,
        public_url: "http://127.0.0.1:30001".into(),
        admin_url: "http://127.0.0.1:30002".into(),
        weight: 1,
        state: NodeState::Up,
        version: "0.1.0".into(),
        started_at: 1_732_150_000_000,
    }
}

/// Waits for `what`, and panics when it does not come.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(BUDGET, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: did not come within {BUDGET:?}"),
    }
}

/// Waits until the snapshot is as it should be.
async fn seen(
    watcher: &mut watch::Receiver<Arc<Snapshot>>,
    what: &str,
    right: impl Fn(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    let found = within(what, watcher.wait_for(|snapshot| right(snapshot))).await;
    found.expect("the roster is held by the case").clone()
}

/// Waits until everything that was registered before has had the time to be seen by `watchers`: a node that is registered
/// now is seen by all of them.
async fn settle(roster: &Arc<dyn Roster>, watchers: &mut [watch::Receiver<Arc<Snapshot>>]) {
    let marker =
        roster.register(record(Role::MinionsUi, "marker", 1)).await.expect("nobody else is called so");
    for watcher in watchers {
        seen(watcher, "the marker", |snapshot| snapshot.get(Role::MinionsUi, "marker").is_some()).await;
    }
    marker.leave().await;
}
