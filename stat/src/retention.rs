//! Trims what is old: done by one stat node at a time, which is elected for it.

use std::{sync::Arc, time::Duration};

use boot::RetentionSettings;
use metrics::{Counter, Gauge, Label};
use roster::Roster;
use store::{Progress, Store, StoreError};
use tokio::time;
use tokio_util::sync::CancellationToken;
use wire::time::now_ms;

/// The election of the node that trims. Two at once would only do the same twice.
const ELECTION: &str = "stat/retention";

/// Between two steps: the store has messages to take.
const STEP_PAUSE: Duration = Duration::from_millis(10);

/// After an election that could not be joined, or a step that failed.
const RETRY: Duration = Duration::from_secs(1);

/// A node in the election.
pub(crate) struct Trimmer {
    id: Arc<str>,
    roster: Arc<dyn Roster>,
    store: Arc<dyn Store>,
    settings: RetentionSettings,
    trimmed: Counter,
    last_pass: Gauge,
}

impl Trimmer {
    pub(crate) fn new(
        id: Arc<str>,
        roster: Arc<dyn Roster>,
        store: Arc<dyn Store>,
        settings: RetentionSettings,
        labels: Vec<Label>,
    ) -> Self {
        Self {
            id,
            roster,
            store,
            settings,
            trimmed: metrics::counter!("phalanx_retention_trimmed_total", labels.clone()),
            last_pass: metrics::gauge!("phalanx_retention_last_pass_timestamp_seconds", labels),
        }
    }

    /// Takes part until `stop`; at once where nothing is ever trimmed.
    pub(crate) async fn run(self, stop: CancellationToken) {
        if self.settings.policy().is_off() {
            return;
        }
        stop.run_until_cancelled(async {
            loop {
                match self.roster.elect(ELECTION, &self.id).await {
                    Ok(leadership) => {
                        leadership.lost().run_until_cancelled(self.trim()).await;
                        leadership.resign().await;
                    }
                    Err(error) => tracing::warn!(%error, "the election of who trims cannot be joined"),
                }
                time::sleep(RETRY).await;
            }
        })
        .await;
    }

    /// Pass after pass.
    async fn trim(&self) {
        loop {
            let trimmed = self.pass().await;
            self.last_pass.set(now_ms() as f64 / 1_000.0);
            if trimmed > 0 {
                tracing::info!(messages = trimmed, "retention has trimmed");
            }
            time::sleep(Duration::from_millis(self.settings.interval_ms)).await;
        }
    }

    /// All conversations once. A step that fails is done again.
    async fn pass(&self) -> u64 {
        let (mut from, mut trimmed) = (Progress::default(), 0);
        loop {
            match self.step(from).await {
                Ok((messages, next)) => {
                    trimmed += messages;
                    let Some(next) = next else { return trimmed };
                    from = next;
                    time::sleep(STEP_PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "trimming waits for the store");
                    time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn step(&self, from: Progress) -> Result<(u64, Option<Progress>), StoreError> {
        let step = self.store.trim(self.settings.policy(), from).await?;
        self.trimmed.increment(step.messages);
        Ok((step.messages, step.next))
    }
}
