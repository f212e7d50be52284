//! The roster on one real ZooKeeper that nobody harms: the suite, and what only it can do.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use roster::{Health, Roster, RosterError, Version, ZooKeeperOptions, conformance::Fixture};
use wire::NodeState;
use zookeeper_client::{Acls, CreateMode};

use support::{connect, delete, fresh_root, patient, plain, seen, shared, shows, spear, within};

struct Cluster {
    options: ZooKeeperOptions,
}

impl Cluster {
    async fn new() -> Self {
        Self { options: ZooKeeperOptions { root: fresh_root(), ..patient(vec![shared().await.address()]) } }
    }

    fn path(&self, relative: &str) -> String {
        format!("{}{}{relative}", self.options.chroot, self.options.root)
    }
}

#[async_trait]
impl Fixture for Cluster {
    async fn connect(&self) -> Arc<dyn Roster> {
        Arc::new(connect(&self.options).await)
    }

    /// The sessions have ended with what the case has dropped; the server is shared, and restarted in other tests.
    async fn restart(&mut self) {}
}

roster::conformance!(Cluster::new());

#[tokio::test]
async fn candidates_win_in_the_order_in_which_they_came() {
    let cluster = Cluster::new().await;
    let client = plain(&cluster.options.servers[0]).await;
    let (one, other) = (connect(&cluster.options).await, connect(&cluster.options).await);
    let mut leader = within("the leader", one.elect("e", "n0")).await.expect("nobody else");
    let mut waiting = Vec::new();
    for (number, roster) in (1..=5).zip([&other, &one].into_iter().cycle()) {
        let (name, contender) = (format!("n{number}"), roster.clone());
        waiting.push(tokio::spawn(async move { contender.elect("e", &name).await }));
        latches(&client, &cluster, number + 1).await;
    }
    for next in waiting {
        assert!(!next.is_finished(), "two leaders");
        drop(leader);
        leader = within("the next", next).await.expect("it runs").expect("it is first in the queue");
    }
}

/// Waits until the election `e` has so many latches.
async fn latches(client: &zookeeper_client::Client, cluster: &Cluster, count: usize) {
    let wait = async {
        loop {
            let (names, _, change) =
                client.get_and_watch_children(&cluster.path("/e")).await.expect("it is there");
            if names.len() == count {
                return;
            }
            change.changed().await;
        }
    };
    within("the latches", wait).await;
}

#[tokio::test]
async fn who_gives_up_while_its_latch_is_made_leaves_none() {
    let cluster = Cluster::new().await;
    let client = plain(&cluster.options.servers[0]).await;
    let roster = connect(&cluster.options).await;
    drop(within("a first leader", roster.elect("e", "n0")).await.expect("nobody else"));
    for _ in 0..20 {
        let mut candidacy = roster.elect("e", "n1");
        // One poll sends the creation; the answer finds nobody.
        assert!((&mut candidacy).now_or_never().is_none(), "no answer comes so quickly");
        drop(candidacy);
    }
    latches(&client, &cluster, 0).await;
}

#[tokio::test]
async fn a_leader_whose_latch_is_deleted_has_lost() {
    let cluster = Cluster::new().await;
    let client = plain(&cluster.options.servers[0]).await;
    let roster = connect(&cluster.options).await;
    let leader = within("the leader", roster.elect("e", "n0")).await.expect("nobody else");
    let names = client.list_children(&cluster.path("/e")).await.expect("it is there");
    delete(&client, &cluster.path(&format!("/e/{}", names[0]))).await;
    within("the loss", leader.lost().cancelled_owned()).await;
    within("another candidacy", roster.elect("e", "n0")).await.expect("nobody else");
}

#[tokio::test]
async fn a_node_that_somebody_deletes_comes_back() {
    let cluster = Cluster::new().await;
    let client = plain(&cluster.options.servers[0]).await;
    let (one, other) = (connect(&cluster.options).await, connect(&cluster.options).await);
    let registration = one.register(spear("s", 5)).await.expect("the place is free");
    seen(&other, "the node", shows("s", 5)).await;
    let path = cluster.path("/nodes/spear/s");
    for _ in 0..3 {
        let (_, before) = client.get_data(&path).await.expect("it is there");
        delete(&client, &path).await;
        let back = async {
            loop {
                let (stat, change) = client.check_and_watch_stat(&path).await.expect("the server runs");
                if stat.is_some_and(|stat| stat.czxid > before.czxid) {
                    return;
                }
                change.changed().await;
            }
        };
        within("its return", back).await;
    }
    seen(&other, "the same start", shows("s", 5)).await;
    assert!(!registration.superseded().is_cancelled());
    registration.set_state(NodeState::Draining).await.expect("its handle is as good as before");
}

