//! For how long no sentinels can have agreed on another primary.
//!
//! While a primary is replaced it may come back for a moment, and a replica that has not been told yet still confirms what it
//! writes: acknowledged, and lost. So what replicas confirmed counts only under a lease: enough sentinels have said that they
//! reach the primary, and none of them calls one down that answered it less than `down-after-milliseconds` ago.
//!
//! A failover needs `quorum` sentinels that call the primary down, of which one leads. One that called it down for a moment is
//! counted by others for up to five seconds more, so after that its word counts as if it still did, save that it cannot lead. One
//! that leads may be frozen, and go on when it thaws.
//!
//! Not covered: a failover that is ordered (`SENTINEL FAILOVER`), and the clocks of several sentinels set forward at once.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep_until, timeout_at},
};

use super::{sentinel, standing::LeaseStanding};
use crate::{
    LinkError, RedisOptions,
    connection::{Connection, Login},
};

/// How often each sentinel is asked.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// Sentinels ping once a second: with less than this, one that has heard nothing for a second would have no time left.
const DOWN_AFTER_MIN: Duration = Duration::from_secs(2);
/// How long others may count one that called the primary down: five seconds, and one more.
const COUNTED_FOR: Duration = Duration::from_secs(6);
/// How long one that replaces the primary, or called it down and then fell silent, may take to go on with what it began: it
/// does nothing for 30 seconds after it was frozen.
const GOES_ON_FOR: Duration = Duration::from_secs(60);
/// Without a word for so long it is silent.
const SILENT_AFTER: Duration = Duration::from_secs(1);
/// How long a run waits where no lease holds; longer than it takes to ask once.
const PATIENCE: Duration = Duration::from_millis(500);
/// What clocks may differ in while a lease lasts: a part of it, and what timers are late.
const DRIFT: u32 = 100;
const LATE: Duration = Duration::from_millis(20);

/// What the sentinels have said of late. A task for each of them asks, from the first look on until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    options: Arc<RedisOptions>,
    words: Arc<Words>,
    asking: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Words {
    state: Mutex<State>,
    /// Told of each word.
    told: watch::Sender<()>,
    standing: watch::Sender<LeaseStanding>,
}

#[derive(Debug, Default)]
struct State {
    /// By the sentinel's place in the options.
    words: HashMap<usize, Word>,
    /// How many sentinels the options name.
    listed: usize,
    /// Why there can be no lease, as was logged.
    unfit: Option<String>,
}

/// What a sentinel said last.
#[derive(Debug, Clone)]
struct Word {
    primary: Arc<str>,
    /// Before that it cannot call the primary down.
    until: Instant,
    /// Up to then others may count it as one that called it down before.
    counted_until: Instant,
    said_at: Instant,
    is_fine: bool,
    is_replacing: bool,
    /// How many sentinels it needs to call a primary down.
    quorum: usize,
    /// How many it knows, itself included.
    total: usize,
    /// Why no lease can be held, as far as it knows.
    unfit: Option<String>,
}

impl Word {
    /// Whether a failover that it has begun may still come to its end.
    fn may_go_on(&self, now: Instant) -> bool {
        let silent_for = now.saturating_duration_since(self.said_at);
        let may = self.is_replacing || (!self.is_fine && silent_for > SILENT_AFTER);
        may && silent_for < GOES_ON_FOR
    }
}

/// What a sentinel says of the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) primary: Arc<str>,
    /// It reaches it, and does not call it down.
    pub(super) is_fine: bool,
    /// It tries to replace it.
    pub(super) is_replacing: bool,
    /// How long ago the primary answered it.
    pub(super) answered: Duration,
    pub(super) down_after: Duration,
    pub(super) quorum: usize,
    pub(super) others: usize,
}

impl Lease {
    pub(crate) fn new(options: Arc<RedisOptions>) -> Self {
        let state = State { listed: options.servers.len(), ..State::default() };
        let words = Words {
            state: Mutex::new(state),
            told: watch::Sender::new(()),
            standing: watch::Sender::default(),
        };
        Self { options, words: Arc::new(words), asking: Mutex::default() }
    }

