//! Asks a back end whether a message may be sent, before it is stored.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use boot::{BeforeSendSettings, OnFailure};
use bytes::Bytes;
use conversation::{Judge, Refusal, SendRequest};
use http::StatusCode;
use metrics::{Counter, Label};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{
    sync::Semaphore,
    time::{self, Instant},
};
use wire::{Code, Conversation, Destination, Device, User};

use crate::Client;

/// Requests that may be under way on a node; others wait for their turn, within the same time.
const REQUESTS: usize = 256;

/// The longest reason that a client is given, in characters.
const REASON_CHARS: usize = 200;

/// While the back end does not answer, it is logged this often.
const REMIND: Duration = Duration::from_secs(60);

/// The back end that is asked.
pub struct BeforeSend {
    client: Client,
    timeout: Duration,
    on_failure: OnFailure,
    turns: Semaphore,
    logged: Mutex<Option<Instant>>,
    allowed: Counter,
    refused: Counter,
    failed: Counter,
}

/// Who judges messages before they are stored; `None`: nobody.
///
/// # Errors
/// Settings that cannot be used.
pub fn before_send(
    settings: &BeforeSendSettings,
    labels: &[Label],
) -> anyhow::Result<Option<Arc<dyn Judge>>> {
    if settings.url.is_empty() {
        return Ok(None);
    }
    let timeout = Duration::from_millis(settings.timeout_ms);
    let client = Client::new(&settings.url, settings.secret.expose(), timeout)
        .map_err(|error| error.context("webhooks.before_send"))?;
    let counter = |verdict: &'static str| {
        let labels = labels.iter().cloned().chain([Label::new("verdict", verdict)]);
        metrics::counter!("phalanx_before_send_total", labels.collect::<Vec<_>>())
    };
    tracing::info!(url = client.name(), on_failure = ?settings.on_failure, "every message is judged before it is stored");
    Ok(Some(Arc::new(BeforeSend {
        client,
        timeout,
        on_failure: settings.on_failure,
        turns: Semaphore::new(REQUESTS),
        logged: Mutex::new(None),
        allowed: counter("allowed"),
        refused: counter("refused"),
        failed: counter("failed"),
    })))
}

#[derive(Serialize)]
struct Question<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: Proposed<'a>,
}

#[derive(Serialize)]
struct Proposed<'a> {
    conversation: &'a Conversation,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<&'a str>,
    from: &'a User,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a Device>,
    to: &'a Destination,
    #[serde(rename = "type")]
    kind: &'a str,
    body: &'a RawValue,
}

#[derive(Deserialize)]
struct Verdict {
    allow: bool,
    reason: Option<String>,
}

#[async_trait]
impl Judge for BeforeSend {
    async fn judge(&self, request: &SendRequest, conversation: &Conversation) -> Result<(), Refusal> {
        // Not a failure of the back end, so never let through: else whoever sends most would decide what is judged.
        let Ok(Ok(_turn)) = time::timeout(self.timeout, self.turns.acquire()).await else {
            self.failed.increment(1);
            return Err(Refusal::unavailable("too many messages wait to be judged"));
        };
        let asked = time::timeout(self.timeout, self.ask(request, conversation)).await;
        let asked =
            asked.unwrap_or_else(|_| Err(format!("no answer within {} ms", self.timeout.as_millis())));
        match asked {
            Ok(Verdict { allow: true, .. }) => {
                self.allowed.increment(1);
                Ok(())
            }
            Ok(Verdict { allow: false, reason }) => {
                self.refused.increment(1);
                let reason = reason.unwrap_or_else(|| "the back end does not allow this message".into());
                Err(Refusal::new(Code::Forbidden, reason.chars().take(REASON_CHARS).collect::<String>()))
            }
            Err(why) => self.failed(&why),
        }
    }
}

impl BeforeSend {
    async fn ask(&self, request: &SendRequest, conversation: &Conversation) -> Result<Verdict, String> {
        let message = Proposed {
            conversation,
            cid: request.cid.as_deref(),
            from: &request.from,
            device: request.author.device.as_ref(),
            to: &request.to,
            kind: request.kind.as_deref().unwrap_or("text"),
            body: &request.body,
        };
        let body = serde_json::to_string(&Question { kind: "before_send", message })
            .map_err(|error| error.to_string())?;
        let id = format!("snd_{:032x}", rand::random::<u128>());
        let answer = self.client.post(&id, &body).await?;
        verdict(answer.status, &answer.body)
    }

    fn failed(&self, why: &str) -> Result<(), Refusal> {
        self.failed.increment(1);
        let now = Instant::now();
        let mut logged = self.logged.lock();
        if logged.is_none_or(|last| now.duration_since(last) >= REMIND) {
            *logged = Some(now);
            let (url, on_failure) = (self.client.name(), self.on_failure);
            tracing::warn!(url, why, ?on_failure, "the back end does not judge messages");
        }
        match self.on_failure {
            OnFailure::Allow => Ok(()),
            OnFailure::Refuse => {
                Err(Refusal::unavailable("the back end that judges messages does not answer"))
            }
        }
    }
}

fn verdict(status: StatusCode, body: &Bytes) -> Result<Verdict, String> {
    match status {
        StatusCode::NO_CONTENT => Ok(Verdict { allow: true, reason: None }),
        StatusCode::OK => {
            serde_json::from_slice(body).map_err(|error| format!("its answer is no verdict: {error}"))
        }
        other => Err(format!("it answered {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_verdict_is_a_verdict() {
        let read = |status: u16, body: &'static str| {
            let status = StatusCode::from_u16(status).expect("a status");
            verdict(status, &Bytes::from_static(body.as_bytes()))
                .ok()
                .map(|found| (found.allow, found.reason))
        };
        assert_eq!(read(204, ""), Some((true, None)));
        assert_eq!(read(200, r#"{"allow":true}"#), Some((true, None)));
        assert_eq!(read(200, r#"{"allow":false,"reason":"no"}"#), Some((false, Some("no".into()))));
        for (status, body) in [(200, ""), (200, "{}"), (403, ""), (302, ""), (500, r#"{"allow":true}"#)] {
            assert_eq!(read(status, body), None, "{status} {body}");
        }
    }
}
