//! What waits to be sent, and who waits for room.

use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::{Carrier, Farewell, Session, Stage, asked::Asked, wake};
use crate::{
    Backlog, Frame, Outlet, Reason, Unanswered,
    clock::{Moment, millis},
};

/// Frames on their way. One alone, as nearly always, needs no memory of its own.
pub(crate) type Batch = SmallVec<[Frame; 1]>;

#[derive(Default)]
pub(super) struct Outgoing {
    queue: Batch,
    /// Of the queue, and of what a WebSocket is writing.
    cost: usize,
    /// Who waits for room, or for the end.
    waiting: Vec<Waker>,
    /// What the last frame counts for that found no room, until there is room for it.
    refused: u32,
}

/// The most packets that answer one poll. python-engineio, which carries python-socketio, drops a connection whose answer holds more
/// (its `Payload.max_decode_packets`): with more waiting, it would come back to the same for ever. What is left answers the next poll.
const MOST_IN_AN_ANSWER: usize = 16;

/// What a carrier is to do next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) stage: Stage,
    /// Whether more may be read from the client.
    pub(crate) may_read: bool,
}

impl Outgoing {
    /// Answers whether the queue was empty before.
    pub(super) fn push(&mut self, frame: Frame) -> bool {
        self.cost += frame.cost();
        let first = self.queue.is_empty();
        self.queue.push(frame);
        first
    }

    /// Whether there is room again below `bound`. Half of it, so that those who wait do not come back for every frame; and as much
    /// as was refused, or they would come back at once.
    fn has_room(&mut self, bound: usize) -> bool {
        let has_room =
            self.cost == 0 || (self.cost <= bound / 2 && self.cost + self.refused as usize <= bound);
        if has_room {
            self.refused = 0;
        }
        has_room
    }

    /// Wakes the caller when there is room, and at the end of the session.
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
    }

    /// Takes the first frames, `most` at most, which wait no longer.
    fn take(&mut self, most: usize) -> Batch {
        let batch: Batch = if self.queue.len() <= most {
            std::mem::take(&mut self.queue)
        } else {
            self.queue.drain(..most).collect()
        };
        self.cost = self.cost.saturating_sub(batch.iter().map(Frame::cost).sum());
        batch
    }

    pub(super) fn clear(&mut self) -> Vec<Waker> {
        self.queue = Batch::new();
        self.cost = 0;
        std::mem::take(&mut self.waiting)
    }
}

impl Session {
    /// Queues a frame, but not beyond `bound`.
    pub(super) fn push(&self, frame: Frame, bound: usize) -> Result<(), Backlog> {
        let waker = {
            let mut state = self.state.lock();
            if state.stage != Stage::Open {
                return Err(Backlog::Closed);
            }
            if state.outgoing.cost > 0 && state.outgoing.cost + frame.cost() > bound {
                state.outgoing.refused = u32::try_from(frame.cost()).unwrap_or(u32::MAX);
                return Err(Backlog::Full);
            }
            if state.outgoing.push(frame) { state.waker.take() } else { None }
        };
        wake(waker);
        Ok(())
    }

    /// Moves what waits to `batch`, if that is empty, for a WebSocket that says later what it has written. From now on the
    /// session wakes the caller.
    pub(crate) fn take_to_write(&self, batch: &mut Batch, cx: &Context<'_>) -> Taken {
        let mut state = self.state.lock();
        if batch.is_empty() {
            std::mem::swap(batch, &mut state.outgoing.queue);
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Taken { stage: state.stage, may_read: state.takes(&self.layer.settings) }
    }

    /// A WebSocket has written frames of this cost, or at least a part of one. `reads_on`: after it had to wait, so the client has
    /// read; what goes into the system's buffer at once says nothing about the client.
    pub(crate) fn written(&self, cost: usize, reads_on: bool) {
        let room = {
            let mut state = self.state.lock();
            if reads_on && state.heartbeat.awaits_progress() {
                let now = self.layer.clock.now();
                state.heartbeat.progress(now);
            }
            // The end of the session has set it to nothing.
            state.outgoing.cost = state.outgoing.cost.saturating_sub(cost);
            state.room(&self.layer.settings)
        };
        room.into_iter().for_each(Waker::wake);
    }

    /// Waits until something is to be sent by long-polling, and takes what one answer may hold. `None`: the session has ended.
    pub(crate) fn poll_to_answer(&self, cx: &Context<'_>) -> Poll<Option<(Batch, Stage)>> {
        let (batch, stage, room) = {
            let mut state = self.state.lock();
            let pausing = matches!(state.carrier, Carrier::Polling(polling) if polling.pausing)
                || state.carrier == Carrier::WebSocket;
            if matches!(state.stage, Stage::Ended { .. }) {
                return Poll::Ready(None);
            }
            // A WebSocket sends it from now on, also the goodbye of one that is leaving.
            if state.carrier == Carrier::WebSocket {
                return Poll::Ready(Some((Batch::new(), Stage::Open)));
            }
            if state.outgoing.queue.is_empty() && state.stage == Stage::Open && !pausing {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let batch = state.outgoing.take(MOST_IN_AN_ANSWER);
            let now = self.layer.clock.now();
            state.heartbeat.progress(now);
            (batch, state.stage, state.room(&self.layer.settings))
        };
        room.into_iter().for_each(Waker::wake);
        Poll::Ready(Some((batch, stage)))
    }

    /// Queues a frame of the protocol's own, which is small. A client for which too many wait is closed.
    pub(crate) fn say(&self, frame: Frame) {
        if self.push(frame, self.layer.settings.most_outgoing_bytes) == Err(Backlog::Full) {
            self.end(Reason::TooSlow, Farewell::Cut);
        }
    }

    /// Whether more may be taken from the client: not while as much waits for it as may, or while it is held.
    pub(super) fn may_read(&self) -> bool {
        let state = self.state.lock();
        state.stage == Stage::Open && state.takes(&self.layer.settings)
    }

    /// Takes from the client again. What it has sent meanwhile is not held against it: its answer to a ping may be behind that.
    fn take_again(&self) {
        let (waker, waiting) = {
            let mut state = self.state.lock();
            state.held = false;
            let now = self.layer.clock.now();
            state.heartbeat.progress(now);
            (state.waker.take(), std::mem::take(&mut state.outgoing.waiting))
        };
        waker.into_iter().chain(waiting).for_each(Waker::wake);
    }

    /// Waits while as much waits for the client as may; answers whether more may be taken from it. It does not wait for one that
    /// goes over to a WebSocket: that asks for nothing until its last request is answered.
    pub(crate) async fn drained(&self) -> bool {
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.stage != Stage::Open {
                return Poll::Ready(false);
            }
            let pausing = matches!(state.carrier, Carrier::Polling(polling) if polling.pausing);
            if pausing || state.takes(&self.layer.settings) {
                return Poll::Ready(true);
            }
            state.outgoing.wait(cx);
            Poll::Pending
        })
        .await
    }

