//! One stat node is elected, looks how full the store is, and makes pass after pass over all conversations.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use boot::RetentionSettings;
use metrics::{Counter, Gauge, Label};
use roster::Roster;
use store::{Progress, RetentionPolicy, Store, StoreError, TrimStep};
use tokio::time;
use tokio_util::sync::CancellationToken;
use wire::time::now_ms;

use super::{Stored, ages::Ages, pressure::Pressure};

/// The election of the node that trims. Two at once would only do the same twice.
const ELECTION: &str = "stat/retention";

/// Between two steps: the store has messages to take.
const STEP_PAUSE: Duration = Duration::from_millis(10);
/// So much longer than a step took is the pause after it: a pass takes a tenth of what one client of the store can.
const PAUSE_FACTOR: u32 = 9;

/// Between two looks at how full the store is, while there is room, and near the bound: a send that finds none waits, but not for long.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY_NEAR: Duration = Duration::from_millis(100);

/// What is younger is not trimmed for want of room: it may be on its way still.
const YOUNGEST_MS: u64 = 1_000;
/// Where only so little is left, the bound is too low for what is sent.
const SCARCE_MS: u64 = 3_600_000;

/// Where passes free nothing for so long, others fill the store than messages: then a pass follows only after a pause. Longer than it
/// takes until what is too young can go.
const FRUITLESS_FOR: Duration = Duration::from_secs(3);
/// And so many, however long each takes.
const FRUITLESS_MOST: u32 = 3;
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// After an election that could not be joined, or a step that failed.
const RETRY: Duration = Duration::from_secs(1);

/// A node in the election.
pub(crate) struct Trimmer {
    id: Arc<str>,
    roster: Arc<dyn Roster>,
    store: Arc<dyn Store>,
    settings: RetentionSettings,
    stored: Stored,
    metrics: Metrics,
}

struct Metrics {
    trimmed: Counter,
    last_pass: Gauge,
    bytes: Gauge,
    filled: Gauge,
    messages: Gauge,
    oldest: Gauge,
}

/// What a pass did and saw.
struct Pass {
    trimmed: u64,
    ages: Ages,
    /// Where the store became too full on the way, it ended before it had seen all.
    is_whole: bool,
}

/// What is known of the ages of messages.
struct Seen {
    ages: Ages,
    at: Instant,
}

impl Seen {
    /// The age that about this share of the messages has by now.
    fn reached_by(&self, share: f64) -> Option<u64> {
        let since = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.ages.reached_by(share).map(|age| age.saturating_add(since))
    }
}

impl Trimmer {
    pub(crate) fn new(
        id: Arc<str>,
        roster: Arc<dyn Roster>,
        store: Arc<dyn Store>,
        settings: RetentionSettings,
        stored: Stored,
        labels: Vec<Label>,
    ) -> Self {
        let gauge = |name: &'static str| metrics::gauge!(name, labels.clone());
        let metrics = Metrics {
            last_pass: gauge("phalanx_retention_last_pass_timestamp_seconds"),
            bytes: gauge("phalanx_store_bytes"),
            filled: gauge("phalanx_store_filled_ratio"),
            messages: gauge("phalanx_store_messages"),
            oldest: gauge("phalanx_store_oldest_message_age_seconds"),
            trimmed: metrics::counter!("phalanx_retention_trimmed_total", labels.clone()),
        };
        Self { id, roster, store, settings, stored, metrics }
    }

