//! Checks of what types cannot say.

use std::time::Duration;

/// A key below its table, and what is wrong with it.
pub type Fault = (&'static str, String);

/// Whether a number is within its range.
///
/// # Errors
/// The [`Fault`] otherwise.
pub fn between(key: &'static str, value: u64, least: u64, most: u64) -> Result<(), Fault> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err((key, format!("expected {least} to {most}, got {value}")))
}

/// The same for a time that [`millis`](crate::millis) has read, in milliseconds.
///
/// # Errors
/// The [`Fault`] otherwise.
pub fn between_ms(key: &'static str, value: Duration, least: u64, most: u64) -> Result<(), Fault> {
    between(key, u64::try_from(value.as_millis()).unwrap_or(u64::MAX), least, most)
}

/// Whether these are one or more of `host:port`.
///
/// # Errors
/// The [`Fault`] otherwise.
pub fn addresses(key: &'static str, servers: &[String]) -> Result<(), Fault> {
    let is_address = |text: &String| {
        text.rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0))
    };
    match servers.iter().find(|text| !is_address(text)) {
        Some(wrong) => Err((key, format!("expected host:port, got {wrong:?}"))),
        None if servers.is_empty() => Err((key, "expected at least one host:port".into())),
        None => Ok(()),
    }
}

/// What is wrong where there is a user without a password, or the other way round. `table` is what the environment calls it.
pub fn both_or_neither(table: &str) -> String {
    format!(
        "expected user and password both, or neither: set it in the environment, PHALANX__{table}__PASSWORD"
    )
}
