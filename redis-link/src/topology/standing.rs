//! How the lease stands, for people.

use std::fmt;

/// How the lease stands under which what replicas confirm counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LeaseStanding {
    /// Nobody has needed one yet.
    #[default]
    Unasked,
    /// No sentinels can replace the primary now.
    Holds,
    /// They may be replacing it: what waits for replicas fails.
    Missing,
    /// None can be held, and so none is waited for; why.
    Unfit(String),
}

impl fmt::Display for LeaseStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unasked => f.write_str("not needed yet"),
            Self::Holds => f.write_str("held"),
            Self::Missing => f.write_str(
                "missing: too few sentinels say that they have reached the primary lately; nothing is stored",
            ),
            Self::Unfit(why) => {
                write!(f, "not used: {why}; a failover may lose what is acknowledged meanwhile")
            }
        }
    }
}
