//! What SQLite's store does when something is wrong: the directory, the file, the disk, one call.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use store::{
    Append, Messages as _, SqliteOptions, SqliteStore, StoreError,
    conformance::support::{
        append, append_all, assert_contiguous, body, direct, read_all, to_user, with_cid,
    },
};
use tempfile::TempDir;

fn directory() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

fn open(dir: &TempDir) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(dir.path(), SqliteOptions::default())
}

/// SQLite itself lets another connection in: the tests' own.
fn behind(dir: &Path) -> Connection {
    let connection = Connection::open(dir.join("store.sqlite")).expect("the file opens");
    connection.busy_timeout(std::time::Duration::from_secs(10)).expect("a time-out");
    connection
}

fn of_kind(kind: &str, append: Append) -> Append {
    Append { kind: kind.into(), ..append }
}

#[tokio::test]
async fn a_directory_is_opened_once_at_a_time() {
    let dir = directory();
    let first = open(&dir).expect("it is free");
    let Err(StoreError::Locked(place)) = open(&dir) else { panic!("it is not free") };
    assert_eq!(place, dir.path().display().to_string());
    append(&first, to_user("a", "b")).await;
    drop(first);
    open(&dir).expect("it is free again");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let dir = directory();
    drop(open(&dir).expect("it opens"));
    let current: i64 = behind(dir.path())
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .expect("it can be read");
    behind(dir.path()).pragma_update(None, "user_version", 99).expect("it can be written");
    let Err(error) = open(&dir) else { panic!("it is too new") };
    let newest =
        matches!(error, StoreError::Schema { found: 99, known, .. } if known == current.unsigned_abs());
    assert!(newest, "{error}");
    behind(dir.path()).pragma_update(None, "user_version", current).expect("it can be written");
    append(&open(&dir).expect("nothing was changed"), to_user("a", "b")).await;
}

