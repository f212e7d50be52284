//! Where everything is: partitions and the names of keys.
//!
//! A key is `<prefix>:{p0042}:<what>:<name>`. The part in braces is one of 1,024 partitions, for ever fixed; Redis Cluster
//! keeps keys with the same braces on one server, so a script may touch everything of one partition. What belongs to a
//! conversation is in the partition of its canonical name, what belongs to a user in that of the user's name.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `conv:<conversation>` | hash | the head of a conversation, and a group's settings: see below |
//! | `log:<conversation>` | stream | messages; the id of an entry is `<seq>-<sent_at>`, its field `m` the message (`record.rs`); a third field `x` is the greatest id so far where that is not this one's. What was recalled is in `tomb` instead |
//! | `tomb:<conversation>` | hash | `seq` of a recalled message → its `sent_at` and the greatest id up to it (8 bytes each), the message without body |
//! | `change:<conversation>` | sorted set | the change log by `rev`: `m<seq>` for a recalled message, `u<user>` for the last reading of a user |
//! | `sent0:…`, `sent1:<conversation>` | hash | days in turn: `<sender> <cid>` → `seq`, and ` <id, 8 bytes>` → `seq` of messages whose id came late |
//! | `read:<group's conversation>` | hash | user → read mark |
//! | `member:<group's conversation>` | sorted set | the members now, every score 0 |
//! | `span:<group's conversation>` | hash | user → `1-4 9-`: spans, the last one open while they are a member |
//! | `interest:<group's conversation>` | hash | node → incarnation that wants hints |
//! | `room:<room>` | hash | node → `<incarnation> <members>` that it holds; lapses a day after nobody asks any more. In the partition of `r:<room>` |
//! | `inbox:<user>` | hash | direct conversation → last `seq`; `g:<group>` → `1`, or `p` while a change is under way; `#` → version |
//! | `changed:<user>` | sorted set | direct conversations with a change log, by its last `rev` |
//! | `device:<user>` | hash | device → `<epoch>:<born_at>`; `#<device>` → when it last connected or disconnected; `#` → when the user was last seen |
//! | `away:<user>` | hash | device → until when it was given everything: see `Connected` |
//! | `cursor:<user>/<device>` | hash | conversation → `seq` up to which the device holds everything |
//! | `ban:<user>` | string | nothing: it is there while the user is banned |
//! | `presence:<user>` | hash | device → `<incarnation> <since_at> <epoch> <node>`; the node comes last since its id may hold anything; `*<node>` → the same with the epoch 0: the node watches the messages |
//! | `watch:<user>` | hash | node → `<incarnation> <when it said so>` that watches the presence; lapses a day after that |
//! | `starts` | hash | node → its newest incarnation; `#` → how many times that table changed. The same in every partition |
//! | `clock` | string | the greatest version that was given to an inbox here; used in partition 0 only, save in a cluster |
//! | `fence` | string | nothing: it is written to have something to wait for |
//! | `reports` | hash | `<role>/<node>` → its last report, see `reports.rs`; in partition 0 |
//! | `outbox` | stream | what consumers have not been given yet; the ids of its entries are `0-1`, `0-2` …, their field `m` is `<seq> <conversation>` of a message, `u` a user whose connections changed |
//! | `confirmed` | hash | consumer → `<term> <place>`: whose confirmations count, and up to where it has everything |
//! | `told:<consumer>` | hash | user of the partition → what the consumer was told: `1` online, `0` offline while there are connections on lost nodes |
//! | `consumers` | hash | consumer → `<messages 0 or 1> <presence 0 or 1> <most entries>`; in partition 0. Where it is missing, there is no `outbox` |
//! | `schema` | string | the version of all this, in partition 0 |
//!
//! Fields of `conv`: `h` (32 bytes, numbers with the highest byte first: the last `seq` in 8 bytes, its `sent_at` in 8, the
//! greatest message id in 8, the last day with something in `sent…` in 4, the one before it in 4: all that an append needs, in
//! one field, because each further one costs as much as a call), `first` (the first `seq` that retention left, 1 where
//! missing: one more than the last where it left none), `a` and `b` (read marks of a direct conversation's users, in the order of
//! its name), `cr` (the last `rev` of the change log). Of groups: `mv` (members version), `rv` (routing
//! version), `en` (the `#` of `starts` up to which `interest` is tidy), and while the group exists `made` (`created_at`),
//! `open` (0 or 1), `name`, `owner`.

