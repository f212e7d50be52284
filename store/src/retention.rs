//! Retention: what is old, or beyond a number, is trimmed.

use async_trait::async_trait;

use crate::StoreError;

/// For how long, and how much of, a conversation is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// For how long a message is kept, milliseconds by the store's clock; 0: for ever.
    pub age_ms: u64,
    /// How many messages of a conversation are kept, the newest; 0: all.
    pub count: u64,
}

/// How far a pass over all conversations has come; the default is its beginning. What it means, only the store knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    pub(crate) place: u64,
    pub(crate) cursor: u64,
}

/// What a step of a pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrimStep {
    /// Where the next step goes on; `None`: the pass has ended.
    pub next: Option<Progress>,
    /// How many messages were removed.
    pub messages: u64,
    /// What is left of the conversations that this step is done with, those without messages left out.
    pub held: Vec<Extent>,
}

/// What a conversation holds. Ages are milliseconds by the store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// How many messages, tombstones included; 1 or more.
    pub messages: u64,
    /// The age of the oldest.
    pub oldest_ms: u64,
    /// The age of the newest.
    pub newest_ms: u64,
}

/// How full something is that fills by itself: the file, or the memory of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in use, of everything that is kept, not of messages alone.
    pub used: u64,
    /// Beyond how many bytes writes are refused, as far as that is set there (`maxmemory` of Redis).
    pub limit: Option<u64>,
}

/// Trims conversations from their beginning. `seq` goes on as if nothing had happened, [`crate::Page::first_seq`] says what is
/// left: it is never greater than what is there, nor smaller than what was trimmed.
#[async_trait]
pub trait Retention: Send + Sync + 'static {
    /// One step of a pass: looks at some conversations and removes a bounded number of messages; also where the store takes no
    /// writes any more because it is full. A conversation that is there
    /// from the beginning of a pass to its end is looked at; where servers are added or replaced meanwhile, perhaps only by the
    /// next one. Several passes at once do no harm.
    ///
    /// # Errors
    /// [`StoreError`]; the same step may be done again.
    async fn trim(&self, policy: RetentionPolicy, from: Progress) -> Result<TrimStep, StoreError>;

    /// How full each of the places is among which conversations are spread.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn space(&self) -> Result<Vec<Space>, StoreError>;
}
