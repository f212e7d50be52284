//! Sends between two users.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Notify;

use super::{
    Bench,
    crowd::AT_ONCE,
    pair::Pair,
    traffic::{Times, Traffic},
};
use crate::{
    link::{Incoming, Link},
    order::Faults,
    record::{Better, Record, number},
    schedule::Schedule,
    target::Seat,
};

/// How exactly messages leave on time. The timers of the runtime have steps of 1 ms.
const TICK: Duration = Duration::from_micros(200);

/// Sends from user to user, each pair on two nodes where there are two. A message is under way until the other user has it,
/// whatever was acknowledged. Fails where a message is lost, repeated or out of order.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How many pairs of users; one of each pair sends, to the other.
    #[arg(long, value_name = "P", default_value_t = 200)]
    pub pairs: usize,
    /// Closed loop: how many messages of each pair are under way.
    #[arg(long, value_name = "K", default_value_t = 8)]
    pub in_flight: usize,
    /// Open loop instead: so many messages a second over all pairs, each at its time whatever becomes of the others. Latency
    /// counts from the time when a message was due.
    #[arg(long, value_name = "RATE")]
    pub rate: Option<u64>,
    /// After the closed loop an open one, at this share (0.5: half) of the rate that it reached.
    #[arg(long, value_name = "SHARE", conflicts_with = "rate")]
    pub then_share: Option<f64>,
    /// How long.
    #[command(flatten)]
    pub times: Times,
}

#[derive(Debug, Clone, Copy)]
enum Load {
    /// So many under way for each pair.
    Closed(usize),
    /// So many a second.
    Open(u64),
}

/// Measures sends between two users.
///
/// # Errors
/// The server does not do what it should, or its processes cannot be looked at.
pub async fn run(bench: &Bench, options: &Options) -> anyhow::Result<Vec<Record>> {
    let shape = format!("direct, {} pairs", options.pairs);
    if let Some(rate) = options.rate {
        let title = format!("{shape}, {} a second", number(rate as f64));
        return Ok(vec![load(bench, options, "o", &title, Load::Open(rate)).await?.0]);
    }
    let title = format!("{shape}, {} in flight each", options.in_flight);
    let (closed, reached) = load(bench, options, "c", &title, Load::Closed(options.in_flight)).await?;
    let mut records = vec![closed];
    if let Some(share) = options.then_share {
        let rate = (reached * share) as u64;
        bench.say(&format!("now {} a second", number(rate as f64)));
        let title = format!("{shape}, at {} % of that", number(share * 100.0));
        let (mut open, _) = load(bench, options, "o", &title, Load::Open(rate)).await?;
        open.figure(Better::Neither, "due per second", rate as f64);
        records.push(open);
    }
    Ok(records)
}

/// One load on pairs of its own. Answers the figures, and how many arrived a second.
async fn load(
    bench: &Bench,
    options: &Options,
    prefix: &str,
    title: &str,
    load: Load,
) -> anyhow::Result<(Record, f64)> {
    bench.say(&format!("connecting {} pairs", options.pairs));
    let seats = bench.target.pairs(&bench.name(prefix), options.pairs).await?;
    let two_nodes = seats.iter().all(|(one, other)| one.node != other.node);
    bench.say(if two_nodes { "each pair is on two nodes" } else { "both users of a pair are on one node" });
    let connected: Vec<_> = stream::iter(seats).map(connect).buffer_unordered(AT_ONCE).try_collect().await?;

    let traffic = Rc::new(Traffic::new(&options.times));
    let closed_loop = matches!(load, Load::Closed(_));
    let mut pairs = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for connected in connected {
        let Connected { sender, receiver, from, to } = connected;
        let pair = Rc::new(Pair::new(sender.0.clone(), from, to));
        let (heard, seen) = (pair.clone(), traffic.clone());
        tasks.spawn_local(async move {
            let end = sender.1.drive(sender.0, |packet| heard.sender_heard(&seen, packet)).await;
            seen.wrong(&format!("senders' connections ended: {end}"));
        });
        let (heard, seen) = (pair.clone(), traffic.clone());
        tasks.spawn_local(async move {
            let end =
                receiver.1.drive(receiver.0, |packet| heard.receiver_heard(&seen, packet, closed_loop)).await;
            seen.wrong(&format!("receivers' connections ended: {end}"));
        });
        pairs.push(pair);
    }
    match load {
        Load::Closed(in_flight) => {
            let now = Instant::now();
            pairs.iter().for_each(|pair| (0..in_flight).for_each(|_| pair.send(now)));
        }
        Load::Open(rate) => {
            tasks.spawn_local(send_on_time(pairs.clone(), traffic.clone(), rate));
        }
    }
    let stretch = traffic.measure(bench).await?;
    let sent = || pairs.iter().map(|pair| pair.sent()).sum::<u64>();
    traffic.drain(sent(), sent(), &options.times).await;

    let mut record = Record::new(title.to_owned(), &bench.label);
    let faults = pairs.iter().map(|pair| pair.faults()).fold(Faults::default(), std::ops::Add::add);
    traffic.report(&mut record, "sends", &stretch, sent(), faults);
    let per_second = record.figures.iter().find(|figure| figure.name == "sends per second");
    let reached = per_second.map_or(0.0, |figure| figure.value);
    Ok((record, reached))
}

struct Connected {
    sender: (Rc<Link>, Incoming),
    receiver: (Rc<Link>, Incoming),
    from: String,
    to: String,
}

async fn connect((one, other): (Seat, Seat)) -> anyhow::Result<Connected> {
    let (sender, receiver) = (Link::connect(&one).await?, Link::connect(&other).await?);
    Ok(Connected { sender, receiver, from: one.user, to: other.user })
}

/// Sends by the schedule, pair by pair in turn, until the traffic ends.
async fn send_on_time(pairs: Vec<Rc<Pair>>, traffic: Rc<Traffic>, rate: u64) {
    let tick = Ticks::start();
    let mut schedule = Schedule::new(Instant::now(), rate);
    let mut turns = pairs.iter().cycle();
    while traffic.sending() {
        while let Some(due) = schedule.take(Instant::now()) {
            let Some(pair) = turns.next() else { return };
            pair.send(due);
            traffic.sent_late(due, Instant::now());
        }
        tick.notify.notified().await;
    }
}

/// Wakes a task more often than the timers of the runtime can; until it is dropped.
struct Ticks {
    notify: std::sync::Arc<Notify>,
}

impl Ticks {
    fn start() -> Self {
        let notify = std::sync::Arc::new(Notify::new());
        let weak = std::sync::Arc::downgrade(&notify);
        std::thread::spawn(move || {
            while let Some(notify) = weak.upgrade() {
                notify.notify_one();
                drop(notify);
                std::thread::sleep(TICK);
            }
        });
        Self { notify }
    }
}
