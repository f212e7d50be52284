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
use socket2::{SockRef, TcpKeepalive};
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

/// How long a connection may be silent until the system asks whether the other machine is there, how often it asks until it gives up, and how long it
/// waits each time.
const ASK_AFTER: Duration = Duration::from_secs(3);
const ASK_TIMES: u32 = 2;
const ASK_EVERY: Duration = Duration::from_secs(1);
/// After how long without a sign that something which was sent has arrived a connection counts as lost.
#[cfg(target_os = "linux")]
const LOST_AFTER: Duration = Duration::from_secs(5);

/// A connection to one server. A request that is not answered in time does not end it, because others may be; the system sees whether the other
/// machine is there.
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
            let socket = SockRef::from(&stream);
            let keepalive =
                TcpKeepalive::new().with_time(ASK_AFTER).with_interval(ASK_EVERY).with_retries(ASK_TIMES);
            socket.set_tcp_keepalive(&keepalive)?;
            // What is sent and not confirmed is not asked about by keepalive.
            #[cfg(target_os = "linux")]
            socket.set_tcp_user_timeout(Some(LOST_AFTER))?;
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
            unwritten,
            waiting: Arc::default(),
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
        let answer = time::timeout(within, asking).await;
        answer.unwrap_or_else(|_| Err(Error::NoAnswer { address: address(), within }))
    }

    /// Writes and reads until one of both ends, or nobody needs it any more.
    fn carry(
        &self,
        stream: TcpStream,
        mut requests: mpsc::Receiver<Bytes>,
    ) -> impl Future<Output = ()> + use<> {
        let (address, waiting, end) = (self.address.clone(), self.waiting.clone(), self.end.clone());
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

struct Forget<'a> {
    waiting: &'a Waiting,
    opaque: i32,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.opaque);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_is_not_answered_leaves_the_connection_to_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let connection =
            Connection::open(address.as_str().into(), Duration::from_secs(20)).await.expect("it listens");
        let within = Duration::from_millis(20);
        let answer = connection.ask(&Request::new(1, []), within).await;
        assert!(matches!(answer, Err(Error::NoAnswer { .. })), "{answer:?}");
        assert!(connection.is_open() && connection.waiting.lock().is_empty());
        // Accepted, and closed.
        drop(listener.accept().await.expect("it has connected"));
        let answer = connection.ask(&Request::new(1, []), Duration::from_secs(20)).await;
        assert!(matches!(answer, Err(Error::Unreachable { .. })), "{answer:?}");
        assert!(!connection.is_open());
    }
}
