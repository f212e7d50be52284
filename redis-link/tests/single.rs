//! One server: what a run promises, and what happens when the server goes away.

mod support;

use std::time::Instant;

use redis_link::{Call, Link, LinkError, Mode, RedisOptions, redis::cmd};
use servers::Redis;
use support::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, add, each, get, is_unavailable, link, set, until_done};

fn link_to(server: &Redis) -> Link {
    link(Mode::Single, vec![server.address()])
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_calls_in_one_round_trip() {
    let server = Redis::start().await;
    let link = link_to(&server);
    let calls = vec![set("a", "1"), get("a"), add("n", 5), get("b"), add("n", 2), get("n")];
    link.run(vec![add("n", 0)], None).await.expect("the script is loaded");
    let before = (link.round_trips(), link.calls());
    let answers: Vec<Option<String>> = each(link.run(calls, None).await.expect("a server"));
    let texts: Vec<_> = answers.iter().map(|answer| answer.as_deref()).collect();
    assert_eq!(texts, [Some("OK"), Some("1"), Some("5"), None, Some("7"), Some("7")]);
    assert_eq!((link.round_trips() - before.0, link.calls() - before.1), (1, 6));
    assert!(link.run(vec![], None).await.expect("nothing to do").is_empty());
}

#[tokio::test]
async fn scripts_that_were_flushed_are_loaded_again() {
    let server = Redis::start().await;
    let link = link_to(&server);
    for round in 1..=3 {
        let calls = (0..3).map(|_| add("n", 1)).collect();
        let answers: Vec<i64> = each(link.run(calls, None).await.expect("a server"));
        assert_eq!(answers, [3 * round - 2, 3 * round - 1, 3 * round]);
        server.command(&["SCRIPT", "FLUSH"]).await;
    }
    let server_knows = server.command(&["SCRIPT", "EXISTS", support::ADD.get_hash()]).await;
    assert_eq!(server_knows.trim(), "0", "the flush worked, so the rounds did meet an unknown script");
}

#[tokio::test]
async fn an_error_of_the_server_fails_the_run_with_its_text() {
    let server = Redis::start().await;
    let link = link_to(&server);
    let mut push = cmd("LPUSH");
    push.arg("a").arg("x");
    let refused = link.run(vec![set("a", "1"), Call::command("a", push), set("b", "2")], None).await;
    let Err(LinkError::Refused(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("WRONGTYPE"), "{text}");
    let b: Vec<String> = each(link.run(vec![get("b")], None).await.expect("the connection goes on"));
    assert_eq!(b, ["2"]);
}

#[tokio::test]
async fn a_server_that_was_killed_is_found_again() {
    let mut server = Redis::start().await;
    let link = link_to(&server);
    link.run(vec![set("a", "1")], None).await.expect("a server");
    server.kill().await;
    let gone = link.run(vec![get("a")], None).await;
    assert!(is_unavailable(&gone), "{gone:?}");
    server.start_again().await;
    until_done("the server that is back", || link.run(vec![get("a"), add("n", 1)], None)).await;
}

#[tokio::test]
async fn a_frozen_server_costs_one_time_out_and_then_no_time() {
    let server = Redis::start().await;
    let link = link_to(&server);
    link.run(vec![set("a", "1")], None).await.expect("a server");
    server.freeze();
    let began = Instant::now();
    let frozen = futures_util::future::join_all((0..20).map(|_| link.run(vec![get("a")], None))).await;
    assert!(frozen.iter().all(is_unavailable), "{frozen:?}");
    assert!(began.elapsed() < RESPONSE_TIMEOUT * 3 / 2, "all at once: {:?}", began.elapsed());
    // Now one tries to connect, and cannot; from then on the others are told at once.
    let connecting = link.run(vec![get("a")], None).await;
    assert!(is_unavailable(&connecting), "{connecting:?}");
    let timed = (0..20).map(|_| async {
        let began = Instant::now();
        let result = link.run(vec![get("a")], None).await;
        (is_unavailable(&result), began.elapsed())
    });
    let timed = futures_util::future::join_all(timed).await;
    let at_once = timed.iter().filter(|(_, took)| *took < CONNECT_TIMEOUT / 2).count();
    assert!(timed.iter().all(|(unavailable, _)| *unavailable) && at_once >= 19, "{timed:?}");
    server.thaw();
    until_done("the server that is back", || link.run(vec![get("a")], None)).await;
}

#[tokio::test]
async fn connecting_waits_for_nobody_and_a_start_in_any_order_works() {
    let mut server = Redis::start().await;
    server.kill().await;
    let link = link_to(&server);
    let callers = (0..50).map(|_| link.run(vec![get("a")], None));
    assert!(futures_util::future::join_all(callers).await.iter().all(is_unavailable));
    server.start_again().await;
    until_done("the server", || link.run(vec![get("a")], None)).await;
    let callers = (0..50).map(|_| link.run(vec![add("n", 1)], None));
    assert!(futures_util::future::join_all(callers).await.iter().all(Result::is_ok));
    // The link's one, and the one that asks.
    let clients = server.command(&["CLIENT", "LIST"]).await;
    assert_eq!(clients.lines().filter(|line| line.contains("id=")).count(), 2, "{clients}");
}

#[tokio::test]
async fn a_user_is_logged_in_and_a_wrong_password_is_said() {
    let server = Redis::start().await;
    server.command(&["ACL", "SETUSER", "phalanx", "on", ">sesame", "~*", "+@all"]).await;
    let with = |password: &str| {
        let options = support::options(Mode::Single, vec![server.address()]);
        let options = RedisOptions { user: "phalanx".into(), password: password.into(), ..options };
        Link::new(options).expect("options that fit together")
    };
    let who = with("sesame").run(vec![Call::command("", cmd("ACL").arg("WHOAMI").take())], None).await;
    assert_eq!(each::<String>(who.expect("the right password")), ["phalanx"]);
    let refused = with("swordfish").run(vec![get("a")], None).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    let text = refused.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(text.contains("WRONGPASS") && !text.contains("swordfish"), "{text}");
}
