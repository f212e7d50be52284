//! Given replicas, when a server dies or hangs, then nothing acknowledged is lost, what is not durable is not acknowledged,
//! and the store goes on by itself.

mod support;

use std::{sync::Arc, time::Duration};

use redis_link::{Mode, Wait};
use servers::{Redis, RedisCluster, Replicated};
use store::{
    Devices as _, Disconnect, Held, InterestChange, Messages as _, PageRequest, RedisOptions, RedisStore,
    StoreError,
    conformance::support::{
        append, connect, direct, everything, from_device, group, key, node, page, read_all, seqs, to_user,
        user,
    },
};
use support::{load::Load, open, options, patient, until};
use tokio::time::Instant;

/// A primary takes nothing while fewer replicas follow it.
async fn require_replicas(servers: &Replicated, replicas: &str) {
    for server in servers.replicas.iter().chain([&servers.primary]) {
        assert_eq!(server.command(&["CONFIG", "SET", "min-replicas-to-write", replicas]).await.trim(), "OK");
    }
}

fn sentinel(servers: &Replicated, replicas: u32) -> RedisOptions {
    options(Mode::Sentinel, servers.sentinel_addresses(), replicas)
}

fn is_unavailable<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_takes_nothing_acknowledged_with_it() {
    let mut servers = Replicated::start().await;
    require_replicas(&servers, "1").await;
    let options = sentinel(&servers, 1);
    let stores = [Arc::new(open(&options)), Arc::new(open(&options))];
    let store = &*stores[0];
    let (here, phone) = (node("spear-1", 1), key("a", "phone"));
    let connected = connect(store, &phone, &here).await;
    let generation = store.generation().await.expect("the store works");
    let load = Load::start(&stores).await;
    load.acknowledges(500).await;

    servers.primary.kill().await;
    let killed_at = Instant::now();
    load.acknowledges(1).await;
    println!("appends go on after {:?}", killed_at.elapsed());
    load.acknowledges(500).await;
    assert!(load.failures() > 0, "the kill was felt");
    load.assert_nothing_lost(store).await;

    assert_ne!(
        store.generation().await.expect("the store works"),
        generation,
        "spears are to say who is here"
    );
    let held = Held { key: phone.clone(), epoch: connected.epoch, born_at: 0, since_at: connected.since_at };
    assert_eq!(store.assert_presence(&here, vec![held]).await.expect("the store works"), [true]);
    append(store, from_device("phone", connected.epoch, to_user("a", "b"))).await;
    assert!(connect(store, &phone, &here).await.epoch > connected.epoch, "epochs are not given again");
}

/// Its only replica takes over. Nobody confirms what is written there until the killed one is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_of_a_cluster_takes_nothing_acknowledged_with_it() {
    let mut servers = RedisCluster::start().await;
    let options = options(Mode::Cluster, servers.addresses(), 1);
    let stores = [Arc::new(open(&options)), Arc::new(open(&options))];
    let store = &*stores[0];
    let generation = store.generation().await.expect("the store works");
    let load = Load::start(&stores).await;
    load.acknowledges(500).await;

    // The one that has the group, so that the kill is felt.
    let victim = owner(&servers, "*log:g:g").await;
    servers.nodes[victim].kill().await;
    until("a replica takes over", async || primaries(&servers).await.len() == 3).await;
    servers.nodes[victim].start_again().await;
    load.acknowledges(1_000).await;
    assert!(load.failures() > 0, "the kill was felt");
    load.assert_nothing_lost(store).await;
    assert_ne!(store.generation().await.expect("the store works"), generation);
}

/// Which primary has a key.
async fn owner(servers: &RedisCluster, pattern: &str) -> usize {
    for at in primaries(servers).await {
        if !servers.nodes[at].command(&["--scan", "--pattern", pattern]).await.trim().is_empty() {
            return at;
        }
    }
    panic!("nobody has {pattern}");
}

