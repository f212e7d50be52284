//! What went wrong in Redis, in the words of the store.

use std::fmt::Display;

use redis_link::LinkError;

use crate::StoreError;

/// What Redis says of a key that holds something else than a store's, or of a conversation whose parts do not fit.
const CORRUPT: [&str; 2] = ["WRONGTYPE", "specified in XADD"];

pub(super) fn failed(error: LinkError) -> StoreError {
    match error {
        LinkError::Refused(text) if CORRUPT.iter().any(|part| text.contains(part)) => {
            StoreError::Corrupt(text)
        }
        LinkError::Full(text) => StoreError::Full(text),
        // Whatever else it is, a setting or a server can heal it.
        error => StoreError::Unavailable(error.to_string()),
    }
}

/// Something stored that is not what it should be.
pub(super) fn unreadable(what: &str, found: &dyn Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {found}"))
}
