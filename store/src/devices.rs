//! Devices: presence by node incarnation and device epoch, cursors, routing.

use std::collections::BTreeMap;

use async_trait::async_trait;
use wire::{Conversation, Device, Group, NodeRef, Room, User};

use crate::StoreError;

/// One device of one user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceKey {
    /// Whose.
    pub user: User,
    /// Which.
    pub device: Device,
}

/// A device connects to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Which device.
    pub key: DeviceKey,
    /// To which start of which node.
    pub node: NodeRef,
    /// Bounds of the user's devices.
    pub limits: DeviceLimits,
}

/// How many devices a user has. Whenever one of them connects, the store forgets others: their records, their cursors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceLimits {
    /// The most devices of a user, 1 or more. Beyond, the one that was away longest is forgotten; where all others are
    /// connected, the one that has been longest.
    pub most: usize,
    /// One that is not connected, and neither came nor went for so long, is forgotten, milliseconds. The one that connects never is.
    pub forget_after_ms: u64,
}

impl Default for DeviceLimits {
    /// 20 devices, 180 days.
    fn default() -> Self {
        Self { most: 20, forget_after_ms: 180 * 24 * 60 * 60 * 1_000 }
    }
}

/// A device that was forgotten although it was connected: its connection has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evicted {
    /// Which.
    pub device: Device,
    /// The node that holds it.
    pub node: NodeRef,
    /// The epoch of its connection there.
    pub epoch: u64,
}

/// What the store knows about a device that connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Of this connection: greater than of any earlier one of the device. Older ones may neither send nor move cursors.
    /// At least the time in microseconds, by the store's clock.
    pub epoch: u64,
    /// The time from which on messages are this device's, for conversations without a cursor: 0 (the beginning of
    /// retention) for a user's first device, the time of its first connection for a further one. By the store's clock. One that
    /// was forgotten is a further one when it comes back.
    pub born_at: i64,
    /// Whether the device was known before.
    pub known: bool,
    /// When it began, milliseconds since the Unix epoch, by the store's clock.
    pub since_at: i64,
    /// The node that held the device until now, and its epoch there, if it was not released.
    pub previous: Option<(NodeRef, u64)>,
    /// Changes from before this time were given to the device: when its last connection ended that is known to have given it
    /// everything, or when it first connected. By the store's clock, milliseconds since the Unix epoch.
    pub away_since: i64,
    /// The user's other devices that had to make room while they were connected.
    pub evicted: Vec<Evicted>,
    /// The nodes that watch the user's presence: see [`crate::Watching`].
    pub watchers: Vec<NodeRef>,
}

/// A connection that a node holds, as [`Devices::connect`] answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Of which device.
    pub key: DeviceKey,
    /// As in [`Connected`].
    pub epoch: u64,
    /// As in [`Connected`].
    pub born_at: i64,
    /// As in [`Connected`].
    pub since_at: i64,
}

/// A connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// Which device.
    pub key: DeviceKey,
    /// The epoch of the connection that ends; a newer one stays.
    pub epoch: u64,
    /// Whether the connection has given the device everything until now: then [`Connected::away_since`] moves.
    pub received: bool,
}

/// A device holds everything of a conversation up to `seq`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorMove {
    /// Which device.
    pub key: DeviceKey,
    /// The epoch of its connection; with an older one the move is ignored.
    pub epoch: u64,
    /// The new cursors; one that would go back is ignored.
    pub cursors: Vec<(Conversation, u64)>,
}

/// What became of a [`CursorMove`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// The device has confirmed so much, or more.
    Done,
    /// Nothing was moved: the device has a newer connection.
    Replaced,
    /// Nothing was moved: the device is not known, or was forgotten.
    Unknown,
}

/// What a device has confirmed, by conversation.
pub type Cursors = BTreeMap<Conversation, u64>;

/// One device of a user, as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePresence {
    /// Which.
    pub device: Device,
    /// The node that holds its connection. Whether that start of the node is alive, the roster knows.
    pub node: NodeRef,
    /// Since when, milliseconds since the Unix epoch.
    pub since_at: i64,
}

