//! `[webhooks.before_send]`: a back end that judges messages before they are stored.

use std::ops::RangeInclusive;

use serde::Deserialize;
use setting::{Fault, Secret};

/// `[webhooks]` of `cluster.toml`: what concerns spear and stat.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedWebhooks {
    /// Who judges messages.
    #[serde(default)]
    pub before_send: BeforeSendSettings,
}

/// Who is asked, and what happens without an answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeforeSendSettings {
    /// `http` or `https`; empty: nobody.
    pub url: String,
    /// `whsec_` and 24 to 64 bytes in base64.
    pub secret: Secret,
    /// How long a verdict may take, milliseconds.
    pub timeout_ms: u64,
    /// What becomes of a message without a verdict.
    pub on_failure: OnFailure,
}

/// What becomes of a message when the back end does not say whether it may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It is sent.
    Allow,
    /// It is refused as `unavailable`; the client tries again.
    Refuse,
}

impl BeforeSendSettings {
    const TIMEOUT_MS: RangeInclusive<u64> = 50..=10_000;

    /// The first fault, where there is one.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if !Self::TIMEOUT_MS.contains(&self.timeout_ms) {
            let (least, most) = Self::TIMEOUT_MS.into_inner();
            return Err(("timeout_ms", format!("expected {least} to {most}, got {}", self.timeout_ms)));
        }
        if self.url.is_empty() {
            return Ok(());
        }
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            return Err(("url", "expected http://… or https://…".into()));
        }
        if !self.secret.expose().starts_with("whsec_") {
            let problem =
                "expected whsec_ and 24 to 64 bytes in base64: set PHALANX__WEBHOOKS__BEFORE_SEND__SECRET";
            return Err(("secret", problem.into()));
        }
        Ok(())
    }
}

impl Default for BeforeSendSettings {
    /// Nobody is asked.
    fn default() -> Self {
        Self {
            url: String::new(),
            secret: Secret::default(),
            timeout_ms: 1_000,
            on_failure: OnFailure::Refuse,
        }
    }
}