/// Those that live and say that they are one.
async fn primaries(servers: &RedisCluster) -> Vec<usize> {
    let mut primaries = Vec::new();
    for (at, node) in servers.nodes.iter().enumerate() {
        if node.command(&["ROLE"]).await.starts_with("master") {
            primaries.push(at);
        }
    }
    primaries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_replica_confirms_is_neither_acknowledged_nor_read() {
    let servers = Replicated::start().await;
    let options = sentinel(&servers, 1);
    // Times that a busy machine does not exceed, for what shall be confirmed; short ones for what shall not.
    let store = open(&RedisOptions {
        prefix: options.prefix.clone(),
        ..patient(Mode::Sentinel, servers.sentinel_addresses(), 1)
    });
    let hurried = open(&RedisOptions {
        wait: Some(Wait { replicas: 1, timeout: Duration::from_millis(300) }),
        ..options.clone()
    });
    append(&store, to_user("a", "b")).await;
    let phone = key("a", "phone");
    let held = connect(&store, &phone, &node("spear-1", 1)).await;

    servers.replicas[0].freeze();
    append(&store, to_user("a", "b")).await;
    servers.replicas[1].freeze();
    let third = to_user("a", "b");
    assert!(is_unavailable(&hurried.append(vec![third.clone()]).await));
    let all = || everything(&direct("a", "b"));
    assert!(is_unavailable(&hurried.pages(vec![all()]).await), "the third may yet be taken back");
    assert!(is_unavailable(&hurried.heads(vec![direct("a", "b")]).await));
    assert!(is_unavailable(&hurried.inbox(&user("a")).await));
    assert!(is_unavailable(&hurried.cursors(&phone).await));
    // What is said again after a failover may be lost, what is not said again may not.
    interest(&hurried, 1).await;
    let no_more = InterestChange { group: group("g"), interested: false };
    let answer = hurried.set_interest(&node("spear-1", 1), vec![no_more]).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    let end = Disconnect { key: phone.clone(), epoch: held.epoch, received: false };
    assert!(is_unavailable(&hurried.disconnect(vec![end]).await));
    let hasty = open(&RedisOptions { wait: None, ..options });
    assert_eq!(read(&hasty, all()).await, [1, 2, 3], "one who does not wait sees it");

    servers.replicas[0].thaw();
    until("the replica follows again", async || hurried.pages(vec![all()]).await.is_ok()).await;
    assert_eq!(read(&store, all()).await, [1, 2, 3]);
    let again = append(&store, third).await;
    assert_eq!((again.message.seq, again.duplicate), (3, true));
    assert_eq!(append(&store, to_user("a", "b")).await.message.seq, 4);
    append(&store, from_device("phone", held.epoch, to_user("a", "b"))).await;
    assert!(store.cursors(&phone).await.expect("the store works").is_empty());
}

async fn read(store: &RedisStore, request: PageRequest) -> Vec<u64> {
    seqs(&page(store, request).await.messages)
}

/// What `wait` is there for: without it, the same fault takes an acknowledged message back, and its `seq` is given again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_waiting_a_failover_loses_what_was_acknowledged() {
    let mut servers = Replicated::start().await;
    let waiting = sentinel(&servers, 1);
    let hasty = open(&RedisOptions { wait: None, ..waiting.clone() });
    let waiting = open(&waiting);
    append(&waiting, to_user("a", "b")).await;
    interest(&waiting, 1).await;

    // What is on the way to a frozen server would still reach it: so the way is cut, and it cannot make a new one.
    servers.replicas.iter().for_each(Redis::freeze);
    let cut = servers.primary.command(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    assert_eq!(cut.trim(), "2");
    assert!(is_unavailable(&waiting.append(vec![to_user("c", "d")]).await));
    let lost = append(&hasty, to_user("a", "b")).await.message;
    assert_eq!(lost.seq, 2);
    let lost_version = interest(&waiting, 2).await;

    servers.primary.kill().await;
    servers.replicas.iter().for_each(Redis::thaw);
    until("a replica takes over", async || waiting.pages(vec![everything(&direct("a", "b"))]).await.is_ok())
        .await;
    assert_eq!(seqs(&read_all(&waiting, &direct("a", "b")).await), [1], "it is lost");
    let other = append(&waiting, to_user("a", "b")).await.message;
    assert_eq!(other.seq, lost.seq, "another message has its place");
    assert_ne!(other.id, lost.id);
    assert!(read_all(&waiting, &direct("c", "d")).await.is_empty(), "this one was not acknowledged");
    // Nobody waits for interest. But who remembers where a group's hints went is told that it changed.
    assert!(interest(&waiting, 3).await > lost_version);
}

/// One more node wants hints of a group; answers the version of the routing.
async fn interest(store: &RedisStore, n: u64) -> u64 {
    let group = group("g");
    let change = InterestChange { group: group.clone(), interested: true };
    store.set_interest(&node(&format!("spear-{n}"), 1), vec![change]).await.expect("the store works");
    store.routing(vec![group]).await.expect("the store works")[0].0
}

#[tokio::test]
async fn a_server_that_started_again_is_another_one() {
    // Synced every second only, a killed server may take back what it had not even written.
    let mut server = Redis::start_with(&["--appendfsync", "always"]).await;
    let store = open(&options(Mode::Single, vec![server.address()], 0));
    append(&store, to_user("a", "b")).await;
    let generation = store.generation().await.expect("the store works");
    server.kill().await;
    assert!(is_unavailable(&store.generation().await));
    server.start_again().await;
    until("the store goes on", async || store.generation().await.is_ok()).await;
    assert_ne!(store.generation().await.expect("the store works"), generation);
    assert_eq!(append(&store, to_user("a", "b")).await.message.seq, 2);
}

/// Lets the first replica alone be promoted, and keeps the second one with the primary that it has, whatever sentinels say.
async fn keep_the_second_replica(servers: &Replicated) {
    let second = &servers.replicas[1];
    assert_eq!(second.command(&["CONFIG", "SET", "replica-priority", "0"]).await.trim(), "OK");
    let denied = second.command(&["ACL", "SETUSER", "default", "-slaveof", "-replicaof"]).await;
    assert_eq!(denied.trim(), "OK");
    until("the sentinels know whom to promote", async || {
        for sentinel in &servers.sentinels {
            let known = sentinel.command(&["SENTINEL", "REPLICAS", servers.primary_name()]).await;
            let words: Vec<_> = known.split_ascii_whitespace().collect();
            if !words.windows(2).any(|pair| *pair == ["slave-priority", "0"]) {
                return false;
            }
        }
        true
    })
    .await;
}

/// What the lease is there for: two primaries take writes, and a replica that was not told yet confirms those of the former one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_comes_back_while_it_is_replaced_acknowledges_nothing() {
    let servers = Replicated::start().await;
    require_replicas(&servers, "1").await;
    let careful = sentinel(&servers, 1);
    let without = redis_link::RedisOptions { lease: false, ..careful.link.clone() };
    let hasty = open(&RedisOptions { link: without, ..careful.clone() });
    let careful = open(&careful);
    append(&hasty, to_user("a", "b")).await;
    append(&careful, to_user("c", "d")).await;

    keep_the_second_replica(&servers).await;
    servers.primary.freeze();
    let promoted = &servers.replicas[0];
    until("a replica is promoted", async || promoted.command(&["ROLE"]).await.starts_with("master")).await;
    servers.primary.thaw();
    let lost = append(&hasty, to_user("a", "b")).await.message;
    assert_eq!(lost.seq, 2, "the replica that was not promoted has confirmed it");
    let doubtful = to_user("c", "d");
    assert!(is_unavailable(&careful.append(vec![doubtful.clone()]).await));
    assert!(is_unavailable(&careful.heads(vec![direct("a", "b")]).await), "nor does anybody see it");

    until("the other one takes over", async || careful.append(vec![doubtful.clone()]).await.is_ok()).await;
    assert_eq!(seqs(&read_all(&careful, &direct("a", "b")).await), [1], "it is lost");
    assert_eq!(seqs(&read_all(&careful, &direct("c", "d")).await), [1, 2]);
}

