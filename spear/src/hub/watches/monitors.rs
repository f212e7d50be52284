//! Messages of conversations that the watcher is not in: live only, best effort, and never more than it may be given.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use dashmap::{DashMap, Entry};
use serde_json::json;
use socket::{Backlog, Frame};
use store::{StoreError, Watched as What};
use wire::{Conversation, Group, MessageHint, User};

use super::{super::Hub, WatchLimits};
use crate::{
    connection::{Connection, WatchRefused},
    rate::{Rate, Tally},
};

/// What messages are watched of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// All direct conversations of a user.
    User(User),
    /// One conversation, of a group or of two users.
    Conversation(Conversation),
}

impl Topic {
    /// The user by whom the store knows that this node wants the messages: one of two users is enough. Groups are known by
    /// their interest.
    fn home(&self) -> Option<&User> {
        match self {
            Self::User(user) => Some(user),
            Self::Conversation(conversation) => conversation.users().next(),
        }
    }

    pub(crate) fn group(&self) -> Option<&Group> {
        match self {
            Self::User(_) => None,
            Self::Conversation(conversation) => conversation.group(),
        }
    }
}

/// How many watched messages a connection was given lately, and how many it was not.
#[derive(Debug)]
pub(crate) struct Meter {
    rate: Arc<Option<Rate>>,
    tally: Tally,
    /// Since it was told of such.
    dropped: AtomicU64,
}

impl Meter {
    pub(crate) fn new(rate: Arc<Option<Rate>>) -> Self {
        Self { rate, tally: Tally::default(), dropped: AtomicU64::new(0) }
    }
}

/// Who watches messages here. Bounded by the connections and what each may watch, and by a setting for all.
#[derive(Default)]
pub(super) struct Monitors {
    topics: DashMap<Topic, Vec<Monitor>>,
    /// How many topics have this user as their home.
    homes: DashMap<User, usize>,
    /// How many topics there are: the road of every message looks at this alone while there are none.
    count: AtomicUsize,
}

#[derive(Clone)]
struct Monitor {
    connection: Arc<Connection>,
    meter: Arc<Meter>,
}

impl Hub {
    /// Lets a connection watch messages. Answers what it did not watch before. It is told once that is announced.
    ///
    /// # Errors
    /// Then it watches nothing that it did not watch before.
    pub(crate) fn monitor(
        &self,
        connection: &Arc<Connection>,
        topics: &[Topic],
        limits: WatchLimits,
        rate: &Arc<Option<Rate>>,
    ) -> Result<Vec<Topic>, WatchRefused> {
        let monitors = &self.watches.monitors;
        let meter = connection.meter(rate)?;
        let new: Vec<Topic> =
            topics.iter().filter(|topic| monitors.add(topic, connection, &meter)).cloned().collect();
        // After the insertion: a connection that ends takes itself out of what it knows, or is refused here.
        let noted = if monitors.count.load(Ordering::Relaxed) > limits.of_node {
            Err(WatchRefused::NodeFull)
        } else {
            connection.monitor(topics, limits.of_connection)
        };
        match noted {
            Ok(()) => Ok(new),
            Err(refused) => {
                self.forget_topics(connection, &new);
                Err(refused)
            }
        }
    }

