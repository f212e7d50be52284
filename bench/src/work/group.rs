//! Sends to a group, which is stored, or to a room, which is not.

use std::{rc::Rc, time::Duration};

use anyhow::Context as _;
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::{
    Bench,
    crowd::AT_ONCE,
    fan::Fan,
    traffic::{Times, Traffic},
};
use crate::{
    link::{Incoming, Link},
    message::{Answer, Recipient},
    record::{Record, number},
};

/// How long the nodes may take to know of everybody who has joined.
const KNOWN_WITHIN: Duration = Duration::from_secs(20);

/// Whom the works send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Made before its members connect; what is sent is stored.
    Group,
    /// Joined by those who are connected; live only.
    Room,
}

/// Sends to a group or a room of connected members, and counts what reaches each of them. A message is under way until all members have
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

/// Measures sends to a group or a room.
///
/// # Errors
/// The server does not do what it should, or its processes cannot be looked at.
pub async fn run(bench: &Bench, audience: Audience, options: &Options) -> anyhow::Result<Vec<Record>> {
    let mut records = Vec::new();
    for in_flight in &options.in_flight {
        records.push(load(bench, audience, options, *in_flight).await?);
    }
    Ok(records)
}

async fn load(
    bench: &Bench,
    audience: Audience,
    options: &Options,
    in_flight: usize,
) -> anyhow::Result<Record> {
    let prefix = bench.name(&format!("f{in_flight}"));
    let users: Vec<String> = (0..=options.members).map(|number| format!("{prefix}-{number}")).collect();
    let name = format!("{prefix}-{}", audience.word());
    bench.say(&format!("connecting a {} of {}", audience.word(), users.len()));
    let in_room = audience == Audience::Room && bench.target.has_rooms();
    if audience == Audience::Group {
        bench.target.make_group(&name, &users).await?;
    }
    let groups = [name.clone()];
    let mut connected: Vec<_> = stream::iter(users.iter().enumerate())
        .map(async |(turn, user)| {
            let seat = bench.target.seat(user, &groups, turn).await?;
            let (link, mut incoming) = Link::connect(&seat).await?;
            if in_room {
                join(&link, &mut incoming, &name).await?;
            }
            anyhow::Ok(((link, incoming), user.clone()))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;

    let Some(((sender, mut sender_incoming), from)) = connected.pop() else {
        anyhow::bail!("nobody is there")
    };
    if in_room {
        everybody(&sender, &mut sender_incoming, &name, users.len() as u64).await?;
    }
    let to = if in_room { Recipient::Room(name) } else { Recipient::Group(name) };
    let traffic = Rc::new(Traffic::new(&options.times));
    let fan = Rc::new(Fan::new(sender.clone(), from, to, options.members));
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

    let members = number(options.members as f64);
    let title = format!("{} of {members}, {in_flight} in flight", audience.word());
    let mut record = Record::new(title, &bench.label);
    traffic.report(&mut record, "deliveries", &stretch, fan.sent(), fan.faults());
    Ok(record)
}

impl Audience {
    fn word(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Room => "room",
        }
    }
}

/// Joins a room; answers how many are in it, as far as the node knows.
async fn join(link: &Link, incoming: &mut Incoming, room: &str) -> anyhow::Result<u64> {
    let answer = incoming.ask(link, "join", &json!({ "room": room }).to_string()).await?;
    let answer = Answer::read(&answer).context("the answer to `join`")?;
    answer.members.with_context(|| format!("`join` is refused: {:?}", answer.error))
}

/// Waits until the sender's node knows where all members are.
async fn everybody(link: &Link, incoming: &mut Incoming, room: &str, members: u64) -> anyhow::Result<()> {
    const LOOK: Duration = Duration::from_millis(50);
    let known = async {
        while join(link, incoming, room).await? < members {
            tokio::time::sleep(LOOK).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(KNOWN_WITHIN, known).await.context("the node does not learn of all members")?
}
