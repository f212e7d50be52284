//! Who is given what waits: a back end, a topic.

use async_trait::async_trait;
use store::StoreError;
use tokio_util::sync::CancellationToken;

use super::What;

/// Somebody beside the cluster who is given events. Events that belong together come in order, from one caller at a time.
#[async_trait]
pub(crate) trait Sink: Send + Sync + 'static {
    /// What is handed over.
    type Event: Event;

    /// What may be logged of who it is.
    fn target(&self) -> &str;

    /// What is told of this; `None`: nothing.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be written.
    fn event(&self, what: &What) -> Result<Option<Self::Event>, StoreError>;

    /// Hands these over, again and again until they are taken; `id` names the attempt and its repetitions. Ends early with
    /// [`Delivered::Yielded`] once `yields` is cancelled.
    async fn deliver(&self, id: &str, events: &[Self::Event], yields: &CancellationToken) -> Delivered;
}

/// An event that is written.
pub(crate) trait Event: Send + Sync + 'static {
    /// Its size.
    fn bytes(&self) -> usize;
}

/// What became of events.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// They were taken.
    Taken,
    /// The time for them is over.
    GivenUp,
    /// Another node is to go on; whether they were taken is not known.
    Yielded,
}
