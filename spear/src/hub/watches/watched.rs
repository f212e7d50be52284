//! One user who is watched: who watches, and what they were told.

use std::{sync::Arc, time::Duration};

use conversation::{Presence, PresentDevice};
use serde::Serialize;
use socket::{Backlog, Frame};
use tokio::time::Instant;
use wire::User;

use crate::connection::Connection;

/// A user who is watched from here.
#[derive(Default)]
pub(super) struct Watched {
    /// Ascending by address: there may be thousands.
    watchers: Vec<Watcher>,
    /// What watchers are told, by name; a device that has gone stays for the time of grace.
    shown: Vec<Shown>,
    /// Whether somebody has looked at all.
    looked: bool,
}

struct Watcher {
    connection: Arc<Connection>,
    knows: Knows,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Knows {
    /// Waits for its acknowledgement, and is not told anything before.
    Unasked,
    /// Is told with the next look.
    Nothing,
    /// Has what is shown.
    Everything,
}

struct Shown {
    device: PresentDevice,
    /// Since when it is not seen any more.
    lost_at: Option<Instant>,
}

/// The payload of the `presence` event.
#[derive(Serialize)]
struct Told<'a> {
    user: &'a User,
    online: bool,
    devices: Vec<&'a PresentDevice>,
}

/// What a look led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// When to look again, because the grace of a device is over then.
    pub(super) due: Option<Instant>,
    /// Watchers that had no place for the event; they are told with the next look.
    pub(super) missed: u64,
}

impl Watched {
    /// Answers whether the connection did not watch already.
    pub(super) fn add(&mut self, connection: &Arc<Connection>) -> bool {
        let place = self.place(connection);
        if let Err(place) = place {
            self.watchers.insert(place, Watcher { connection: connection.clone(), knows: Knows::Unasked });
        }
        place.is_err()
    }

    /// A connection is told with the next look, also one that was told before.
    pub(super) fn ask(&mut self, connection: &Connection) {
        if let Ok(place) = self.place(connection) {
            self.watchers[place].knows = Knows::Nothing;
        }
    }

    pub(super) fn remove(&mut self, connection: &Connection) {
        if let Ok(place) = self.place(connection) {
            self.watchers.remove(place);
        }
    }

    pub(super) fn is_unwatched(&self) -> bool {
        self.watchers.is_empty()
    }

    /// Whether a device is shown that one of these nodes holds.
    pub(super) fn is_on(&self, is_lost: impl Fn(&str) -> bool) -> bool {
        self.shown.iter().any(|shown| is_lost(&shown.device.node))
    }

    /// Whether the user is shown as offline.
    pub(super) fn is_offline(&self) -> bool {
        self.shown.is_empty()
    }

    /// Takes what `presence` says now, and tells whoever does not know it. A device that is gone is shown until `grace` is over.
    pub(super) fn look(&mut self, user: &User, presence: Presence, now: Instant, grace: Duration) -> Looked {
        let before = std::mem::take(&mut self.shown);
        let old = |shown: &Shown| (shown.device.device.clone(), shown.device.node.clone());
        let places_before: Vec<_> = before.iter().map(old).collect();
        self.shown = presence.devices.into_iter().map(|device| Shown { device, lost_at: None }).collect();
        for mut gone in before {
            if self.shown.iter().any(|shown| shown.device.device == gone.device.device) {
                continue;
            }
            let lost_at = *gone.lost_at.get_or_insert(now);
            if now < lost_at + grace {
                self.shown.push(gone);
            }
        }
        self.shown.sort_by(|one, other| one.device.device.cmp(&other.device.device));
        let changed = !self.looked || self.shown.iter().map(old).ne(places_before);
        self.looked = true;
        let due = self.shown.iter().filter_map(|shown| shown.lost_at).min().map(|lost_at| lost_at + grace);
        Looked { due, missed: self.tell(user, changed) }
    }

    fn tell(&mut self, user: &User, everybody: bool) -> u64 {
        let devices: Vec<_> = self.shown.iter().map(|shown| &shown.device).collect();
        let told = Told { user, online: !devices.is_empty(), devices };
        let mut frame = None;
        let mut missed = 0;
        for watcher in &mut self.watchers {
            match watcher.knows {
                Knows::Unasked => continue,
                Knows::Everything if !everybody => continue,
                Knows::Everything | Knows::Nothing => {}
            }
            let frame = frame.get_or_insert_with(|| {
                let json = serde_json::to_string(&told).unwrap_or_else(|error| {
                    tracing::error!(%error, "a presence cannot be encoded");
                    "null".to_owned()
                });
                Frame::event("presence", &json)
            });
            let full = watcher.connection.outlet.send(frame) == Err(Backlog::Full);
            watcher.knows = if full { Knows::Nothing } else { Knows::Everything };
            missed += u64::from(full);
        }
        missed
    }

