//! What can be set for idgen; every key is documented in `profiles/default/idgen.toml`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de::Error as _};

use snowflake::{Ahead, layout::STRICT_WORKER_MAX};

/// The shortest lease: below it, a slow disk would let it lapse again and again.
const LEASE_MIN_MS: u64 = 100;

/// Both a successor's wait and how far ids run ahead after a crash are bounded by these.
const LEASE_MAX_MS: u64 = 60_000;
const RESERVE_MAX_MS: u64 = 600_000;

/// What an active node among several reserves by itself, and at least: it renews after a quarter.
const MULTI_RESERVE_MS: u64 = 60_000;
const MULTI_RESERVE_MIN_MS: u64 = 1_000;

/// The table `[idgen]`, without the keys that every role has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How many nodes are active at once.
    pub mode: Mode,
    /// The worker number in every id of [`Mode::Strict`], 0 to 15: the others are taken through ZooKeeper.
    #[serde(deserialize_with = "worker")]
    pub worker: u16,
    /// How far ahead an active node reserves time with each write, in milliseconds; 0: as long as the roster's session
    /// time-out, or a minute in [`Mode::Multi`].
    #[serde(deserialize_with = "reserve_ms")]
    pub reserve_ms: u64,
    /// How long a node may believe to be the active one after its last write, in milliseconds; 0: two thirds of the
    /// roster's session time-out.
    #[serde(deserialize_with = "lease_ms")]
    pub lease_ms: u64,
    /// What goes wrong on purpose.
    #[serde(default)]
    pub faults: FaultSettings,
}

/// How many nodes are active at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One; the others wait. Ids are in the order of the calls.
    Strict,
    /// All, each with a worker number of its own. Ids are unique.
    Multi,
}

/// `[idgen.faults]`: what goes wrong on purpose, for tests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSettings {
    /// Holds by how many milliseconds the wall clock is wrong; empty: it is right.
    pub clock_file: PathBuf,
}

/// The times of [`Mode::Strict`], with their ratios checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) worker: u16,
    pub(crate) reserve_ms: u64,
    pub(crate) lease_ms: u64,
}

/// Times that do not go together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RatioError {
    #[error(
        "idgen.lease_ms: {lease_ms} must be from {LEASE_MIN_MS} to below the roster's session time-out of {session_ms} ms"
    )]
    Lease { lease_ms: u64, session_ms: u64 },
    #[error(
        "idgen.reserve_ms: {reserve_ms} must be at least idgen.lease_ms ({lease_ms}), else the reservation runs out before it is renewed"
    )]
    Reserve { reserve_ms: u64, lease_ms: u64 },
    #[error(
        "idgen.reserve_ms: {0} must be 0 or at least {MULTI_RESERVE_MIN_MS} where idgen.mode is \"multi\""
    )]
    MultiReserve(u64),
}

impl Settings {
    /// Checks what only the roster's session time-out decides.
    pub(crate) fn bounds(&self, session_ms: u64) -> Result<Bounds, RatioError> {
        let derived = (session_ms * 2 / 3).min(LEASE_MAX_MS);
        let lease_ms = if self.lease_ms == 0 { derived } else { self.lease_ms };
        if lease_ms < LEASE_MIN_MS || lease_ms >= session_ms {
            return Err(RatioError::Lease { lease_ms, session_ms });
        }
        let reserve_ms = if self.reserve_ms == 0 { session_ms } else { self.reserve_ms };
        if reserve_ms < lease_ms {
            return Err(RatioError::Reserve { reserve_ms, lease_ms });
        }
        Ok(Bounds { worker: self.worker, reserve_ms, lease_ms })
    }

    /// How far ahead one of several active nodes reserves time.
    pub(crate) fn ahead(&self) -> Result<Ahead, RatioError> {
        match self.reserve_ms {
            0 => Ok(Ahead::always(MULTI_RESERVE_MS)),
            short if short < MULTI_RESERVE_MIN_MS => Err(RatioError::MultiReserve(short)),
            reserve_ms => Ok(Ahead::always(reserve_ms)),
        }
    }
}

fn worker<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let worker = u64::deserialize(deserializer)?;
    match u16::try_from(worker) {
        Ok(worker) if worker <= STRICT_WORKER_MAX => Ok(worker),
        _ => Err(D::Error::custom(format!(
            "{worker} is no worker number for mode = \"strict\": expected 0 to {STRICT_WORKER_MAX} (the others are taken through \
             ZooKeeper)"
        ))),
    }
}

fn reserve_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    at_most(deserializer, RESERVE_MAX_MS)
}

fn lease_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    at_most(deserializer, LEASE_MAX_MS)
}

fn at_most<'de, D: Deserializer<'de>>(deserializer: D, max: u64) -> Result<u64, D::Error> {
    let value = u64::deserialize(deserializer)?;
    if value > max {
        return Err(D::Error::custom(format!("{value} is too long: expected at most {max} milliseconds")));
    }
    Ok(value)
}

impl boot::RoleSettings for Settings {
    /// Every key is checked by its type; the lease is held against the roster's session at the start.
    fn check(&self, _embedded: bool) -> anyhow::Result<()> {
        if self.mode == Mode::Multi {
            self.ahead()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(reserve_ms: u64) -> Settings {
        Settings { mode: Mode::Strict, worker: 0, reserve_ms, lease_ms: 0, faults: FaultSettings::default() }
    }

    #[test]
    fn bad_ratios_name_their_key() {
        let settings = strict(3_000);
        assert_eq!(settings.bounds(2_000), Ok(Bounds { worker: 0, reserve_ms: 3_000, lease_ms: 1_333 }));
        assert_eq!(settings.bounds(90), Err(RatioError::Lease { lease_ms: 60, session_ms: 90 }));

        let too_long = Settings { lease_ms: 2_000, ..settings.clone() };
        let refused = too_long.bounds(2_000).expect_err("not below the session time-out").to_string();
        assert!(refused.starts_with("idgen.lease_ms: 2000 "), "{refused}");

        let by_itself = strict(0);
        for session_ms in [1_000, 6_000, 60_000] {
            let bounds = by_itself.bounds(session_ms).expect("the defaults go with every session");
            assert!(bounds.reserve_ms >= bounds.lease_ms);
        }
        let too_little = Settings { reserve_ms: 1_000, ..settings };
        let refused = too_little.bounds(2_000).expect_err("less than the lease").to_string();
        assert!(refused.starts_with("idgen.reserve_ms: 1000 "), "{refused}");
    }

    #[test]
    fn what_several_reserve_is_checked() {
        let multi = |reserve_ms| Settings { mode: Mode::Multi, ..strict(reserve_ms) };
        assert_eq!(multi(0).ahead(), Ok(Ahead::always(60_000)));
        assert_eq!(multi(4_000).ahead(), Ok(Ahead::always(4_000)));
        let refused = boot::RoleSettings::check(&multi(999), false).expect_err("too short").to_string();
        assert!(refused.starts_with("idgen.reserve_ms: 999 must be 0 or at least 1000"), "{refused}");
        assert!(boot::RoleSettings::check(&strict(999), false).is_ok(), "the session decides");
    }

    #[test]
    fn a_worker_number_that_others_may_take_is_refused() {
        let read = |worker| {
            serde_json::from_str::<Settings>(&format!(
                r#"{{"mode": "strict", "worker": {worker}, "reserve_ms": 3000, "lease_ms": 0}}"#
            ))
        };
        assert_eq!(read(15).expect("the last one").worker, 15);
        let refused = read(16).expect_err("for others").to_string();
        assert!(refused.contains("expected 0 to 15"), "{refused}");
    }
}
