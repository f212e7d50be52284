//! What can be set for a spear; every key is documented in `profiles/default/spear.toml`.

use std::time::Duration;

use anyhow::Context;
use conversation::Limits;
use serde::Deserialize;
use store::DeviceLimits;

use crate::{context::Rates, rate::Rate};

/// The table `[spear]`, without the keys that every role has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The most connections; further ones are refused as `overloaded`.
    pub max_connections: usize,
    /// Pings, time-outs and queues of the socket.io layer.
    pub socket: SocketSettings,
    /// How the spear makes sure that no message is missed.
    pub delivery: DeliverySettings,
    /// Rooms, signals and presence.
    pub live: LiveSettings,
    /// Watching who comes and goes.
    pub watch: WatchSettings,
    /// The most events of one connection that wait for an answer; more are refused as `rate_limited`.
    pub max_pending_events: usize,
    /// The most bytes of them; one event is always taken.
    pub max_pending_bytes: usize,
    /// How many events a second are taken.
    pub events: EventSettings,
    /// Which web pages may connect.
    pub cors: boot::CorsSettings,
    /// How many devices a user has.
    pub devices: DeviceSettings,
    /// Sizes that are checked.
    pub limits: Limits,
}

/// The table `[spear.socket]`. Times in milliseconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketSettings {
    /// Between two pings.
    pub ping_interval_ms: u64,
    /// How long a client may take to answer a ping.
    pub ping_timeout_ms: u64,
    /// How long a client may take from the handshake to a valid ticket.
    pub connect_timeout_ms: u64,
    /// How long a WebSocket may take until a client on long-polling has gone over to it.
    pub upgrade_timeout_ms: u64,
    /// The most bytes that wait to be sent to one connection.
    pub outgoing_bytes: usize,
    /// The same with acknowledgements, which are never refused.
    pub most_outgoing_bytes: usize,
    /// The most clients that have shown no valid ticket yet, in all and of one address.
    pub max_unconnected: usize,
    /// See `max_unconnected`.
    pub max_unconnected_per_address: usize,
    /// How long sent bytes may stay unacknowledged by the peer's TCP before the connection is given up.
    pub tcp_user_timeout_ms: u64,
}

/// The table `[spear.delivery]`. Times in milliseconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliverySettings {
    /// Between two comparisons with the store while nothing is suspicious.
    pub sweep_interval_ms: u64,
    /// Between two comparisons while hints may have been lost, and between two looks whether the store has forgotten something.
    pub suspect_sweep_interval_ms: u64,
    /// How long a connection waits for the store to register its device.
    pub register_timeout_ms: u64,
    /// How long a connection waits until the older one of the same device has ended, and one that has ended to hear of the newer one.
    pub takeover_timeout_ms: u64,
}

/// The table `[spear.live]`: what is not stored.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveSettings {
    /// The most rooms that one connection may be in; a further one is refused as `rate_limited`.
    pub rooms: usize,
    /// The largest `body` of a signal, in bytes of its JSON.
    pub signal_bytes: usize,
    /// The most users that one `presence` asks about.
    pub presence_users: usize,
}

/// The table `[spear.events]`: how many are taken; more are refused as `rate_limited`. A rate of 0 sets no limit, a burst of 0 is
/// one second's worth.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSettings {
    /// A second, of one connection.
    pub connection_per_second: u32,
    /// At once.
    pub connection_burst: u32,
    /// A second, of all connections of a user on this spear.
    pub user_per_second: u32,
    /// At once.
    pub user_burst: u32,
}

impl EventSettings {
    pub(crate) fn rates(&self) -> Rates {
        Rates {
            connection: Rate::new(self.connection_per_second, self.connection_burst),
            user: Rate::new(self.user_per_second, self.user_burst),
        }
    }
}

/// The table `[spear.watch]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchSettings {
    /// The most users that one connection may watch; further ones are refused as `rate_limited`.
    pub users: usize,
    /// The most different users who are watched from one node, likewise.
    pub node_users: usize,
    /// How long a device must be gone before watchers are told, in milliseconds.
    pub offline_after_ms: u64,
    /// The most groups, conversations and users with their messages that one connection may watch.
    pub conversations: usize,
    /// Watched messages a second that a connection is given, 0 for all.
    pub messages_per_second: u32,
    /// At once; 0 for one second's worth.
    pub messages_burst: u32,
}

impl WatchSettings {
    pub(crate) fn rate(&self) -> Option<Rate> {
        Rate::new(self.messages_per_second, self.messages_burst)
    }
}

impl SocketSettings {
    /// After which time what was sent to a client has arrived, or its connection has ended.
    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.ping_interval_ms.saturating_add(self.ping_timeout_ms))
    }
}

