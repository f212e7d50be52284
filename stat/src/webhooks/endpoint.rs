//! The back end: a request is made until it is taken.

use std::time::Duration;

use anyhow::Context as _;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use parking_lot::Mutex;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use webhook::Client;
use wire::time::now_ms;

use super::{WebhookSettings, counters::Counters};

/// While nothing is taken, it is logged this often.
const REMIND: Duration = Duration::from_secs(60);

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// The back end has it.
    Taken,
    /// The time for it is over.
    GivenUp,
    /// Another node is to go on; whether the back end has it is not known.
    Yielded,
}

/// The back end.
pub(super) struct Endpoint {
    client: Client,
    give_up_after: Option<Duration>,
    pauses: ExponentialBuilder,
    counters: Counters,
    failing: Mutex<Option<Failing>>,
}

/// Nothing is taken.
struct Failing {
    since: Instant,
    logged: Instant,
}

impl Endpoint {
    /// Connects with the first request.
    ///
    /// # Errors
    /// Settings that cannot be used.
    pub(super) fn new(settings: &WebhookSettings, counters: Counters) -> anyhow::Result<Self> {
        let timeout = Duration::from_millis(settings.timeout_ms);
        let client =
            Client::new(&settings.url, settings.secret.expose(), timeout).context("stat.webhooks")?;
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(settings.retry_min_ms))
            .with_max_delay(Duration::from_millis(settings.retry_max_ms))
            .without_max_times()
            .with_jitter();
        Ok(Self {
            client,
            give_up_after: (settings.give_up_after_ms > 0)
                .then(|| Duration::from_millis(settings.give_up_after_ms)),
            pauses,
            counters,
            failing: Mutex::new(None),
        })
    }

    /// What may be logged of the URL.
    pub(super) fn name(&self) -> &str {
        self.client.name()
    }

    /// Posts until it is taken. The id and the body stay the same, the time is that of the attempt.
    pub(super) async fn post(&self, id: &str, body: String, yields: &CancellationToken) -> Posted {
        let began = Instant::now();
        let mut pauses = self.pauses.build();
        loop {
            match self.attempt(id, &body).await {
                Ok(()) => {
                    self.works();
                    return Posted::Taken;
                }
                Err(why) => self.fails(&why),
            }
            if self.give_up_after.is_some_and(|most| began.elapsed() >= most) {
                tracing::error!(
                    url = self.name(),
                    id,
                    "a request of webhooks is given up: its events are lost to the back end"
                );
                return Posted::GivenUp;
            }
            let pause = pauses.next().unwrap_or(REMIND);
            if yields.run_until_cancelled(time::sleep(pause)).await.is_none() {
                return Posted::Yielded;
            }
            self.counters.repeated.increment(1);
        }
    }

    async fn attempt(&self, id: &str, body: &str) -> Result<(), String> {
        match self.client.post(id, body).await {
            Err(why) => Err(why),
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status)),
        }
    }

    fn works(&self) {
        self.counters.failing_since.set(0.0);
        if let Some(failing) = self.failing.lock().take() {
            let seconds = failing.since.elapsed().as_secs();
            tracing::info!(url = self.name(), seconds, "the back end takes webhooks again");
        }
    }

    fn fails(&self, why: &str) {
        self.counters.failed.increment(1);
        let now = Instant::now();
        let mut failing = self.failing.lock();
        let seconds = match &mut *failing {
            None => {
                self.counters.failing_since.set(now_ms() as f64 / 1_000.0);
                *failing = Some(Failing { since: now, logged: now });
                0
            }
            Some(failing) if now.duration_since(failing.logged) >= REMIND => {
                failing.logged = now;
                failing.since.elapsed().as_secs()
            }
            Some(_) => return,
        };
        drop(failing);
        tracing::warn!(
            url = self.name(),
            why,
            seconds,
            "the back end takes no webhooks; events wait in the store"
        );
    }
}
