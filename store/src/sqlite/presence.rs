//! Which node holds which device.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use wire::{Device, Incarnation, NodeRef, User};

use crate::{DeviceKey, DevicePresence};

/// A device's connection.
struct Held {
    node: NodeRef,
    epoch: u64,
    since_at: i64,
}

/// Bounded by the number of connections, which the nodes bound.
#[derive(Default)]
pub(super) struct Presence {
    users: HashMap<User, BTreeMap<Device, Held>>,
    /// The newest start of each node that has entered.
    newest: HashMap<Arc<str>, Incarnation>,
}

impl Presence {
    /// Forgets what earlier starts of this node held.
    pub(super) fn enter(&mut self, node: &NodeRef) {
        let newest = self.newest.entry(node.id.clone()).or_insert(node.incarnation);
        *newest = node.incarnation.max(*newest);
        let newest = *newest;
        self.users.retain(|_, devices| {
            devices.retain(|_, held| held.node.id != node.id || held.node.incarnation >= newest);
            !devices.is_empty()
        });
    }

    /// Answers who held the device until now. A start of a node that has a later one holds nothing any more.
    pub(super) fn connect(
        &mut self,
        key: &DeviceKey,
        node: &NodeRef,
        epoch: u64,
        now: i64,
    ) -> Option<(NodeRef, u64)> {
        let late = self.newest.get(&node.id).is_some_and(|newest| *newest > node.incarnation);
        let devices = self.users.entry(key.user.clone()).or_default();
        let previous = devices.remove(&key.device).map(|held| (held.node, held.epoch));
        if !late {
            devices.insert(key.device.clone(), Held { node: node.clone(), epoch, since_at: now });
        }
        if devices.is_empty() {
            self.users.remove(&key.user);
        }
        previous
    }

    /// Whether the device is held by the connection of this epoch.
    pub(super) fn holds(&self, key: &DeviceKey, epoch: u64) -> bool {
        self.users
            .get(&key.user)
            .and_then(|devices| devices.get(&key.device))
            .is_some_and(|held| held.epoch == epoch)
    }

    pub(super) fn disconnect(&mut self, key: &DeviceKey, epoch: u64) {
        if !self.holds(key, epoch) {
            return;
        }
        let Some(devices) = self.users.get_mut(&key.user) else { return };
        devices.remove(&key.device);
        if devices.is_empty() {
            self.users.remove(&key.user);
        }
    }

    /// The nodes that hold devices of these users, each once.
    pub(super) fn nodes<'a>(&self, users: impl Iterator<Item = &'a User>) -> Vec<NodeRef> {
        let mut nodes: Vec<NodeRef> = Vec::new();
        for held in users.filter_map(|user| self.users.get(user)).flat_map(BTreeMap::values) {
            if !nodes.contains(&held.node) {
                nodes.push(held.node.clone());
            }
        }
        nodes
    }

    pub(super) fn devices(&self, user: &User) -> Vec<DevicePresence> {
        let Some(devices) = self.users.get(user) else { return Vec::new() };
        devices
            .iter()
            .map(|(device, held)| DevicePresence {
                device: device.clone(),
                node: held.node.clone(),
                since_at: held.since_at,
            })
            .collect()
    }
}