#[tokio::test]
async fn what_cannot_be_understood_is_left_out_alone() {
    let cluster = Cluster::new().await;
    let client = plain(&cluster.options.servers[0]).await;
    let roster = connect(&cluster.options).await;
    let good = roster.register(spear("good", 1)).await.expect("the place is free");
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let bad = [("garbage", "{"), ("later", r#"{"id": "later", "role": "later"}"#), ("empty", "")];
    for (id, content) in bad {
        let path = cluster.path(&format!("/nodes/spear/{id}"));
        client.create(&path, content.as_bytes(), &open).await.expect("it is free");
    }
    let other = serde_json::to_vec(&spear("another", 1)).expect("it is plain");
    client.create(&cluster.path("/nodes/spear/liar"), &other, &open).await.expect("it is free");
    client.mkdir(&cluster.path("/nodes/later"), &open).await.expect("it is free");
    client.create(&cluster.path("/nodes/later/x"), b"x", &open).await.expect("it is free");
    let last = roster.register(spear("last", 1)).await.expect("the place is free");
    // By its events, and by its listing.
    for roster in [roster, connect(&cluster.options).await] {
        let snapshot = seen(&roster, "the last node", shows("last", 1)).await;
        let ids: Vec<_> = snapshot.nodes().map(|node| node.id.to_string()).collect();
        assert_eq!(ids, ["good", "last"]);
    }
    let mended = serde_json::to_vec(&spear("garbage", 1)).expect("it is plain");
    client.set_data(&cluster.path("/nodes/spear/garbage"), &mended, None).await.expect("it is there");
    seen(&connect(&cluster.options).await, "the mended one", shows("garbage", 1)).await;
    drop((good, last));
}

#[tokio::test]
async fn the_layout_is_the_contracts() {
    let cluster = Cluster::new().await;
    let client = plain(&cluster.options.servers[0]).await;
    let roster = connect(&cluster.options).await;
    let registration = roster.register(spear("s", 5)).await.expect("the place is free");
    let (data, stat) = client.get_data(&cluster.path("/nodes/spear/s")).await.expect("it is there");
    assert_ne!(stat.ephemeral_owner, 0, "it ends with its session");
    assert_eq!(serde_json::from_slice::<wire::NodeRecord>(&data).expect("a record"), spear("s", 5));
    let leader = within("the leader", roster.elect("idgen/leader", "idgen-1")).await.expect("nobody else");
    let latches = client.list_children(&cluster.path("/idgen/leader")).await.expect("it is there");
    let (data, stat) =
        client.get_data(&cluster.path(&format!("/idgen/leader/{}", latches[0]))).await.expect("it is there");
    assert_eq!((data.as_slice(), stat.ephemeral_owner != 0), (b"idgen-1".as_slice(), true));
    roster.create("/idgen/watermark", b"1").await.expect("it is free");
    let (data, stat) = client.get_data(&cluster.path("/idgen/watermark")).await.expect("it is there");
    assert_eq!((data.as_slice(), stat.ephemeral_owner), (b"1".as_slice(), 0));
    drop((registration, leader));
}

#[tokio::test]
async fn a_chroot_is_made_and_kept_to() {
    let mut cluster = Cluster::new().await;
    cluster.options.chroot = format!("{}-apps/one", fresh_root());
    let client = plain(&cluster.options.servers[0]).await;
    assert_eq!(client.check_stat(&cluster.options.chroot).await.expect("an answer"), None);
    let roster = connect(&cluster.options).await;
    let _registration = roster.register(spear("s", 1)).await.expect("the place is free");
    roster.create("/a/b", b"x").await.expect("it is free");
    for path in ["/nodes/spear/s", "/a/b"] {
        assert!(client.check_stat(&cluster.path(path)).await.expect("an answer").is_some(), "{path}");
    }
    let outside = ZooKeeperOptions { chroot: String::new(), ..cluster.options.clone() };
    assert_eq!(connect(&outside).await.watch().borrow().nodes().count(), 0, "another cluster");
}

#[tokio::test]
async fn only_the_user_may_read_and_write() {
    let mut cluster = Cluster::new().await;
    cluster.options.user = "phalanx".into();
    cluster.options.password = "secret".into();
    let (one, other) = (connect(&cluster.options).await, connect(&cluster.options).await);
    let _registration = one.register(spear("s", 1)).await.expect("the place is free");
    seen(&other, "the node", shows("s", 1)).await;
    one.create("/w", b"1").await.expect("it is free");
    other.write("/w", b"2", Version(0)).await.expect("the same user");
    let leader = within("the leader", one.elect("e", "n0")).await.expect("nobody else");
    drop(leader);
    within("the next", other.elect("e", "n1")).await.expect("nobody else");

    let strangers = [
        ZooKeeperOptions { user: String::new(), password: String::new(), ..cluster.options.clone() },
        ZooKeeperOptions { password: "wrong".into(), ..cluster.options.clone() },
    ];
    for options in strangers {
        let stranger = support::open(&options);
        let failures = [
            stranger.read("/w").await.map(|_| ()),
            stranger.write("/w", b"3", Version(1)).await.map(|_| ()),
            stranger.create("/x", b"").await.map(|_| ()),
            stranger.register(spear("s", 2)).await.map(|_| ()),
            within("a refusal", stranger.elect("e", "n2")).await.map(|_| ()),
        ];
        for failure in failures {
            let Err(RosterError::Unavailable(why)) = failure else { panic!("{failure:?}") };
            assert!(why.contains("check user and password"), "{why}");
        }
        assert_eq!(stranger.watch().borrow().nodes().count(), 0);
        assert_ne!(*stranger.health().borrow(), Health::Good);
    }
    let client = plain(&cluster.options.servers[0]).await;
    for path in ["", "/nodes", "/nodes/spear", "/nodes/spear/s", "/w", "/e", "/fences"] {
        let refused = client.list_children(&cluster.path(path)).await.expect_err("no identity");
        assert_eq!(refused, zookeeper_client::Error::NoAuth, "{path}");
    }
    assert_eq!(one.read("/w").await.expect("a read"), Some((b"2".to_vec(), Version(1))));
}
