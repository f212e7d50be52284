//! While the roster is lost.

use std::collections::HashSet;

use tokio::task::JoinHandle;
use wire::NodeRef;

use super::*;

/// Ids of the test's idgen count up from 1; own ones have a time of today.
const OWN_FROM: MessageId = MessageId(1 << 40);

fn options(id: &str) -> IdOptions {
    let node = NodeRef { id: id.into(), incarnation: Incarnation(1) };
    IdOptions { holder: Some(Holder { role: Role::Spear, node }), ..IdOptions::default() }
}

impl Fixture {
    /// A client that holds a worker number.
    async fn holding(&self, options: IdOptions) -> IdClient {
        let client = self.client("right", options);
        eventually("a worker number is held", || client.worker().is_some()).await;
        client
    }
}

async fn one(client: &IdClient) -> MessageId {
    client.take(1).await.expect("ids")[0]
}

#[tokio::test]
async fn ids_go_on_and_idgen_is_used_again_when_it_answers() {
    let fixture = Fixture::new().await;
    let server = Counting::default();
    let _node = fixture.serve("a", server.clone()).await;
    let clients = [fixture.holding(options("spear-1")).await, fixture.holding(options("spear-2")).await];
    let (mut seen, mut last) = (HashSet::new(), [MessageId(0); 2]);
    let mut take = async |own: bool| {
        for (client, last) in clients.iter().zip(&mut last) {
            let ids = client.take(500).await.expect("ids");
            assert!(ids.iter().all(|id| (*id > OWN_FROM) == own), "own: {own}, {:?}", ids[0]);
            assert!(!own || ids[0] > *last, "in order on one node");
            assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
            *last = ids[499];
            assert!(ids.into_iter().all(|id| seen.insert(id)), "unique");
        }
    };
    take(false).await;
    fixture.roster.suspect();
    take(false).await;

    server.active.store(false, Ordering::SeqCst);
    for _ in 0..50 {
        take(true).await;
    }
    assert!(matches!(*clients[0].standing().borrow(), Standing::Own { .. }));
    assert_ne!(clients[0].worker(), clients[1].worker());

    // Given that it serves again, though the roster is still lost here.
    server.active.store(true, Ordering::SeqCst);
    for client in &clients {
        while one(client).await > OWN_FROM {
            tokio::task::yield_now().await;
        }
    }
    take(false).await;
    assert_eq!(*clients[0].standing().borrow(), Standing::Idgen);
}

/// A call that has waited for some rounds, and still does.
async fn waiting(client: &IdClient, server: &Counting) -> JoinHandle<MessageId> {
    let client = client.clone();
    let call = tokio::spawn(async move { one(&client).await });
    let before = server.streams.load(Ordering::SeqCst);
    eventually("rounds went by", || server.streams.load(Ordering::SeqCst) >= before + 3).await;
    assert!(!call.is_finished());
    call
}

#[tokio::test]
async fn while_the_roster_is_good_an_idgen_that_fails_over_is_waited_for() {
    let fixture = Fixture::new().await;
    let server = Counting { active: Arc::default(), ..Counting::default() };
    let _node = fixture.serve("a", server.clone()).await;
    let client = fixture.holding(options("spear-1")).await;
    let call = waiting(&client, &server).await;
    server.active.store(true, Ordering::SeqCst);
    assert!(call.await.expect("no panic") < OWN_FROM);

    // Given that the roster is lost only while a caller waits.
    server.active.store(false, Ordering::SeqCst);
    let call = waiting(&client, &server).await;
    fixture.roster.suspect();
    assert!(call.await.expect("no panic") > OWN_FROM);

    // Given that it is back before an idgen serves: none is cut here any more.
    fixture.roster.recover();
    let call = waiting(&client, &server).await;
    server.active.store(true, Ordering::SeqCst);
    assert!(call.await.expect("no panic") < OWN_FROM);
}

#[tokio::test]
async fn idgens_that_hang_are_not_waited_for_one_by_one() {
    let fixture = Fixture::new().await;
    let hanging = Counting { permits: Arc::new(Semaphore::new(0)), ..Counting::default() };
    let mut nodes = Vec::new();
    for id in ["a", "b", "c", "d", "e"] {
        nodes.push(fixture.serve(id, hanging.clone()).await);
    }
    let (deadline, attempt_timeout) = (Duration::from_secs(4), Duration::from_secs(1));
    let client = fixture.holding(IdOptions { deadline, attempt_timeout, ..options("spear-1") }).await;
    fixture.roster.suspect();
    assert!(one(&client).await > OWN_FROM);
    let rest = async {
        for _ in 0..1_000 {
            assert!(one(&client).await > OWN_FROM);
        }
    };
    time::timeout(deadline, rest).await.expect("only the first one waits");
}

#[tokio::test]
async fn without_a_holder_or_a_number_ids_are_refused() {
    let fixture = Fixture::new().await;
    fixture.roster.suspect();
    let deadline = Duration::from_millis(300);
    let stop = IdOptions { deadline, ..IdOptions::default() };
    let refused = fixture.client("right", stop).take(1).await.expect_err("there is no idgen").to_string();
    assert!(refused.ends_with("no idgen node is in the roster"), "{refused}");
    let late = IdOptions { deadline, ..options("spear-1") };
    let refused = fixture.client("right", late).take(1).await.expect_err("no number yet").to_string();
    assert!(refused.contains("this node holds no worker number"), "{refused}");
}

#[tokio::test]
async fn a_client_that_is_closed_gives_its_number_back() {
    let fixture = Fixture::new().await;
    let client = fixture.holding(options("spear-1")).await;
    let path = format!("/idgen/workers/{}", client.worker().expect("held"));
    client.close().await;
    let (data, _) = fixture.roster.read(&path).await.expect("reachable").expect("there");
    let record: serde_json::Value = serde_json::from_slice(&data).expect("JSON");
    assert!(record["until_at"].as_i64().expect("a time") <= wire::time::now_ms(), "{record}");
    assert!(matches!(client.take(1).await, Err(IdsError::Stopped)));
}
