//! One connection: requests go out as they come, answers find who waits for them by a number.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt as _};
use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    time,
};
use tokio_util::{
    codec::{FramedRead, FramedWrite, LengthDelimitedCodec},
    sync::CancellationToken,
};

use crate::{
    Error,
    command::{Answer, Request},
};

/// The largest answer, in bytes; as large as a server's largest frame.
const FRAME_MAX: usize = 16 * 1024 * 1024;
/// How many requests may wait to be written; who has another one waits, too.
const UNWRITTEN_MAX: usize = 64;

type Waiting = Mutex<HashMap<i32, oneshot::Sender<Answer>>>;

/// A connection to one server. It is of no use any more after it was lost, or after one answer did not come in time.
pub(crate) struct Connection {
    address: Arc<str>,
    unwritten: mpsc::Sender<Bytes>,
    waiting: Arc<Waiting>,
    last: AtomicI32,
    end: CancellationToken,
}

impl Connection {
    /// # Errors
    /// [`Error::Unreachable`], [`Error::NoAnswer`].
    pub(crate) async fn open(address: Arc<str>, within: Duration) -> Result<Self, Error> {
        let connecting = async {
            let stream = TcpStream::connect(&*address).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(stream)
        };
        let stream = match time::timeout(within, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return Err(Error::Unreachable { address: address.to_string(), why: error.to_string() });
            }
            Err(_) => return Err(Error::NoAnswer { address: address.to_string(), within }),
        };
        let (unwritten, requests) = mpsc::channel(UNWRITTEN_MAX);
        let (waiting, end) = (Arc::default(), CancellationToken::new());
        tokio::spawn(carry(stream, requests, Arc::clone(&waiting), end.clone()));
        Ok(Self { address, unwritten, waiting, last: AtomicI32::new(0), end })
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.end.is_cancelled()
    }

    /// Asks, and waits for the answer, whatever its code is.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::NoAnswer`], [`Error::Malformed`]: it may have been done all the same.
    pub(crate) async fn ask(&self, request: &Request, within: Duration) -> Result<Answer, Error> {
        let address = || self.address.to_string();
        let opaque = self.last.fetch_add(1, Ordering::Relaxed);
        let bytes = request
            .encode(opaque)
            .map_err(|error| Error::Malformed { address: address(), why: error.to_string() })?;
        let (answer, answered) = oneshot::channel();
        let lost = || Error::Unreachable { address: address(), why: "the connection was lost".into() };
        // Whoever stops waiting leaves nothing behind.
        let _forget = Forget { waiting: &self.waiting, opaque };
        self.waiting.lock().insert(opaque, answer);
        let asking = async {
            self.unwritten.send(bytes).await.map_err(|_| lost())?;
            tokio::select! {
                answer = answered => answer.map_err(|_| lost()),
                () = self.end.cancelled() => Err(lost()),
            }
        };
        match time::timeout(within, asking).await {
            Ok(answer) => answer,
            Err(_) => {
                // Its path may be dead without anybody saying so.
                self.end.cancel();
                Err(Error::NoAnswer { address: address(), within })
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

struct Forget<'a> {
    waiting: &'a Waiting,
    opaque: i32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.opaque);
    }
}

/// Writes and reads until one of both ends, or nobody needs it any more.
async fn carry(
    stream: TcpStream,
    mut requests: mpsc::Receiver<Bytes>,
    waiting: Arc<Waiting>,
    end: CancellationToken,
) {
    let _end = end.clone().drop_guard();
    let codec = LengthDelimitedCodec::builder().max_frame_length(FRAME_MAX).new_codec();
    let (reading, writing) = stream.into_split();
    let (mut reading, mut writing) =
        (FramedRead::new(reading, codec.clone()), FramedWrite::new(writing, codec));
    let write = async {
        while let Some(first) = requests.recv().await {
            writing.feed(first).await?;
            while let Ok(next) = requests.try_recv() {
                writing.feed(next).await?;
            }
            SinkExt::<Bytes>::flush(&mut writing).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let read = async {
        while let Some(Ok(bytes)) = reading.next().await {
            let Ok(answer) = Answer::decode(bytes.freeze()) else { return };
            if let Some(answer) = answer
                && let Some(waiting) = waiting.lock().remove(&answer.opaque)
            {
                // Whoever asked may have stopped waiting.
                let _ = waiting.send(answer);
            }
        }
    };
    tokio::select! {
        _ = write => {}
        () = read => {}
        () = end.cancelled() => {}
    }
}