/// Frozen for about as long as the sentinels take, so that it comes back before, while and after it is replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_frozen_for_a_while_takes_nothing_acknowledged_with_it() {
    const ROUNDS: u64 = 3;
    let rounds = std::env::var("PHALANX_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    for round in 0..rounds.unwrap_or(ROUNDS) {
        let servers = Replicated::start().await;
        require_replicas(&servers, "1").await;
        let options = sentinel(&servers, 1);
        let stores = [Arc::new(open(&options)), Arc::new(open(&options))];
        let load = Load::start(&stores).await;
        load.acknowledges(500).await;
        servers.primary.freeze();
        let frozen_ms = 2_000 + (round * 1_370) % 4_000;
        tokio::time::sleep(Duration::from_millis(frozen_ms)).await;
        servers.primary.thaw();
        load.acknowledges(2_000).await;
        println!("frozen for {frozen_ms} ms");
        load.assert_nothing_lost(&stores[0]).await;
    }
}

/// As `docs/deployment.md` has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_is_ordered_loses_nothing_where_writes_are_paused_first() {
    let servers = Replicated::start().await;
    require_replicas(&servers, "1").await;
    let options = sentinel(&servers, 1);
    let stores = [Arc::new(open(&options)), Arc::new(open(&options))];
    let load = Load::start(&stores).await;
    load.acknowledges(500).await;
    assert_eq!(servers.primary.command(&["CLIENT", "PAUSE", "30000", "WRITE"]).await.trim(), "OK");
    // What was written before reaches the replicas.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = servers.sentinels[0].command(&["SENTINEL", "FAILOVER", servers.primary_name()]).await;
    assert_eq!(asked.trim(), "OK");
    load.acknowledges(1_000).await;
    until("the former one follows", async || servers.primary.command(&["ROLE"]).await.starts_with("slave"))
        .await;
    load.assert_nothing_lost(&stores[0]).await;
}
