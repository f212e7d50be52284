//! The `[minions-ui]` table of the settings.

use boot::Secret;
use serde::Deserialize;

/// The key that an embedded stat takes from the same machine.
const DEV_API_KEY: &str = "dev-api-key";

/// What only minions-ui has in its table; `profiles/default/minions-ui.toml` documents each setting.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The HTTP API of stat; empty: found in the roster.
    #[serde(default)]
    pub stat_url: String,
    /// What the page is told of ticket; empty: found in the roster.
    #[serde(default)]
    pub ticket_url: String,
    /// What stat is shown; empty in an embedded cluster: the development key.
    #[serde(default)]
    pub api_key: Secret,
    /// How long one stat node may take to answer, in milliseconds.
    pub stat_timeout_ms: u64,
}

/// Why the settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A key is missing outside the embedded profile.
    #[error("minions-ui.api_key is empty: set one of stat.api_keys, best as PHALANX__MINIONS_UI__API_KEY")]
    NoKey,
    /// Not an address.
    #[error("minions-ui.{key}: expected {expected}, got {got:?}")]
    Url {
        /// Which setting.
        key: &'static str,
        /// What is taken.
        expected: &'static str,
        /// What was found.
        got: String,
    },
    /// A number is out of its range.
    #[error("minions-ui.stat_timeout_ms: expected 100 to 30000, got {0}")]
    Timeout(u64),
}

impl Settings {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first [`SettingsError`] found.
    pub fn check(&self, embedded: bool) -> Result<(), SettingsError> {
        if self.api_key.is_empty() && !embedded {
            return Err(SettingsError::NoKey);
        }
        // Control traffic stays inside: this binary speaks plain HTTP to stat.
        check_url("stat_url", &self.stat_url, &["http://"], "http://host:port, or nothing")?;
        check_url(
            "ticket_url",
            &self.ticket_url,
            &["http://", "https://"],
            "http(s)://host:port, or nothing",
        )?;
        if !(100..=30_000).contains(&self.stat_timeout_ms) {
            return Err(SettingsError::Timeout(self.stat_timeout_ms));
        }
        Ok(())
    }

    /// What stat is shown.
    pub(crate) fn key(&self, embedded: bool) -> Secret {
        if self.api_key.is_empty() && embedded { DEV_API_KEY.into() } else { self.api_key.clone() }
    }
}

fn check_url(
    key: &'static str,
    url: &str,
    starts: &[&str],
    expected: &'static str,
) -> Result<(), SettingsError> {
    let whole = starts.iter().any(|start| url.strip_prefix(start).is_some_and(|rest| !rest.is_empty()));
    if url.is_empty() || whole {
        return Ok(());
    }
    Err(SettingsError::Url { key, expected, got: url.to_owned() })
}

impl boot::RoleSettings for Settings {
    fn check(&self, embedded: bool) -> anyhow::Result<()> {
        Ok(Self::check(self, embedded)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            stat_url: String::new(),
            ticket_url: String::new(),
            api_key: Secret::default(),
            stat_timeout_ms: 1000,
        }
    }

    #[test]
    fn only_an_embedded_cluster_needs_no_key() {
        assert_eq!(settings().check(true), Ok(()));
        assert_eq!(settings().check(false), Err(SettingsError::NoKey));
        assert_eq!(settings().key(true).expose(), DEV_API_KEY);
        let own = Settings { api_key: "0123456789abcdef".into(), ..settings() };
        assert_eq!(own.check(false), Ok(()));
        assert_eq!(own.key(true).expose(), "0123456789abcdef");
    }

    #[test]
    fn addresses_and_times_are_checked() {
        let secure = Settings { stat_url: "https://stat".into(), ..settings() };
        assert!(secure.check(true).is_err_and(|error| error.to_string().contains("minions-ui.stat_url")));
        let bare = Settings { ticket_url: "ticket:20000".into(), ..settings() };
        assert!(bare.check(true).is_err());
        let hasty = Settings { stat_timeout_ms: 5, ..settings() };
        assert_eq!(hasty.check(true), Err(SettingsError::Timeout(5)));
    }
}
