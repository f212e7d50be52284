//! The TCP connection below: made, and told when to take silence for loss.
//!
//! Who waits for an answer has time-outs of its own. This finds connections that nobody waits on, before somebody does: the path
//! is gone, or the other machine, and no packet says so.

use std::{io, time::Duration};

use futures_util::future::select_ok;
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};

use crate::RedisOptions;

/// How long a connection may be silent until the system asks whether the other machine is there.
const ASK_AFTER: Duration = Duration::from_secs(5);
/// How often it asks until it gives up, and how long it waits each time.
const ASK_TIMES: u32 = 3;
const ASK_EVERY: Duration = Duration::from_secs(1);

/// After how long without a sign from the other machine a connection counts as lost: 8 s, or `response_timeout` where that is
/// longer, because one that is very busy takes nothing in meanwhile.
fn lost_after(options: &RedisOptions) -> Duration {
    (ASK_AFTER + ASK_EVERY * ASK_TIMES).max(options.response_timeout)
}

/// Connects to whichever of the host's addresses answers first.
///
/// # Errors
/// None of them does, or the name has none.
pub(crate) async fn connect(host: &str, port: u16, options: &RedisOptions) -> io::Result<TcpStream> {
    let attempts: Vec<_> =
        lookup_host((host, port)).await?.map(|address| Box::pin(TcpStream::connect(address))).collect();
    if attempts.is_empty() {
        return Err(io::Error::other(format!("{host} has no address")));
    }
    let (stream, _) = select_ok(attempts).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let keepalive = TcpKeepalive::new().with_time(ASK_AFTER).with_interval(ASK_EVERY).with_retries(ASK_TIMES);
    socket.set_tcp_keepalive(&keepalive)?;
    // What is sent and not confirmed is not asked about by keepalive.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(lost_after(options)))?;
    Ok(stream)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_system_watches_over_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let usual = RedisOptions::default();
        let patient = RedisOptions { response_timeout: Duration::from_secs(60), ..usual.clone() };
        for (options, lost_after_s) in [(usual, 8), (patient, 60)] {
            let stream = connect("localhost", port, &options).await.expect("it listens");
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().expect("readable") && stream.nodelay().expect("readable"));
            let seconds = |time: Duration| time.as_secs();
            assert_eq!(socket.tcp_keepalive_time().map(seconds).ok(), Some(5));
            assert_eq!(socket.tcp_keepalive_interval().map(seconds).ok(), Some(1));
            assert_eq!(socket.tcp_keepalive_retries().ok(), Some(3));
            let lost_after = socket.tcp_user_timeout().expect("readable").expect("set");
            assert_eq!(seconds(lost_after), lost_after_s);
        }
    }
}