    /// Makes sure that the messages come to this node; answers a group that does not exist, where there is one. Then, as
    /// where it cannot be, the connection does not watch `topics`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn announce_monitored(
        &self,
        connection: &Arc<Connection>,
        topics: &[Topic],
    ) -> Result<Option<Group>, StoreError> {
        let announced = self.announce_topics(topics).await;
        if !matches!(announced, Ok(None)) {
            self.stop_monitoring(connection, topics);
        }
        announced
    }

    async fn announce_topics(&self, topics: &[Topic]) -> Result<Option<Group>, StoreError> {
        let groups: Vec<Group> = topics.iter().filter_map(Topic::group).cloned().collect();
        for group in &groups {
            // A group that nobody made should leave nothing behind.
            if self.store.group(group).await?.is_none() {
                return Ok(Some(group.clone()));
            }
        }
        self.want(&groups).await?;
        let homes: Vec<User> = topics.iter().filter_map(Topic::home).cloned().collect();
        self.watches.register(&homes, What::Messages).await?;
        Ok(None)
    }

    /// A connection does not watch these messages any more.
    pub(crate) fn stop_monitoring(&self, connection: &Connection, topics: &[Topic]) {
        self.forget_topics(connection, &connection.stop_monitoring(topics));
    }

    /// The connection does not name these topics any more, or never did.
    pub(in super::super) fn forget_topics(&self, connection: &Connection, topics: &[Topic]) {
        for topic in topics {
            if !self.watches.monitors.remove(connection, topic) {
                continue;
            }
            if let Some(group) = topic.group() {
                self.interest.drop_later(group.clone());
            }
            if let Some(home) = topic.home() {
                self.watches.drop_later(home.clone(), What::Messages);
            }
        }
    }

    /// Whether somebody here watches a group.
    pub(in super::super) fn is_monitored(&self, group: &Group) -> bool {
        let topic = Topic::Conversation(Conversation::Group(group.clone()));
        self.watches.monitors.topics.contains_key(&topic)
    }

    /// Gives a message to those who watch its conversation and are not in it.
    pub(in super::super) fn show(&self, hint: &MessageHint) {
        let monitors = &self.watches.monitors;
        if monitors.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let conversation = &hint.conversation;
        let mut receivers = monitors.of(conversation);
        let sequencer = conversation.group().and_then(|_| self.existing(conversation));
        receivers.retain(|Monitor { connection, .. }| {
            let is_member = sequencer.as_ref().is_some_and(|sequencer| sequencer.holds(connection));
            !is_member && conversation.users().all(|user| *user != connection.identity.key.user)
        });
        if receivers.is_empty() {
            return;
        }
        // Marked, so that a client neither confirms it nor counts with what comes next.
        let marked = hint.json.strip_prefix(b"{").map(|rest| [br#"{"watched":true,"#, rest].concat());
        let Some(frame) = marked.and_then(|json| super::super::frame("message", &json)) else { return };
        let given = receivers.iter().filter(|receiver| receiver.give(&frame)).count();
        let dropped = receivers.len() - given;
        if dropped > 0 {
            metrics::counter!("phalanx_watched_messages_dropped_total").increment(dropped as u64);
        }
    }
}

impl Monitors {
    /// Answers whether the connection did not watch it already.
    fn add(&self, topic: &Topic, connection: &Arc<Connection>, meter: &Arc<Meter>) -> bool {
        let mut watching = self.topics.entry(topic.clone()).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            if let Some(home) = topic.home() {
                *self.homes.entry(home.clone()).or_default() += 1;
            }
            Vec::new()
        });
        let is_new = !watching.iter().any(|each| Arc::ptr_eq(&each.connection, connection));
        if is_new {
            watching.push(Monitor { connection: connection.clone(), meter: meter.clone() });
        }
        is_new
    }

    /// Answers whether nobody watches it any more.
    fn remove(&self, connection: &Connection, topic: &Topic) -> bool {
        let Entry::Occupied(mut entry) = self.topics.entry(topic.clone()) else { return false };
        entry.get_mut().retain(|each| !std::ptr::eq(Arc::as_ptr(&each.connection), connection));
        if !entry.get().is_empty() {
            return false;
        }
        if let Some(home) = topic.home()
            && let Entry::Occupied(mut topics) = self.homes.entry(home.clone())
        {
            *topics.get_mut() -= 1;
            if *topics.get() == 0 {
                topics.remove();
            }
        }
        entry.remove();
        self.count.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Whether the store is to know that this node wants a user's messages.
    pub(super) fn needs(&self, home: &User) -> bool {
        self.homes.contains_key(home)
    }

    /// Who watches a conversation, each once.
    fn of(&self, conversation: &Conversation) -> Vec<Monitor> {
        let users = conversation.users().cloned().map(Topic::User);
        let mut found: Vec<Monitor> = Vec::new();
        for topic in users.chain([Topic::Conversation(conversation.clone())]) {
            let Some(watching) = self.topics.get(&topic) else { continue };
            for monitor in watching.iter() {
                if !found.iter().any(|each| Arc::ptr_eq(&each.connection, &monitor.connection)) {
                    found.push(monitor.clone());
                }
            }
        }
        found
    }
}

impl Monitor {
    /// Answers whether it was given the message. Of what it was not given it is told before the next one.
    fn give(&self, frame: &Frame) -> bool {
        let Meter { rate, tally, dropped } = self.meter.as_ref();
        let outlet = &self.connection.outlet;
        let may = rate.as_ref().as_ref().is_none_or(|rate| rate.take(tally).is_ok());
        let missed = if may { dropped.swap(0, Ordering::Relaxed) } else { 0 };
        let given = may
            && (missed == 0
                || outlet.send(&Frame::event("missed", &json!({ "messages": missed }).to_string()))
                    != Err(Backlog::Full));
        if !given {
            dropped.fetch_add(missed + 1, Ordering::Relaxed);
            return false;
        }
        let given = outlet.send(frame) != Err(Backlog::Full);
        if !given {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        given
    }
}
