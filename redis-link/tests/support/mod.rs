//! What the tests of this crate share.

#![allow(dead_code)] // each test file uses a part of it

use std::{
    future::Future,
    sync::LazyLock,
    time::{Duration, Instant},
};

use redis_link::{
    Call, Link, LinkError, Mode, RedisOptions, Wait,
    redis::{FromRedisValue, Script, Value, cmd, from_redis_value},
};

/// How long a test waits for what must come.
const BUDGET: Duration = Duration::from_secs(60);

/// Longer than a busy machine stands still.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);

/// Adds to a counter, and says where it stands.
pub(crate) static ADD: LazyLock<Script> =
    LazyLock::new(|| Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])"));

pub(crate) fn link(mode: Mode, servers: Vec<String>) -> Link {
    Link::new(options(mode, servers)).expect("options that fit together")
}

pub(crate) fn options(mode: Mode, servers: Vec<String>) -> RedisOptions {
    RedisOptions {
        mode,
        servers,
        connect_timeout: CONNECT_TIMEOUT,
        response_timeout: RESPONSE_TIMEOUT,
        ..RedisOptions::default()
    }
}

pub(crate) fn set(key: &str, value: &str) -> Call {
    let mut set = cmd("SET");
    set.arg(key).arg(value);
    Call::command(key, set)
}

pub(crate) fn get(key: &str) -> Call {
    let mut get = cmd("GET");
    get.arg(key);
    Call::command(key, get)
}

pub(crate) fn add(key: &str, count: i64) -> Call {
    Call::script(key, &ADD, &[key], &[count])
}

pub(crate) fn one_replica() -> Option<Wait> {
    Some(Wait { replicas: 1, timeout: Duration::from_secs(3) })
}

/// The answers, each as a `T`.
pub(crate) fn each<T: FromRedisValue>(answers: Vec<Value>) -> Vec<T> {
    answers.into_iter().map(|answer| from_redis_value(answer).expect("an answer of this type")).collect()
}

pub(crate) fn is_unavailable<T>(result: &Result<T, LinkError>) -> bool {
    matches!(result, Err(LinkError::Unavailable(_)))
}

/// Does something again and again until it succeeds; each time it must answer in time, and fail as unavailable only.
pub(crate) async fn until_done<T, F>(what: &str, attempt: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, LinkError>>,
{
    let began = Instant::now();
    loop {
        let tried = Instant::now();
        let result = attempt().await;
        let took = tried.elapsed();
        assert!(took < RESPONSE_TIMEOUT * 3 / 2, "{what}: an answer took {took:?}");
        match result {
            Ok(value) => return value,
            Err(LinkError::Unavailable(_) | LinkError::NotReplicated { .. }) => {}
            Err(error) => panic!("{what}: {error}"),
        }
        assert!(began.elapsed() < BUDGET, "{what}: did not come within {BUDGET:?}");
        // Not paced by the link on purpose; this only keeps a test from filling both cores.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until it is true.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, is_true: impl Fn() -> F) {
    let began = Instant::now();
    while !is_true().await {
        assert!(began.elapsed() < BUDGET, "{what}: did not come within {BUDGET:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
