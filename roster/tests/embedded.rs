//! The embedded roster: the suite, and what only it can do.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use roster::{EmbeddedRoster, Health, Roster, RosterError, Version, conformance::Fixture};
use tempfile::TempDir;
use wire::{Incarnation, NodeRecord, NodeState, Role};

const BUDGET: Duration = Duration::from_secs(20);

struct Embedded {
    directory: TempDir,
    roster: Option<EmbeddedRoster>,
}

impl Embedded {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let roster = EmbeddedRoster::open(directory.path()).await.expect("an empty directory");
        Self { directory, roster: Some(roster) }
    }

    fn roster(&self) -> EmbeddedRoster {
        self.roster.clone().expect("it is open between restarts")
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("roster.db")
    }
}

#[async_trait]
impl Fixture for Embedded {
    async fn connect(&self) -> Arc<dyn Roster> {
        Arc::new(self.roster())
    }

    async fn restart(&mut self) {
        drop(self.roster.take());
        self.roster =
            Some(EmbeddedRoster::open(self.directory.path()).await.expect("nobody else has it open"));
    }
}

roster::conformance!(Embedded::new());

fn idgen(id: &str) -> NodeRecord {
    NodeRecord {
        id: id.into(),
        role: Role::Idgen,
        incarnation: Incarnation(1),
        host: "127.0.0.1".into(),
        port: 50_001,
        public_url: String::new(),
        admin_url: String::new(),
        weight: 1,
        state: NodeState::Up,
        version: "0.1.0".into(),
        started_at: 0,
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BUDGET, future).await.expect("it comes in time")
}

#[tokio::test]
async fn candidates_win_in_the_order_in_which_they_came() {
    let embedded = Embedded::new().await;
    let roster = embedded.roster();
    let mut leader = within(roster.elect("e", "n0")).await.expect("nobody else");
    let mut waiting = Vec::new();
    for number in 1..=5 {
        let name = format!("n{number}");
        let contender = roster.clone();
        let mut candidate = Box::pin(async move { contender.elect("e", &name).await });
        assert!(tokio::time::timeout(Duration::ZERO, &mut candidate).await.is_err(), "two leaders");
        waiting.push(candidate);
    }
    for next in waiting {
        drop(leader);
        leader = within(next).await.expect("it is first in the queue");
    }
}

#[tokio::test]
async fn an_expired_node_loses_its_leadership_and_comes_back_by_itself() {
    let embedded = Embedded::new().await;
    let roster = embedded.roster();
    let registration = roster.register(idgen("idgen-1")).await.expect("an empty cluster");
    let mut watcher = roster.watch();
    watcher.mark_unchanged();
    let leader = within(roster.elect("e", "idgen-1")).await.expect("nobody else");
    let next = roster.elect("e", "idgen-2");
    roster.expire("idgen-1");
    assert!(leader.lost().is_cancelled());
    let next = within(next).await.expect("the first has expired");
    assert!(watcher.has_changed().expect("it is open"), "it was gone for a moment");
    assert!(watcher.borrow().holds(Role::Idgen, &idgen("idgen-1").node_ref()), "and is back");
    assert!(!registration.superseded().is_cancelled(), "a new session is no newer start");
    registration.set_state(NodeState::Draining).await.expect("its handle is as good as before");
    drop(leader);
    assert!(!next.lost().is_cancelled(), "dropping a lost leadership takes nothing from the next one");
    let mut again = roster.elect("e", "idgen-1");
    assert!(tokio::time::timeout(Duration::ZERO, &mut again).await.is_err(), "two leaders");
    drop(next);
    within(again).await.expect("it may take part again");
}

