//! Keeps the plan as the roster's snapshot and the spears' loads are.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use boot::Condition;
use metrics::{Counter, Gauge, Label, counter, gauge};
use roster::{Health, Roster, Snapshot};
use rpc::Loads;
use tokio::{
    sync::watch,
    time::{self, Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use wire::{NodeRecord, Role};

use crate::{bound::Bound, plan::Plan, ring::Ring, settings::Balance};

/// The shortest time between two rings: a ring of 200 spears takes some 20 ms, and a hundred spears that start together are
/// to cost a few of them. A change after a quiet time is followed at once.
const REBUILD_PAUSE: Duration = Duration::from_millis(200);

/// How often ages are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The latest loads, and when they came.
pub(crate) type HeardLoads = watch::Receiver<Option<(Loads, Instant)>>;

/// Follows the roster and the loads; requests read the plan without waiting for anybody.
pub(crate) struct Spears {
    plan: Arc<ArcSwap<Plan>>,
    /// That of the next plan.
    ring: Arc<Ring>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    health: watch::Receiver<Health>,
    loads: HeardLoads,
    bound: Bound,
    stale: Duration,
    condition: Condition,
    gauges: Gauges,
    rebuilt: Counter,
    rebuilt_at: Instant,
    began: Instant,
    seen_good: bool,
    told_stale: bool,
}

struct Gauges {
    available: Gauge,
    full: Gauge,
    snapshot_age: Gauge,
    loads_age: Gauge,
}

impl Spears {
    /// The plan of what the roster shows now. `condition` is told what [`Spears::follow`] finds.
    pub(crate) fn new(
        roster: &dyn Roster,
        loads: HeardLoads,
        settings: &Balance,
        condition: Condition,
        labels: Vec<Label>,
    ) -> Self {
        let snapshot = roster.watch();
        let ring = Arc::new(Ring::new(available(&snapshot.borrow())));
        Self {
            plan: Arc::new(ArcSwap::from_pointee(Plan::plain(ring.clone()))),
            ring,
            snapshot,
            health: roster.health(),
            loads,
            bound: Bound::new(settings),
            stale: Duration::from_millis(settings.stale_ms.into()),
            condition,
            gauges: Gauges {
                available: gauge!("phalanx_ticket_spears_available", labels.clone()),
                full: gauge!("phalanx_ticket_spears_full", labels.clone()),
                snapshot_age: gauge!("phalanx_ticket_snapshot_age_seconds", labels.clone()),
                loads_age: gauge!("phalanx_ticket_loads_age_seconds", labels.clone()),
            },
            rebuilt: counter!("phalanx_ticket_ring_rebuilds_total", labels),
            rebuilt_at: Instant::now(),
            began: Instant::now(),
            seen_good: false,
            told_stale: false,
        }
    }

    /// The plan, always the latest.
    pub(crate) fn plan(&self) -> Arc<ArcSwap<Plan>> {
        self.plan.clone()
    }

    /// Makes a new plan whenever the available spears or the loads change, until `stop`.
    pub(crate) async fn follow(mut self, stop: CancellationToken) {
        let mut look = time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first ring is made at once.
        let mut due = Some(Instant::now());
        loop {
            let rebuild = async {
                match due {
                    Some(at) => time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = rebuild => {
                    self.rebuild();
                    due = None;
                }
                changed = self.snapshot.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if self.renew() {
                        due = due.or(Some(self.rebuilt_at + REBUILD_PAUSE));
                    }
                }
                changed = self.health.changed() => if changed.is_err() { return },
                // Whoever tells of loads may end before this task does.
                Ok(()) = self.loads.changed() => {}
                _ = look.tick() => {}
            }
            self.update();
        }
    }

    /// Takes at once what costs no ring: newer records, since tickets for earlier starts would be refused, and that a spear takes
    /// nobody any more. Answers whether another ring is due.
    fn renew(&mut self) -> bool {
        let (ring, is_due) = self.ring.renewed(&available(&self.snapshot.borrow_and_update()));
        self.ring = Arc::new(ring);
        is_due
    }

    /// Makes a new ring, if the circle would be another one.
    fn rebuild(&mut self) {
        if !self.renew() {
            return;
        }
        let available = available(&self.snapshot.borrow());
        let spears = available.len();
        self.ring = Arc::new(Ring::new(available));
        self.rebuilt_at = Instant::now();
        self.rebuilt.increment(1);
        tracing::info!(spears, "the ring has changed");
    }

    /// Puts the loads into the plan, and says how it stands.
    fn update(&mut self) {
        let heard = self.loads.borrow_and_update();
        let age = heard.as_ref().map_or(self.began, |(_, at)| *at).elapsed();
        let fresh = heard.as_ref().filter(|_| age <= self.stale);
        let ring = self.ring.clone();
        let spears = ring.available();
        let plan = match fresh {
            Some((loads, _)) => Plan::loaded(ring, &self.bound, &loads.connections),
            None => Plan::plain(ring),
        };
        let loads = match (fresh, &*heard) {
            (Some((loads, _)), _) => format!("loads of {}, {} full", loads.told_by, plan.full()),
            (None, Some(_)) => format!("loads older than {} ms: by the ring alone", self.stale.as_millis()),
            (None, None) => "no loads yet: by the ring alone".to_owned(),
        };
        let stale = fresh.is_none() && age > self.stale;
        drop(heard);
        if std::mem::replace(&mut self.told_stale, stale) != stale {
            match stale {
                true => tracing::warn!("no stat node tells loads: spears are assigned by the ring alone"),
                false => tracing::info!("loads are told again"),
            }
        }
        self.gauges.available.set(spears as f64);
        self.gauges.full.set(plan.full() as f64);
        self.gauges.loads_age.set(age.as_secs_f64());
        self.plan.store(Arc::new(plan));
        self.report(spears, &loads);
    }

    /// Ready from the first good snapshot on. A node without any spear is ready too: it answers, with `no_spear`. One
    /// that lost the roster goes on with the last snapshot and only says so: were it red, an outage of the roster would
    /// close the door of the whole cluster.
    fn report(&mut self, spears: usize, loads: &str) {
        let mut age = 0.0;
        match *self.health.borrow_and_update() {
            Health::Good => {
                self.seen_good = true;
                self.condition.ok(format!("{spears} spears available; {loads}"));
            }
            Health::Suspect { since_at } => {
                age = (wire::time::now_ms() - since_at).max(0) as f64 / 1_000.0;
                match self.seen_good {
                    true => self.condition.ok(format!(
                        "the roster is out of reach since {since_at}: serving {spears} spears of the last snapshot; {loads}"
                    )),
                    false => self.condition.waiting("the roster cannot be reached"),
                }
            }
        }
        self.gauges.snapshot_age.set(age);
    }
}

fn available(snapshot: &Snapshot) -> Vec<Arc<NodeRecord>> {
    snapshot.available(Role::Spear).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use boot::{Cluster, Readiness};
    use roster::{ZooKeeperOptions, ZooKeeperRoster};
    use wire::{Incarnation, NodeState};

    use super::*;
    use crate::testing;

    async fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let budget = Duration::from_secs(20);
        let polled = time::timeout(budget, async {
            while !holds() {
                time::sleep(Duration::from_millis(2)).await;
            }
        });
        polled.await.unwrap_or_else(|_| panic!("not within {budget:?}: {what}"));
    }

    /// An embedded roster, before anybody is in it.
    struct Scene {
        cluster: Cluster,
        readiness: Readiness,
        /// How many rings were made.
        rebuilt: Arc<AtomicU64>,
        /// Whoever tells of loads, and tells none; where the roster is kept.
        _kept: (watch::Sender<Option<(Loads, Instant)>>, tempfile::TempDir),
    }

    impl Scene {
        async fn new() -> (Self, Spears) {
            let directory = tempfile::tempdir().expect("a directory");
            let cluster = Cluster::for_test(directory.path()).await.expect("a cluster");
            let (sender, loads) = watch::channel(None);
            let readiness = Readiness::default();
            let condition = readiness.condition("roster", "starting");
            let settings = testing::settings().balance;
            let mut spears = Spears::new(&*cluster.roster, loads, &settings, condition, Vec::new());
            let rebuilt = Arc::new(AtomicU64::new(0));
            spears.rebuilt = Counter::from_arc(rebuilt.clone());
            (Self { cluster, readiness, rebuilt, _kept: (sender, directory) }, spears)
        }
    }

    #[tokio::test]
    async fn the_ring_follows_spears_that_come_drain_and_go() {
        let (Scene { cluster, readiness, _kept, .. }, spears) = Scene::new().await;
        let plan = spears.plan();
        let stop = CancellationToken::new();
        let following = tokio::spawn(spears.follow(stop.clone()));

        let spear = cluster.roster.register(testing::spear("spear-1")).await.expect("registers");
        let count = || plan.load().ring().nodes().len();
        until("the spear is on the ring", || count() == 1).await;
        until("readiness says so", || readiness.report().conditions[0].detail.starts_with("1 spears")).await;
        spear.set_state(NodeState::Draining).await.expect("drains");
        until("it is off the ring while it drains", || count() == 0).await;
        assert!(readiness.is_ready(), "without spears ticket still answers");
        spear.set_state(NodeState::Up).await.expect("is up again");
        until("it is back", || count() == 1).await;
        spear.leave().await;
        until("it has left", || count() == 0).await;

        stop.cancel();
        following.await.expect("following ends");
    }

    #[tokio::test]
    async fn rings_are_paced_and_the_last_change_is_not_forgotten() {
        const PACE_MS: u128 = 200;
        let (Scene { cluster, rebuilt, _kept, .. }, spears) = Scene::new().await;
        let plan = spears.plan();
        let following = tokio::spawn(spears.follow(CancellationToken::new()));
        let began = Instant::now();
        let mut registered = Vec::new();
        for number in 0..50 {
            let spear = testing::spear(&format!("spear-{number}"));
            registered.push(cluster.roster.register(spear).await.expect("registers"));
            // The task that follows sees each change.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
        until("all are on the ring", || plan.load().ring().nodes().len() == 50).await;
        let (rings, most) = (rebuilt.load(Ordering::Relaxed), began.elapsed().as_millis() / PACE_MS + 2);
        assert!(u128::from(rings) <= most, "{rings} rings; at most {most} were expected");
        following.abort();
    }

    #[tokio::test]
    async fn a_spear_that_drains_is_passed_over_at_once_and_costs_no_ring() {
        let (Scene { cluster, readiness, rebuilt, _kept }, mut spears) = Scene::new().await;
        let plan = spears.plan();
        let drained = cluster.roster.register(testing::spear("spear-1")).await.expect("registers");
        let _other = cluster.roster.register(testing::spear("spear-2")).await.expect("registers");
        let shown = |count| cluster.roster.watch().borrow().available(Role::Spear).count() == count;
        until("both are shown", || shown(2)).await;
        spears.rebuild();
        // Never due: what is learnt is learnt without a new ring.
        spears.rebuilt_at = Instant::now() + Duration::from_secs(3_600);
        let following = tokio::spawn(spears.follow(CancellationToken::new()));
        let says = |count: usize| {
            readiness.report().conditions[0].detail.starts_with(&format!("{count} spears available"))
        };
        until("both are available", || says(2)).await;
        drained.set_state(NodeState::Draining).await.expect("drains");
        until("one is", || says(1)).await;
        let plan_now = plan.load();
        let picked: Vec<&str> = plan_now.pick("alice", &[], 9).into_iter().map(|spear| &*spear.id).collect();
        assert_eq!(picked, ["spear-2"]);
        drained.set_state(NodeState::Up).await.expect("is up again");
        until("it is back", || says(2)).await;
        assert_eq!(plan.load().pick("alice", &[], 9).len(), 2);
        assert_eq!(rebuilt.load(Ordering::Relaxed), 1);
        following.abort();
    }

    #[tokio::test]
    async fn one_who_is_back_before_the_next_ring_is_taken_at_once() {
        let (Scene { cluster, _kept, .. }, mut spears) = Scene::new().await;
        let spear = cluster.roster.register(testing::spear("spear-1")).await.expect("registers");
        let shown = |count| cluster.roster.watch().borrow().available(Role::Spear).count() == count;
        until("it is shown", || shown(1)).await;
        spears.rebuild();
        spear.set_state(NodeState::Draining).await.expect("drains");
        until("it drains", || shown(0)).await;
        assert!(spears.renew(), "another ring is due");
        spear.set_state(NodeState::Up).await.expect("is up again");
        until("it is back", || shown(1)).await;
        spears.rebuild();
        assert_eq!(spears.ring.available(), 1);
    }

    #[tokio::test]
    async fn another_weight_makes_another_ring() {
        let (Scene { cluster, _kept, .. }, mut spears) = Scene::new().await;
        let first = testing::spear("spear-1");
        let _former = cluster.roster.register(first.clone()).await.expect("registers");
        let _other = cluster.roster.register(testing::spear("spear-2")).await.expect("registers");
        until("both are shown", || cluster.roster.watch().borrow().available(Role::Spear).count() == 2).await;
        spears.rebuild();
        let share = |spears: &Spears| {
            let plan = Plan::plain(spears.ring.clone());
            (0..1_000).filter(|user| &*plan.pick(&format!("user-{user}"), &[], 1)[0].id == "spear-1").count()
        };
        let before = share(&spears);
        // Another start, which nobody saw go.
        let heavier = NodeRecord { incarnation: Incarnation(8), weight: 9, ..first };
        let _newer = cluster.roster.register(heavier).await.expect("it replaces the former");
        let weight = || cluster.roster.watch().borrow().get(Role::Spear, "spear-1").map(|spear| spear.weight);
        until("the newer one is shown", || weight() == Some(9)).await;
        assert!(spears.renew(), "another ring is due");
        spears.rebuild();
        let after = share(&spears);
        assert!(before < 600 && after > 800, "{before} of 1,000 users, then {after}");
    }

    #[tokio::test]
    async fn another_start_of_a_spear_is_known_at_once_and_costs_no_ring() {
        let (Scene { cluster, rebuilt, _kept, .. }, mut spears) = Scene::new().await;
        // Never due: what is learnt is learnt without a new ring.
        spears.rebuilt_at = Instant::now() + Duration::from_secs(3_600);
        let plan = spears.plan();
        let first = testing::spear("spear-1");
        let _former = cluster.roster.register(first.clone()).await.expect("registers");
        spears.rebuild();
        spears.rebuilt_at = Instant::now() + Duration::from_secs(3_600);
        let following = tokio::spawn(spears.follow(CancellationToken::new()));
        let second = NodeRecord { incarnation: Incarnation(8), ..first };
        let _newer = cluster.roster.register(second.clone()).await.expect("it replaces the former");
        until("tickets are for the newer start", || {
            plan.load().ring().nodes().first().is_some_and(|spear| spear.incarnation == Incarnation(8))
        })
        .await;
        assert_eq!(rebuilt.load(Ordering::Relaxed), 1);
        following.abort();
    }

    /// Counts what a ticket node does for a hundred spears, each with a record of its own, in ten sessions with ZooKeeper.
    #[tokio::test]
    async fn a_hundred_spears_that_come_and_go_cost_few_rings_and_a_read_each() {
        const SESSIONS: usize = 10;
        const EACH: usize = 10;
        let server = servers::ZooKeeper::start().await;
        let session = Duration::from_secs(20);
        let open = || {
            let servers = vec![server.address()];
            let options =
                ZooKeeperOptions { servers, session_timeout: session, ..ZooKeeperOptions::default() };
            ZooKeeperRoster::open(options).expect("the options are right")
        };
        let roster = open();
        let mut health = roster.health();
        health.wait_for(|health| *health == Health::Good).await.expect("it is held");
        let (own, _) = server.packets().await.pop_first().expect("one session");
        let sessions: Vec<_> = (0..SESSIONS).map(|_| open()).collect();
        for roster in &sessions {
            roster.health().wait_for(|health| *health == Health::Good).await.expect("it is held");
        }

        let (_sender, loads) = watch::channel(None);
        let condition = Readiness::default().condition("roster", "starting");
        let mut spears = Spears::new(&roster, loads, &testing::settings().balance, condition, Vec::new());
        let rebuilt = Arc::new(AtomicU64::new(0));
        spears.rebuilt = Counter::from_arc(rebuilt.clone());
        let plan = spears.plan();
        let following = tokio::spawn(spears.follow(CancellationToken::new()));
        let count = || plan.load().ring().nodes().len();

        let mut registered = Vec::new();
        for (what, wanted) in [("all have come", SESSIONS * EACH), ("all have gone", 0)] {
            let (before, began) = (server.packets().await[&own], Instant::now());
            if wanted > 0 {
                let joining = sessions.iter().enumerate().flat_map(|(session, roster)| {
                    (0..EACH).map(move |number| {
                        roster.register(testing::spear(&format!("spear-{}", session * EACH + number)))
                    })
                });
                let joined = futures_util::future::join_all(joining).await;
                registered = joined.into_iter().map(|place| place.expect("it is free")).collect();
            } else {
                registered.clear();
            }
            until(what, || count() == wanted).await;
            // A time that passes lets pass a ring each REBUILD_PAUSE, and pings.
            let rounds = began.elapsed().as_millis() / REBUILD_PAUSE.as_millis() + 2;
            let rings = rebuilt.swap(0, Ordering::Relaxed);
            assert!(u128::from(rings) <= rounds, "{what}: {rings} rings, {rounds} are enough");
            let packets = server.packets().await[&own] - before;
            let pings = 5 * began.elapsed().as_millis() as u64 / session.as_millis() as u64 + 2;
            let bound = (SESSIONS * EACH) as u64 + pings;
            assert!(packets <= bound, "{what}: {packets} packets to ZooKeeper, {bound} are enough");
            println!("{what}: {rings} rings, {packets} packets of the ticket node");
        }
        following.abort();
    }

    #[tokio::test]
    async fn loads_count_until_they_are_old() {
        let directory = tempfile::tempdir().expect("a directory");
        let cluster = Cluster::for_test(directory.path()).await.expect("a cluster");
        let readiness = Readiness::default();
        let condition = readiness.condition("roster", "starting");
        let (sender, loads) = watch::channel(None);
        let settings = Balance { min_connections: 0, stale_ms: 1_500, ..testing::settings().balance };
        let (one, other) = (testing::spear("spear-1"), testing::spear("spear-2"));
        let _kept = (
            cluster.roster.register(one.clone()).await.expect("registers"),
            cluster.roster.register(other.clone()).await.expect("registers"),
        );
        let spears = Spears::new(&*cluster.roster, loads, &settings, condition, Vec::new());
        let plan = spears.plan();
        let following = tokio::spawn(spears.follow(CancellationToken::new()));
        let detail = || readiness.report().conditions[0].detail.clone();
        until("it has none", || detail() == "2 spears available; no loads yet: by the ring alone").await;

        let connections = [(one.node_ref(), 9), (other.node_ref(), 1)].into();
        let told = Loads { told_by: "stat-1".into(), connections };
        sender.send_replace(Some((told, Instant::now())));
        until("it has some", || detail() == "2 spears available; loads of stat-1, 1 full").await;
        for user in ["alice", "bob", "carol", "dave", "erin"] {
            assert_eq!(&*plan.load().pick(user, &[], 1)[0].id, "spear-2", "{user}");
        }
        // Nobody tells anything any more.
        drop(sender);
        until("they are old", || detail().ends_with("; loads older than 1500 ms: by the ring alone")).await;
        assert_eq!(plan.load().full(), 0);
        following.abort();
    }
}
