//! Why something was not done.

use serde::Serialize;
use store::StoreError;
use wire::Code;

/// A code for programs, a sentence for people, and when trying again may help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The code of CONTRACT §3.
    pub code: Code,
    /// What is wrong, and with which field.
    pub message: String,
    /// After how many milliseconds it may work; `None` where trying again does not help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal that stays: trying the same again does not help.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }

    /// What the client sent is not what was expected.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// A part of the cluster cannot be reached now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        const RETRY_AFTER_MS: u64 = 500;
        Self { code: Code::Unavailable, message: message.into(), retry_after_ms: Some(RETRY_AFTER_MS) }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store refused a call");
        Self::unavailable(match error {
            StoreError::Full(_) => "the store is full",
            _ => "the store cannot be reached",
        })
    }
}
