//! The `[ticket]` table of the settings.

use serde::Deserialize;

/// What only ticket has in its table; `profiles/default/ticket.toml` documents each setting.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Whether `GET /v1/tickets?token=` is answered: it puts tokens into the logs of whoever stands between.
    pub token_in_query: Switch,
    /// What tickets are like.
    pub tickets: TicketSettings,
    /// How users are spread over the spears.
    pub balance: Balance,
    /// Which web pages may ask.
    pub cors: boot::CorsSettings,
    /// Bounds.
    pub limits: Limits,
}

/// On, off, or on in the embedded cluster only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// Where every role runs in this one process.
    Embedded,
    /// Always.
    On,
    /// Never.
    Off,
}

impl Switch {
    pub(crate) fn is_on(self, embedded: bool) -> bool {
        match self {
            Self::Embedded => embedded,
            Self::On => true,
            Self::Off => false,
        }
    }
}

/// What tickets are like.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketSettings {
    /// How long a ticket may be used, in milliseconds.
    pub ttl_ms: u32,
    /// How many other spears are named beside the first.
    pub alternates: usize,
}

/// How users are spread over the spears.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// A spear that holds this many hundredths of its share of all connections, by weight, is passed over; 0: none is.
    pub bound_percent: u32,
    /// A spear with fewer connections is never passed over.
    pub min_connections: u64,
    /// Loads older than this do not count, in milliseconds.
    pub stale_ms: u32,
}

/// Bounds of what one client may cost.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The largest body of a request, in bytes; also the longest token.
    pub body_bytes: usize,
    /// How long one request may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// Requests a second from one address; 0: no limit.
    pub address_per_second: u32,
    /// Requests at once from one address.
    pub address_burst: u32,
    /// Tickets a second for one user; 0: no limit.
    pub user_per_second: u32,
    /// Tickets at once for one user.
    pub user_burst: u32,
    /// Whether the last address in `X-Forwarded-For` is the client's: only behind a proxy that sets it.
    pub trust_forwarded_for: bool,
}

/// A number is out of its range.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("ticket.{key}: expected {or_zero}{low} to {high}, got {got}")]
pub struct SettingsError {
    key: &'static str,
    or_zero: &'static str,
    low: u64,
    high: u64,
    got: u64,
}

impl Settings {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first [`SettingsError`] found.
    pub fn check(&self) -> Result<(), SettingsError> {
        let ranges = [
            ("tickets.ttl_ms", u64::from(self.tickets.ttl_ms), 1_000, 600_000),
            ("tickets.alternates", self.tickets.alternates as u64, 0, 8),
            ("balance.stale_ms", u64::from(self.balance.stale_ms), 2_000, 600_000),
            ("limits.body_bytes", self.limits.body_bytes as u64, 1_024, 1 << 20),
            ("limits.request_timeout_ms", self.limits.request_timeout_ms, 100, 600_000),
        ];
        let outside = ranges.into_iter().find(|(_, got, low, high)| !(low..=high).contains(&got));
        if let Some((key, got, low, high)) = outside {
            return Err(SettingsError { key, or_zero: "", low, high, got });
        }
        match self.balance.bound_percent {
            0 | 105..=1_000 => Ok(()),
            percent => Err(SettingsError {
                key: "balance.bound_percent",
                or_zero: "0, or ",
                low: 105,
                high: 1_000,
                got: percent.into(),
            }),
        }
    }
}

impl boot::RoleSettings for Settings {
    fn check(&self, _embedded: bool) -> anyhow::Result<()> {
        Ok(Self::check(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_number_out_of_range_is_named() {
        let mut settings = testing::settings();
        assert_eq!(settings.check(), Ok(()));
        settings.tickets.ttl_ms = 10;
        let refused = settings.check().expect_err("10 ms is too short");
        assert_eq!(refused.to_string(), "ticket.tickets.ttl_ms: expected 1000 to 600000, got 10");
    }

    #[test]
    fn a_bound_is_above_the_share_or_none() {
        let mut settings = testing::settings();
        settings.balance.bound_percent = 0;
        assert_eq!(settings.check(), Ok(()));
        settings.balance.bound_percent = 100;
        let refused = settings.check().expect_err("all would be full at once");
        assert_eq!(refused.to_string(), "ticket.balance.bound_percent: expected 0, or 105 to 1000, got 100");
    }

    #[test]
    fn a_switch_may_follow_the_cluster() {
        assert!(Switch::Embedded.is_on(true) && !Switch::Embedded.is_on(false));
        assert!(Switch::On.is_on(false) && !Switch::Off.is_on(true));
    }
}
