//! Why Redis did not do what it was asked.

use redis::ServerError;

/// Why a run failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LinkError {
    /// The options do not fit together; nothing was tried.
    #[error("the settings of Redis: {0}")]
    Options(String),
    /// Redis cannot be reached or cannot serve now. Any part of the run may have been done; try again.
    #[error("redis cannot be reached: {0}")]
    Unavailable(String),
    /// A server has no room: its `maxmemory` is reached. The call that met it did nothing, others of the run may have been done.
    #[error("redis is full: {0}")]
    Full(String),
    /// All of it was done on the primaries, but too few replicas confirmed it in time: a failover may take it back.
    #[error("only {confirmed} of {wanted} replicas confirmed in time")]
    NotReplicated {
        /// How many were asked for.
        wanted: u32,
        /// How many confirmed, on the server where it was fewest.
        confirmed: u32,
    },
    /// Redis answered one of the calls with an error; others of the run may have been done.
    #[error("redis refuses: {0}")]
    Refused(String),
}

/// What a server says while it, or the set of servers it belongs to, cannot serve: a later try may do.
const PASSING: [&str; 9] = [
    "READONLY",
    "LOADING",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "NOREPLICAS",
    "TRYAGAIN",
    "UNBLOCKED",
    "BUSY",
    "MISCONF",
];

/// What a server says that has no room. It looks before a command or script writes anything, so nothing of that call was done.
pub(crate) const FULL: &str = "OOM";

impl LinkError {
    /// No connection, a lost one, or no answer in time.
    pub(crate) fn io(address: &str, error: &redis::RedisError) -> Self {
        Self::Unavailable(format!("{address}: {error}"))
    }

    pub(crate) fn late(address: &str) -> Self {
        Self::Unavailable(format!("{address} does not answer in time"))
    }

    pub(crate) fn answer(address: &str, error: &ServerError) -> Self {
        let text = match error.details() {
            Some(details) => format!("{address}: {} {details}", error.code()),
            None => format!("{address}: {}", error.code()),
        };
        match error.code() {
            FULL => Self::Full(text),
            code if PASSING.contains(&code) => Self::Unavailable(text),
            _ => Self::Refused(text),
        }
    }

    /// Of several errors of one run the most telling one: what may have been done outweighs what was done.
    pub(crate) fn worse(self, other: Self) -> Self {
        let rank = |error: &Self| match error {
            Self::NotReplicated { .. } => 0,
            Self::Refused(_) => 1,
            Self::Full(_) => 2,
            Self::Unavailable(_) => 3,
            Self::Options(_) => 4,
        };
        match (self, other) {
            (Self::NotReplicated { wanted, confirmed }, Self::NotReplicated { confirmed: also, .. }) => {
                Self::NotReplicated { wanted, confirmed: confirmed.min(also) }
            }
            (one, other) if rank(&one) >= rank(&other) => one,
            (_, other) => other,
        }
    }
}
