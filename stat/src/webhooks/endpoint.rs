//! The back end: a request is made until it is taken.
//!
//! hyper's client, because it is in the program already; what it lacks is here: a deadline for the whole request. Redirections are
//! not followed: they count as failures.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use wire::time::now_ms;

use super::{WebhookSettings, counters::Counters, signature::Key};

/// While nothing is taken, it is logged this often.
const REMIND: Duration = Duration::from_secs(60);

/// An idle connection is kept for so long; most back ends close theirs later.
const KEEP: Duration = Duration::from_secs(20);

/// An answer with more bytes costs its connection.
const ANSWER_BYTES: usize = 64 << 10;

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
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    name: Arc<str>,
    key: Key,
    timeout: Duration,
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
    /// Settings that were not checked, or a system without certificates for an `https` URL.
    pub(super) fn new(settings: &WebhookSettings, counters: Counters) -> anyhow::Result<Self> {
        let uri = settings.uri().context("stat.webhooks.url cannot be used")?;
        let key = Key::parse(settings.secret.expose()).context("stat.webhooks.secret cannot be used")?;
        let connector = match uri.scheme_str() {
            Some("https") => HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(ring::default_provider())
                .context("the system has no certificates to check the back end's with")?,
            // No certificates are needed then.
            _ => HttpsConnectorBuilder::new().with_tls_config(
                ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                    .with_safe_default_protocol_versions()?
                    .with_root_certificates(RootCertStore::empty())
                    .with_no_client_auth(),
            ),
        };
        let connector = connector.https_or_http().enable_http1().build();
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(settings.retry_min_ms))
            .with_max_delay(Duration::from_millis(settings.retry_max_ms))
            .without_max_times()
            .with_jitter();
        // A query or a path may hold a key of somebody's.
        let name = format!(
            "{}://{}",
            uri.scheme_str().unwrap_or("http"),
            uri.authority().map_or("", |a| a.as_str())
        );
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).pool_idle_timeout(KEEP).build(connector),
            uri,
            name: name.into(),
            key,
            timeout: Duration::from_millis(settings.timeout_ms),
            give_up_after: (settings.give_up_after_ms > 0)
                .then(|| Duration::from_millis(settings.give_up_after_ms)),
            pauses,
            counters,
            failing: Mutex::new(None),
        })
    }

    /// What may be logged of the URL.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Posts until it is taken. The id and the body stay the same, the time is that of the attempt.
    pub(super) async fn post(&self, id: &str, body: String, yields: &CancellationToken) -> Posted {
        let body = Bytes::from(body);
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

    async fn attempt(&self, id: &str, body: &Bytes) -> Result<(), String> {
        let timestamp = now_ms() / 1_000;
        let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
        let request = Request::post(&self.uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("phalanx/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", self.key.sign(id, timestamp, text))
            .body(Full::new(body.clone()))
            .map_err(|error| error.to_string())?;
        match time::timeout(self.timeout, self.ask(request)).await {
            Err(_) => Err(format!("no answer within {} ms", self.timeout.as_millis())),
            Ok(Err(error)) => Err(chain(&error)),
            Ok(Ok(status)) if status.is_success() => Ok(()),
            Ok(Ok(status)) => Err(format!("it answered {status}")),
        }
    }

    async fn ask(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<StatusCode, hyper_util::client::legacy::Error> {
        let answer = self.client.request(request).await?;
        let status = answer.status();
        // Read so that the connection can be used again; what it says does not matter.
        let _ = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        Ok(status)
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

/// With its causes: "client error" alone helps nobody at night.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
