//! The back end: a request is made until it is taken.

use std::time::Duration;

use anyhow::Context as _;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use webhook::Client;

use super::WebhookSettings;
use crate::outbox::{Counters, Delivered, Outage};

/// The back end.
pub(super) struct Endpoint {
    client: Client,
    give_up_after: Option<Duration>,
    pauses: ExponentialBuilder,
    longest_pause: Duration,
    counters: Counters,
    outage: Outage,
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
        let longest_pause = Duration::from_millis(settings.retry_max_ms);
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(settings.retry_min_ms))
            .with_max_delay(longest_pause)
            .without_max_times()
            .with_jitter();
        Ok(Self {
            client,
            give_up_after: (settings.give_up_after_ms > 0)
                .then(|| Duration::from_millis(settings.give_up_after_ms)),
            pauses,
            longest_pause,
            outage: Outage::new(super::NAME, counters.clone()),
            counters,
        })
    }

    /// What may be logged of the URL.
    pub(super) fn name(&self) -> &str {
        self.client.name()
    }

    /// Posts until it is taken. The id and the body stay the same, the time is that of the attempt.
    pub(super) async fn post(&self, id: &str, body: String, yields: &CancellationToken) -> Delivered {
        let began = Instant::now();
        let mut pauses = self.pauses.build();
        loop {
            match self.attempt(id, &body).await {
                Ok(()) => {
                    self.outage.ends(self.name());
                    return Delivered::Taken;
                }
                Err(why) => self.outage.goes_on(self.name(), &why),
            }
            if self.give_up_after.is_some_and(|most| began.elapsed() >= most) {
                tracing::error!(
                    url = self.name(),
                    id,
                    "a request of webhooks is given up: its events are lost to the back end"
                );
                return Delivered::GivenUp;
            }
            let pause = pauses.next().unwrap_or(self.longest_pause);
            if yields.run_until_cancelled(time::sleep(pause)).await.is_none() {
                return Delivered::Yielded;
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
}