/// A user's connected devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserPresence {
    /// Connected ones, by name.
    pub devices: Vec<DevicePresence>,
    /// When a connection of the user last began or ended; `None` where the user never connected.
    pub last_seen_at: Option<i64>,
}

/// A node begins or ends to hold online members of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterestChange {
    /// Which group.
    pub group: Group,
    /// Whether it holds one.
    pub interested: bool,
}

/// How many members of a room a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomCount {
    /// Which room.
    pub room: Room,
    /// Connections that are in it; 0 where the node holds none any more.
    pub members: u64,
}

/// A node that holds members of a room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomHolder {
    /// Which node. Whether that start of it is alive, the roster knows.
    pub node: NodeRef,
    /// How many, 1 or more.
    pub members: u64,
}

/// Connections, cursors and routing. Presence, interest and rooms need not survive a crash of the store's machine: nodes
/// assert them again whenever [`Devices::generation`] has changed. That either has ended must survive: nobody says that again.
#[async_trait]
pub trait Devices: Send + Sync + 'static {
    /// A new start of a node: forgets presence and interest of its earlier starts, and does not listen to them any more:
    /// their late connections get an epoch and hold nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn enter(&self, node: &NodeRef) -> Result<(), StoreError>;

    /// Registers connections; from the answer on, [`crate::Messages::append`] routes to the node. Durable as to epochs. Forgets
    /// other devices of the same users, as [`DeviceLimits`] says.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn connect(&self, batch: Vec<Connect>) -> Result<Vec<Connected>, StoreError>;

    /// Ends connections. Answers for each the nodes that watch the user's presence, also where it had ended before: see
    /// [`crate::Watching`].
    ///
    /// # Errors
    /// [`StoreError`].
    async fn disconnect(&self, batch: Vec<Disconnect>) -> Result<Vec<Vec<NodeRef>>, StoreError>;

    /// A number that is another one after anything that may have made the store forget presence or interest: a restart,
    /// a failover. It says nothing beside that, and does not grow.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn generation(&self) -> Result<u64, StoreError>;

    /// Says again which connections a node holds, after the store may have forgotten them. Each is registered with the
    /// epoch that it has, unless the device has a newer connection; one that is registered stays as it is. Answers for
    /// each whether it is the device's newest connection. Durable as to epochs.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn assert_presence(&self, node: &NodeRef, batch: Vec<Held>) -> Result<Vec<bool>, StoreError>;

    /// What a device has confirmed; empty where nothing is known.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn cursors(&self, key: &DeviceKey) -> Result<Cursors, StoreError>;

    /// Moves cursors forwards. Answers what became of each move, in their order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn move_cursors(&self, batch: Vec<CursorMove>) -> Result<Vec<Moved>, StoreError>;

    /// Registers which groups a node wants hints of. From the answer on, appends to these groups answer a routing version
    /// that is not older than this change.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn set_interest(&self, node: &NodeRef, changes: Vec<InterestChange>) -> Result<(), StoreError>;

    /// The routing of each group: its version and the interested nodes, read at one moment.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn routing(&self, groups: Vec<Group>) -> Result<Vec<(u64, Vec<NodeRef>)>, StoreError>;

    /// Registers how many members of rooms a node holds, and answers for each room which nodes hold some, in any order and
    /// at one moment after the change: of two nodes that begin to hold a room at once, at least one is told of the other.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn set_room_members(
        &self,
        node: &NodeRef,
        counts: Vec<RoomCount>,
    ) -> Result<Vec<Vec<RoomHolder>>, StoreError>;

    /// Which nodes hold members of each room, in any order. A store may forget a room that nobody has asked about for a
    /// day: a node that holds one asks more often, and registers again where it does not find itself.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn room_members(&self, rooms: Vec<Room>) -> Result<Vec<Vec<RoomHolder>>, StoreError>;

    /// Who is connected where.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn presence(&self, users: Vec<User>) -> Result<Vec<UserPresence>, StoreError>;
}