    /// Takes part until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                match self.roster.elect(ELECTION, &self.id).await {
                    Ok(leadership) => {
                        leadership.lost().run_until_cancelled(self.trim()).await;
                        self.stored.forget();
                        self.metrics.forget();
                        leadership.resign().await;
                    }
                    Err(error) => tracing::warn!(%error, "the election of who trims cannot be joined"),
                }
                time::sleep(RETRY).await;
            }
        })
        .await;
    }

    /// Pass after pass: when it is time for one, and at once while the store is too full.
    async fn trim(&self) {
        let mut seen = Seen { ages: Ages::new(), at: Instant::now() };
        let mut pressed = false;
        let mut next = Instant::now();
        let mut helped_at = Instant::now();
        let mut fruitless = 0;
        loop {
            let pressure = self.look().await;
            let share = pressure.and_then(|pressure| pressure.share(pressed));
            let was_pressed = std::mem::replace(&mut pressed, share.is_some());
            if !was_pressed {
                helped_at = Instant::now();
            }
            if !pressed && Instant::now() < next {
                let is_near = pressure.is_some_and(Pressure::is_near);
                time::sleep(self.interval().min(if is_near { LOOK_EVERY_NEAR } else { LOOK_EVERY })).await;
                continue;
            }
            // Before anything was seen nobody knows where to cut: then a pass looks.
            let cut_ms = share.and_then(|share| seen.reached_by(share)).map(|age| age.max(YOUNGEST_MS));
            if let (Some(pressure), Some(cut_ms)) = (pressure, cut_ms) {
                tell(pressure, cut_ms, was_pressed);
            }
            let pass = self.pass(self.policy(cut_ms), pressed).await;
            let Pass { trimmed, is_whole, .. } = pass;
            let held_before = seen.ages.messages();
            if is_whole {
                seen = Seen { ages: self.finish(pass), at: Instant::now() };
                next = Instant::now() + self.interval();
            } else if held_before == 0 {
                // Which conversations come first is chance, so a part of them tells as well where to cut.
                seen = Seen { ages: pass.ages, at: Instant::now() };
            }
            let (Some(before), true) = (pressure, pressed) else {
                helped_at = Instant::now();
                continue;
            };
            // Where as many are left as before, more was sent meanwhile than went.
            let held = seen.ages.messages();
            let helped = match cut_ms {
                None => held > 0,
                Some(_) if trimmed == 0 => false,
                Some(_) => {
                    held >= held_before || self.look().await.is_none_or(|after| after.used < before.used)
                }
            };
            fruitless = if helped { 0 } else { fruitless + 1 };
            if helped {
                helped_at = Instant::now();
            } else if fruitless >= FRUITLESS_MOST && helped_at.elapsed() >= FRUITLESS_FOR {
                let Pressure { used, bound } = before;
                tracing::error!(
                    used,
                    bound,
                    "the store is too full, and trimming history does not help: something else fills it"
                );
                time::sleep(self.interval().min(LOOK_AGAIN)).await;
            } else {
                time::sleep(LOOK_EVERY_NEAR).await;
            }
        }
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(self.settings.interval_ms)
    }

    /// What is set; and nothing older than `cut_ms`.
    fn policy(&self, cut_ms: Option<u64>) -> RetentionPolicy {
        let set = self.settings.policy();
        let ages = [set.age_ms, cut_ms.unwrap_or(0)].into_iter().filter(|&age| age > 0);
        RetentionPolicy { age_ms: ages.min().unwrap_or(0), ..set }
    }

    /// How full the store is.
    async fn look(&self) -> Option<Pressure> {
        let spaces = loop {
            match self.store.space().await {
                Ok(spaces) => break spaces,
                Err(error) => self.wait_for_store(&error).await,
            }
        };
        let bytes = spaces.iter().map(|space| space.used).sum();
        let pressure = Pressure::of(&spaces, self.settings.bytes);
        let filled = pressure.map(Pressure::filled);
        self.stored.change(|findings| {
            findings.bytes = bytes;
            findings.filled = filled;
        });
        self.metrics.bytes.set(bytes as f64);
        self.metrics.filled.set(filled.unwrap_or(0.0));
        pressure
    }

    /// All conversations once; fewer where there is room at first and none any more on the way. A step that fails is done again.
    async fn pass(&self, policy: RetentionPolicy, pressed: bool) -> Pass {
        let mut pass = Pass { trimmed: 0, ages: Ages::new(), is_whole: true };
        let mut from = Progress::default();
        let mut looked_at = Instant::now();
        loop {
            let began = Instant::now();
            let TrimStep { next, messages, held } = match self.store.trim(policy, from).await {
                Ok(step) => step,
                Err(error) => {
                    self.wait_for_store(&error).await;
                    continue;
                }
            };
            held.iter().for_each(|extent| pass.ages.add(extent));
            pass.trimmed += messages;
            self.metrics.trimmed.increment(messages);
            self.stored.change(|findings| findings.trimmed += messages);
            let Some(next) = next else { return pass };
            from = next;
            // Where there is no room, sends would have to wait for it.
            let pause = if pressed { Duration::ZERO } else { PAUSE_FACTOR * began.elapsed() };
            time::sleep(pause.max(STEP_PAUSE)).await;
            if !pressed && looked_at.elapsed() >= LOOK_EVERY {
                looked_at = Instant::now();
                if self.look().await.is_some_and(|pressure| pressure.share(false).is_some()) {
                    pass.is_whole = false;
                    return pass;
                }
            }
        }
    }

    async fn wait_for_store(&self, error: &StoreError) {
        tracing::warn!(%error, "trimming waits for the store");
        time::sleep(RETRY).await;
    }

    fn finish(&self, pass: Pass) -> Ages {
        let Pass { trimmed, ages, .. } = pass;
        let oldest_ms = ages.oldest_ms();
        self.stored.change(|findings| {
            findings.messages = Some(ages.messages());
            findings.oldest_at = oldest_ms.map(|age| now_ms().saturating_sub_unsigned(age));
        });
        self.metrics.last_pass.set(now_ms() as f64 / 1_000.0);
        self.metrics.messages.set(ages.messages() as f64);
        self.metrics.oldest.set(oldest_ms.unwrap_or(0) as f64 / 1_000.0);
        if trimmed > 0 {
            tracing::info!(messages = trimmed, "retention has trimmed");
        }
        ages
    }
}

/// Once, not with every pass; but always where it becomes scarce.
fn tell(pressure: Pressure, cut_ms: u64, was_pressed: bool) {
    let Pressure { used, bound } = pressure;
    let seconds = cut_ms / 1_000;
    if cut_ms < SCARCE_MS {
        tracing::warn!(
            used,
            bound,
            seconds,
            "the store is too full: history older than this goes; raise store.retention.bytes or maxmemory"
        );
    } else if !was_pressed {
        tracing::info!(used, bound, seconds, "the store is nearly full: the oldest history goes first");
    }
}

impl Metrics {
    /// Another node trims, and says how it is.
    fn forget(&self) {
        for gauge in [&self.bytes, &self.filled, &self.messages, &self.oldest] {
            gauge.set(0.0);
        }
    }
}
