//! One request.
//!
//! hyper's client, because it is in the program already; what it lacks is here: a deadline for the whole request. Redirections are
//! not followed.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::time;
use wire::time::now_ms;

use crate::Key;

/// An idle connection is kept for so long; most back ends close theirs later.
const KEEP: Duration = Duration::from_secs(20);

/// An answer with more bytes costs its connection, and counts as empty.
const ANSWER_BYTES: usize = 64 << 10;

/// A back end. It is connected to with the first request.
pub struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    name: Arc<str>,
    key: Key,
    timeout: Duration,
}

/// What a back end has answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body, at most 64 KiB.
    pub body: Bytes,
}

/// The URL, if it is one of `http` or `https`, without a name and password.
pub fn usable(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let is_usable = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    is_usable.then_some(uri)
}

impl Client {
    /// `timeout` is for a whole request.
    ///
    /// # Errors
    /// A URL or a secret that cannot be used, or a system without certificates for an `https` URL.
    pub fn new(url: &str, secret: &str, timeout: Duration) -> anyhow::Result<Self> {
        let uri = usable(url).context("url: expected http://… or https://…, without a name and password")?;
        let key = Key::parse(secret).context("secret: expected whsec_ and 24 to 64 bytes in base64")?;
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
        // A path or a query may hold a key of somebody's.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let name = format!("{}://{authority}", uri.scheme_str().unwrap_or("http"));
        Ok(Self {
            inner: legacy::Client::builder(TokioExecutor::new()).pool_idle_timeout(KEEP).build(connector),
            uri,
            name: name.into(),
            key,
            timeout,
        })
    }

    /// What may be logged of the URL.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Posts JSON once, signed under this id and the time now.
    ///
    /// # Errors
    /// Why there is no answer, for a log.
    pub async fn post(&self, id: &str, body: &str) -> Result<Answer, String> {
        let timestamp = now_ms() / 1_000;
        let request = Request::post(&self.uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("phalanx/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", self.key.sign(id, timestamp, body))
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|error| error.to_string())?;
        match time::timeout(self.timeout, self.ask(request)).await {
            Err(_) => Err(format!("no answer within {} ms", self.timeout.as_millis())),
            Ok(Err(error)) => Err(chain(&error)),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Answer, legacy::Error> {
        let answer = self.inner.request(request).await?;
        let status = answer.status();
        // Read to the end, so that the connection can be used again.
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        Ok(Answer { status, body: body.map(|body| body.to_bytes()).unwrap_or_default() })
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
