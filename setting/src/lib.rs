//! What one setting is made of. It stands below whoever has settings of its own, so that these stand where they are used.
//!
//! | file | what |
//! |---|---|
//! | `secret.rs` | [`Secret`]: text that never reaches a log |
//! | `check.rs` | [`Fault`], and the checks that more than one table needs |

mod check;
mod secret;

use std::time::Duration;

use serde::{Deserialize as _, Deserializer};

pub use check::{Fault, addresses, between, between_ms, both_or_neither};
pub use secret::Secret;

/// Reads a key that ends in `_ms`: for serde's `deserialize_with`.
///
/// # Errors
/// It is no whole number.
pub fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}
