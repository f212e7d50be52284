//! What the writer is asked to do, and how it is answered.

use tokio::sync::oneshot;

use super::{live::Live, unit::Unit};
use crate::StoreError;

/// One change. It writes within a transaction that it shares with others, and takes effect in memory once that is
/// durable.
pub(super) trait Operation: Send + 'static {
    /// What writing finds out.
    type Written: Send;
    /// What the caller is told.
    type Answer: Send;

    /// How many rows, roughly, and how many bytes it writes: bounds the transactions.
    fn weight(&self) -> Weight;

    /// Writes, under a savepoint of its own.
    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<Self::Written>;

    /// What was written is durable: makes it visible in memory, and the answer.
    fn settle(self, written: Self::Written, live: &mut Live) -> Self::Answer;
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weight {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// An operation whose types are forgotten, so that one queue takes all.
pub(super) trait Job: Send {
    fn weight(&self) -> Weight;
    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<()>;
    fn settle(&mut self, live: &mut Live);
    /// Tells the caller what was settled.
    fn answer(self: Box<Self>);
    /// Tells the caller why nothing was done.
    fn refuse(self: Box<Self>, error: StoreError);
}

enum Stage<O: Operation> {
    Asked(O),
    Written(O, O::Written),
    Settled(O::Answer),
    Nothing,
}

/// An operation on its way, with whom to answer.
pub(super) struct Task<O: Operation> {
    stage: Stage<O>,
    caller: oneshot::Sender<Result<O::Answer, StoreError>>,
}

impl<O: Operation> Task<O> {
    pub(super) fn new(operation: O) -> (Self, oneshot::Receiver<Result<O::Answer, StoreError>>) {
        let (caller, answer) = oneshot::channel();
        (Self { stage: Stage::Asked(operation), caller }, answer)
    }
}

impl<O: Operation> Job for Task<O> {
    fn weight(&self) -> Weight {
        match &self.stage {
            Stage::Asked(operation) => operation.weight(),
            _ => Weight::default(),
        }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<()> {
        if let Stage::Asked(mut operation) = std::mem::replace(&mut self.stage, Stage::Nothing) {
            let written = operation.write(unit)?;
            self.stage = Stage::Written(operation, written);
        }
        Ok(())
    }

    fn settle(&mut self, live: &mut Live) {
        if let Stage::Written(operation, written) = std::mem::replace(&mut self.stage, Stage::Nothing) {
            self.stage = Stage::Settled(operation.settle(written, live));
        }
    }

    fn answer(self: Box<Self>) {
        let outcome = match self.stage {
            Stage::Settled(answer) => Ok(answer),
            _ => Err(StoreError::Unavailable("the writer lost track of a call".into())),
        };
        // A caller that has gone does not need the answer.
        let _ = self.caller.send(outcome);
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        let _ = self.caller.send(Err(error));
    }
}
