//! A back end may judge messages before they are stored. Nothing here is on the road of a message where none does.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tracing::Instrument as _;
use wire::Conversation;

use crate::{Pending, Refusal, SendRequest, lanes::Lanes};

/// Says whether a message may be sent.
#[async_trait]
pub trait Judge: Send + Sync + 'static {
    /// Within a bounded time. Many are asked at once.
    ///
    /// # Errors
    /// What the sender is answered instead.
    async fn judge(&self, request: &SendRequest, conversation: &Conversation) -> Result<(), Refusal>;
}

/// Stands before the lanes. Verdicts are asked for at once, and messages of one conversation go on in the order in which they came, so
/// a slow verdict holds up what comes after it in the same conversation, and nothing else.
pub(crate) struct Gate {
    judge: Arc<dyn Judge>,
    lanes: Lanes,
    /// By conversation, the last message that came. Only of conversations with one under way.
    tails: Arc<Mutex<HashMap<Conversation, Tail>>>,
    numbers: AtomicU64,
    room: Arc<Semaphore>,
}

struct Tail {
    number: u64,
    /// Resolves once the message has gone on, or was refused.
    gone: oneshot::Receiver<()>,
}

impl Gate {
    /// At most `most` messages wait for verdicts; more are refused.
    pub(crate) fn new(judge: Arc<dyn Judge>, lanes: Lanes, most: usize) -> Self {
        let room = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { judge, lanes, tails: Arc::default(), numbers: AtomicU64::new(0), room }
    }

    /// It takes its place in the order when this is called.
    pub(crate) fn send(&self, request: SendRequest, conversation: Conversation) -> Pending {
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            return Pending::refused(Refusal::unavailable("too many sends wait for a verdict on this node"));
        };
        let (answer, pending) = oneshot::channel();
        let (goes, gone) = oneshot::channel::<()>();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let before = self.tails.lock().insert(conversation.clone(), Tail { number, gone });
        let (judge, lanes, tails) = (self.judge.clone(), self.lanes.clone(), self.tails.clone());
        let work = async move {
            let verdict = judge.judge(&request, &conversation).await;
            if let Some(before) = before {
                // One that has ended in any way does not hold this one up.
                let _ = before.gone.await;
            }
            let sent = verdict.map(|()| lanes.send(request, conversation.clone()));
            {
                let mut tails = tails.lock();
                if tails.get(&conversation).is_some_and(|tail| tail.number == number) {
                    tails.remove(&conversation);
                }
            }
            drop((goes, place));
            let outcome = match sent {
                Ok(sent) => sent.await,
                Err(refusal) => Err(refusal),
            };
            // One who went away does not need the answer.
            drop(answer.send(outcome));
        };
        tokio::spawn(work.in_current_span());
        Pending::waiting(pending)
    }
}
