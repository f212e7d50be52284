//! Which node holds which device.

use std::{collections::HashMap, mem, sync::Arc};

use wire::{Device, Incarnation, NodeRef, User};

use crate::{DeviceKey, DevicePresence};

/// A device's connection.
struct Held {
    device: Device,
    node: NodeRef,
    epoch: u64,
    since_at: i64,
}

/// Bounded by the number of connections, which the nodes bound; about 150 bytes a user with one device.
#[derive(Default)]
pub(super) struct Presence {
    /// In order of the devices' names. A list, because most users have one or two.
    users: HashMap<User, Vec<Held>>,
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
            devices.retain(|held| held.node.id != node.id || held.node.incarnation >= newest);
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
        let late = self.is_late(node);
        let held = Held { device: key.device.clone(), node: node.clone(), epoch, since_at: now };
        let devices = self.users.entry(key.user.clone()).or_default();
        let place = devices.binary_search_by(|held| held.device.cmp(&key.device));
        let previous = match place {
            Ok(place) if late => Some(devices.remove(place)),
            Ok(place) => Some(mem::replace(&mut devices[place], held)),
            Err(_) if late => None,
            Err(place) => {
                devices.reserve_exact(1);
                devices.insert(place, held);
                None
            }
        };
        if devices.is_empty() {
            self.users.remove(&key.user);
        }
        previous.map(|held| (held.node, held.epoch))
    }

    /// The device has this connection; nothing changes where a newer one is known, or this one.
    pub(super) fn hold(&mut self, key: &DeviceKey, node: &NodeRef, epoch: u64, since_at: i64) {
        let known = self.users.get(&key.user).is_some_and(|devices| {
            devices.iter().any(|held| held.device == key.device && held.epoch >= epoch)
        });
        if !known && !self.is_late(node) {
            self.connect(key, node, epoch, since_at);
        }
    }

    fn is_late(&self, node: &NodeRef) -> bool {
        self.newest.get(&node.id).is_some_and(|newest| *newest > node.incarnation)
    }

    /// Whether the device is held by the connection of this epoch.
    pub(super) fn holds(&self, key: &DeviceKey, epoch: u64) -> bool {
        self.users.get(&key.user).is_some_and(|devices| {
            devices.iter().any(|held| held.device == key.device && held.epoch == epoch)
        })
    }

    pub(super) fn disconnect(&mut self, key: &DeviceKey, epoch: u64) {
        let Some(devices) = self.users.get_mut(&key.user) else { return };
        devices.retain(|held| held.device != key.device || held.epoch != epoch);
        if devices.is_empty() {
            self.users.remove(&key.user);
        }
    }

    /// A device is forgotten; answers who held it.
    pub(super) fn evict(&mut self, user: &User, device: &Device) -> Option<(NodeRef, u64)> {
        let devices = self.users.get_mut(user)?;
        let place = devices.binary_search_by(|held| held.device.cmp(device)).ok()?;
        let Held { node, epoch, .. } = devices.remove(place);
        if devices.is_empty() {
            self.users.remove(user);
        }
        Some((node, epoch))
    }

    /// The nodes that hold devices of these users, each once.
    pub(super) fn nodes<'a>(&self, users: impl Iterator<Item = &'a User>) -> Vec<NodeRef> {
        let mut nodes: Vec<NodeRef> = Vec::new();
        for held in users.filter_map(|user| self.users.get(user)).flatten() {
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
            .map(|held| DevicePresence {
                device: held.device.clone(),
                node: held.node.clone(),
                since_at: held.since_at,
            })
            .collect()
    }
}
