//! A wrapper that drops, repeats, delays and reorders on purpose. A test aid: no cluster that serves people has it on.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde::{Deserialize, Serialize};

use crate::{Publication, Relay, RelayError, Subscription};

/// How long a reordered publication waits for one that overtakes it. Without it, the last one before a silence would
/// be lost, which is another fault.
const REORDER_WAIT: Duration = Duration::from_millis(50);

/// How many publications are kept back at once. Above it they are published at once.
const KEPT_BACK_MAX: usize = 1_024;

/// How many targets have a count of their own. Above it all counts begin again.
const TARGETS_MAX: usize = 1_024;

/// Which publications suffer what: the settings table `[relay.faults]`. All 0 is off.
///
/// `…_every = n` strikes every n-th publication to each target; where `seed` is not 0, one in n, chosen by a generator
/// that starts from the seed. Of several faults that strike the same one, the first in the order below is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// These are not published.
    pub drop_every: u32,
    /// These are published twice.
    pub repeat_every: u32,
    /// These are published `delay_ms` later; what comes after overtakes them.
    pub delay_every: u32,
    /// How much later, in milliseconds.
    pub delay_ms: u64,
    /// These change places with the next one to the same target, if it comes within 50 ms.
    pub reorder_every: u32,
    /// 0 counts; anything else is where the random generator starts.
    pub seed: u64,
}

impl Faults {
    /// Whether nothing is done at all.
    pub fn is_off(&self) -> bool {
        [self.drop_every, self.repeat_every, self.delay_every, self.reorder_every] == [0; 4]
    }
}

/// What happens to one publication.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Pass,
    Drop,
    Repeat,
    Delay,
    Reorder,
}

/// A relay that does to its publications what [`Faults`] says, and counts it in `phalanx_relay_faults_total`.
///
/// Must be used within a tokio runtime: what is kept back is published by tasks of its own.
pub struct FaultyRelay {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<dyn Relay>,
    faults: Faults,
    state: Mutex<State>,
}

struct State {
    random: StdRng,
    targets: HashMap<Arc<str>, Target>,
    /// How many publications are kept back by delays and reordering.
    kept_back: usize,
}

#[derive(Debug, Default)]
struct Target {
    published: u64,
    /// Waits to be overtaken; with the count at which it began to wait.
    waiting: Option<(u64, Publication)>,
}

impl FaultyRelay {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Relay>, faults: Faults) -> Self {
        let state =
            State { random: StdRng::seed_from_u64(faults.seed), targets: HashMap::new(), kept_back: 0 };
        Self { shared: Arc::new(Shared { inner, faults, state: Mutex::new(state) }) }
    }
}

impl std::fmt::Debug for FaultyRelay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultyRelay").field("faults", &self.shared.faults).finish_non_exhaustive()
    }
}

impl Faults {
    fn strikes(&self, every: u32, published: u64, random: &mut StdRng) -> bool {
        match every {
            0 => false,
            _ if self.seed == 0 => published.is_multiple_of(u64::from(every)),
            _ => random.random_ratio(1, every),
        }
    }

    /// Every fault is asked each time, so that one does not change when another strikes.
    fn fate(&self, published: u64, random: &mut StdRng) -> Fate {
        let [dropped, repeated, delayed, reordered] =
            [self.drop_every, self.repeat_every, self.delay_every, self.reorder_every]
                .map(|every| self.strikes(every, published, random));
        match () {
            () if dropped => Fate::Drop,
            () if repeated => Fate::Repeat,
            () if delayed => Fate::Delay,
            () if reordered => Fate::Reorder,
            () => Fate::Pass,
        }
    }
}

fn count(fault: &'static str) {
    metrics::counter!("phalanx_relay_faults_total", "fault" => fault).increment(1);
}

impl Shared {
    /// What is to be published now, in this order, in place of `publication`.
    fn distort(self: &Arc<Self>, publication: Publication, now: &mut Vec<Publication>) {
        let mut state = self.state.lock();
        let State { random, targets, kept_back } = &mut *state;
        if targets.len() >= TARGETS_MAX && !targets.contains_key(&publication.target) {
            // What waits here to be overtaken is published, and found gone by its task.
            for (_, waiting) in targets.drain().filter_map(|(_, target)| target.waiting) {
                *kept_back -= 1;
                now.push(waiting);
            }
        }
        let target = targets.entry(publication.target.clone()).or_default();
        target.published += 1;
        let published = target.published;
        let overtaken = target.waiting.take().map(|(_, waiting)| waiting);
        *kept_back -= usize::from(overtaken.is_some());
        let room = *kept_back < KEPT_BACK_MAX;
        match self.faults.fate(published, random) {
            Fate::Drop => count("drop"),
            Fate::Repeat => {
                count("repeat");
                now.extend([publication.clone(), publication]);
            }
            Fate::Delay if room => {
                count("delay");
                *kept_back += 1;
                self.clone().publish_later(publication);
            }
            Fate::Reorder if room && overtaken.is_none() => {
                count("reorder");
                *kept_back += 1;
                self.clone().stop_waiting(publication.target.clone(), published);
                target.waiting = Some((published, publication));
            }
            Fate::Pass | Fate::Delay | Fate::Reorder => now.push(publication),
        }
        now.extend(overtaken);
    }

    fn publish_later(self: Arc<Self>, publication: Publication) {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(self.faults.delay_ms)).await;
            self.state.lock().kept_back -= 1;
            self.publish_late(publication).await;
        });
    }

    fn stop_waiting(self: Arc<Self>, target: Arc<str>, since: u64) {
        tokio::spawn(async move {
            tokio::time::sleep(REORDER_WAIT).await;
            if let Some(publication) = self.take_waiting(&target, since) {
                self.publish_late(publication).await;
            }
        });
    }

    fn take_waiting(&self, target: &str, since: u64) -> Option<Publication> {
        let mut state = self.state.lock();
        let (_, waiting) = state.targets.get_mut(target)?.waiting.take_if(|(began, _)| *began == since)?;
        state.kept_back -= 1;
        Some(waiting)
    }

    async fn publish_late(&self, publication: Publication) {
        if let Err(error) = self.inner.publish(vec![publication]).await {
            tracing::debug!(%error, "a publication that was kept back on purpose is lost");
        }
    }
}

#[async_trait]
impl Relay for FaultyRelay {
    async fn publish(&self, batch: Vec<Publication>) -> Result<(), RelayError> {
        if self.shared.faults.is_off() {
            return self.shared.inner.publish(batch).await;
        }
        let mut now = Vec::with_capacity(batch.len());
        for publication in batch {
            self.shared.distort(publication, &mut now);
        }
        if now.is_empty() { Ok(()) } else { self.shared.inner.publish(now).await }
    }

    async fn flush(&self) {
        self.shared.inner.flush().await;
    }

    async fn subscribe(&self, id: &str) -> Result<Subscription, RelayError> {
        self.shared.inner.subscribe(id).await
    }
}
