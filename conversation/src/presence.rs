//! Who is online, and with which devices.

use std::{collections::BTreeMap, sync::Arc};

use roster::Snapshot;
use serde::Serialize;
use store::UserPresence;
use wire::{Device, Role, User};

use crate::{Conversations, Refusal};

/// A user's presence, as clients and back ends are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Presence {
    /// Whether a device is connected.
    pub online: bool,
    /// Those that are, by name.
    pub devices: Vec<PresentDevice>,
    /// When a connection of the user last began or ended, milliseconds since the Unix epoch; `None` where there never was one.
    pub last_seen_at: Option<i64>,
}

/// A device that is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PresentDevice {
    /// Which.
    pub device: Device,
    /// The id of the spear that holds its connection.
    pub node: Arc<str>,
    /// Since when, milliseconds since the Unix epoch.
    pub since_at: i64,
}

impl Presence {
    /// A device counts while that very start of its spear is in the roster: who was on a spear that died is offline, and a
    /// spear that has lost its session and registered again holds whom it held.
    pub fn new(known: UserPresence, snapshot: &Snapshot) -> Self {
        let held = known.devices.into_iter().filter(|device| snapshot.holds(Role::Spear, &device.node));
        let devices: Vec<PresentDevice> = held
            .map(|held| PresentDevice { device: held.device, node: held.node.id, since_at: held.since_at })
            .collect();
        Self { online: !devices.is_empty(), devices, last_seen_at: known.last_seen_at }
    }
}

impl Conversations {
    /// The presence of users, as the store has it now and `snapshot` says who is alive.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn presence(
        &self,
        mut users: Vec<User>,
        snapshot: &Snapshot,
    ) -> Result<BTreeMap<User, Presence>, Refusal> {
        users.sort_unstable();
        users.dedup();
        let known = self.inner.store.presence(users.clone()).await?;
        let presence = known.into_iter().map(|known| Presence::new(known, snapshot));
        Ok(users.into_iter().zip(presence).collect())
    }
}
