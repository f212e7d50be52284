//! What can be set.

use std::time::Duration;

/// Bounds and times of a [`crate::SocketService`]. The default suits a public server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it answers; other paths are answered with 404. Starts and ends with a slash.
    pub path: String,
    /// Between two pings.
    pub ping_interval: Duration,
    /// How long a client may take to answer one.
    pub ping_timeout: Duration,
    /// How long a client may take from the handshake until it is let in.
    pub connect_timeout: Duration,
    /// How long a WebSocket may take from its handshake until a polling session goes on over it.
    pub upgrade_timeout: Duration,
    /// How long a client that was told to leave may take to read what was sent before.
    pub leave_timeout: Duration,
    /// The largest packet and the largest HTTP body from a client, in bytes.
    pub max_packet_bytes: usize,
    /// The same before the client is let in: it has only its `auth` to say. Not above `max_packet_bytes`.
    pub max_connect_bytes: usize,
    /// How many bytes may wait to be sent to one connection: more are refused as [`crate::Backlog::Full`], and while there are as
    /// many, nothing is read from the client. A single frame that is larger passes when nothing else waits.
    pub outgoing_bytes: usize,
    /// How many bytes may wait in all, acknowledgements included, which are never refused: a client for which there would be more
    /// is closed as [`crate::Reason::TooSlow`].
    pub most_outgoing_bytes: usize,
    /// The most sessions that were not let in yet; further handshakes are answered with 503.
    pub max_unconnected: usize,
    /// The same of one address; of IPv6 its first 64 bits count. It is known where the request carries a [`crate::Peer`].
    pub max_unconnected_per_address: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/socket.io/".to_owned(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            upgrade_timeout: Duration::from_secs(10),
            leave_timeout: Duration::from_secs(2),
            max_packet_bytes: 1_000_000,
            max_connect_bytes: 16 << 10,
            outgoing_bytes: 256 << 10,
            most_outgoing_bytes: 8 << 20,
            max_unconnected: 20_000,
            max_unconnected_per_address: 20_000,
        }
    }
}
