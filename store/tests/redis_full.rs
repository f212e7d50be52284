//! Given a server that takes no more because it is full, then history can be read and trimmed still, there is room again, and whoever
//! waits for it is answered.

mod support;

use std::time::{Duration, Instant};

use redis_link::{Mode, RedisOptions as LinkOptions, Wait};
use servers::Redis;
use store::{
    Messages as _, Progress, RedisOptions, RedisStore, Retention as _, RetentionPolicy, StoreError,
    conformance::support::{append, direct, everything, page, to_user, with_body},
};
use support::{open, options};

const STORED: u64 = 200;
const KEPT: u64 = 50;
/// How long these stores wait for room: shorter than anything a test would wait for by accident.
const PATIENCE: Duration = Duration::from_secs(3);

/// A store that fences what it reads, as one with replicas does.
fn patient(server: &Redis, full_timeout: Duration) -> RedisStore {
    let options = options(Mode::Single, vec![server.address()], 0);
    let link = LinkOptions { full_timeout, ..options.link };
    let wait = Some(Wait { replicas: 0, timeout: Duration::from_millis(100) });
    open(&RedisOptions { link, wait, ..options })
}

fn large() -> store::Append {
    with_body(&"x".repeat(10_000), to_user("a", "b"))
}

/// Fills the store, and sets the bound of its server below that; answers the bound.
async fn fill(server: &Redis, store: &RedisStore) -> u64 {
    for _ in 0..STORED {
        append(store, large()).await;
    }
    let space = store.space().await.expect("the store works")[0];
    assert_eq!(space.limit, None);
    let limit = space.used - 100_000;
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", &limit.to_string()]).await.trim(), "OK");
    limit
}

async fn trim(store: &RedisStore) {
    let policy = RetentionPolicy { age_ms: 0, count: KEPT };
    let step = store.trim(policy, Progress::default()).await.expect("it is trimmed");
    assert_eq!(step.messages, STORED - KEPT);
}

#[tokio::test]
async fn a_full_server_is_read_and_can_be_trimmed() {
    let server = Redis::start().await;
    let store = patient(&server, PATIENCE);
    let limit = fill(&server, &store).await;
    // Its fence is there already, or not yet: the second look meets both.
    for _ in 0..2 {
        assert_eq!(page(&store, everything(&direct("a", "b"))).await.last_seq, STORED);
        assert_eq!(store.heads(vec![direct("a", "b")]).await.expect("it is read")[0].last_seq, STORED);
    }
    let began = Instant::now();
    let refused = store.append(vec![large()]).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    assert!((PATIENCE / 2..2 * PATIENCE).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(store.space().await.expect("it answers")[0].limit, Some(limit));

    trim(&store).await;
    append(&store, large()).await;
    let left = page(&store, everything(&direct("a", "b"))).await;
    assert_eq!((left.first_seq, left.last_seq), (STORED - KEPT + 1, STORED + 1));
}

#[tokio::test]
async fn who_appends_waits_for_room_and_is_stored_once() {
    let server = Redis::start().await;
    let store = patient(&server, Duration::from_secs(60));
    fill(&server, &store).await;
    let small = || to_user("c", "d");
    // 130 conversations are three scripts, of which each meets the full server by itself.
    let many: Vec<_> = (0..130).map(|n| to_user("a", &format!("u{n}"))).chain([small(), small()]).collect();
    let count = many.len();
    let waiting = async {
        let answers = store.append(many).await.expect("there is room in time");
        assert_eq!(answers.len(), count);
        answers.into_iter().for_each(|answer| assert!(!answer.expect("it is taken").duplicate));
    };
    let making_room = async {
        let refusals = async || {
            let stats = server.command(&["INFO", "errorstats"]).await;
            stats.lines().any(|line| line.starts_with("errorstat_OOM:"))
        };
        while !refusals().await {
            tokio::task::yield_now().await;
        }
        trim(&store).await;
    };
    tokio::join!(waiting, making_room);
    assert_eq!(page(&store, everything(&direct("c", "d"))).await.last_seq, 2);
}