/// The table `[spear.devices]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceSettings {
    /// The most devices of a user.
    pub most: usize,
    /// After how many days an unused one is forgotten.
    pub forget_after_days: u64,
}

impl DeviceSettings {
    pub(crate) fn limits(&self) -> DeviceLimits {
        const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
        DeviceLimits { most: self.most, forget_after_ms: self.forget_after_days * DAY_MS }
    }
}

impl Settings {
    pub(crate) fn layer(&self) -> socket::Settings {
        // Beside the body: the event's name, the destination, `cid` and `type`, and escapes around them.
        const AROUND_THE_BODY: usize = 4096;
        let socket = &self.socket;
        socket::Settings {
            ping_interval: Duration::from_millis(socket.ping_interval_ms),
            ping_timeout: Duration::from_millis(socket.ping_timeout_ms),
            connect_timeout: Duration::from_millis(socket.connect_timeout_ms),
            upgrade_timeout: Duration::from_millis(socket.upgrade_timeout_ms),
            // Twice: what is somewhat too large is refused with a code, only what is far too large ends the connection.
            max_packet_bytes: 2 * self.limits.body_bytes.max(self.live.signal_bytes) + AROUND_THE_BODY,
            outgoing_bytes: socket.outgoing_bytes,
            most_outgoing_bytes: socket.most_outgoing_bytes,
            max_unconnected: socket.max_unconnected,
            max_unconnected_per_address: socket.max_unconnected_per_address,
            ..socket::Settings::default()
        }
    }
}

impl boot::RoleSettings for Settings {
    fn check(&self, embedded: bool) -> anyhow::Result<()> {
        drop(self.cors.allow_origin(embedded).context("spear")?);
        self.limits.check().map_err(|error| anyhow::anyhow!("spear.limits.{error}"))?;
        let (socket, delivery, live, watch) = (&self.socket, &self.delivery, &self.live, &self.watch);
        let least = [
            ("max_connections", self.max_connections as u64, 1),
            ("max_pending_events", self.max_pending_events as u64, 1),
            ("max_pending_bytes", self.max_pending_bytes as u64, 1),
            ("socket.ping_interval_ms", socket.ping_interval_ms, 100),
            ("socket.ping_timeout_ms", socket.ping_timeout_ms, 100),
            ("socket.connect_timeout_ms", socket.connect_timeout_ms, 100),
            ("socket.upgrade_timeout_ms", socket.upgrade_timeout_ms, 100),
            ("socket.outgoing_bytes", socket.outgoing_bytes as u64, 4096),
            ("socket.most_outgoing_bytes", socket.most_outgoing_bytes as u64, socket.outgoing_bytes as u64),
            ("socket.max_unconnected", socket.max_unconnected as u64, 1),
            ("socket.max_unconnected_per_address", socket.max_unconnected_per_address as u64, 1),
            ("socket.tcp_user_timeout_ms", socket.tcp_user_timeout_ms, 1000),
            ("delivery.sweep_interval_ms", delivery.sweep_interval_ms, 100),
            ("delivery.suspect_sweep_interval_ms", delivery.suspect_sweep_interval_ms, 10),
            ("delivery.register_timeout_ms", delivery.register_timeout_ms, 100),
            ("live.rooms", live.rooms as u64, 1),
            ("live.signal_bytes", live.signal_bytes as u64, 2),
            ("live.presence_users", live.presence_users as u64, 1),
            ("delivery.takeover_timeout_ms", delivery.takeover_timeout_ms, 1),
            ("watch.users", watch.users as u64, 1),
            ("watch.node_users", watch.node_users as u64, 1),
            ("watch.conversations", watch.conversations as u64, 1),
        ];
        for (key, got, least) in least {
            anyhow::ensure!(got >= least, "spear.{key}: expected {least} or more, got {got}");
        }
        let most = [
            ("live.rooms", live.rooms as u64, 10_000),
            ("live.signal_bytes", live.signal_bytes as u64, 1 << 20),
            ("live.presence_users", live.presence_users as u64, 1_000),
            ("watch.users", watch.users as u64, 10_000),
            ("watch.conversations", watch.conversations as u64, 10_000),
            ("watch.node_users", watch.node_users as u64, 1_000_000),
            ("watch.offline_after_ms", watch.offline_after_ms, 600_000),
        ];
        for (key, got, most) in most {
            anyhow::ensure!(got <= most, "spear.{key}: expected {most} or less, got {got}");
        }
        let devices = &self.devices;
        for (key, got, most) in
            [("most", devices.most as u64, 1_000), ("forget_after_days", devices.forget_after_days, 36_500)]
        {
            anyhow::ensure!(
                (1..=most).contains(&got),
                "spear.devices.{key}: expected 1 to {most}, got {got}"
            );
        }
        Ok(())
    }
}
