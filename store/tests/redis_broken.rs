//! Given a Redis that holds what this program did not write, when the store meets it, then it says so.

mod support;

use redis_link::Mode;
use servers::Redis;
use store::{
    Devices as _, Direction, Messages as _, PageRequest, RedisOptions, StoreError,
    conformance::support::{
        append, append_all, direct, everything, node, of_group, page, seqs, to_user, try_append, user,
        with_cid,
    },
};
use support::{open, patient};

async fn server() -> (Redis, RedisOptions) {
    let server = Redis::start().await;
    let options = patient(Mode::Single, vec![server.address()], 0);
    (server, options)
}

async fn key(server: &Redis, pattern: &str) -> String {
    server.command(&["--scan", "--pattern", pattern]).await.trim().to_owned()
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (server, options) = server().await;
    let older = open(&options);
    append(&older, to_user("a", "b")).await;
    let schema = key(&server, "*:schema").await;
    assert_eq!(server.command(&["GET", &schema]).await.trim(), "1");
    server.command(&["SET", &schema, "2"]).await;
    let refused = open(&options).append(vec![to_user("a", "b")]).await;
    assert!(matches!(refused, Err(StoreError::Schema { found: 2, known: 1, .. })), "{refused:?}");
    let refused = open(&options).heads(vec![direct("a", "b")]).await;
    assert!(matches!(refused, Err(StoreError::Schema { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_message_in_a_newer_format_is_refused() {
    let (server, options) = server().await;
    let store = open(&options);
    append(&store, to_user("a", "b")).await;
    let log = key(&server, "*:log:*").await;
    server.command(&["XADD", &log, "2-1", "m", "\u{2}2345678901234567"]).await;
    let all = PageRequest { before: 2, ..everything(&direct("a", "b")) };
    assert_eq!(seqs(&page(&store, all).await.messages), [1], "what is older can be read");
    let conv = key(&server, "*:conv:*").await;
    let head = "struct.pack('>I8I8I4I4I4I4', 2, 1, 0, 9, 0, 0)";
    server.command(&["EVAL", &format!("return redis.call('HSET', '{conv}', 'h', {head})"), "0"]).await;
    let refused = store.pages(vec![everything(&direct("a", "b"))]).await;
    assert!(matches!(refused, Err(StoreError::Schema { found: 2, known: 1, .. })), "{refused:?}");
}

/// Each of the keys that a message needs, as something else.
#[tokio::test]
async fn a_key_of_another_kind_is_corrupt() {
    for what in ["conv", "log", "sent0", "sent1", "inbox", "presence"] {
        let (server, options) = server().await;
        let store = open(&options);
        append(&store, with_cid("c", to_user("a", "b"))).await;
        append(&store, with_cid("d", to_user("a", "a"))).await;
        let keys = server.command(&["--scan", "--pattern", &format!("*:{what}:*")]).await;
        if keys.trim().is_empty() {
            // Of `sent0` and `sent1` only the one of this day is there, and nobody is connected.
            continue;
        }
        for key in keys.lines() {
            server.command(&["DEL", key]).await;
            server.command(&["SET", key, "?"]).await;
        }
        let refused = store.append(vec![with_cid("c", to_user("a", "b"))]).await;
        assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{what}: {refused:?}");
    }
}

/// Whoever reads gets an error, and nobody a panic.
#[tokio::test]
async fn what_cannot_be_read_is_corrupt() {
    let (server, options) = server().await;
    let store = open(&options);
    append(&store, to_user("a", "b")).await;
    let conv = key(&server, "*:conv:*").await;
    let inbox = key(&server, "*:inbox:a").await;
    server.command(&["HSET", &conv, "h", "short"]).await;
    server.command(&["HSET", &inbox, "no conversation", "1"]).await;
    assert!(matches!(store.heads(vec![direct("a", "b")]).await, Err(StoreError::Corrupt(_))));
    assert!(matches!(store.inbox(&user("a")).await, Err(StoreError::Corrupt(_))));
    for answer in [
        store.append(vec![to_user("a", "b")]).await.map(drop),
        store.pages(vec![everything(&direct("a", "b"))]).await.map(drop),
        store.seqs_at(1, vec![direct("a", "b")]).await.map(drop),
    ] {
        assert!(answer.is_err());
    }
}

/// Whoever names groups that nobody made cannot fill Redis.
#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let (server, options) = server().await;
    let store = open(&options);
    append(&store, to_user("a", "b")).await;
    // Interest of groups is tidied up after that.
    store.enter(&node("spear-1", 1)).await.expect("the store works");
    let before = server.command(&["DBSIZE"]).await;
    for n in 0..10 {
        let message =
            store::Append { conversation: of_group(&format!("none{n}")), ..with_cid("c", to_user("x", "x")) };
        assert!(try_append(&store, message).await.is_err());
    }
    store.heads(vec![of_group("none")]).await.expect("the store works");
    assert_eq!(server.command(&["DBSIZE"]).await, before);
}

/// In both directions, also where the sizes change in the middle.
#[tokio::test]
async fn pages_of_large_and_small_messages_end_where_they_should() {
    let (_server, options) = server().await;
    let store = open(&options);
    let sizes: Vec<usize> = (0..60).map(|n| if (20..40).contains(&n) { 30_000 } else { 10 }).collect();
    for chunk in sizes.chunks(20) {
        let batch = chunk.iter().map(|size| store::Append {
            body: store::conformance::support::body(&format!("\"{}\"", "x".repeat(size - 2))),
            ..to_user("a", "b")
        });
        append_all(&store, batch.collect()).await;
    }
    for max_bytes in [1, 100, 250, 30_000, 100_000, 700_000] {
        for after in [0, 5, 19, 30, 45, 59] {
            let request = PageRequest { after, max_bytes, ..everything(&direct("a", "b")) };
            let mut left = max_bytes as i64;
            let expected: Vec<u64> = (after + 1..=60)
                .take_while(|seq| {
                    let fits = left > 0;
                    left -= sizes[*seq as usize - 1] as i64;
                    fits
                })
                .collect();
            assert_eq!(seqs(&page(&store, request).await.messages), expected, "{max_bytes} after {after}");
        }
        let back =
            PageRequest { max_bytes, direction: Direction::Backwards, ..everything(&direct("a", "b")) };
        let mut left = max_bytes as i64;
        let mut expected: Vec<u64> = (1..=60)
            .rev()
            .take_while(|seq| {
                let fits = left > 0;
                left -= sizes[*seq as usize - 1] as i64;
                fits
            })
            .collect();
        expected.reverse();
        assert_eq!(seqs(&page(&store, back).await.messages), expected, "{max_bytes} backwards");
    }
}
