//! What SQLite's store does as time goes by, and when it goes back.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use rusqlite::Connection;
use store::{
    Connect, DeviceKey, DeviceLimits, Devices as _, SqliteOptions, SqliteStore,
    conformance::support::{append, append_all, to_user, with_cid},
};
use tempfile::TempDir;
use wire::{Incarnation, NodeRef};

const HOUR_MS: i64 = 3_600_000;

fn directory() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

/// SQLite itself lets another connection in: the tests' own.
fn behind(dir: &Path) -> Connection {
    Connection::open(dir.join("store.sqlite")).expect("the file opens")
}

/// A store whose clock the test sets.
fn with_clock(dir: &TempDir, at: i64) -> (SqliteStore, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(at));
    let clock = now.clone();
    let clock = Arc::new(move || clock.load(Ordering::SeqCst));
    let options = SqliteOptions { clock, ..SqliteOptions::default() };
    (SqliteStore::open(dir.path(), options).expect("it opens"), now)
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_message_older_than_a_device() {
    let dir = directory();
    let connect = async |store: &SqliteStore, device: &str| {
        let key = DeviceKey { user: "b".parse().expect("a name"), device: device.parse().expect("a name") };
        let node = NodeRef { id: "spear-1".into(), incarnation: Incarnation(1) };
        store
            .connect(vec![Connect { key, node, limits: DeviceLimits::default() }])
            .await
            .expect("connected")
            .remove(0)
    };
    let (store, now) = with_clock(&dir, 2 * HOUR_MS);
    connect(&store, "first").await;
    let further = connect(&store, "further").await;
    assert_eq!(further.born_at, 2 * HOUR_MS);
    now.store(HOUR_MS, Ordering::SeqCst);
    assert!(append(&store, to_user("a", "b")).await.message.sent_at >= further.born_at);
    drop(store);
    let (store, _now) = with_clock(&dir, HOUR_MS);
    assert!(append(&store, to_user("c", "b")).await.message.sent_at >= further.born_at);
}

#[tokio::test]
async fn a_cid_may_be_used_again_after_a_day() {
    let dir = directory();
    let (store, now) = with_clock(&dir, HOUR_MS);
    let send = || with_cid("c", to_user("a", "b"));
    assert_eq!(append(&store, send()).await.message.seq, 1);
    now.store(HOUR_MS + 24 * HOUR_MS - 1, Ordering::SeqCst);
    assert!(append(&store, send()).await.duplicate);
    now.store(HOUR_MS + 24 * HOUR_MS, Ordering::SeqCst);
    let again = append(&store, send()).await;
    assert_eq!((again.message.seq, again.duplicate), (2, false));
    let once_more = append(&store, send()).await;
    assert_eq!((once_more.message.seq, once_more.duplicate), (2, true), "its day begins anew");
}

#[tokio::test]
async fn old_cids_are_removed_while_new_ones_come() {
    let dir = directory();
    let (store, now) = with_clock(&dir, HOUR_MS);
    let send = |day: i64, n: i64| with_cid(&format!("{day}-{n}"), to_user("a", &format!("u{}", n % 7)));
    for day in 0..6 {
        now.store((25 * day + 1) * HOUR_MS, Ordering::SeqCst);
        for start in (0..1_000).step_by(50) {
            append_all(&store, (start..start + 50).map(|n| send(day, n)).collect()).await;
        }
        let held: i64 = behind(dir.path())
            .query_row("SELECT count(*) FROM cid", [], |row| row.get(0))
            .expect("the table is there");
        assert!((1_000..=2_000).contains(&held), "day {day}: {held}");
        let kept = append(&store, send(day, 3)).await;
        assert!(kept.duplicate, "the day's own are kept");
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_take_sent_at_along() {
    let dir = directory();
    let (store, now) = with_clock(&dir, 5_000);
    append(&store, to_user("a", "b")).await;
    now.store(1_000, Ordering::SeqCst);
    assert_eq!(append(&store, to_user("a", "b")).await.message.sent_at, 5_000);
    assert_eq!(append(&store, to_user("a", "c")).await.message.sent_at, 1_000);
    drop(store);
    let (store, _) = with_clock(&dir, 2_000);
    assert_eq!(append(&store, to_user("a", "b")).await.message.sent_at, 5_000);
}