use std::{fmt::Display, sync::Arc};

use wire::{Conversation, Group, Room, User};
use xxhash_rust::xxh64::xxh64;

/// How many partitions there are. Never to be changed: everything would be looked for elsewhere.
pub(super) const PARTITIONS: u16 = 1_024;

/// Names keys below one prefix.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: Arc<str>,
}

/// Names keys of one partition.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    number: u16,
    /// `<prefix>:{p0042}:`
    base: String,
}

/// Names keys of one conversation.
#[derive(Debug, Clone)]
pub(super) struct ConversationKeys {
    pub(super) partition: Partition,
    /// The canonical name.
    pub(super) name: String,
}

/// Names keys of one user.
#[derive(Debug, Clone)]
pub(super) struct UserKeys {
    pub(super) partition: Partition,
    pub(super) user: User,
}

/// XXH64 with seed 0, modulo [`PARTITIONS`].
fn partition_of(name: &str) -> u16 {
    (xxh64(name.as_bytes(), 0) % u64::from(PARTITIONS)) as u16
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    pub(super) fn partition(&self, number: u16) -> Partition {
        Partition { number, base: format!("{}:{{p{number:04}}}:", self.prefix) }
    }

    /// Every partition, in order.
    pub(super) fn partitions(&self) -> impl Iterator<Item = Partition> {
        (0..PARTITIONS).map(|number| self.partition(number))
    }

    pub(super) fn conversation(&self, conversation: &Conversation) -> ConversationKeys {
        let name = conversation.to_string();
        ConversationKeys { partition: self.partition(partition_of(&name)), name }
    }

    pub(super) fn group(&self, group: &Group) -> ConversationKeys {
        self.conversation(&Conversation::Group(group.clone()))
    }

    /// The partition of a room, and its key there.
    pub(super) fn room(&self, room: &Room) -> (Partition, String) {
        let partition = self.partition(partition_of(&format!("r:{room}")));
        let key = partition.of("room", room);
        (partition, key)
    }

    pub(super) fn user(&self, user: &User) -> UserKeys {
        UserKeys { partition: self.partition(partition_of(user.as_str())), user: user.clone() }
    }

    /// What matches the keys `conv` of all conversations. A prefix holds nothing that means something in a pattern.
    pub(super) fn all_conversations(&self) -> String {
        format!("{}:{{p[0-9][0-9][0-9][0-9]}}:conv:*", self.prefix)
    }

    /// The conversation of a key `conv`.
    pub(super) fn conversation_of(&self, key: &str) -> Option<Conversation> {
        let rest = key.strip_prefix(&*self.prefix)?.strip_prefix(":{p")?;
        rest.split_once("}:conv:")?.1.parse().ok()
    }

    /// Where it stands who consumes.
    pub(super) fn consumers(&self) -> String {
        self.partition(0).key("consumers")
    }

    /// Where the version of the schema stands.
    pub(super) fn schema(&self) -> String {
        self.partition(0).key("schema")
    }
}

impl Partition {
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// A key of the partition itself.
    pub(super) fn key(&self, what: &str) -> String {
        format!("{}{what}", self.base)
    }

    fn of(&self, what: &str, name: impl Display) -> String {
        format!("{}{what}:{name}", self.base)
    }

    pub(super) fn starts(&self) -> String {
        self.key("starts")
    }

    pub(super) fn clock(&self) -> String {
        self.key("clock")
    }

    pub(super) fn fence(&self) -> String {
        self.key("fence")
    }

    pub(super) fn outbox(&self) -> String {
        self.key("outbox")
    }

    pub(super) fn confirmed(&self) -> String {
        self.key("confirmed")
    }

