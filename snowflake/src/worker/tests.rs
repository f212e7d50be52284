use std::{collections::HashSet, sync::atomic::AtomicU32, sync::atomic::Ordering};

use async_trait::async_trait;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use roster::{EmbeddedRoster, Health, Leadership, Registration, RosterError, Snapshot, Version};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::{Incarnation, NodeRecord};

use super::{keeper::Trouble, numbers::Numbers, record::path, *};
use crate::{ManualClock, layout::EPOCH_AT};

const HOUR: u64 = 3_600_000;
const NOW_AT: i64 = EPOCH_AT + 100_000_000_000;
const NONE: MessageId = MessageId(0);

/// Answers of writes get lost: all that come, where the number says so.
struct Lossy {
    inner: EmbeddedRoster,
    lost_answers: AtomicU32,
}

impl Lossy {
    fn answer<T>(&self, done: Result<T, RosterError>) -> Result<T, RosterError> {
        let lose = |left: u32| left.checked_sub(1);
        match self.lost_answers.try_update(Ordering::SeqCst, Ordering::SeqCst, lose) {
            Ok(_) => Err(RosterError::Unavailable("the connection broke".into())),
            Err(_) => done,
        }
    }
}

#[async_trait]
impl Roster for Lossy {
    async fn register(&self, record: NodeRecord) -> Result<Box<dyn Registration>, RosterError> {
        self.inner.register(record).await
    }
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.inner.watch()
    }
    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health()
    }
    async fn elect(&self, name: &str, candidate: &str) -> Result<Box<dyn Leadership>, RosterError> {
        self.inner.elect(name, candidate).await
    }
    async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, Version)>, RosterError> {
        self.inner.read(path).await
    }
    async fn create(&self, path: &str, data: &[u8]) -> Result<Version, RosterError> {
        self.answer(self.inner.create(path, data).await)
    }
    async fn write(&self, path: &str, data: &[u8], expected: Version) -> Result<Version, RosterError> {
        self.answer(self.inner.write(path, data, expected).await)
    }
    fn session_timeout_ms(&self) -> u64 {
        self.inner.session_timeout_ms()
    }
}

struct Fixture {
    roster: Arc<Lossy>,
    ahead: Ahead,
    _directory: TempDir,
}

/// One start of a node, with a clock of its own.
struct Node {
    clock: Arc<ManualClock>,
    lease: WorkerLease,
    keeper: Keeper,
}

impl Fixture {
    async fn new() -> Self {
        Self::holding(Ahead::OUTAGE).await
    }

    async fn holding(ahead: Ahead) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let inner = EmbeddedRoster::open(directory.path()).await.expect("a roster");
        let roster = Arc::new(Lossy { inner, lost_answers: AtomicU32::new(0) });
        Self { roster, ahead, _directory: directory }
    }

    fn node(&self, id: &str, incarnation: u64) -> Node {
        self.node_at(id, incarnation, Arc::new(ManualClock::at(NOW_AT)))
    }

    fn node_at(&self, id: &str, incarnation: u64, clock: Arc<ManualClock>) -> Node {
        let node = NodeRef { id: id.into(), incarnation: Incarnation(incarnation) };
        let holder = Holder { role: Role::Spear, node };
        let (lease, keeper) = WorkerLease::new(self.roster.clone(), holder, clock.clone(), self.ahead);
        Node { clock, lease, keeper }
    }

    async fn record(&self, number: u16) -> serde_json::Value {
        let (data, _) = self.roster.inner.read(&path(number)).await.expect("reachable").expect("there");
        serde_json::from_slice(&data).expect("JSON")
    }

    fn lose_answers(&self, count: u32) {
        self.roster.lost_answers.store(count, Ordering::SeqCst);
    }
}

impl Node {
    async fn holding(mut self) -> Self {
        self.keeper.step().await.expect("a number is free");
        self
    }

    fn cut(&self, count: u32) -> Vec<MessageId> {
        ids(&self.lease.cut(count, NONE).expect("ids"))
    }

    fn now_ms(&self) -> u64 {
        layout::since_epoch(self.clock.wall_ms())
    }
}

fn ids(runs: &[Run]) -> Vec<MessageId> {
    runs.iter().flat_map(|run| run.first..run.first + u64::from(run.count)).map(MessageId).collect()
}