    /// Where a connection is, or belongs.
    fn place(&self, connection: &Connection) -> Result<usize, usize> {
        let address = std::ptr::from_ref(connection);
        self.watchers.binary_search_by_key(&address, |watcher| Arc::as_ptr(&watcher.connection))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use store::DeviceKey;

    use super::{
        super::super::fixture::{Client, user},
        *,
    };
    use crate::connection::Identity;

    const GRACE: Duration = Duration::from_secs(3);

    fn watcher(room: usize) -> (Arc<Connection>, Arc<Client>) {
        let client = Client::new(room);
        let key = DeviceKey { user: user("watcher"), device: "phone".parse().expect("a name") };
        let identity = Identity { key, session: 1, token_expires_at: i64::MAX };
        (Arc::new(Connection::new(identity, client.clone())), client)
    }

    fn presence(devices: &[(&str, &str)]) -> Presence {
        let device = |(device, node): &(&str, &str)| PresentDevice {
            device: device.parse().expect("a name"),
            node: (*node).into(),
            since_at: 1,
        };
        Presence {
            online: !devices.is_empty(),
            devices: devices.iter().map(device).collect(),
            last_seen_at: None,
        }
    }

    /// What a client was told: `offline`, or the devices.
    fn told(client: &Client) -> Vec<String> {
        let place = |device: &Value| {
            format!("{}@{}", device["device"].as_str().expect("one"), device["node"].as_str().expect("one"))
        };
        let text = |event: Value| {
            let devices: Vec<String> =
                event["devices"].as_array().expect("a list").iter().map(place).collect();
            assert_eq!(event["online"], json!(!devices.is_empty()));
            assert_eq!(event["user"], "bob");
            if devices.is_empty() { "offline".to_owned() } else { devices.join(" ") }
        };
        client.events("presence").into_iter().map(text).collect()
    }

    struct Watching {
        watched: Watched,
        start: Instant,
    }

    impl Watching {
        fn by(connection: &Arc<Connection>) -> Self {
            let mut watched = Watched::default();
            assert!(watched.add(connection));
            watched.ask(connection);
            Self { watched, start: Instant::now() }
        }

        /// Looks so many milliseconds after the beginning; answers after how many it is to be done again.
        fn look(&mut self, after_ms: u64, devices: &[(&str, &str)]) -> Option<u128> {
            let now = self.start + Duration::from_millis(after_ms);
            let looked = self.watched.look(&user("bob"), presence(devices), now, GRACE);
            looked.due.map(|due| (due - self.start).as_millis())
        }
    }

    #[test]
    fn the_first_look_is_told_whatever_it_saw() {
        let (alice, client) = watcher(10);
        let mut bob = Watching::by(&alice);
        assert_eq!(bob.look(0, &[]), None);
        assert_eq!(bob.look(10, &[]), None);
        assert_eq!(told(&client), ["offline"]);
    }

    #[test]
    fn who_comes_is_told_at_once_and_who_goes_after_a_while() {
        let (alice, client) = watcher(10);
        let mut bob = Watching::by(&alice);
        bob.look(0, &[]);
        bob.look(10, &[("phone", "spear-1")]);
        assert_eq!(told(&client), ["offline", "phone@spear-1"]);
        assert_eq!(bob.look(100, &[]), Some(3_100));
        assert_eq!(bob.look(3_099, &[]), Some(3_100));
        assert_eq!(told(&client).len(), 2);
        assert_eq!(bob.look(3_100, &[]), None);
        assert_eq!(told(&client)[2..], ["offline"]);
    }

    #[test]
    fn who_is_back_in_time_was_never_gone() {
        let (alice, client) = watcher(10);
        let mut bob = Watching::by(&alice);
        bob.look(0, &[("phone", "spear-1")]);
        bob.look(100, &[]);
        assert_eq!(bob.look(200, &[("phone", "spear-1")]), None);
        assert_eq!(bob.look(5_000, &[]), Some(8_000), "the time begins anew");
        bob.look(5_100, &[("phone", "spear-2")]);
        assert_eq!(told(&client), ["phone@spear-1", "phone@spear-2"]);
    }

    #[test]
    fn each_device_has_its_own_time() {
        let (alice, client) = watcher(10);
        let mut bob = Watching::by(&alice);
        bob.look(0, &[("pad", "spear-1"), ("phone", "spear-1")]);
        bob.look(100, &[("phone", "spear-1")]);
        assert_eq!(bob.look(2_000, &[]), Some(3_100));
        assert_eq!(bob.look(3_100, &[("tv", "spear-1")]), Some(5_000));
        assert_eq!(bob.look(5_000, &[("tv", "spear-1")]), None);
        assert_eq!(told(&client), ["pad@spear-1 phone@spear-1", "phone@spear-1 tv@spear-1", "tv@spear-1"]);
    }

    #[test]
    fn one_who_comes_later_is_told_what_the_others_know() {
        let ((alice, _), (carol, client)) = (watcher(10), watcher(10));
        let mut bob = Watching::by(&alice);
        bob.look(0, &[("phone", "spear-1")]);
        assert!(bob.watched.add(&carol));
        assert!(!bob.watched.add(&carol));
        bob.look(100, &[]);
        bob.look(200, &[]);
        assert!(told(&client).is_empty(), "she was not answered yet");
        bob.watched.ask(&carol);
        bob.look(300, &[]);
        bob.look(400, &[]);
        assert_eq!(told(&client), ["phone@spear-1"]);
        bob.watched.ask(&carol);
        bob.look(500, &[]);
        assert_eq!(told(&client).len(), 2);
        bob.watched.remove(&carol);
        bob.look(9_000, &[]);
        assert_eq!(told(&client).len(), 2);
        assert!(!bob.watched.is_unwatched());
    }

    #[test]
    fn one_who_had_no_place_is_told_with_the_next_look() {
        let (alice, client) = watcher(0);
        let mut watched = Watched::default();
        watched.add(&alice);
        watched.ask(&alice);
        let mut look = || watched.look(&user("bob"), presence(&[]), Instant::now(), GRACE).missed;
        assert_eq!(look(), 1);
        client.read(10);
        assert_eq!(look(), 0);
        assert_eq!(look(), 0);
        assert_eq!(told(&client), ["offline"]);
    }
}