    /// What a consumer was told of users.
    pub(super) fn told(&self, consumer: &str) -> String {
        self.of("told", consumer)
    }
}

impl ConversationKeys {
    fn of(&self, what: &str) -> String {
        self.partition.of(what, &self.name)
    }

    pub(super) fn conv(&self) -> String {
        self.of("conv")
    }

    pub(super) fn log(&self) -> String {
        self.of("log")
    }

    pub(super) fn tomb(&self) -> String {
        self.of("tomb")
    }

    pub(super) fn change(&self) -> String {
        self.of("change")
    }

    /// What was sent on even days, and on odd ones.
    pub(super) fn sent(&self) -> [String; 2] {
        [self.of("sent0"), self.of("sent1")]
    }

    pub(super) fn read(&self) -> String {
        self.of("read")
    }

    pub(super) fn member(&self) -> String {
        self.of("member")
    }

    pub(super) fn span(&self) -> String {
        self.of("span")
    }

    pub(super) fn interest(&self) -> String {
        self.of("interest")
    }
}

impl UserKeys {
    /// A key of the user's, named after what it holds.
    pub(super) fn of(&self, what: &str) -> String {
        self.partition.of(what, &self.user)
    }

    pub(super) fn inbox(&self) -> String {
        self.of("inbox")
    }

    pub(super) fn device(&self) -> String {
        self.of("device")
    }

    pub(super) fn changed(&self) -> String {
        self.of("changed")
    }

    pub(super) fn away(&self) -> String {
        self.of("away")
    }

    pub(super) fn presence(&self) -> String {
        self.of("presence")
    }

    pub(super) fn watch(&self) -> String {
        self.of("watch")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Computed by another implementation of XXH64: with any other answer, nothing that is stored would be found.
    #[test]
    fn the_partition_of_a_name_is_fixed_for_ever() {
        for (name, partition) in [("alice", 73), ("u:alice:bob", 1_002), ("g:team", 388)] {
            assert_eq!(partition_of(name), partition, "{name}");
        }
        let long = format!("u:{}:{}", "a".repeat(40), "b".repeat(40));
        assert_eq!(partition_of(&long), 645, "one that is longer than a block of the hash");
    }

    #[test]
    fn keys_of_one_conversation_share_their_partition() {
        let keys = Keys::new("phalanx");
        let user = |name: &str| User::new(name).expect("a name");
        let direct = keys.conversation(&Conversation::direct(user("bob"), user("x:1")));
        let tag = format!("phalanx:{{p{:04}}}:", partition_of("u:bob:x%3A1"));
        assert_eq!(direct.conv(), format!("{tag}conv:u:bob:x%3A1"));
        let [even, odd] = direct.sent();
        for key in [direct.log(), even, odd, direct.partition.starts(), direct.partition.fence()] {
            assert!(key.starts_with(&tag), "{key}");
        }
        assert_eq!(keys.user(&user("bob")).inbox(), keys.user(&user("bob")).of("inbox"));
    }

    #[test]
    fn a_conversation_is_known_by_its_key() {
        let keys = Keys::new("t:1");
        let user = |name: &str| User::new(name).expect("a name");
        for conversation in [
            Conversation::direct(user("bob"), user("x:1")),
            Conversation::Group("}:conv:".trim_matches(['}', ':']).parse().expect("a name")),
        ] {
            let key = keys.conversation(&conversation).conv();
            assert_eq!(keys.conversation_of(&key), Some(conversation), "{key}");
        }
        for other in ["t:2:{p0001}:conv:g:x", "t:1:{p0001}:log:g:x", "t:1:{p0001}:conv:x", "t:1"] {
            assert_eq!(keys.conversation_of(other), None, "{other}");
        }
    }

    #[test]
    fn names_are_spread_over_all_partitions() {
        let mut counts = HashMap::new();
        for n in 0..100 * u32::from(PARTITIONS) {
            *counts.entry(partition_of(&format!("user-{n}"))).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), usize::from(PARTITIONS));
        assert!(counts.values().all(|count| (50..150).contains(count)), "about 100 each");
    }
}
