//! At most one leader.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{Fixture, within};
use crate::{Roster, RosterError};

const CANDIDATES: u64 = 24;

/// How many elections are won in the case of many candidates.
const WINS: usize = 96;

/// How long a candidate is watched that must not win.
const UNWON: Duration = Duration::from_millis(100);

/// Choices that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Candidates of several processes win, resign, drop and give up at random: there are never two leaders, and never none
/// for good.
pub async fn many_candidates_and_at_most_one_leader(fixture: impl Fixture) {
    let rosters = [fixture.connect().await, fixture.connect().await, fixture.connect().await];
    let (leaders, wins) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let candidates: Vec<_> = (0..CANDIDATES)
        .zip(rosters.iter().cycle())
        .map(|(number, roster)| {
            tokio::spawn(take_part(roster.clone(), number, leaders.clone(), wins.clone()))
        })
        .collect();
    for candidate in candidates {
        within("the end of a candidate", candidate).await.expect("it saw one leader only");
    }
    assert!(wins.load(Ordering::SeqCst) >= WINS);
    within("a leader after all that", rosters[0].elect("idgen/leader", "last"))
        .await
        .expect("the queue is empty");
}

async fn take_part(roster: Arc<dyn Roster>, number: u64, leaders: Arc<AtomicUsize>, wins: Arc<AtomicUsize>) {
    let mut dice = Dice(number);
    let name = format!("idgen-{number}");
    while wins.load(Ordering::SeqCst) < WINS {
        let elected = roster.elect("idgen/leader", &name);
        let leadership = if dice.below(4) == 0 {
            let patience = Duration::from_millis(dice.below(5));
            let Ok(elected) = tokio::time::timeout(patience, elected).await else { continue };
            elected.expect("an election can be won")
        } else {
            elected.await.expect("an election can be won")
        };
        assert_eq!(leaders.fetch_add(1, Ordering::SeqCst), 0, "{name} leads beside another");
        assert!(!leadership.lost().is_cancelled());
        tokio::time::sleep(Duration::from_micros(dice.below(2_000))).await;
        assert_eq!(leaders.fetch_sub(1, Ordering::SeqCst), 1, "another leads beside {name}");
        wins.fetch_add(1, Ordering::SeqCst);
        if dice.below(2) == 0 {
            leadership.resign().await;
        }
    }
}

/// The next one waits as long as the leader lives, and wins when it is dropped.
pub async fn a_leader_stays_until_it_is_dropped(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    let leader = within("the first leader", one.elect("idgen/leader", "idgen-1")).await.expect("nobody else");
    let mut next = other.elect("idgen/leader", "idgen-2");
    assert!(tokio::time::timeout(UNWON, &mut next).await.is_err(), "two leaders");
    let lost = leader.lost();
    assert!(!lost.is_cancelled());
    drop(leader);
    let next = within("the next leader", next).await.expect("the first is gone");
    assert!(lost.is_cancelled(), "what was dropped leads no more");
    assert!(!next.lost().is_cancelled());
}

/// A leader who resigns may take part again, behind those who wait.
pub async fn resigning_passes_it_on(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    for _ in 0..3 {
        let leader = within("the leader", one.elect("idgen/leader", "idgen-1")).await.expect("nobody else");
        let lost = leader.lost();
        let (next, ()) =
            tokio::join!(within("the next", other.elect("idgen/leader", "idgen-2")), leader.resign());
        assert!(lost.is_cancelled());
        next.expect("the first has resigned").resign().await;
    }
}

/// A candidate who stops waiting does not keep those behind it from winning.
pub async fn who_gives_up_is_passed_over(fixture: impl Fixture) {
    let (one, other) = (fixture.connect().await, fixture.connect().await);
    let leader = within("the leader", one.elect("idgen/leader", "idgen-1")).await.expect("nobody else");
    let impatient = other.elect("idgen/leader", "idgen-2");
    assert!(tokio::time::timeout(UNWON, impatient).await.is_err(), "two leaders");
    let mut patient = other.elect("idgen/leader", "idgen-3");
    assert!(tokio::time::timeout(UNWON, &mut patient).await.is_err(), "two leaders");
    drop(leader);
    within("the patient one", patient).await.expect("nobody leads");
}

/// Each name has a leader of its own.
pub async fn elections_do_not_mix(fixture: impl Fixture) {
    let roster = fixture.connect().await;
    let one = within("one", roster.elect("idgen/leader", "n1")).await.expect("nobody else");
    let other = within("another", roster.elect("stat/leader", "n1")).await.expect("another election");
    drop(one);
    assert!(!other.lost().is_cancelled());
}

/// An election's name becomes a path.
pub async fn a_name_that_is_no_path_is_refused(fixture: impl Fixture) {
    let roster = fixture.connect().await;
    for name in ["", "/idgen/leader", "idgen//leader", "a b"] {
        let refused = within("an answer", roster.elect(name, "idgen-1")).await.err().expect("no name");
        assert!(matches!(refused, RosterError::Invalid(_)), "{name:?}: {refused}");
    }
}