#[test]
fn what_is_no_store_is_refused() {
    let dir = directory();
    std::fs::write(dir.path().join("store.sqlite"), "certainly not a database ".repeat(99)).expect("a file");
    assert!(matches!(open(&dir), Err(StoreError::Corrupt(_))));
    let file = directory();
    std::fs::write(file.path().join("x"), "").expect("a file");
    let refused = SqliteStore::open(&file.path().join("x"), SqliteOptions::default());
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_full_disk_refuses_whole_calls_and_works_again_when_there_is_room() {
    let dir = directory();
    drop(open(&dir).expect("it opens"));
    let filler = "CREATE TABLE filler (it BLOB); INSERT INTO filler VALUES (zeroblob(400000));";
    behind(dir.path()).execute_batch(filler).expect("there is room");
    let options = SqliteOptions { max_pages: Some(200), ..SqliteOptions::default() };
    let store = SqliteStore::open(dir.path(), options).expect("it opens");
    let big = body(&format!("\"{}\"", "x".repeat(1_000)));
    let batch = || -> Vec<Append> {
        (0..7).map(|_| Append { body: big.clone(), ..with_cid(&fresh_cid(), to_user("a", "b")) }).collect()
    };
    let mut acknowledged = 0;
    let refused = loop {
        let batch = batch();
        match store.append(batch.clone()).await {
            Ok(answers) => acknowledged += answers.len(),
            Err(error) => {
                assert!(matches!(error, StoreError::Full(_)), "{error}");
                break batch;
            }
        }
        assert!(acknowledged < 10_000, "it is never full");
    };
    assert!(acknowledged > 0);
    let stored = read_all(&store, &direct("a", "b")).await;
    assert_eq!(stored.len(), acknowledged, "nothing of a refused call is stored");
    assert_contiguous(&stored);

    behind(dir.path()).execute_batch("DROP TABLE filler").expect("it can be removed");
    let answers = append_all(&store, refused).await;
    assert!(answers.iter().all(|answer| !answer.duplicate), "no cid of a refused call is remembered");
    assert_eq!(answers[0].message.seq, acknowledged as u64 + 1);
    assert_contiguous(&read_all(&store, &direct("a", "b")).await);
}

fn fresh_cid() -> String {
    static LAST: AtomicI64 = AtomicI64::new(0);
    format!("cid-{}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// A clock at which the writer waits while it is shut, so that calls gather behind it.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
    waited: AtomicBool,
}

impl Gate {
    fn options(self: &Arc<Self>) -> SqliteOptions {
        let gate = self.clone();
        let clock = move || {
            let mut shut = gate.shut.lock();
            while *shut {
                gate.waited.store(true, Ordering::SeqCst);
                gate.opened.wait(&mut shut);
            }
            1_000
        };
        SqliteOptions { clock: Arc::new(clock), ..SqliteOptions::default() }
    }

    /// Has the writer wait, with one call that is not of interest.
    async fn shut(&self, store: &Arc<SqliteStore>) -> tokio::task::JoinHandle<()> {
        *self.shut.lock() = true;
        let store = store.clone();
        let blocker = tokio::spawn(async move {
            append(&*store, to_user("blocker", "blocker")).await;
        });
        while !self.waited.swap(false, Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        blocker
    }

    async fn open(&self) {
        *self.shut.lock() = false;
        self.opened.notify_all();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_fails_does_not_take_others_of_its_transaction() {
    let (dir, gate) = (directory(), Arc::new(Gate::default()));
    let store = Arc::new(SqliteStore::open(dir.path(), gate.options()).expect("it opens"));
    behind(dir.path())
        .execute_batch(
            "CREATE TRIGGER fault BEFORE INSERT ON message WHEN NEW.kind = 'fault'
             BEGIN SELECT RAISE(ABORT, 'a fault on purpose'); END",
        )
        .expect("a trigger");
    let blocker = gate.shut(&store).await;
    // The failing call has written a message, a cid and a new conversation before it fails.
    let failing = vec![
        with_cid("first", to_user("a", "b")),
        to_user("a", "new"),
        of_kind("fault", with_cid("second", to_user("a", "b"))),
    ];
    // Polled in this order, so that all three wait in the queue when the gate opens.
    let (before, failed, after, ()) = tokio::join!(
        store.append(vec![to_user("a", "b")]),
        store.append(failing.clone()),
        store.append(vec![to_user("a", "b"), to_user("new", "a")]),
        gate.open(),
    );
    blocker.await.expect("the blocker is answered");
    let seqs = |answers: Vec<Result<store::Appended, _>>| -> Vec<u64> {
        answers
            .into_iter()
            .map(|answer: Result<_, store::AppendRefusal>| answer.expect("taken").message.seq)
            .collect()
    };
    assert_eq!(seqs(before.expect("this call is fine")), [1]);
    assert!(matches!(failed, Err(StoreError::Unavailable(_))));
    assert_eq!(seqs(after.expect("this call is fine")), [2, 1]);
    assert_contiguous(&read_all(&*store, &direct("a", "b")).await);
    assert_eq!(read_all(&*store, &direct("a", "b")).await.len(), 2);
    assert_eq!(read_all(&*store, &direct("a", "new")).await.len(), 1);

    behind(dir.path()).execute_batch("DROP TRIGGER fault").expect("it can be removed");
    let answers = append_all(&*store, failing).await;
    assert!(answers.iter().all(|answer| !answer.duplicate), "nothing of the failed call is remembered");
    assert_eq!(answers.iter().map(|answer| answer.message.seq).collect::<Vec<_>>(), [3, 2, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_fails_acknowledges_nobody() {
    let (dir, gate) = (directory(), Arc::new(Gate::default()));
    let store = Arc::new(SqliteStore::open(dir.path(), gate.options()).expect("it opens"));
    append(&*store, to_user("a", "b")).await;
    // The check of a deferred reference comes with the commit: everything before it succeeds.
    behind(dir.path())
        .execute_batch(
            "CREATE TABLE late (it INTEGER REFERENCES conversation (id) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER fault AFTER INSERT ON message WHEN NEW.kind = 'fault'
             BEGIN INSERT INTO late VALUES (-1); END",
        )
        .expect("a trigger");
    let version = store.inbox_versions(vec![wire::User::new("b").expect("a name")]).await.expect("in memory");
    let blocker = gate.shut(&store).await;
    let (one, two, three, ()) = tokio::join!(
        store.append(vec![to_user("a", "b")]),
        store.append(vec![of_kind("fault", to_user("a", "b"))]),
        store.append(vec![to_user("c", "d")]),
        gate.open(),
    );
    blocker.await.expect("the blocker is answered");
    for answer in [one, two, three] {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    let now = store.inbox_versions(vec![wire::User::new("b").expect("a name")]).await.expect("in memory");
    assert_eq!(now, version, "nothing is seen in memory of what is not stored");
    assert_eq!(append(&*store, to_user("a", "b")).await.message.seq, 2);
    assert_eq!(append(&*store, to_user("c", "d")).await.message.seq, 1);
    assert_contiguous(&read_all(&*store, &direct("a", "b")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_disturbs_nobody() {
    let (dir, gate) = (directory(), Arc::new(Gate::default()));
    let store = Arc::new(SqliteStore::open(dir.path(), gate.options()).expect("it opens"));
    let blocker = gate.shut(&store).await;
    let gone = tokio::spawn({
        let store = store.clone();
        async move { store.append(vec![to_user("a", "b")]).await.map(drop) }
    });
    tokio::task::yield_now().await;
    gone.abort();
    let (kept, ()) = tokio::join!(store.append(vec![to_user("a", "b")]), gate.open());
    blocker.await.expect("the blocker is answered");
    kept.expect("this call is fine").remove(0).expect("taken");
    assert_contiguous(&read_all(&*store, &direct("a", "b")).await);
}
