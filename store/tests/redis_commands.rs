//! How much a message asks of Redis: round trips by the link's counters, commands by the servers' own.

mod support;

use std::collections::BTreeMap;

use redis_link::Mode;
use servers::{Redis, RedisCluster, Replicated};
use store::{
    Append, Consumer, Outbox as _, RedisOptions, RedisStore,
    conformance::support::{
        append_all, connect, from_device, key, make_group, node, to_group, to_user, with_cid,
    },
};
use support::{open, patient};

/// What the store's calls cost.
#[derive(Debug)]
struct Cost {
    /// Pipelines, one to one server each.
    round_trips: u64,
    /// Commands as the store sent them, without `WAIT`.
    calls: u64,
    /// By command, on all servers; those that scripts ask for are among them.
    commands: BTreeMap<String, u64>,
}

impl Cost {
    fn of(&self, command: &str) -> u64 {
        self.commands.get(command).copied().unwrap_or(0)
    }

    /// What the scripts did, roughly.
    fn inside_scripts(&self) -> u64 {
        self.commands.values().sum::<u64>() - self.calls - self.of("wait")
    }
}

struct World<'a> {
    store: RedisStore,
    primaries: Vec<&'a Redis>,
}

impl<'a> World<'a> {
    /// A store on which everything was done once: it knows the way, and the servers know the scripts.
    async fn new(options: RedisOptions, primaries: Vec<&'a Redis>) -> Self {
        let world = Self { store: open(&options), primaries };
        let store = &world.store;
        for n in 0..64 {
            connect(store, &key(&format!("to-{n}"), "phone"), &node("spear-2", 1)).await;
        }
        make_group(store, "g", ["a"]).await;
        connect(store, &key("a", "phone"), &node("spear-1", 1)).await;
        for _ in 0..2 {
            append_all(store, (0..64).map(|n| from_a(to_user("a", &format!("to-{n}")))).collect()).await;
        }
        append_all(store, vec![from_a(to_group("a", "g"))]).await;
        world
    }

    async fn cost(&self, batch: Vec<Append>) -> Cost {
        for primary in &self.primaries {
            primary.command(&["CONFIG", "RESETSTAT"]).await;
        }
        let (round_trips, calls) = (self.store.link().round_trips(), self.store.link().calls());
        append_all(&self.store, batch).await;
        let mut commands = BTreeMap::new();
        for primary in &self.primaries {
            for line in primary.command(&["INFO", "commandstats"]).await.lines() {
                let Some((command, numbers)) =
                    line.strip_prefix("cmdstat_").and_then(|line| line.split_once(':'))
                else {
                    continue;
                };
                let calls = numbers.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
                let calls: u64 = calls.expect("calls come first").parse().expect("a number");
                *commands.entry(command.to_owned()).or_default() += calls;
            }
        }
        // What the servers ask one another, and what this function asked.
        for command in ["ping", "replconf", "publish", "info", "config|resetstat", "client|setinfo"] {
            commands.remove(command);
        }
        let (round_trips, calls) =
            (self.store.link().round_trips() - round_trips, self.store.link().calls() - calls);
        let cost = Cost { round_trips, calls, commands };
        println!("{cost:?}");
        cost
    }
}

/// As a client sends it.
fn from_a(append: Append) -> Append {
    let cid = append.id.to_string();
    from_device("phone", u64::MAX >> 12, with_cid(&cid, append))
}

fn batch() -> Vec<Append> {
    (0..64).map(|n| from_a(to_user("a", &format!("to-{n}")))).collect()
}

/// Append, both inboxes and routing are one script where one server has all of them.
async fn assert_one_step(world: &World<'_>, waits: u64) {
    for (what, batch) in [
        ("a direct message", vec![from_a(to_user("a", "to-1"))]),
        ("a group message", vec![from_a(to_group("a", "g"))]),
        ("64 of them", batch()),
        ("64 in a group", (0..64).map(|_| from_a(to_group("a", "g"))).collect()),
    ] {
        let count = batch.len() as u64;
        let cost = world.cost(batch).await;
        assert_eq!((cost.round_trips, cost.calls), (1, 1), "{what}");
        assert_eq!((cost.of("evalsha"), cost.of("wait")), (1, waits), "{what}");
        assert!(cost.inside_scripts() <= 20 * count, "{what}: {cost:?}");
    }
}

#[tokio::test]
async fn a_message_is_one_step_on_one_server() {
    let servers = Redis::start().await;
    let world = World::new(patient(Mode::Single, vec![servers.address()], 0), vec![&servers]).await;
    assert_one_step(&world, 0).await;
}

#[tokio::test]
async fn a_message_is_one_step_where_replicas_confirm() {
    let servers = Replicated::start().await;
    let options = patient(Mode::Sentinel, servers.sentinel_addresses(), 1);
    let world = World::new(options, vec![&servers.primary]).await;
    assert_one_step(&world, 1).await;
}

/// While nobody consumes, nothing is asked for that and no key is made; else a message is one command more, in the same step.
#[tokio::test]
async fn an_outbox_costs_one_command_a_message_and_nothing_while_nobody_consumes() {
    let servers = Redis::start().await;
    let world = World::new(patient(Mode::Single, vec![servers.address()], 0), vec![&servers]).await;
    let off = world.cost(batch()).await;
    for key in ["outbox", "confirmed", "told:*", "consumers"] {
        let found = servers.command(&["KEYS", &format!("*}}:{key}")]).await;
        assert_eq!(found.trim(), "", "{key}");
    }
    let consumer = Consumer { name: "hooks".into(), messages: true, presence: true, most: 1_000_000 };
    world.store.register(&consumer).await.expect("the store works");
    let on = world.cost(batch()).await;
    assert_eq!((on.round_trips, on.calls, on.of("xadd")), (1, 1, off.of("xadd") + 64), "{on:?}");
    assert_eq!(on.inside_scripts(), off.inside_scripts() + 64, "{on:?}");
}

/// In a cluster, append and the users' partitions are two steps, and a third one before them looks at the epoch of the
/// sender's device. Each is a round trip to every server concerned, all at once, and one script a partition.
#[tokio::test]
async fn a_message_is_three_steps_in_a_cluster() {
    let servers = RedisCluster::start().await;
    let mut primaries = Vec::new();
    for node in &servers.nodes {
        if node.command(&["ROLE"]).await.starts_with("master") {
            primaries.push(node);
        }
    }
    let world = World::new(patient(Mode::Cluster, servers.addresses(), 1), primaries).await;

    let direct = world.cost(vec![from_a(to_user("a", "to-1"))]).await;
    assert!((3..=4).contains(&direct.round_trips), "epoch, append, one or two servers: {direct:?}");
    assert_eq!((direct.calls, direct.of("evalsha")), (4, 3), "{direct:?}");
    let group = world.cost(vec![from_a(to_group("a", "g"))]).await;
    assert_eq!((group.round_trips, group.calls, group.of("evalsha")), (2, 2, 1), "{group:?}");
    assert_eq!(group.of("wait"), 1, "{group:?}");

    let many = world.cost(batch()).await;
    assert!(many.round_trips <= 1 + 3 + 3, "{many:?}");
    assert!(many.of("evalsha") <= 64 + 65, "{many:?}");
    assert!(many.of("wait") <= 3 + 3, "{many:?}");
    assert!(many.inside_scripts() <= 20 * 64, "{many:?}");
}