#[tokio::test]
async fn a_number_is_held_as_the_contract_says() {
    let fixture = Fixture::new().await;
    let mut node = fixture.node("spear-1", 7).holding().await;
    let number = node.lease.number().expect("held");
    let record = serde_json::json!({
        "version": 1, "role": "spear", "holder": "spear-1", "incarnation": 7,
        "until_at": NOW_AT + i64::try_from(Ahead::OUTAGE.hold_ms).expect("small"),
    });
    assert_eq!(fixture.record(number).await, record);

    let cut = node.cut(10_000);
    assert!(cut.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(layout::time_ms(cut[0]), node.now_ms());
    assert!(cut.iter().all(|id| (id.0 >> layout::SEQUENCE_BITS) & 1_023 == u64::from(number)));

    node.clock.pass(HOUR);
    node.keeper.step().await.expect("renewed");
    assert_eq!(node.lease.number(), Some(number));
    assert_eq!(fixture.record(number).await["until_at"], NOW_AT + 3 * 3_600_000);
}

#[tokio::test]
async fn ids_go_above_what_idgen_served_before() {
    let fixture = Fixture::new().await;
    let node = fixture.node("spear-1", 1).holding().await;
    let served = layout::compose(node.now_ms() + 5_000, 0, 9);
    let next = ids(&node.lease.cut(1, served).expect("ids"))[0];
    assert!(next > served);
    let absurd = layout::compose(node.now_ms() + 100 * HOUR, 0, 9);
    assert!(node.lease.cut(1, absurd).is_ok(), "what lies beyond the reservation is not followed");
}

#[tokio::test]
async fn a_later_start_takes_up_where_the_killed_one_can_have_ended() {
    let fixture = Fixture::new().await;
    let first = fixture.node("spear-1", 1).holding().await;
    let last = first.cut(70_000)[69_999];
    let second = fixture.node("spear-1", 2).holding().await;
    assert_eq!(second.lease.number(), first.lease.number(), "its own number again");
    let next = second.cut(1)[0];
    assert!(next > last);
    assert_eq!(layout::time_ms(next), first.now_ms() + Ahead::OUTAGE.hold_ms);
    // Given that the first is not dead at all: nothing of it is above what the second began with.
    first.clock.pass(100 * HOUR);
    assert!(first.cut(1_000).iter().all(|id| *id < next));
}

#[tokio::test]
async fn a_number_that_was_given_back_is_taken_up_without_a_gap() {
    let fixture = Fixture::new().await;
    let mut first = fixture.node("spear-1", 1).holding().await;
    let last = first.cut(1)[0];
    first.keeper.release().await;
    assert!(matches!(first.lease.cut(1, NONE), Err(CutError::NoNumber(_))), "nothing is cut after that");
    let second = fixture.node("spear-1", 2).holding().await;
    let next = second.cut(1)[0];
    assert!(next > last && layout::time_ms(next) == layout::time_ms(last) + 1);
}

#[tokio::test]
async fn clock_steps_of_an_hour_stop_nothing_and_repeat_nothing() {
    let fixture = Fixture::new().await;
    let mut node = fixture.node("spear-1", 1).holding().await;
    let mut seen = node.cut(5_000);
    for step in [3_600_000, -3_600_000, -3_600_000, 3_600_000, 7_200_000, 50 * 3_600_000, -60 * 3_600_000] {
        node.clock.step(step);
        seen.extend(node.cut(5_000));
        node.keeper.step().await.expect("renewed");
        seen.extend(node.cut(5_000));
    }
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]));
}

#[tokio::test]
async fn an_outage_of_a_week_does_not_stop_ids_and_none_is_above_the_record() {
    let fixture = Fixture::new().await;
    let mut node = fixture.node("spear-1", 1).holding().await;
    fixture.roster.inner.suspect();
    let until_ms = node.now_ms() + Ahead::OUTAGE.hold_ms;
    let mut last = NONE;
    for _ in 0..24 * 7 {
        node.clock.pass(HOUR);
        assert!(node.keeper.step().await.is_err());
        let cut = node.cut(65_536);
        assert!(cut[0] > last);
        last = cut[65_535];
        assert!(layout::time_ms(last) < until_ms);
    }
    // What is reserved ends all the same, and says so.
    let refused = loop {
        if let Err(refused) = node.lease.cut(u32::MAX / 2, NONE) {
            break refused;
        }
    };
    assert!(refused.to_string().contains("are used up"), "{refused}");
    fixture.roster.inner.recover();
    node.keeper.step().await.expect("renewed");
    assert!(node.cut(1)[0] > last);
}

