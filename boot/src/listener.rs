//! Binding a port: waiting for a connection that holds it, refusing at once where somebody listens.
//!
//! Linux gives outgoing connections ports of a range that ours lie in, unless they are reserved. Such a port cannot be bound
//! while the connection lasts, and up to a minute after its end (`TIME_WAIT`).

use std::{fs, io, time::Duration};

use tokio::{
    net::TcpListener,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use crate::port_holder::{self, Holder};

/// Linux' range for outgoing connections unless it is set otherwise.
const USUAL_RANGE: &str = "32768 to 60999";

/// Why a port could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error("port {port} on {host} is taken by {holder}: stop it, or set another port for {node}")]
    Taken {
        /// Whose port it should be.
        node: String,
        /// The address.
        host: String,
        /// The port.
        port: u16,
        /// Who listens there, as far as the system tells.
        holder: String,
    },
    /// Nobody listens there, and a connection held it for as long as was waited.
    #[error(
        "port {port} on {host} is still held by an outgoing connection after {waited:?}: this system gives those the ports \
         {range}; add {port} to the sysctl net.ipv4.ip_local_reserved_ports, or set another port for {node}"
    )]
    Held {
        /// Whose port it should be.
        node: String,
        /// The address.
        host: String,
        /// The port.
        port: u16,
        /// How long it was waited for.
        waited: Duration,
        /// The ports that outgoing connections are given: `32768 to 60999`.
        range: String,
    },
    /// The node was asked to end while it waited for the port.
    #[error("{node} was asked to end while it waited for port {port} on {host}")]
    Ending {
        /// Whose port it should be.
        node: String,
        /// The address.
        host: String,
        /// The port.
        port: u16,
    },
    /// Anything else: no such address, not allowed.
    #[error("{node} cannot listen on {host}:{port}: {source}")]
    Other {
        /// Whose port it should be.
        node: String,
        /// The address.
        host: String,
        /// The port.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
}

/// How long to wait for a port that a connection holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// In all.
    pub(crate) give_up: Duration,
    /// Between two attempts.
    pub(crate) pause: Duration,
}

impl Patience {
    /// More than the minute that `TIME_WAIT` lasts. Each attempt reads the system's list of connections, which may be long.
    pub(crate) const USUAL: Self =
        Self { give_up: Duration::from_secs(75), pause: Duration::from_millis(500) };
}

/// Binds `host:port` for `node`; port 0 lets the system choose. While a connection holds the port it waits, until `ending`
/// at the longest, and says so once: in the log, and to `waiting`.
pub(crate) async fn bind(
    node: &str,
    host: &str,
    port: u16,
    patience: Patience,
    ending: &CancellationToken,
    waiting: impl Fn(&str),
) -> Result<TcpListener, ListenError> {
    let began = Instant::now();
    let mut told = false;
    loop {
        let source = match TcpListener::bind((host, port)).await {
            Ok(listener) => return Ok(listener),
            Err(source) => source,
        };
        let (node, host) = (node.to_owned(), host.to_owned());
        if source.kind() != io::ErrorKind::AddrInUse {
            return Err(ListenError::Other { node, host, port, source });
        }
        let holder = match port_holder::find(port) {
            Holder::Listener(process) => process.to_string(),
            Holder::Unknown => "another process".to_owned(),
            Holder::NoListener if began.elapsed() >= patience.give_up => {
                return Err(ListenError::Held { node, host, port, waited: patience.give_up, range: range() });
            }
            Holder::NoListener => {
                if !std::mem::replace(&mut told, true) {
                    let text =
                        format!("port {port} on {host} is held by an outgoing connection until it has ended");
                    tracing::warn!(node, give_up = ?patience.give_up, "waiting: {text}");
                    waiting(&text);
                }
                if ending.run_until_cancelled(time::sleep(patience.pause)).await.is_none() {
                    return Err(ListenError::Ending { node, host, port });
                }
                continue;
            }
        };
        return Err(ListenError::Taken { node, host, port, holder });
    }
}

