//! Who is there, and in which groups.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::value::RawValue;

use bench::websocket::{self, Opcode, Side};

use crate::{
    peer::{Due, Peer},
    twist::{Fault, Twist},
};

/// The connections, by user and by group.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    twist: Option<Twist>,
    users: RwLock<HashMap<Box<str>, Vec<Arc<Peer>>>>,
    groups: RwLock<HashMap<Box<str>, Vec<Arc<Peer>>>>,
}

/// What a client says when it connects.
#[derive(Debug, Deserialize)]
pub(crate) struct Auth {
    user: Box<str>,
    #[serde(default)]
    groups: Vec<Box<str>>,
}

#[derive(Debug, Deserialize)]
struct Send<'a> {
    #[serde(borrow)]
    to: To<'a>,
    body: &'a RawValue,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum To<'a> {
    User(&'a str),
    Group(&'a str),
}

/// What a connection is known by.
#[derive(Debug)]
pub(crate) struct Identity {
    peer: Arc<Peer>,
    auth: Auth,
}

impl Hub {
    /// Without a fault, or with one on purpose.
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self { twist: fault.map(Twist::new), ..Self::default() }
    }

    pub(crate) fn enter(&self, peer: Arc<Peer>, auth: Auth) -> Identity {
        self.users.write().entry(auth.user.clone()).or_default().push(peer.clone());
        for group in &auth.groups {
            self.groups.write().entry(group.clone()).or_default().push(peer.clone());
        }
        Identity { peer, auth }
    }

    pub(crate) fn leave(&self, Identity { peer, auth }: &Identity) {
        let forget = |map: &RwLock<HashMap<Box<str>, Vec<Arc<Peer>>>>, name: &str| {
            let mut map = map.write();
            let Some(peers) = map.get_mut(name) else { return };
            peers.retain(|other| !Arc::ptr_eq(other, peer));
            if peers.is_empty() {
                map.remove(name);
            }
        };
        forget(&self.users, &auth.user);
        auth.groups.iter().for_each(|group| forget(&self.groups, group));
    }

    /// Hands a message to everybody but its sender. `event` is the JSON array; answers whether it was a message.
    pub(crate) fn send(&self, from: &Identity, event: &[u8], due: &mut Due) -> bool {
        let Ok((_, Send { to, body })) = serde_json::from_slice::<(&str, Send<'_>)>(event) else {
            return false;
        };
        let text = format!("42[\"message\",{{\"from\":\"{}\",\"body\":{}}}]", from.auth.user, body.get());
        let mut frame = Vec::with_capacity(text.len() + 4);
        websocket::write(&mut frame, Side::Server, Opcode::Text, text.as_bytes());
        let (map, name) = match to {
            To::User(name) => (&self.users, name),
            To::Group(name) => (&self.groups, name),
        };
        let map = map.read();
        let Some(peers) = map.get(name) else { return true };
        let mut hand_out = |frame: &[u8]| {
            for peer in peers.iter().filter(|peer| !Arc::ptr_eq(peer, &from.peer)) {
                if peer.queue(frame) {
                    due.add(peer);
                }
            }
        };
        match &self.twist {
            None => hand_out(&frame),
            Some(twist) => twist.frames(frame).iter().for_each(|frame| hand_out(frame)),
        }
        true
    }
}
