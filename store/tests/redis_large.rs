//! Given more than goes into one script, when it is asked for at once, then it is done as if it were one. Given time, then
//! what is remembered for a while is forgotten.

mod support;

use std::time::Duration;

use redis_link::Mode;
use servers::{Redis, RedisCluster};
use store::{
    Append, Groups as _, Messages as _, RedisOptions, RedisStore, Store,
    conformance::support::{
        append, append_all, direct, everything, group, inbox, make_group, membership, next_id, to_group,
        to_user, user, with_cid,
    },
};
use support::{open, patient, until};
use wire::User;

const MANY: usize = 1_200;

fn many_users() -> Vec<User> {
    let mut users: Vec<User> = (0..MANY).map(|n| user(&format!("u{n:04}"))).collect();
    // Not in the order in which they are kept.
    users.reverse();
    users
}

async fn members(store: &impl Store) -> Vec<User> {
    let (mut members, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.members(&group("g"), cursor, 1_000).await.expect("the store works");
        let page = page.expect("it exists");
        members.extend(page.members);
        cursor = page.cursor;
        if cursor.is_none() {
            return members;
        }
    }
}

async fn a_large_group_comes_and_goes(store: RedisStore) {
    make_group(&store, "g", ["a"]).await;
    append(&store, to_group("a", "g")).await;
    let added = store.add_members(&group("g"), many_users()).await.expect("the store works");
    let added = added.expect("it exists");
    assert_eq!(added.changed, many_users(), "in the order in which they were named");
    assert_eq!(added.members, 1 + MANY as u64);
    let mut everybody = many_users();
    everybody.push(user("a"));
    everybody.sort_unstable();
    assert_eq!(members(&store).await, everybody);
    let span = membership(&store, "u0000", "g").await;
    assert_eq!((span.spans[0].joined_seq, span.members_version), (2, added.members_version));
    assert_eq!(inbox(&store, "u1199").await.groups, [group("g")]);

    let deleted = store.delete_group(&group("g")).await.expect("the store works").expect("it existed");
    let mut changed = deleted.changed;
    changed.sort_unstable();
    assert_eq!(changed, everybody);
    assert!(deleted.members_version > added.members_version);
    assert_eq!(store.group(&group("g")).await.expect("the store works"), None);
    for name in ["a", "u0000", "u1199"] {
        assert!(membership(&store, name, "g").await.spans.iter().all(|span| !span.holds(2)), "{name}");
    }
}

#[tokio::test]
async fn a_group_larger_than_a_script_comes_and_goes() {
    let server = Redis::start().await;
    a_large_group_comes_and_goes(open(&patient(Mode::Single, vec![server.address()], 0))).await;
}

#[tokio::test]
async fn so_it_does_in_a_cluster() {
    let servers = RedisCluster::start().await;
    a_large_group_comes_and_goes(open(&patient(Mode::Cluster, servers.addresses(), 0))).await;
}

#[tokio::test]
async fn a_batch_larger_than_a_script_keeps_its_order() {
    let server = Redis::start().await;
    let store = open(&patient(Mode::Single, vec![server.address()], 0));
    let batch = || (0..2 * MANY).map(|n| to_user("a", &format!("u{}", n % MANY))).collect::<Vec<Append>>();
    let answers = append_all(&store, batch()).await;
    for (n, (answer, sent)) in answers.iter().zip(batch()).enumerate() {
        assert_eq!(answer.message.conversation, sent.conversation);
        assert_eq!(answer.message.seq, if n < MANY { 1 } else { 2 });
    }
    let conversations: Vec<_> = (0..MANY).map(|n| direct("a", &format!("u{n}"))).collect();
    let pages = store.pages(conversations.iter().map(everything).collect()).await.expect("the store works");
    assert!(pages.iter().zip(&conversations).all(|(page, of)| {
        page.messages.len() == 2 && page.messages.iter().all(|message| message.conversation == *of)
    }));
    let heads = store.heads(conversations.clone()).await.expect("the store works");
    assert!(heads.iter().all(|head| head.last_seq == 2));
    let last_at = heads.iter().map(|head| head.last_at).max().expect("some");
    assert_eq!(store.seqs_at(last_at, conversations).await.expect("the store works"), vec![2; MANY]);
    assert_eq!(inbox(&store, "a").await.direct.len(), MANY);
}

#[tokio::test]
async fn cids_are_forgotten_after_their_time() {
    let server = Redis::start().await;
    let options = patient(Mode::Single, vec![server.address()], 0);
    let store = open(&RedisOptions { cid_retention: Duration::from_secs(3), ..options });
    let again = || Append { id: next_id(), ..with_cid("c", to_user("a", "b")) };
    let first = append(&store, again()).await.message;
    assert!(append(&store, again()).await.duplicate);
    let mut last = first.clone();
    until("the cid is forgotten", async || {
        let answer = append(&store, again()).await;
        last = answer.message;
        !answer.duplicate
    })
    .await;
    assert_eq!(last.seq, 2);
    assert!(last.sent_at - first.sent_at >= 3_000, "not before its time");
    assert!(append(&store, again()).await.duplicate, "it counts anew");
    until("its keys are gone", async || {
        server.command(&["--scan", "--pattern", "*:sent?:*"]).await.trim().is_empty()
    })
    .await;
}