/// Which ports outgoing connections are given.
fn range() -> String {
    let set = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    match set.split_whitespace().collect::<Vec<_>>()[..] {
        [first, last] => format!("{first} to {last}"),
        _ => USUAL_RANGE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use parking_lot::Mutex;
    use tokio::{
        io::AsyncReadExt as _,
        net::{TcpSocket, TcpStream},
    };

    use super::*;

    /// Long enough for any machine; a test that waits for it fails.
    const LONG: Patience = Patience { give_up: Duration::from_secs(30), pause: Duration::from_millis(5) };
    const SHORT: Patience = Patience { give_up: Duration::from_millis(50), pause: Duration::from_millis(5) };

    /// An outgoing connection from one of these ports, its other end, and the port.
    async fn outgoing(ports: Range<u16>) -> (TcpStream, TcpStream, u16) {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = server.local_addr().expect("bound");
        // Not one that the system chooses: an ended connection of somebody else's may hold it as well, for a minute.
        let beginning = std::process::id() as usize % ports.len();
        let (socket, port) = ports
            .cycle()
            .skip(beginning)
            .find_map(|port| {
                let socket = TcpSocket::new_v4().expect("a socket");
                socket.bind(([127, 0, 0, 1], port).into()).is_ok().then_some((socket, port))
            })
            .expect("a free port");
        let (client, accepted) = tokio::join!(socket.connect(address), server.accept());
        (client.expect("connected"), accepted.expect("accepted").0, port)
    }

    async fn bind_here(port: u16, patience: Patience) -> Result<TcpListener, ListenError> {
        bind("spear-1", "127.0.0.1", port, patience, &CancellationToken::new(), |_| {}).await
    }

    #[tokio::test]
    async fn a_connection_that_holds_the_port_is_waited_for_until_it_ends() {
        let (client, _other_end, port) = outgoing(20_000..26_000).await;
        let client = Mutex::new(Some(client));
        let told = Mutex::new(Vec::new());
        let ending = CancellationToken::new();
        let bound = bind("spear-1", "127.0.0.1", port, LONG, &ending, |text| {
            told.lock().push(text.to_owned());
            let client = client.lock().take().expect("told once");
            // A reset: its port is free at once.
            client.set_zero_linger().expect("a socket");
        });
        let bound = bound.await;
        assert_eq!(bound.expect("it is free now").local_addr().expect("bound").port(), port);
        let told = told.into_inner();
        assert_eq!(told.len(), 1, "once is enough: {told:?}");
        assert!(told[0].contains(&port.to_string()), "{told:?}");
    }

    #[tokio::test]
    async fn a_port_that_stays_held_is_given_up_with_the_cure() {
        let (client, mut other_end, port) = outgoing(26_000..32_000).await;
        // Who closes first keeps the port, in TIME_WAIT.
        drop(client);
        assert_eq!(other_end.read(&mut [0]).await.expect("the end"), 0);
        drop(other_end);
        let refused = bind_here(port, SHORT).await.expect_err("a minute has not passed");
        assert!(matches!(refused, ListenError::Held { .. }), "{refused}");
        let refused = refused.to_string();
        for part in [&port.to_string(), &range(), "ip_local_reserved_ports", "spear-1"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
    }

    #[tokio::test]
    async fn one_who_is_asked_to_end_waits_no_longer() {
        let (_client, _other_end, port) = outgoing(26_000..32_000).await;
        let ending = CancellationToken::new();
        let refused = bind("spear-1", "127.0.0.1", port, LONG, &ending, |_| ending.cancel()).await;
        assert!(matches!(refused, Err(ListenError::Ending { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn a_port_that_somebody_listens_on_is_refused_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        // And even where a connection holds it too.
        let _client = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
        let ending = CancellationToken::new();
        let refused = bind("spear-1", "127.0.0.1", port, LONG, &ending, |text| panic!("it waits: {text}"));
        let refused = refused.await.expect_err("it is taken");
        assert!(matches!(refused, ListenError::Taken { .. }), "{refused}");
    }
}
