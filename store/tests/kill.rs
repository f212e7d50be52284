//! Given a process that appends from many tasks at once, when it is killed in the middle, then everything that it had
//! acknowledged is there, nothing twice, and `seq` goes on without a hole.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use store::{
    Append, GroupRecord, Groups as _, Messages as _, SqliteOptions, SqliteStore,
    conformance::support::{
        append, append_all, assert_contiguous, direct, group, inbox, of_group, read_all, to_group, to_user,
        users, with_cid,
    },
};
use wire::{Conversation, MessageId};

/// Where the child writes. Its presence makes a run of this test the child.
const DIR: &str = "PHALANX_STORE_KILL_DIR";
/// Which round it is, so that ids of different rounds differ.
const ROUND: &str = "PHALANX_STORE_KILL_ROUND";
const TEST: &str = "a_killed_process_loses_nothing_that_it_acknowledged";
const ROUNDS: u64 = 5;
const TASKS: u64 = 24;

/// By conversation and `seq`: id and cid.
type Acknowledged = HashMap<(String, u64), (u64, String)>;

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    if let Some(dir) = std::env::var_os(DIR) {
        let round = std::env::var(ROUND).expect("the parent sets it").parse().expect("a number");
        runtime().block_on(append_until_killed(Path::new(&dir), round));
        return;
    }
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let mut acknowledged = Acknowledged::new();
    for round in 0..ROUNDS {
        let wanted = random.random_range(100..3_000);
        kill_after(wanted, dir.path(), round, &mut acknowledged);
        runtime().block_on(check(dir.path(), &acknowledged));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// This very test, as another process; everything it says is taken, also what came after the kill.
fn kill_after(wanted: usize, dir: &Path, round: u64, acknowledged: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().expect("the test's own file"))
        .args([TEST, "--exact", "--nocapture"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    let mut taken = 0;
    while lines.read_line(&mut line).expect("the pipe works") > 0 {
        // A line that was cut off says nothing.
        if let Some(fields) = line.strip_prefix("ack ").and_then(|rest| rest.strip_suffix('\n')) {
            let fields: Vec<&str> = fields.split(' ').collect();
            let [conversation, seq, id, cid] = fields[..] else { panic!("not an acknowledgement: {line:?}") };
            let place = (conversation.to_owned(), seq.parse().expect("a number"));
            let was = acknowledged.insert(place, (id.parse().expect("a number"), cid.to_owned()));
            assert_eq!(was, None, "this seq was given before: {line:?}");
            taken += 1;
            if taken == wanted {
                child.kill().expect("the child can be killed");
            }
        }
        line.clear();
    }
    let status = child.wait().expect("the child ends");
    assert!(taken >= wanted, "the child ended by itself ({status}) after {taken} of {wanted}");
}

async fn append_until_killed(dir: &Path, round: u64) {
    let store = Arc::new(SqliteStore::open(dir, SqliteOptions::default()).expect("the store opens"));
    let record =
        GroupRecord { group: group("g"), open: false, name: None, owner: None, created_at: 1, members: 0 };
    store.put_group(record).await.expect("the store works");
    store.add_members(&group("g"), users(["a"])).await.expect("the store works");
    // The test harness has begun a line.
    println!();
    let ids = Arc::new(AtomicU64::new((round + 1) << 32));
    let tasks: Vec<_> =
        (0..TASKS).map(|task| tokio::spawn(append_for_ever(store.clone(), ids.clone(), task))).collect();
    for task in tasks {
        task.await.expect("the task works");
    }
}

async fn append_for_ever(store: Arc<SqliteStore>, ids: Arc<AtomicU64>, task: u64) {
    loop {
        let batch = (0..=task % 3)
            .map(|n| {
                let id = ids.fetch_add(1, Ordering::Relaxed);
                let to = if n == 0 { to_user("a", "b") } else { to_group("a", "g") };
                Append { id: MessageId(id), ..with_cid(&format!("cid-{id}"), to) }
            })
            .collect();
        let mut said = String::new();
        for appended in append_all(&*store, batch).await {
            assert!(!appended.duplicate, "no id was used before");
            let message = &appended.message;
            let cid = message.cid.as_deref().expect("each has one");
            said += &format!("ack {} {} {} {cid}\n", message.conversation, message.seq, message.id);
        }
        let mut out = std::io::stdout().lock();
        out.write_all(said.as_bytes()).and_then(|()| out.flush()).expect("the parent reads");
    }
}

async fn check(dir: &Path, acknowledged: &Acknowledged) {
    let store = SqliteStore::open(dir, SqliteOptions::default()).expect("the store opens after a kill");
    let mut found = 0;
    for conversation in [direct("a", "b"), of_group("g")] {
        let stored = read_all(&store, &conversation).await;
        assert_contiguous(&stored);
        for message in &stored {
            let place = (conversation.to_string(), message.seq);
            let Some((id, cid)) = acknowledged.get(&place) else { continue };
            assert_eq!((message.id.0, message.cid.as_deref()), (*id, Some(&**cid)), "{place:?}");
            found += 1;
        }
        assert_resent_is_known(&store, &conversation, acknowledged).await;
        let heads = store.heads(vec![conversation]).await.expect("the store works");
        assert_eq!(heads[0].last_seq, stored.len() as u64, "nothing was stored twice");
    }
    assert_eq!(found, acknowledged.len(), "everything acknowledged is there");
    let of_b = inbox(&store, "b").await.direct;
    assert_eq!(of_b.len(), 1, "the inbox has the conversation");
}

/// A client that did not get the answer sends again: the same cid under another id.
async fn assert_resent_is_known(
    store: &SqliteStore,
    conversation: &Conversation,
    acknowledged: &Acknowledged,
) {
    let name = conversation.to_string();
    for ((_, seq), (_, cid)) in acknowledged.iter().filter(|((of, _), _)| *of == name).take(10) {
        let again = match conversation {
            Conversation::Direct(..) => to_user("a", "b"),
            Conversation::Group(_) => to_group("a", "g"),
        };
        let answer = append(store, with_cid(cid, again)).await;
        assert_eq!((answer.message.seq, answer.duplicate), (*seq, true), "{cid}");
    }
}
