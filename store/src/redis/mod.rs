//! The store on Redis: a single server, a primary that sentinels watch, or a cluster.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`RedisStore`]: asking, waiting for replicas, fences |
//! | `options.rs` | [`RedisOptions`] |
//! | `keys.rs` | partitions, the names of keys and what each holds |
//! | `record.rs` | the bytes of a message |
//! | `values.rs`, `failure.rs` | reading answers; errors |
//! | `shards.rs` | what may go into one script call |
//! | `rooms.rs` and its scripts | which nodes hold members of rooms |
//! | `live.lua`, `version.lua`, `fence.lua`, `head.lua`, `tomb.lua`, `search.lua`, `spans.lua`, `changes.lua` | parts that several scripts share |
//! | `messages.rs` | [`crate::Messages`]: which file does what |
//! | `append.rs`, `append.lua` | appending; `bump.rs`, `bump.lua`: inboxes in a cluster |
//! | `pages.rs`, `pages.lua`, `seq_at.lua`, `sent_within.lua` | reading messages |
//! | `changes.rs`, `mark_read.lua`, `recall.lua`, `list_changes.lua` | read marks, recalled messages, the change log; `note_changes.lua`: inboxes in a cluster |
//! | `inboxes.rs` | inboxes, their versions, read marks |
//! | `groups.rs`, `members.rs` and their scripts | groups; changes of members |
//! | `devices.rs` and its scripts | [`crate::Devices`]: which file does what; connections, starts of nodes, the generation; `forget.lua`: devices that are forgotten |
//! | `presence.rs`, `cursors.rs`, `interest.rs` and their scripts | who is where; cursors; routing |
//! | `watching.rs`, `set_watched.lua` | [`crate::Watching`]; `watchers.lua`: what connecting and disconnecting read of it |
//! | `erasure.rs`, `forget_place.lua`, `forget_entry.lua`, `forget_devices.lua` | [`crate::Erasure`] |
//! | `bans.rs`, `reports.rs` | the ban list; the nodes' last reports |
//! | `retention.rs`, `trim.lua` | [`crate::Retention`] |
//! | `outbox.rs` and its scripts | [`crate::Outbox`]; `tell.lua`: what scripts write there |
//!
//! **Atomic** is what one script does. It touches one partition in a cluster, any number elsewhere, so that a direct
//! message is one step on a single server (or with sentinels): append, both inboxes, routing. In a cluster it is two,
//! the append first; who dies in between has acknowledged nothing, and the repetition bumps.
//!
//! **Durable** is what the wanted replicas have confirmed: each round of writes ends with a `WAIT`, also where another
//! round follows, since a failover between the two could take back the first and leave the second. What is answered from
//! reading may come from a write that nobody has confirmed yet; so a read that decides what a device is given ends with a
//! write of nothing and a `WAIT` (a fence): what was read before it is then confirmed, too.

mod append;
mod bans;
mod bump;
mod changes;
mod cursors;
mod devices;
mod erasure;
mod failure;
mod groups;
mod inboxes;
mod interest;
mod keys;
mod members;
mod messages;
mod options;
mod outbox;
mod pages;
mod presence;
mod record;
mod reports;
mod retention;
mod rooms;
mod shards;
mod values;
mod watching;

use std::collections::BTreeMap;

use redis::Value;
use redis_link::{Call, LeaseStanding, Link, LinkError, Mode};
use tokio::sync::{OnceCell, watch};

use self::keys::{Keys, Partition};
pub use self::options::RedisOptions;
use crate::StoreError;

/// The version of the keys and what they hold; see `keys.rs`.
const SCHEMA: u64 = 1;

/// A script of the files, one after the other.
macro_rules! script {
    ($($file:literal),+ $(,)?) => {{
        static SCRIPT: std::sync::LazyLock<redis::Script> =
            std::sync::LazyLock::new(|| redis::Script::new(concat!($(include_str!($file), "\n"),+)));
        &*SCRIPT
    }};
}
use script;

/// The store of a cluster, in Redis. Many processes use the same one.
pub struct RedisStore {
    link: Link,
    keys: Keys,
    options: RedisOptions,
    /// What consumers want to be written down.
    seen: outbox::Seen,
    /// Set once the schema was seen to be one that this program knows, and it was read who consumes.
    checked: OnceCell<()>,
}

impl RedisStore {
    /// Connects with the first call, not here; that one also checks the schema.
    ///
    /// # Errors
    /// [`LinkError::Options`] where the options do not fit together.
    pub fn open(options: RedisOptions) -> Result<Self, LinkError> {
        options.check()?;
        let link = Link::new(options.link.clone())?;
        let (keys, seen) = (Keys::new(&options.prefix), outbox::Seen::default());
        Ok(Self { link, keys, options, seen, checked: OnceCell::new() })
    }

    /// The way to Redis: it counts what is asked.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// How the lease stands under which what is written counts; `None` where none is held.
    pub fn lease(&self) -> Option<watch::Receiver<LeaseStanding>> {
        self.options.wait.and_then(|_| self.link.lease())
    }

    /// Whether keys of different partitions may not meet in one script.
    fn is_cluster(&self) -> bool {
        self.options.link.mode == Mode::Cluster
    }

    /// Writes; answers once the replicas have it.
    async fn write(&self, calls: Vec<Call>) -> Result<Vec<Value>, StoreError> {
        self.check_schema().await?;
        self.run(calls, true).await
    }

    /// Reads what nobody builds a promise on.
    async fn read(&self, calls: Vec<Call>) -> Result<Vec<Value>, StoreError> {
        self.check_schema().await?;
        self.run(calls, false).await
    }

    /// Reads from `partitions` what no failover may take back.
    async fn read_confirmed(
        &self,
        mut calls: Vec<Call>,
        partitions: impl IntoIterator<Item = Partition>,
    ) -> Result<Vec<Value>, StoreError> {
        self.check_schema().await?;
        if self.options.wait.is_none() {
            return self.run(calls, false).await;
        }
        let wanted = calls.len();
        let mut partitions: BTreeMap<u16, Partition> =
            partitions.into_iter().map(|partition| (partition.number(), partition)).collect();
        if !self.is_cluster() {
            // One server has them all.
            partitions = partitions.into_iter().take(1).collect();
        }
        for partition in partitions.into_values() {
            let key = partition.fence();
            calls.push(Call::script(&key, script!("fence.lua"), &[&key], &["1"]));
        }
        let mut answers = self.run(calls, true).await?;
        answers.truncate(wanted);
        Ok(answers)
    }

    async fn run(&self, calls: Vec<Call>, wait: bool) -> Result<Vec<Value>, StoreError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let wait = self.options.wait.filter(|_| wait);
        self.link.run(calls, wait).await.map_err(failure::failed)
    }

    async fn check_schema(&self) -> Result<(), StoreError> {
        let check = async || {
            let key = self.keys.schema();
            let mut command = redis::cmd("SET");
            command.arg(&key).arg(SCHEMA).arg("NX").arg("GET");
            let answers = self.run(vec![Call::command(&key, command)], false).await?;
            let found = values::unsigned(values::next(&mut answers.into_iter())?)?;
            if found > SCHEMA {
                return Err(StoreError::Schema { place: format!("redis, {key}"), found, known: SCHEMA });
            }
            self.look_who_consumes().await
        };
        self.checked.get_or_try_init(check).await.copied()
    }
}
