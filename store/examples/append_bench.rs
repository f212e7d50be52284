//! How many appends a CPU second buys: `cargo run --profile test1 -p store --example append_bench [SECONDS]`.
//!
//! Bodies have 128 bytes. Each line is one shape of load: how many tasks append at a time, how many messages a call
//! holds, over how many conversations, with or without a cid. CPU is the whole process's, the kernel's part included.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::value::RawValue;
use store::{Append, Author, GroupRecord, Groups as _, Messages as _, SqliteOptions, SqliteStore};
use wire::{Conversation, Destination, Group, MessageId, User};

struct Load {
    name: &'static str,
    tasks: u64,
    batch: u64,
    conversations: u64,
    cid: bool,
    group: bool,
}

const LOADS: &[Load] = &[
    Load {
        name: "direct, one a call",
        tasks: 512,
        batch: 1,
        conversations: 10_000,
        cid: false,
        group: false,
    },
    Load { name: "direct, 64 a call", tasks: 16, batch: 64, conversations: 10_000, cid: false, group: false },
    Load {
        name: "direct with cid, 64 a call",
        tasks: 16,
        batch: 64,
        conversations: 10_000,
        cid: true,
        group: false,
    },
    Load { name: "one direct, 64 a call", tasks: 16, batch: 64, conversations: 1, cid: false, group: false },
    Load { name: "group, 64 a call", tasks: 16, batch: 64, conversations: 100, cid: false, group: true },
];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(3.0);
    for load in LOADS {
        run(load, Duration::from_secs_f64(seconds)).await;
    }
}

async fn run(load: &'static Load, time: Duration) {
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let store = Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).expect("the store opens"));
    if load.group {
        make_groups(&store, load.conversations).await;
    }
    // A conversation is made once and used often: its making is not what is measured.
    for first in (0..load.conversations).step_by(1_000) {
        let batch =
            (first..load.conversations.min(first + 1_000)).map(|n| message(load, n, body())).collect();
        store.append(batch).await.expect("the store works");
    }
    let (cpu, started) = (cpu_seconds(), Instant::now());
    let tasks: Vec<_> =
        (0..load.tasks).map(|_| tokio::spawn(append(store.clone(), load, started + time))).collect();
    let mut appended = 0;
    for task in tasks {
        appended += task.await.expect("the task works");
    }
    let wall = started.elapsed().as_secs_f64();
    let cpu = cpu.zip(cpu_seconds()).map(|(before, after)| after - before);
    let per_cpu = cpu.map_or("unknown".into(), |cpu| format!("{:.0}", appended as f64 / cpu));
    println!(
        "{:<28} {appended:>8} appends, {:>8.0} a second, {per_cpu:>8} a CPU second",
        load.name,
        appended as f64 / wall
    );
}

async fn make_groups(store: &SqliteStore, count: u64) {
    for n in 0..count {
        let group = Group::new(&format!("group-{n}")).expect("a name");
        let record = GroupRecord {
            group: group.clone(),
            open: false,
            name: None,
            owner: None,
            created_at: 0,
            members: 0,
        };
        store.put_group(record).await.expect("the store works");
        let members = (0..50).map(user).collect();
        store.add_members(&group, members).await.expect("the store works");
    }
}

async fn append(store: Arc<SqliteStore>, load: &'static Load, until: Instant) -> u64 {
    static ID: AtomicU64 = AtomicU64::new(1);
    let body: Arc<RawValue> = RawValue::from_string(format!("\"{}\"", "x".repeat(126))).expect("JSON").into();
    let mut appended = 0;
    while Instant::now() < until {
        let batch = (0..load.batch)
            .map(|_| message(load, ID.fetch_add(1, Ordering::Relaxed), body.clone()))
            .collect();
        let answers = store.append(batch).await.expect("the store works");
        appended += answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    }
    appended
}

fn body() -> Arc<RawValue> {
    RawValue::from_string(format!("\"{}\"", "x".repeat(126))).expect("JSON").into()
}

fn message(load: &Load, id: u64, body: Arc<RawValue>) -> Append {
    // From a million on, a walk that visits all conversations in no order.
    let n = if id < 1_000_000 { id } else { id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20 };
    let conversation = n % load.conversations;
    let (from, to, conversation) = if load.group {
        let group = Group::new(&format!("group-{conversation}")).expect("a name");
        (user(n / load.conversations % 50), Destination::Group(group.clone()), Conversation::Group(group))
    } else {
        let (from, to) = (user(conversation), user(conversation + 1_000_000));
        (from.clone(), Destination::User(to.clone()), Conversation::direct(from, to))
    };
    Append {
        conversation,
        id: MessageId(id),
        cid: load.cid.then(|| format!("client-id-{id}").into()),
        from,
        author: Author { device: None, epoch: 0, session: 1 },
        to,
        kind: "text".into(),
        body,
        members_only: load.group,
    }
}

fn user(n: u64) -> User {
    User::new(&format!("user-{n}")).expect("a name")
}

/// User and system time of this process; `None` where the kernel does not say.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in brackets, may hold blanks; the times are the 14th and 15th field, in hundredths.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}
