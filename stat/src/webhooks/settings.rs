//! The table `[stat.webhooks]` of the settings; `profiles/default/stat.toml` documents each.

use boot::Secret;
use serde::Deserialize;
use webhook::Key;

/// What can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookEvent {
    /// A message was stored.
    Message,
    /// A user's first connection began.
    Online,
    /// A user's last connection ended.
    Offline,
}

impl WebhookEvent {
    /// As it stands in the settings and in events.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }
}

/// Where events are posted, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// `http` or `https`; empty: nowhere.
    pub url: String,
    /// `whsec_` and 24 to 64 bytes in base64.
    pub secret: Secret,
    /// Which events.
    pub events: Vec<WebhookEvent>,
    /// The most events of a request.
    pub batch_events: usize,
    /// The most bytes of a request, save where one event has more.
    pub batch_bytes: usize,
    /// For how long events gather, and how often an idle share looks, in milliseconds.
    pub linger_ms: u64,
    /// How long the back end may take to answer, in milliseconds.
    pub timeout_ms: u64,
    /// The first pause before a request is made again, in milliseconds.
    pub retry_min_ms: u64,
    /// The longest one.
    pub retry_max_ms: u64,
    /// After how long the events of a request are given up, in milliseconds; 0: never.
    pub give_up_after_ms: u64,
    /// About how many events may wait in the store.
    pub queue_entries: u64,
    /// With an empty URL: what waits in the store is forgotten, and nothing is written there any more.
    pub forget: bool,
}

/// Why the settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookSettingsError {
    /// It is no URL of HTTP.
    #[error("url: expected http://… or https://…, without a name and password")]
    Url,
    /// It is no secret of Standard Webhooks.
    #[error("secret: expected whsec_ and 24 to 64 bytes in base64, best as PHALANX__STAT__WEBHOOKS__SECRET")]
    Secret,
    /// Nothing would be told.
    #[error("events: expected at least one of message, online, offline")]
    NoEvents,
    /// A URL is set, and yet all is to be forgotten.
    #[error("forget: expected false where url is set")]
    Forget,
    /// A number is out of its range.
    #[error("{key}: expected {low} to {high}, got {got}")]
    Range {
        /// Which setting.
        key: &'static str,
        /// The least.
        low: u64,
        /// The most.
        high: u64,
        /// What was found.
        got: u64,
    },
}

impl WebhookSettings {
    /// Off, and the documented defaults.
    pub fn off() -> Self {
        Self {
            url: String::new(),
            secret: "".into(),
            events: vec![WebhookEvent::Message, WebhookEvent::Online, WebhookEvent::Offline],
            batch_events: 100,
            batch_bytes: 1 << 20,
            linger_ms: 250,
            timeout_ms: 10_000,
            retry_min_ms: 500,
            retry_max_ms: 60_000,
            give_up_after_ms: 0,
            queue_entries: 4_000_000,
            forget: false,
        }
    }

    pub(super) fn wants(&self, event: WebhookEvent) -> bool {
        self.events.contains(&event)
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first [`WebhookSettingsError`] found.
    pub fn check(&self) -> Result<(), WebhookSettingsError> {
        let ranges: [(&'static str, u64, u64, u64); 7] = [
            ("batch_events", self.batch_events as u64, 1, 1_000),
            ("batch_bytes", self.batch_bytes as u64, 1_024, 64 << 20),
            ("linger_ms", self.linger_ms, 10, 10_000),
            ("timeout_ms", self.timeout_ms, 100, 120_000),
            ("retry_min_ms", self.retry_min_ms, 10, 60_000),
            ("retry_max_ms", self.retry_max_ms, self.retry_min_ms, 3_600_000),
            ("queue_entries", self.queue_entries, 1_000, 1_000_000_000),
        ];
        for (key, got, low, high) in ranges {
            if !(low..=high).contains(&got) {
                return Err(WebhookSettingsError::Range { key, low, high, got });
            }
        }
        if self.url.is_empty() {
            return Ok(());
        }
        if webhook::usable(&self.url).is_none() {
            return Err(WebhookSettingsError::Url);
        }
        if Key::parse(self.secret.expose()).is_none() {
            return Err(WebhookSettingsError::Secret);
        }
        if self.events.is_empty() {
            return Err(WebhookSettingsError::NoEvents);
        }
        if self.forget {
            return Err(WebhookSettingsError::Forget);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on() -> WebhookSettings {
        WebhookSettings {
            url: "https://example.com/hooks?a=b".into(),
            secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
            ..WebhookSettings::off()
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        assert_eq!(WebhookSettings::off().check(), Ok(()));
        assert_eq!(on().check(), Ok(()));
        for url in ["example.com", "ftp://example.com", "http://", "https://me:secret@example.com/"] {
            let settings = WebhookSettings { url: url.into(), ..on() };
            assert_eq!(settings.check(), Err(WebhookSettingsError::Url), "{url}");
        }
        let refused = WebhookSettings { secret: "whsec_x".into(), ..on() }.check();
        assert_eq!(refused, Err(WebhookSettingsError::Secret));
        assert_eq!(WebhookSettings { events: vec![], ..on() }.check(), Err(WebhookSettingsError::NoEvents));
        assert_eq!(WebhookSettings { forget: true, ..on() }.check(), Err(WebhookSettingsError::Forget));
        let refused = WebhookSettings { retry_max_ms: 499, ..on() }.check().expect_err("less than the first");
        assert_eq!(refused.to_string(), "retry_max_ms: expected 500 to 3600000, got 499");
    }
}
