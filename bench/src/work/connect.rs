//! New connections for each second of the server's processor time.

use std::time::{Duration, Instant};

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Bench,
    crowd::{AT_ONCE, Crowd},
};
use crate::{
    latency::Latencies,
    link::Link,
    record::{Better, Record},
    servers::{CpuClock, CpuTime},
    settle::until_settled,
};

/// The server counts as done when it uses less than this, in milliseconds of processor time over two seconds.
const QUIET_MS: u64 = 100;

/// Connects users whose tickets are at hand, and says how many the server lets in for each second of its processor time.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How many users. All their tickets are had before the first one connects, so tickets must last long enough.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub connections: usize,
}

/// Measures new connections.
///
/// # Errors
/// The server does not do what it should, or its processes cannot be looked at.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Vec<Record>> {
    let users: Vec<String> = (0..options.connections).map(|number| bench.name(&number.to_string())).collect();
    bench.say(&format!("getting {} tickets", users.len()));
    let seats: Vec<_> = stream::iter(users.iter().enumerate())
        .map(|(turn, user)| bench.target.seat(user, &[], turn))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;

    bench.say("connecting");
    let mut record = Record::new("connect".to_owned(), &bench.label);
    let mut crowd = Crowd::default();
    let mut latencies = Latencies::default();
    let clock = CpuClock::start(&bench.servers)?;
    let began = Instant::now();
    let mut connecting = stream::iter(seats)
        .map(async |seat| {
            let began = Instant::now();
            let connected = Link::connect(&seat).await?;
            anyhow::Ok((seat, connected, began.elapsed()))
        })
        .buffer_unordered(AT_ONCE);
    while let Some((seat, (link, incoming), took)) = connecting.try_next().await? {
        crowd.hold(seat, link, incoming);
        latencies.add(took);
    }
    let took = began.elapsed();
    // What a server puts off until later belongs to the connections too.
    let used_ms = || Ok((clock.used(&bench.servers)?.total() * 1_000.0) as u64);
    let last = Duration::from_millis(used_ms()?);
    until_settled(QUIET_MS, used_ms).await?;
    let used = clock.used(&bench.servers)?;
    bench.say(&format!(
        "connected; {:.2} s of processor time came afterwards",
        used.total() - last.as_secs_f64()
    ));
    if let Some(fault) = crowd.fault() {
        record.fault(fault);
    }
    Ok(vec![finish(record, options.connections, took, &used, &latencies)])
}

fn finish(mut record: Record, count: usize, took: Duration, used: &CpuTime, latencies: &Latencies) -> Record {
    record.figure(Better::More, "connections per CPU second", used.rate(count as u64));
    record.figure(Better::More, "connections per second", count as f64 / took.as_secs_f64());
    record.figure(Better::Less, "time to connect p50, ms", latencies.quantile_ms(0.5));
    record.figure(Better::Less, "time to connect p99, ms", latencies.quantile_ms(0.99));
    record.cpu_time(used, took.as_secs_f64());
    record
}