    /// Begins to ask, where that has not begun. Within a tokio runtime.
    pub(crate) fn begin(&self) {
        let mut asking = self.asking.lock();
        if asking.is_empty() {
            for place in 0..self.options.servers.len() {
                asking.spawn(ask(self.options.clone(), place, self.words.clone()));
            }
        }
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> watch::Receiver<LeaseStanding> {
        self.words.standing.subscribe()
    }

    /// Whether nobody can have replaced this primary by now. Where that is not known it waits a little.
    ///
    /// # Errors
    /// [`LinkError::Unavailable`]: it is not known in time.
    pub(crate) async fn holds(
        &self,
        primary: &Arc<str>,
        deadline: tokio::time::Instant,
    ) -> Result<(), LinkError> {
        if self.words.state.lock().covers(primary, Instant::now()) {
            return Ok(());
        }
        let mut told = self.words.told.subscribe();
        let covering = async {
            while !self.words.state.lock().covers(primary, Instant::now()) {
                // The sender lives as long as this.
                let _ = told.changed().await;
            }
        };
        let deadline = deadline.min(tokio::time::Instant::now() + PATIENCE);
        timeout_at(deadline, covering).await.map_err(|_| {
            LinkError::Unavailable(format!(
                "{primary} may have been replaced: too few sentinels have reached it lately"
            ))
        })
    }
}

impl Words {
    /// Shows how the lease stands: after each word, and after each that was missed.
    fn show(&self) {
        let now = Instant::now();
        let state = self.state.lock();
        let left = state.left(now);
        let standing = match &state.unfit {
            Some(why) => LeaseStanding::Unfit(why.clone()),
            None if left.is_zero() => LeaseStanding::Missing,
            None => LeaseStanding::Holds,
        };
        metrics::gauge!("phalanx_redis_lease_seconds").set(left.as_secs_f64());
        self.standing.send_if_modified(|shown| {
            let changed = *shown != standing;
            *shown = standing;
            changed
        });
    }
}

impl State {
    /// For how long no failover can begin of whoever is the primary; 0: one may be under way, or nobody can know.
    fn left(&self, now: Instant) -> Duration {
        if self.unfit.is_some() {
            return Duration::ZERO;
        }
        let until = self.words.values().filter_map(|word| self.until(&word.primary, now)).max();
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// Whether no failover of this primary can have begun by now, or nobody can know.
    fn covers(&self, primary: &str, now: Instant) -> bool {
        self.unfit.is_some() || self.until(primary, now).is_some_and(|until| until > now)
    }

    /// How many sentinels there are: those of the options, or more that the others know.
    fn total(&self) -> usize {
        self.words.values().map(|word| word.total).fold(self.listed, usize::max)
    }

    /// The fewest that any of them needs to call a primary down.
    fn quorum(&self) -> usize {
        self.words.values().map(|word| word.quorum).min().unwrap_or(usize::MAX)
    }

    /// Until when no failover can begin: for one, as many as the quorum must call the primary down, and one of them now.
    fn until(&self, primary: &str, now: Instant) -> Option<Instant> {
        let said = self.words.values().filter(|word| *word.primary == *primary);
        if said.clone().any(|word| word.may_go_on(now)) {
            return None;
        }
        let total = self.total();
        let unheard = total.checked_sub(said.clone().count())?;
        let mut counted = unheard;
        let mut ends = Vec::with_capacity(total);
        for word in said.clone() {
            if word.counted_until > now {
                counted += 1;
            } else {
                ends.push(word.until);
            }
        }
        ends.sort_unstable();
        let agreed = self.quorum().checked_sub(counted + 1).map(|more| ends.get(more).copied());
        let led = (unheard == 0).then(|| said.map(|word| word.until).min()).flatten();
        match agreed {
            // More than there are: it can never be agreed on.
            Some(None) => ends.last().copied().max(led),
            Some(agreed) => agreed.max(led),
            None => led,
        }
    }

    /// Takes in what a sentinel said, asked and answered at these times.
    fn take(&mut self, place: usize, report: &Report, asked: Instant, answered: Instant) {
        let is_fine = report.is_fine && !report.is_replacing;
        let lost = report.answered + report.down_after / DRIFT + LATE;
        let until = report.down_after.checked_sub(lost).map_or(asked, |left| asked + left);
        let former = self.words.get(&place).filter(|former| former.primary == report.primary);
        let counted_until = match (former, self.words.contains_key(&place)) {
            _ if !is_fine => answered + COUNTED_FOR,
            // In between it may have called it down.
            (Some(former), _) if former.until < answered => answered + COUNTED_FOR,
            (Some(former), _) => former.counted_until,
            // With a new primary all begin anew.
            (None, true) => answered,
            (None, false) => answered + COUNTED_FOR,
        };
        let until = if is_fine { until } else { asked };
        let (primary, is_replacing) = (report.primary.clone(), report.is_replacing);
        let word = Word {
            primary,
            until,
            counted_until,
            said_at: answered,
            is_fine,
            is_replacing,
            quorum: report.quorum.max(1),
            total: report.others + 1,
            unfit: unfit(report, self.listed),
        };
        self.words.insert(place, word);
        self.judge(answered);
    }

    /// Says once why there can be no lease, and once that there can be one again. Who has been silent for long says nothing any more.
    fn judge(&mut self, now: Instant) {
        let heard = |word: &&Word| now.saturating_duration_since(word.said_at) < GOES_ON_FOR;
        let why = self.words.values().filter(heard).find_map(|word| word.unfit.clone());
        match (&self.unfit, &why) {
            (None, Some(why)) => {
                tracing::warn!(
                    why,
                    "what is acknowledged while redis fails over may be lost: no lease can be held"
                );
            }
            (Some(_), None) => tracing::info!("the sentinels' lease is held again"),
            _ => {}
        }
        self.unfit = why;
    }
}

/// Why no lease can be held, as far as this sentinel knows.
fn unfit(report: &Report, listed: usize) -> Option<String> {
    if report.down_after < DOWN_AFTER_MIN {
        return Some(format!(
            "down-after-milliseconds of the sentinels is {}: below {} nobody can know in time",
            report.down_after.as_millis(),
            DOWN_AFTER_MIN.as_millis()
        ));
    }
    (report.others + 1 > listed)
        .then(|| format!("there are {} sentinels, and redis.servers names {listed}", report.others + 1))
}

/// Asks one sentinel again and again.
async fn ask(options: Arc<RedisOptions>, place: usize, words: Arc<Words>) {
    let Some(address) = options.servers.get(place) else { return };
    let address: Arc<str> = address.as_str().into();
    let mut connection: Option<Connection> = None;
    loop {
        let asked = Instant::now();
        let said = async {
            let asking = match &connection {
                Some(connection) => connection.clone(),
                None => Connection::open(&options, address.clone(), Login::Sentinel, None).await?,
            };
            let report = sentinel::report(&asking, &options).await?;
            Ok::<_, LinkError>((asking, report))
        };
        match said.await {
            Ok((asking, Some(report))) => {
                connection = Some(asking);
                let mut state = words.state.lock();
                state.take(place, &report, asked, Instant::now());
                drop(state);
                words.told.send_replace(());
            }
            Ok((_, None)) => tracing::debug!(%address, "the sentinel does not know the primary"),
            Err(error) => {
                connection = None;
                tracing::debug!(%error, "a sentinel does not say how the primary is");
            }
        }
        words.show();
        sleep_until((asked + ASK_EVERY).max(Instant::now()).into()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN_AFTER: Duration = Duration::from_secs(3);
    const SECOND: Duration = Duration::from_secs(1);

    fn report(primary: &str, answered_ms: u64) -> Report {
        Report {
            primary: primary.into(),
            is_fine: true,
            is_replacing: false,
            answered: Duration::from_millis(answered_ms),
            down_after: DOWN_AFTER,
            quorum: 2,
            others: 2,
        }
    }

    /// Three sentinels, and a clock that the test sets.
    struct Scene {
        state: State,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            Self { state: State { listed: 3, ..State::default() }, now: Instant::now() }
        }

        fn says(&mut self, places: &[usize], report: &Report) {
            for place in places {
                self.state.take(*place, report, self.now, self.now);
            }
        }

        /// All fine for so long that nobody counts what was before.
        fn settled() -> Self {
            let mut scene = Self::new();
            for _ in 0..8 {
                scene.says(&[0, 1, 2], &report("p:1", 0));
                scene.now += SECOND;
            }
            scene.says(&[0, 1, 2], &report("p:1", 0));
            scene
        }

        fn later(&mut self, by: Duration) -> &mut Self {
            self.now += by;
            self
        }

        fn holds(&self) -> bool {
            self.state.covers("p:1", self.now)
        }
    }

    #[test]
    fn it_holds_for_less_than_the_sentinels_wait() {
        let mut scene = Scene::settled();
        assert!(scene.holds() && !scene.state.covers("other:1", scene.now));
        assert!(scene.later(DOWN_AFTER - SECOND / 10).holds());
        assert!(!scene.later(SECOND / 10).holds());
    }

    #[test]
    fn what_the_primary_answered_long_ago_counts_from_then() {
        let mut scene = Scene::settled();
        scene.later(SECOND).says(&[0, 1, 2], &report("p:1", 2_500));
        assert!(scene.later(SECOND / 3).holds());
        assert!(!scene.later(SECOND * 2).holds());
    }

    #[test]
    fn without_one_sentinel_it_goes_on_and_without_two_it_ends() {
        let mut scene = Scene::settled();
        for _ in 0..10 {
            scene.later(SECOND).says(&[0, 1], &report("p:1", 100));
            assert!(scene.holds());
        }
        for _ in 0..3 {
            scene.later(SECOND).says(&[0], &report("p:1", 100));
        }
        assert!(!scene.holds());
    }

    #[test]
    fn at_first_all_must_say_so() {
        let mut scene = Scene::new();
        scene.says(&[0, 1], &report("p:1", 0));
        assert!(!scene.holds(), "the third may lead, and count one of these");
        scene.says(&[2], &report("p:1", 0));
        assert!(scene.holds());
    }

    #[test]
    fn one_that_called_it_down_for_a_moment_is_counted_on() {
        let down = Report { is_fine: false, ..report("p:1", 3_100) };
        let mut scene = Scene::settled();
        scene.says(&[0, 1], &down);
        assert!(!scene.holds());
        // One recovers, the other one does not: it may lead with the first one's word.
        scene.later(SECOND).says(&[1, 2], &report("p:1", 0));
        assert!(!scene.holds());
        scene.says(&[0], &report("p:1", 0));
        assert!(scene.holds(), "nobody is left to lead");
        for _ in 0..7 {
            scene.later(SECOND).says(&[1, 2], &report("p:1", 0));
        }
        assert!(scene.holds(), "what they said is forgotten");
    }

    #[test]
    fn one_that_replaces_it_may_be_frozen_and_go_on() {
        let mut scene = Scene::settled();
        scene.says(&[0], &Report { is_replacing: true, ..report("p:1", 0) });
        for _ in 0..50 {
            assert!(!scene.holds());
            scene.later(SECOND).says(&[1, 2], &report("p:1", 0));
        }
        scene.says(&[0], &report("p:1", 0));
        assert!(scene.holds());
    }

    #[test]
    fn one_that_alone_does_not_reach_it_stops_nothing() {
        let mut scene = Scene::settled();
        for _ in 0..50 {
            scene.says(&[0], &Report { is_fine: false, ..report("p:1", 9_000) });
            scene.says(&[1, 2], &report("p:1", 0));
            assert!(scene.holds());
            scene.later(SECOND);
        }
    }

    #[test]
    fn whoever_was_not_asked_for_long_may_have_called_it_down() {
        let mut scene = Scene::settled();
        scene.later(DOWN_AFTER * 2).says(&[0, 1], &report("p:1", 0));
        assert!(!scene.holds());
    }

    #[test]
    fn a_new_primary_has_one_as_soon_as_two_name_it() {
        let mut scene = Scene::settled();
        let next = report("a:1", 0);
        scene.says(&[0], &next);
        assert!(!scene.state.covers("a:1", scene.now));
        scene.says(&[1], &next);
        assert!(scene.state.covers("a:1", scene.now) && !scene.holds());
    }

    #[test]
    fn what_is_shown_is_how_long_it_holds_on() {
        let mut scene = Scene::settled();
        let left = scene.state.left(scene.now);
        assert!(left > DOWN_AFTER * 9 / 10 && left < DOWN_AFTER, "{left:?}");
        scene.later(DOWN_AFTER);
        assert_eq!(scene.state.left(scene.now), Duration::ZERO, "nobody has said anything since");
        scene.says(&[0, 1, 2], &Report { down_after: SECOND, ..report("p:1", 0) });
        assert!(scene.holds());
        assert_eq!(scene.state.left(scene.now), Duration::ZERO, "none is held");
    }

    #[test]
    fn where_it_cannot_be_known_nothing_is_refused() {
        let mut scene = Scene::new();
        scene.says(&[0], &Report { down_after: SECOND, ..report("p:1", 0) });
        assert!(scene.holds());
        scene.says(&[0], &Report { others: 3, ..report("p:1", 0) });
        assert!(scene.holds());
        scene.says(&[0], &report("p:1", 0));
        assert!(!scene.holds());
    }

    #[test]
    fn sentinels_that_were_there_for_a_while_are_forgotten_with_them() {
        let mut scene = Scene::settled();
        scene.says(&[0, 1, 2], &Report { others: 3, quorum: 1, ..report("p:1", 0) });
        scene.later(SECOND).says(&[0, 1, 2], &report("p:1", 0));
        // One of three dies: the others are enough.
        scene.later(DOWN_AFTER / 2).says(&[0, 1], &report("p:1", 0));
        assert!(scene.holds());
        scene.later(DOWN_AFTER - SECOND).says(&[0, 1], &report("p:1", 0));
        assert!(scene.holds());
    }
}
