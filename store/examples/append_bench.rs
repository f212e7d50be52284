//! How many appends a CPU second buys.
//!
//!     cargo run --profile test1 -p store --example append_bench -- [SECONDS]
//!     cargo run --profile test1 -p store --example append_bench -- redis 127.0.0.1:6379 [SECONDS]
//!
//! The second one measures the store on Redis, on a server that has nothing else to do; what it writes there stays. With `outbox` as
//! the very first argument, each load runs twice: without and with a consumer.
//!
//! Bodies have 128 bytes. Each line is one shape of load: how many tasks append at a time, how many messages a call
//! holds, over how many conversations, with or without a cid, from a device or from a back end. CPU is the whole
//! process's, the kernel's part included, and that of redis-server.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis_link::{Call, Link};
use serde_json::value::RawValue;
use store::{
    Append, Author, Connect, Consumer, DeviceKey, DeviceLimits, GroupRecord, RedisOptions, RedisStore,
    SqliteOptions, SqliteStore, Store,
};
use wire::{Conversation, Destination, Device, Group, Incarnation, MessageId, NodeRef, User};

struct Load {
    name: &'static str,
    tasks: u64,
    batch: u64,
    conversations: u64,
    cid: bool,
    group: bool,
    /// Every user is connected, and sends from there.
    device: bool,
}

/// What a call of 64 messages between two users is measured with; the others differ from it.
const USUAL: Load = Load {
    name: "direct, 64 a call",
    tasks: 16,
    batch: 64,
    conversations: 10_000,
    cid: false,
    group: false,
    device: false,
};

const LOADS: &[Load] = &[
    Load { name: "direct, one a call", tasks: 512, batch: 1, ..USUAL },
    USUAL,
    Load { name: "direct with cid, 64 a call", cid: true, ..USUAL },
    Load { name: "the same from devices", cid: true, device: true, ..USUAL },
    Load { name: "one direct, 64 a call", conversations: 1, ..USUAL },
    Load { name: "group, 64 a call", conversations: 100, group: true, ..USUAL },
];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let is_compared = arguments.next_if(|first| first == "outbox").is_some();
    let redis = if arguments.next_if(|first| first == "redis").is_some() {
        Some(arguments.next().expect("the address of a Redis, host:port"))
    } else {
        None
    };
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(3.0);
    let time = Duration::from_secs_f64(seconds);
    let consumed: &[bool] = if is_compared { &[false, true] } else { &[false] };
    for load in LOADS {
        for consumed in consumed {
            match &redis {
                Some(address) => on_redis(load, *consumed, time, address).await,
                None => on_sqlite(load, *consumed, time).await,
            }
        }
    }
}

/// Somebody consumes, and is slow: nothing is taken out.
async fn consume(store: &impl Store) {
    let consumer = Consumer { name: "bench".into(), messages: true, presence: false, most: 1_000_000 };
    store.register(&consumer).await.expect("the store works");
}

async fn on_sqlite(load: &'static Load, consumed: bool, time: Duration) {
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let store = SqliteStore::open(dir.path(), SqliteOptions::default()).expect("the store opens");
    if consumed {
        consume(&store).await;
    }
    run(Arc::new(store), load, time, async || 0.0).await;
}

async fn on_redis(load: &'static Load, consumed: bool, time: Duration, address: &str) {
    let link = redis_link::RedisOptions { servers: vec![address.to_owned()], ..Default::default() };
    let prefix = format!("bench-{}-{}-{consumed}", std::process::id(), load.name.replace([' ', ','], "-"));
    let options = RedisOptions { link: link.clone(), prefix, ..RedisOptions::default() };
    let store = RedisStore::open(options).expect("the options fit together");
    let link = Link::new(link).expect("the options fit together");
    if consumed {
        consume(&store).await;
    }
    run(Arc::new(store), load, time, async || redis_cpu_seconds(&link).await).await;
}

/// `server` tells the CPU seconds of a server of its own.
async fn run(store: Arc<impl Store>, load: &'static Load, time: Duration, server: impl AsyncFn() -> f64) {
    if load.group {
        make_groups(&*store, load.conversations).await;
    }
    if load.device {
        connect(&*store, load.conversations).await;
    }
    // A conversation is made once and used often: its making is not what is measured.
    for first in (0..load.conversations).step_by(1_000) {
        let batch =
            (first..load.conversations.min(first + 1_000)).map(|n| message(load, n, body())).collect();
        store.append(batch).await.expect("the store works");
    }
    let (own, servers, started) = (cpu_seconds(), server().await, Instant::now());
    let tasks: Vec<_> =
        (0..load.tasks).map(|_| tokio::spawn(append(store.clone(), load, started + time))).collect();
    let mut appended = 0;
    for task in tasks {
        appended += task.await.expect("the task works");
    }
    let wall = started.elapsed().as_secs_f64();
    let (own, servers) = (cpu_seconds() - own, server().await - servers);
    println!(
        "{:<28} {appended:>8} appends, {:>8.0} a second, {:>8.0} a CPU second (us each: {:.1} here, {:.1} redis-server)",
        load.name,
        appended as f64 / wall,
        appended as f64 / (own + servers),
        own * 1e6 / appended as f64,
        servers * 1e6 / appended as f64,
    );
}

async fn connect(store: &impl Store, conversations: u64) {
    let node = NodeRef { id: "spear-1".into(), incarnation: Incarnation(1) };
    store.enter(&node).await.expect("the store works");
    let users: Vec<User> = (0..conversations).flat_map(|n| [user(n), user(n + 1_000_000)]).collect();
    for users in users.chunks(1_000) {
        let connect = |user: &User| Connect {
            key: DeviceKey { user: user.clone(), device: Device::default() },
            node: node.clone(),
            limits: DeviceLimits::default(),
        };
        store.connect(users.iter().map(connect).collect()).await.expect("the store works");
    }
}

async fn make_groups(store: &impl Store, count: u64) {
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

async fn append(store: Arc<impl Store>, load: &'static Load, until: Instant) -> u64 {
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
        // Epochs are times: of no connection later than this.
        author: Author { device: load.device.then(Device::default), epoch: u64::MAX >> 12, session: 1 },
        to,
        kind: "text".into(),
        body,
        members_only: load.group,
    }
}

fn user(n: u64) -> User {
    User::new(&format!("user-{n}")).expect("a name")
}

/// User and system time of this process; 0 where the kernel does not say.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in brackets, may hold blanks; the times are the 14th and 15th field, in hundredths.
    let Some((_, fields)) = stat.rsplit_once(')') else { return 0.0 };
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// User and system time of redis-server.
async fn redis_cpu_seconds(link: &Link) -> f64 {
    let mut info = redis::cmd("INFO");
    info.arg("cpu");
    let answers = link.run(vec![Call::command("", info)], None).await.expect("redis answers");
    let text: String = redis::from_redis_value(answers[0].clone()).expect("a text");
    let seconds = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse::<f64>().ok()).expect("redis tells its CPU time")
    };
    seconds("used_cpu_user:") + seconds("used_cpu_sys:")
}
