//! Given a server that takes no more because it is full, then history can be trimmed still, and there is room again.

mod support;

use redis_link::Mode;
use servers::Redis;
use store::{
    Messages as _, Progress, Retention as _, RetentionPolicy, StoreError,
    conformance::support::{append, direct, everything, page, to_user, with_body},
};
use support::{open, options};

#[tokio::test]
async fn a_full_server_can_be_trimmed() {
    let server = Redis::start().await;
    let store = open(&options(Mode::Single, vec![server.address()], 0));
    let body = "x".repeat(10_000);
    for _ in 0..200 {
        append(&store, with_body(&body, to_user("a", "b"))).await;
    }
    let space = store.space().await.expect("the store works")[0];
    assert_eq!(space.limit, None);
    let limit = (space.used - 100_000).to_string();
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", &limit]).await.trim(), "OK");
    let refused = store.append(vec![with_body(&body, to_user("a", "b"))]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let full = store.space().await.expect("it answers");
    assert_eq!(full[0].limit.map(|limit| limit.to_string()), Some(limit));

    let policy = RetentionPolicy { age_ms: 0, count: 50 };
    let step = store.trim(policy, Progress::default()).await.expect("it is trimmed");
    assert_eq!(step.messages, 150);
    append(&store, with_body(&body, to_user("a", "b"))).await;
    let left = page(&store, everything(&direct("a", "b"))).await;
    assert_eq!((left.first_seq, left.last_seq), (151, 201));
}
