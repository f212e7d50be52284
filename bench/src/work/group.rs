//! Sends to a group.

use std::rc::Rc;

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Bench,
    crowd::AT_ONCE,
    fan::Fan,
    traffic::{Times, Traffic},
};
use crate::{
    link::Link,
    record::{Record, number},
};

/// Sends to a group of connected members, and counts what reaches each of them. A message is under way until all members have
/// it. Fails where a member loses a message, or has it twice or out of order.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How many members, beside the one who sends.
    #[arg(long, value_name = "M", default_value_t = 2_000)]
    pub members: usize,
    /// How many messages are under way; may be repeated.
    #[arg(long, value_name = "F", default_values_t = [16])]
    pub in_flight: Vec<usize>,
    /// How long, for each number under way.
    #[command(flatten)]
    pub times: Times,
}

/// Measures sends to a group.
///
/// # Errors
/// The server does not do what it should, or its processes cannot be looked at.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Vec<Record>> {
    let mut records = Vec::new();
    for in_flight in &options.in_flight {
        records.push(load(bench, options, *in_flight).await?);
    }
    Ok(records)
}

async fn load(bench: &Bench, options: &Options, in_flight: usize) -> anyhow::Result<Record> {
    let prefix = bench.name(&format!("f{in_flight}"));
    let users: Vec<String> = (0..=options.members).map(|number| format!("{prefix}-{number}")).collect();
    let group = format!("{prefix}-group");
    bench.say(&format!("connecting a group of {}", users.len()));
    bench.target.make_group(&group, &users).await?;
    let groups = [group.clone()];
    let mut connected: Vec<_> = stream::iter(users.iter().enumerate())
        .map(async |(turn, user)| {
            let seat = bench.target.seat(user, &groups, turn).await?;
            anyhow::Ok((Link::connect(&seat).await?, user.clone()))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;

    let Some(((sender, sender_incoming), from)) = connected.pop() else { anyhow::bail!("nobody is there") };
    let traffic = Rc::new(Traffic::new(&options.times));
    let fan = Rc::new(Fan::new(sender.clone(), from, group, options.members));
    let mut tasks = tokio::task::JoinSet::new();
    let (heard, seen) = (fan.clone(), traffic.clone());
    tasks.spawn_local(async move {
        let end = sender_incoming.drive(sender, |packet| heard.sender_heard(&seen, packet)).await;
        seen.wrong(&format!("senders' connections ended: {end}"));
    });
    for (member, ((link, incoming), _)) in connected.into_iter().enumerate() {
        let (heard, seen) = (fan.clone(), traffic.clone());
        tasks.spawn_local(async move {
            let end = incoming.drive(link, |packet| heard.member_heard(&seen, member, packet)).await;
            seen.wrong(&format!("members' connections ended: {end}"));
        });
    }
    (0..in_flight).for_each(|_| fan.send());
    let stretch = traffic.measure(bench).await?;
    traffic.drain(fan.sent(), fan.sent() * options.members as u64, &options.times).await;

    let title = format!("group of {}, {in_flight} in flight", number(options.members as f64));
    let mut record = Record::new(title, &bench.label);
    traffic.report(&mut record, "deliveries", &stretch, fan.sent(), fan.faults());
    Ok(record)
}
