//! Given a Redis that syncs its log with every write, when it is killed while tasks append, then everything acknowledged is
//! there and no `seq` is given twice. Given a change that ended between two steps, when it is made again, then those whom
//! nobody had told are told.

mod support;

use std::sync::Arc;

use redis_link::Mode;
use servers::{Redis, RedisCluster};
use store::{
    Append, Messages as _, StoreError,
    conformance::support::{
        append, direct, group, inbox, inbox_version, join, make_group, next_id, read_all, seqs, to_user,
        user, with_cid,
    },
};
use support::{load::Load, open, options, until};

const KILLS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_that_was_acknowledged() {
    let mut server = Redis::start_with(&["--appendfsync", "always"]).await;
    let options = options(Mode::Single, vec![server.address()], 0);
    let stores = [Arc::new(open(&options)), Arc::new(open(&options))];
    let load = Load::start(&stores).await;
    for _ in 0..KILLS {
        load.acknowledges(200).await;
        server.kill().await;
        server.start_again().await;
    }
    load.acknowledges(200).await;
    assert!(load.failures() > 0, "the kills were felt");
    load.assert_nothing_lost(&stores[0]).await;
    let (between, store) = (direct("a", "b"), &*stores[0]);
    let last_seq = store.heads(vec![between.clone()]).await.expect("the store works")[0].last_seq;
    assert_eq!(read_all(store, &between).await.len() as u64, last_seq);
    assert_eq!(inbox(store, "b").await.direct, [(between, last_seq)]);
}

/// In a cluster, a conversation and its users live on different servers, so there is a moment between append and bump.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_cid_bumps_what_was_never_bumped() {
    let mut servers = RedisCluster::start().await;
    let store = open(&options(Mode::Cluster, servers.addresses(), 0));
    // Two users, of whom one lives on another server than the conversation and the other user.
    let mut n = 0;
    let (reader, place) = loop {
        n += 1;
        let reader = format!("b{n}");
        append(&store, to_user("a", &reader)).await;
        let of_reader = owner(&servers, &format!("*:inbox:{reader}")).await;
        let of_sender = owner(&servers, "*:inbox:a").await;
        let of_both = owner(&servers, &format!("*:log:u:a:{reader}")).await;
        if of_reader != of_sender && of_reader != of_both {
            break (reader, of_reader);
        }
    };
    let before = inbox_version(&store, &reader).await;
    let sent = with_cid("c", to_user("a", &reader));

    servers.nodes[place].kill().await;
    let failed = store.append(vec![sent.clone()]).await;
    servers.nodes[place].start_again().await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "nothing is acknowledged: {failed:?}");
    let between = direct("a", &reader);
    until("the server is back", async || store.inbox(&user(&reader)).await.is_ok()).await;
    assert_eq!(seqs(&read_all(&store, &between).await), [1, 2], "it is stored");
    assert_eq!(inbox_version(&store, &reader).await, before, "nobody was told");

    let again = append(&store, Append { id: next_id(), ..sent }).await;
    assert_eq!((again.message.seq, again.duplicate), (2, true));
    assert_eq!(inbox(&store, &reader).await.direct, [(between, 2)]);
    assert!(inbox_version(&store, &reader).await > before, "the reader's nodes see that there is something");
}

/// Which primary has a key.
async fn owner(servers: &RedisCluster, pattern: &str) -> usize {
    for (place, node) in servers.nodes.iter().enumerate() {
        if node.command(&["ROLE"]).await.starts_with("master")
            && !node.command(&["--scan", "--pattern", pattern]).await.trim().is_empty()
        {
            return place;
        }
    }
    panic!("nobody has {pattern}");
}

/// Who changes members notes it in the inboxes first; a crash before the end leaves the notes.
#[tokio::test]
async fn a_repeated_change_of_members_tells_those_whom_nobody_told() {
    let server = Redis::start().await;
    let store = open(&options(Mode::Single, vec![server.address()], 0));
    make_group(&store, "g", ["a", "b"]).await;
    let keys = server.command(&["--scan", "--pattern", "*:inbox:a"]).await;
    assert_eq!(server.command(&["HGET", keys.trim(), "g:g"]).await.trim(), "1");
    let told = [inbox_version(&store, "a").await, inbox_version(&store, "b").await];
    join(&store, "g", ["a", "b"]).await;
    assert_eq!(inbox_version(&store, "a").await, told[0], "nothing has changed");

    // As a process leaves it that dies when `a` is a member and was not told.
    server.command(&["HSET", keys.trim(), "g:g", "p"]).await;
    assert_eq!(inbox(&store, "a").await.groups, [group("g")]);
    join(&store, "g", ["a", "b"]).await;
    assert!(inbox_version(&store, "a").await > told[0], "who was not told is told");
    assert_eq!(inbox_version(&store, "b").await, told[1]);
    let version = inbox_version(&store, "a").await;
    join(&store, "g", ["a", "b"]).await;
    assert_eq!(inbox_version(&store, "a").await, version, "once");
}
