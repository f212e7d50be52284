//! One connection: requests go out as they come, answers find who waits for them by a number.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
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

/// A connection to one server. It is of no use any more after it was lost, or after a whole patience without anything to read, while somebody
/// waited: its path may be dead without anybody saying so.
pub(crate) struct Connection {
    address: Arc<str>,
    patience: Duration,
    unwritten: mpsc::Sender<Bytes>,
    waiting: Arc<Waiting>,
    /// How often something was read.
    read: Arc<AtomicU64>,
    last: AtomicI32,
    end: CancellationToken,
}

impl Connection {
    /// # Errors
    /// [`Error::Unreachable`], [`Error::NoAnswer`].
    pub(crate) async fn open(address: Arc<str>, within: Duration, patience: Duration) -> Result<Self, Error> {
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
        let connection = Self {
            address,
            patience,
            unwritten,
            waiting: Arc::default(),
            read: Arc::default(),
            last: AtomicI32::new(0),
            end: CancellationToken::new(),
        };
        tokio::spawn(connection.carry(stream, requests));
        Ok(connection)
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
        // However the waiting ends.
        let mut wait =
            Wait { connection: self, opaque, began: Instant::now(), read: self.read.load(Ordering::Relaxed) };
        self.waiting.lock().insert(opaque, answer);
        let asking = async {
            self.unwritten.send(bytes).await.map_err(|_| lost())?;
            tokio::select! {
                answer = answered => answer.map_err(|_| lost()),
                () = self.end.cancelled() => Err(lost()),
            }
        };
        let answer = time::timeout(within, asking).await;
        if answer.is_ok() {
            wait.is_over();
        }
        answer.unwrap_or_else(|_| Err(Error::NoAnswer { address: address(), within }))
    }

    /// Writes and reads until one of both ends, or nobody needs it any more.
    fn carry(
        &self,
        stream: TcpStream,
        mut requests: mpsc::Receiver<Bytes>,
    ) -> impl Future<Output = ()> + use<> {
        let (address, waiting, seen, end) =
            (self.address.clone(), self.waiting.clone(), self.read.clone(), self.end.clone());
        async move {
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
                while let Some(bytes) = reading.next().await {
                    let bytes = bytes.map_err(|error| error.to_string())?;
                    seen.fetch_add(1, Ordering::Relaxed);
                    if let Some(answer) = Answer::decode(bytes.freeze())?
                        && let Some(waiting) = waiting.lock().remove(&answer.opaque)
                    {
                        // Whoever asked may have stopped waiting.
                        let _ = waiting.send(answer);
                    }
                }
                Err::<(), _>("the server has closed it".to_owned())
            };
            tokio::select! {
                written = write => if let Err(error) = written {
                    tracing::debug!(address = &*address, %error, "a connection is lost");
                },
                read = read => if let Err(error) = read {
                    tracing::debug!(address = &*address, error, "a connection is lost");
                },
                () = end.cancelled() => {}
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// Somebody who waits for an answer.
struct Wait<'a> {
    connection: &'a Connection,
    opaque: i32,
    began: Instant,
    read: u64,
}

impl Wait<'_> {
    /// There is an answer, or there will be none.
    fn is_over(&mut self) {
        self.read = u64::MAX;
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let connection = self.connection;
        connection.waiting.lock().remove(&self.opaque);
        let has_read_nothing = connection.read.load(Ordering::Relaxed) == self.read;
        if has_read_nothing && self.began.elapsed() >= connection.patience {
            tracing::debug!(address = &*connection.address, "a connection is given up: nothing was answered");
            connection.end.cancel();
        }
    }
}