#[tokio::test]
async fn an_expired_candidate_goes_to_the_end_of_the_queue() {
    let embedded = Embedded::new().await;
    let roster = embedded.roster();
    let leader = within(roster.elect("e", "n0")).await.expect("nobody else");
    let mut first = roster.elect("e", "n1");
    assert!(tokio::time::timeout(Duration::ZERO, &mut first).await.is_err(), "two leaders");
    let mut second = roster.elect("e", "n2");
    assert!(tokio::time::timeout(Duration::ZERO, &mut second).await.is_err(), "two leaders");
    roster.expire("n1");
    drop(leader);
    let second = within(second).await.expect("it is first now");
    assert!(tokio::time::timeout(Duration::ZERO, &mut first).await.is_err(), "two leaders");
    drop(second);
    within(first).await.expect("it is still there");
}

#[tokio::test]
async fn a_frozen_leader_does_not_learn_that_another_leads() {
    let embedded = Embedded::new().await;
    let roster = embedded.roster();
    let frozen = within(roster.elect("e", "n1")).await.expect("nobody else");
    roster.expire_unnoticed("n1");
    let next = within(roster.elect("e", "n2")).await.expect("the first has expired");
    assert!(!frozen.lost().is_cancelled());
    drop(frozen);
    assert!(!next.lost().is_cancelled());
}

#[tokio::test]
async fn a_suspect_roster_leads_nobody_and_keeps_its_snapshot() {
    let embedded = Embedded::new().await;
    let roster = embedded.roster();
    let registration = roster.register(idgen("idgen-1")).await.expect("an empty cluster");
    roster.create("/w", b"1").await.expect("it is not there");
    let leader = within(roster.elect("e", "idgen-1")).await.expect("nobody else");
    let watcher = roster.watch();

    roster.suspect();
    assert!(matches!(*roster.health().borrow(), Health::Suspect { since_at } if since_at > 0));
    assert!(leader.lost().is_cancelled(), "leadership is in doubt");
    let mut again = roster.elect("e", "idgen-1");
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut again).await.is_err(), "nobody can win");
    let failures = [
        roster.read("/w").await.map(|_| ()),
        roster.create("/x", b"").await.map(|_| ()),
        roster.write("/w", b"2", Version(0)).await.map(|_| ()),
        roster.register(idgen("idgen-2")).await.map(|_| ()),
        registration.set_state(NodeState::Draining).await,
    ];
    for failure in failures {
        assert!(matches!(failure, Err(RosterError::Unavailable(_))), "{failure:?}");
    }
    registration.leave().await;
    assert_eq!(watcher.borrow().nodes().count(), 1, "the last good snapshot stays");

    roster.recover();
    assert_eq!(*roster.health().borrow(), Health::Good);
    assert_eq!(watcher.borrow().nodes().count(), 0, "what happened meanwhile is seen now");
    within(again).await.expect("elections go on");
    assert_eq!(roster.read("/w").await.expect("a read"), Some((b"1".to_vec(), Version(0))));
}

#[tokio::test]
async fn a_second_process_cannot_open_the_same_directory() {
    let embedded = Embedded::new().await;
    let refused = EmbeddedRoster::open(embedded.directory.path()).await.expect_err("it is open");
    assert!(refused.to_string().contains("another process has it open"), "{refused}");
}

#[tokio::test]
async fn a_newer_builds_file_is_refused() {
    let mut embedded = Embedded::new().await;
    drop(embedded.roster.take());
    let file = rusqlite::Connection::open(embedded.file()).expect("our own file");
    file.pragma_update(None, "user_version", 99).expect("a number");
    drop(file);
    let refused = EmbeddedRoster::open(embedded.directory.path()).await.expect_err("schema 99");
    assert!(refused.to_string().contains("a newer build wrote it (schema 99"), "{refused}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named() {
    let directory = tempfile::tempdir().expect("a directory for the test");
    std::fs::write(directory.path().join("roster.db"), [b'x'; 8192]).expect("a writable directory");
    let refused = EmbeddedRoster::open(directory.path()).await.expect_err("no database");
    assert!(refused.to_string().contains("roster.db"), "{refused}");
}