    /// The client waits until its last requests are answered, and then goes over to a WebSocket.
    pub(crate) fn pause(&self) {
        let (waker, waiting) = {
            let mut state = self.state.lock();
            if let Carrier::Polling(polling) = &mut state.carrier {
                polling.pausing = true;
            }
            (state.waker.take(), std::mem::take(&mut state.outgoing.waiting))
        };
        waker.into_iter().chain(waiting).for_each(Waker::wake);
    }

    /// Waits for the end of the session.
    pub(crate) async fn over(&self) {
        let mut watch = Watch { session: self, waker: None };
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if matches!(state.stage, Stage::Ended { .. }) {
                return Poll::Ready(());
            }
            state.outgoing.wait(cx);
            watch.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// What was queued is still sent; then the session ends, by `by` at the latest.
    fn leave(&self) {
        let by = self.layer.clock.now() + millis(self.layer.settings.leave_timeout);
        let waker = {
            let mut state = self.state.lock();
            if state.stage != Stage::Open {
                return;
            }
            state.outgoing.push(Frame::packet("41"));
            state.stage = Stage::Leaving { by };
            state.waker.take()
        };
        wake(waker);
        self.look_again_at(by);
    }

    pub(super) fn look_again_at(&self, at: Moment) {
        self.layer.wheel.insert(at, self.me.clone());
    }
}

impl super::State {
    /// Whether anything is taken from the client.
    fn takes(&self, settings: &crate::Settings) -> bool {
        !self.held && self.outgoing.cost <= settings.outgoing_bytes
    }

    /// Those who may go on because there is room again.
    fn room(&mut self, settings: &crate::Settings) -> Vec<Waker> {
        if self.outgoing.waiting.is_empty() || !self.outgoing.has_room(settings.outgoing_bytes) {
            return Vec::new();
        }
        std::mem::take(&mut self.outgoing.waiting)
    }
}

#[async_trait]
impl Outlet for Session {
    fn send(&self, frame: &Frame) -> Result<(), Backlog> {
        self.push(frame.clone(), self.layer.settings.outgoing_bytes)
    }

    fn acknowledge(&self, ack_id: u64, args: &str) {
        let most = self.layer.settings.most_outgoing_bytes;
        if self.push(Frame::acknowledgement(ack_id, args), most) == Err(Backlog::Full) {
            self.end(Reason::TooSlow, Farewell::Cut);
        }
    }

    async fn ask(&self, name: &str, args: &str) -> Result<Box<RawValue>, Unanswered> {
        let (ack_id, answer) = {
            let mut state = self.state.lock();
            if state.stage != Stage::Open {
                return Err(Unanswered);
            }
            state.asked.get_or_insert_with(Box::<Asked>::default).expect_answer()?
        };
        let _forget = Forget { session: self, ack_id };
        let question = Frame::question(ack_id, name, args);
        self.push(question, self.layer.settings.outgoing_bytes).map_err(|_| Unanswered)?;
        answer.await.map_err(|_| Unanswered)
    }

    async fn writable(&self) -> Result<(), Backlog> {
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.stage != Stage::Open {
                return Poll::Ready(Err(Backlog::Closed));
            }
            if state.outgoing.has_room(self.layer.settings.outgoing_bytes) {
                return Poll::Ready(Ok(()));
            }
            state.outgoing.wait(cx);
            Poll::Pending
        })
        .await
    }

    fn hold(&self, time: Duration) {
        {
            let mut state = self.state.lock();
            if state.held || state.stage != Stage::Open {
                return;
            }
            state.held = true;
        }
        let me = self.me.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if let Some(session) = me.upgrade() {
                session.take_again();
            }
        });
    }

    fn close(&self) {
        self.leave();
    }
}

/// Who waits for the end of the session and does something else first is forgotten: its waker would hold the memory of its task.
struct Watch<'a> {
    session: &'a Session,
    waker: Option<Waker>,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(gone) = &self.waker {
            let mut state = self.session.state.lock();
            state.outgoing.waiting.retain(|waker| !waker.will_wake(gone));
        }
    }
}

/// Nobody waits for the answer any more.
struct Forget<'a> {
    session: &'a Session,
    ack_id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        let mut state = self.session.state.lock();
        if let Some(asked) = &mut state.asked {
            asked.forget(self.ack_id);
        }
    }
}