#[tokio::test]
async fn who_cuts_all_the_time_reserves_little_and_follows_the_clock() {
    let fixture = Fixture::holding(Ahead::always(60_000)).await;
    let mut node = fixture.node("idgen-1", 1).holding().await;
    for _ in 0..20 {
        node.clock.pass(15_000);
        let cut = node.cut(65_536);
        assert_eq!(layout::time_ms(cut[0]), node.now_ms(), "the clock is followed between two renewals");
        node.keeper.step().await.expect("renewed");
    }
    let next = fixture.node_at("idgen-1", 2, node.clock.clone()).holding().await;
    assert_eq!(layout::time_ms(next.cut(1)[0]), node.now_ms() + 60_000);
}

#[tokio::test]
async fn a_clock_that_goes_wrong_by_decades_is_not_followed() {
    let fixture = Fixture::new().await;
    let mut node = fixture.node("spear-1", 1).holding().await;
    let before = node.cut(1)[0];
    for step in [70, -140, 70] {
        node.clock.step(step * 365 * 24 * 3_600_000);
        node.keeper.step().await.expect("renewed");
        let next = node.cut(1)[0];
        assert!(next > before && layout::time_ms(next) <= layout::since_epoch(NOW_AT) + 3 * HOUR);
    }
}

#[tokio::test]
async fn when_all_numbers_are_taken_it_says_so() {
    let fixture = Fixture::new().await;
    let mut node = fixture.node("spear-1", 1);
    for index in 0..3 {
        let mut other = fixture.node(&format!("other-{index}"), 1);
        other.keeper.numbers = Numbers::among(3, Role::Spear, &format!("other-{index}"));
        other.keeper.step().await.expect("one is left");
    }
    node.keeper.numbers = Numbers::among(3, Role::Spear, "spear-1");
    let refused = node.keeper.step().await.expect_err("none is left");
    assert!(matches!(refused, Trouble::AllTaken(3)), "{refused}");
    let refused = node.lease.cut(1, NONE).expect_err("none is held").to_string();
    assert!(refused.contains("all 3 worker numbers are taken"), "{refused}");
    // A crashed holder's number is free when its time, and a margin, have passed.
    node.clock.pass(2 * HOUR);
    assert!(node.keeper.step().await.is_err());
    node.clock.pass(HOUR);
    node.keeper.step().await.expect("abandoned");
}

