//! The outgoing side of one connection on engineioxide.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use engineioxide::{DisconnectReason, Socket};
use parking_lot::Mutex;
use tokio::{sync::mpsc::error::TrySendError, time};

use super::{Backlog, Frame, Outlet, engine::Slot};

/// How often a full queue is looked at: engineioxide does not tell when there is room.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long a client has to leave by itself after it was told to.
const LEAVE_TIME: Duration = Duration::from_secs(2);
/// The most acknowledgements that wait for room. A client that sends this many events without reading is closed.
const WAITING_ACKS: usize = 1024;
/// The most bytes of them: a few pages of history. A client that asks for more and does not read is closed.
const WAITING_BYTES: usize = 8 << 20;

pub(super) struct EngineOutlet {
    socket: Arc<Socket<Slot>>,
    waiting: Arc<Mutex<VecDeque<Frame>>>,
}

impl EngineOutlet {
    pub(super) fn new(socket: Arc<Socket<Slot>>) -> Self {
        Self { socket, waiting: Arc::default() }
    }
}

/// Queues a frame, but leaves a place for a ping: a ping that finds none ends the connection.
fn queue(socket: &Socket<Slot>, frame: &Frame) -> Result<(), Backlog> {
    let backlog = |error| match error {
        TrySendError::Full(()) => Backlog::Full,
        TrySendError::Closed(()) => Backlog::Closed,
    };
    let place = socket.reserve().map_err(backlog)?;
    let _for_a_ping = socket.reserve().map_err(backlog)?;
    place.emit(frame.text());
    Ok(())
}

async fn flush(socket: Arc<Socket<Slot>>, waiting: Arc<Mutex<VecDeque<Frame>>>) {
    loop {
        time::sleep(LOOK_AGAIN).await;
        let mut waiting = waiting.lock();
        while let Some(frame) = waiting.front() {
            match queue(&socket, frame) {
                Ok(()) => drop(waiting.pop_front()),
                Err(Backlog::Full) => break,
                Err(Backlog::Closed) => return waiting.clear(),
            }
        }
        if waiting.is_empty() {
            return;
        }
    }
}

#[async_trait]
impl Outlet for EngineOutlet {
    fn send(&self, frame: &Frame) -> Result<(), Backlog> {
        queue(&self.socket, frame)
    }

    fn acknowledge(&self, ack_id: u64, json: &str) {
        let frame = Frame::packet(format!("3{ack_id}[{json}]"));
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() && queue(&self.socket, &frame) != Err(Backlog::Full) {
            return;
        }
        let bytes = frame.len() + waiting.iter().map(Frame::len).sum::<usize>();
        if waiting.len() >= WAITING_ACKS || bytes > WAITING_BYTES {
            waiting.clear();
            self.socket.close(DisconnectReason::TransportClose);
            return;
        }
        waiting.push_back(frame);
        if waiting.len() == 1 {
            tokio::spawn(flush(self.socket.clone(), self.waiting.clone()));
        }
    }

    async fn writable(&self) -> Result<(), Backlog> {
        loop {
            if self.socket.is_closed() {
                return Err(Backlog::Closed);
            }
            // As much room as `queue` asks for: were it less, a caller that tries again would do so without end, and
            // could keep the very task from running that makes room.
            let (one, another) = (self.socket.reserve(), self.socket.reserve());
            if one.is_ok() && another.is_ok() {
                return Ok(());
            }
            drop((one, another));
            time::sleep(LOOK_AGAIN).await;
        }
    }

    fn close(&self) {
        let socket = self.socket.clone();
        // A full queue cannot take the packet; closing the transport says the same.
        let told = queue(&socket, &Frame::packet("1".to_owned())).is_ok();
        tokio::spawn(async move {
            if told {
                drop(time::timeout(LEAVE_TIME, socket.closed()).await);
            }
            socket.close(DisconnectReason::TransportClose);
        });
    }
}
