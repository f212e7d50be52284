//! Servers that speak TLS only, and ask for a user and a password: each kind of Redis works, and who is not let in is told why.

mod support;

use std::time::Duration;

use redis_link::{Call, LeaseStanding, Link, LinkError, Mode, RedisOptions, Tls, TlsFiles, redis::cmd};
use servers::{Certificates, Guard, Redis, RedisCluster, Replicated};
use support::{add, each, get, one_replica, set, until_done};
use tokio::{sync::mpsc, time::timeout};

/// Trusts whom the guard's servers were signed by, and shows a certificate.
fn tls(certificates: &Certificates) -> Tls {
    let files =
        TlsFiles { ca: certificates.ca(), certificate: certificates.certificate(), key: certificates.key() };
    Tls::read(&files).expect("files that can be used")
}

fn options(guard: &Guard, mode: Mode, servers: Vec<String>) -> RedisOptions {
    RedisOptions {
        tls: Some(tls(guard.certificates())),
        user: Guard::USER.into(),
        password: Guard::PASSWORD.into(),
        ..support::options(mode, servers)
    }
}

fn link(options: RedisOptions) -> Link {
    Link::new(options).expect("options that fit together")
}

/// What somebody with these options is told.
async fn refusal(options: RedisOptions) -> String {
    match link(options).run(vec![get("a")], None).await {
        Err(LinkError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Subscribes, publishes, and waits for what was published.
async fn hears(link: &Link, subscribe: &str, publish: &'static str) {
    let (told, mut hears) = mpsc::unbounded_channel();
    let connection = until_done("a connection", || {
        let told = told.clone();
        link.connect("channel", Box::new(move |info| drop(told.send(info.kind))))
    })
    .await;
    let subscribed = cmd(subscribe).arg("channel").take();
    connection.ask(&subscribed, support::RESPONSE_TIMEOUT).await.expect("it may subscribe");
    let published = || vec![Call::command("channel", cmd(publish).arg("channel").arg("hint").take())];
    let heard: Vec<i64> = each(until_done("a publication", || link.run(published(), None)).await);
    assert_eq!(heard, [1]);
    let both = async { format!("{:?} {:?}", hears.recv().await, hears.recv().await) };
    let kinds = timeout(Duration::from_secs(20), both).await.expect("both come");
    assert!(kinds.contains("Message"), "{kinds}");
}

#[tokio::test]
async fn a_single_server_serves_who_comes_as_it_asks() {
    let guard = Guard::new().asking_for_certificates();
    let server = Redis::start_guarded(&guard).await;
    let link = link(options(&guard, Mode::Single, vec![server.address()]));
    let done = until_done("an answer", || link.run(vec![set("a", "1"), get("a"), add("n", 2)], None)).await;
    assert_eq!(each::<String>(done), ["OK", "1", "2"]);
    let large = "x".repeat(3 << 20);
    link.run(vec![set("b", &large)], None).await.expect("more than a record of TLS holds");
    assert_eq!(each::<String>(link.run(vec![get("b")], None).await.expect("the same")), [large]);
    hears(&link, "SUBSCRIBE", "PUBLISH").await;
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why() {
    let guard = Guard::new().asking_for_certificates();
    let (server, plain) = tokio::join!(Redis::start_guarded(&guard), Redis::start());
    // Each is tried once, on a machine that may be busy.
    let patience = Duration::from_secs(5);
    let fine = RedisOptions {
        connect_timeout: patience,
        response_timeout: patience,
        ..options(&guard, Mode::Single, vec![server.address()])
    };
    let own = link(fine.clone());
    until_done("an answer", || own.run(vec![get("a")], None)).await;
    let name = server.address().replace("127.0.0.1", "localhost");
    let anonymous = TlsFiles { ca: guard.certificates().ca(), ..TlsFiles::default() };
    let wrong = [
        ("UnknownIssuer", RedisOptions { tls: Some(tls(&Certificates::make())), ..fine.clone() }),
        ("not valid for name \"localhost\"", RedisOptions { servers: vec![name], ..fine.clone() }),
        ("CertificateRequired", RedisOptions { tls: Tls::read(&anonymous).ok(), ..fine.clone() }),
        ("WRONGPASS", RedisOptions { password: "wrong-password".into(), ..fine.clone() }),
        ("NOAUTH", RedisOptions { user: String::new(), password: String::new(), ..fine.clone() }),
        ("if it speaks TLS only, so must we", RedisOptions { tls: None, ..fine.clone() }),
        (
            "it may not speak TLS",
            RedisOptions {
                servers: vec![plain.address()],
                connect_timeout: support::CONNECT_TIMEOUT,
                ..fine.clone()
            },
        ),
    ];
    for (expected, options) in wrong {
        let address = options.servers[0].clone();
        let why = refusal(options).await;
        assert!(why.contains(expected) && why.starts_with(&address), "{expected}: {why}");
        assert!(!why.contains("password-of") && !why.contains("wrong-password"), "{why}");
    }
}

#[tokio::test]
async fn a_key_that_does_not_go_with_the_certificate_is_refused_at_once() {
    let (one, other) = (Certificates::make(), Certificates::make());
    let files = |ca, certificate, key| TlsFiles { ca, certificate, key };
    let refused = |files| Tls::read(&files).expect_err("these cannot be used").to_string();
    let mixed = refused(files(one.ca(), one.certificate(), other.key()));
    assert!(mixed.contains("does not go with the certificate"), "{mixed}");
    let swapped = refused(files(one.key(), one.certificate(), one.key()));
    assert!(swapped.contains("holds no certificate"), "{swapped}");
    let no_key = refused(files(one.ca(), one.certificate(), one.ca()));
    assert!(no_key.contains("does not hold what it should"), "{no_key}");
}

#[tokio::test]
async fn sentinels_are_asked_over_tls_too_and_have_a_password_of_their_own() {
    let guard = Guard::new();
    let mut servers = Replicated::start_guarded(&guard).await;
    let without = options(&guard, Mode::Sentinel, servers.sentinel_addresses());
    let why = refusal(without.clone()).await;
    assert!(why.contains("no sentinel knows the primary") && why.contains("NOAUTH"), "{why}");
    let (sentinel_user, sentinel_password) = ("default".into(), Guard::SENTINEL_PASSWORD.into());
    let link = link(RedisOptions { sentinel_user, sentinel_password, ..without });
    until_done("a replica that confirms", || link.run(vec![set("a", "1")], one_replica())).await;
    let mut lease = link.lease().expect("there are sentinels");
    lease.wait_for(|standing| *standing == LeaseStanding::Holds).await.expect("the link is there");
    hears(&link, "SUBSCRIBE", "PUBLISH").await;
    servers.primary.kill().await;
    lease.wait_for(|standing| *standing == LeaseStanding::Missing).await.expect("the link is there");
    until_done("a new primary", || link.run(vec![set("a", "2")], one_replica())).await;
    lease.wait_for(|standing| *standing == LeaseStanding::Holds).await.expect("the link is there");
}

#[tokio::test]
async fn every_server_of_a_cluster_is_asked_over_tls() {
    let guard = Guard::new();
    let cluster = RedisCluster::start_guarded(&guard).await;
    // One names the others.
    let link = link(options(&guard, Mode::Cluster, vec![cluster.addresses()[0].clone()]));
    let calls = || (0..60).map(|number| set(&format!("key-{number}"), "1")).collect();
    until_done("replicas that confirm", || link.run(calls(), one_replica())).await;
    hears(&link, "SSUBSCRIBE", "SPUBLISH").await;
}