#[tokio::test]
async fn a_number_reserved_absurdly_far_ahead_or_unreadable_is_left_alone() {
    let fixture = Fixture::new().await;
    let first = fixture.node("spear-1", 1);
    first.clock.step(365 * 24 * 3_600_000);
    let first = first.holding().await;
    let second = fixture.node("spear-1", 2).holding().await;
    assert_ne!(second.lease.number(), first.lease.number());
    assert_eq!(layout::time_ms(second.cut(1)[0]), second.now_ms());

    let mut third = fixture.node("spear-3", 1);
    let own = Numbers::of(Role::Spear, "spear-3").next();
    fixture.roster.create(&path(own), br#"{"version": 2}"#).await.expect("created");
    third.keeper.step().await.expect("another one");
    assert_ne!(third.lease.number(), Some(own));
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_read_before_anything_is_believed() {
    let fixture = Fixture::new().await;
    let mut node = fixture.node("spear-1", 1);
    fixture.lose_answers(1);
    assert!(node.keeper.step().await.is_err());
    assert_eq!(node.lease.number(), None, "nothing is cut before it is known");
    node.keeper.step().await.expect("it was written");
    let number = Numbers::of(Role::Spear, "spear-1").next();
    assert_eq!(node.lease.number(), Some(number));
    assert_eq!(layout::time_ms(node.cut(1)[0]), node.now_ms(), "nothing was cut below the record");

    node.clock.pass(3 * HOUR);
    fixture.lose_answers(1);
    assert!(node.keeper.step().await.is_err());
    let cut = node.cut(1);
    assert!(layout::time_ms(cut[0]) < node.now_ms(), "only what was confirmed counts");
    node.keeper.step().await.expect("still its own");
    assert!(layout::time_ms(node.cut(1)[0]) == node.now_ms());
}

#[tokio::test]
async fn who_lost_its_number_takes_another() {
    let fixture = Fixture::new().await;
    let mut first = fixture.node("spear-1", 1);
    first.keeper.numbers = Numbers::among(1, Role::Spear, "spear-1");
    let mut first = first.holding().await;
    let number = first.lease.number();
    let cut = first.cut(100);
    // Given that another node's clock is far ahead: to it the number seems abandoned.
    let mut thief = fixture.node("spear-2", 1);
    thief.keeper.numbers = Numbers::among(1, Role::Spear, "spear-2");
    thief.clock.step(4 * 3_600_000);
    thief.keeper.step().await.expect("it seems abandoned");
    assert_eq!(thief.lease.number(), number);
    assert!(thief.cut(1)[0] > first.cut(100)[99].max(cut[99]));
    assert!(first.keeper.step().await.is_err(), "a conflict");
    assert!(matches!(first.keeper.step().await, Err(Trouble::Lost(_))));
    assert!(first.lease.cut(1, NONE).is_err());
    first.keeper.numbers = Numbers::among(2, Role::Spear, "spear-1");
    first.keeper.step().await.expect("another one");
    assert_ne!(first.lease.number(), number);
}

/// Nodes crash, stop, freeze and start, clocks are set, answers get lost, the roster goes away, and only four numbers are
/// there for five nodes.
#[tokio::test]
async fn no_number_and_time_is_ever_used_twice() {
    for seed in 0..10 {
        let mut random = StdRng::seed_from_u64(seed);
        // As spears hold a number, and as active idgens do.
        let ahead = if seed % 2 == 0 { Ahead::OUTAGE } else { Ahead::always(60_000) };
        let fixture = Fixture::holding(ahead).await;
        let mut started = 0;
        let mut start = |index: usize, clock: Arc<ManualClock>| {
            started += 1;
            let id = format!("spear-{index}");
            let mut node = fixture.node_at(&id, started, clock);
            node.keeper.numbers = Numbers::among(4, Role::Spear, &id);
            node
        };
        let mut nodes: Vec<_> = (0..5).map(|index| start(index, Arc::new(ManualClock::at(NOW_AT)))).collect();
        let mut frozen: Vec<Node> = Vec::new();
        let mut seen = HashSet::new();
        for _ in 0..300 {
            let index = random.random_range(0..nodes.len());
            match random.random_range(0..20) {
                0 => nodes[index].clock.step(random.random_range(-3_600_000..3_600_000)),
                1 | 2 => nodes.iter().for_each(|node| node.clock.pass(random.random_range(0..2 * HOUR))),
                3 => {
                    // It does not stop when its next start begins.
                    let next = start(index, nodes[index].clock.clone());
                    frozen.push(std::mem::replace(&mut nodes[index], next));
                }
                4 => {
                    nodes[index].keeper.release().await;
                    nodes[index] = start(index, nodes[index].clock.clone());
                }
                5 => fixture.lose_answers(random.random_range(0..3)),
                6 => fixture.roster.inner.suspect(),
                7 => fixture.roster.inner.recover(),
                8..14 => drop(nodes[index].keeper.step().await),
                _ => {
                    for node in nodes.iter().chain(&frozen) {
                        let count = if random.random_bool(0.1) { 9_000 } else { 3 };
                        let Ok(runs) = node.lease.cut(count, NONE) else { continue };
                        for id in ids(&runs) {
                            assert!(seen.insert(id), "seed {seed}: {id} twice");
                        }
                    }
                }
            }
        }
        assert!(seen.len() > 1_000, "seed {seed}: {} ids", seen.len());
    }
}

#[tokio::test]
async fn a_keeper_takes_a_number_by_itself_and_gives_it_back() {
    let fixture = Fixture::new().await;
    let Node { lease, keeper, .. } = fixture.node("spear-1", 1);
    fixture.roster.inner.suspect();
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.run(stop.clone()));
    tokio::task::yield_now().await;
    assert_eq!(lease.number(), None);
    fixture.roster.inner.recover();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while lease.number().is_none() {
        assert!(std::time::Instant::now() < deadline, "no number in time");
        tokio::task::yield_now().await;
    }
    let number = lease.number().expect("held");
    let last = ids(&lease.cut(1, NONE).expect("ids"))[0];
    stop.cancel();
    running.await.expect("no panic");
    assert!(lease.cut(1, NONE).is_err());
    let until_at = layout::to_unix(layout::time_ms(last) + 1);
    assert_eq!(fixture.record(number).await["until_at"], until_at);
}
