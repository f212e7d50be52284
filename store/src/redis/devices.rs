//! [`Devices`] in Redis: which file does what; connections and their epochs.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use async_trait::async_trait;
use redis::Value;
use redis_link::Call;
use wire::{Group, NodeRef, Room, User};

use super::{
    RedisStore,
    failure::{failed, unreadable},
    keys::PARTITIONS,
    outbox::bound,
    presence::Entry,
    script,
    shards::{Item, number, text},
    values, watching,
};
use crate::{
    Connect, Connected, CursorMove, Cursors, DeviceKey, Devices, Disconnect, Evicted, Held, InterestChange,
    Moved, RoomCount, RoomHolder, StoreError, UserPresence,
};

#[async_trait]
impl Devices for RedisStore {
    async fn enter(&self, node: &NodeRef) -> Result<(), StoreError> {
        let items = self.keys.partitions().map(|partition| Item {
            keys: vec![partition.starts()],
            partition,
            arguments: Vec::new(),
        });
        let first = [number(node.incarnation.0), text(&node.id)];
        let shards = self.shards(script!("enter.lua"), &first, items.collect());
        self.note(shards.calls).await.map(drop)
    }

    async fn connect(&self, batch: Vec<Connect>) -> Result<Vec<Connected>, StoreError> {
        let waiting = self.consumed_presence().await?;
        let items = batch.iter().map(|Connect { key, node, limits }| {
            let of = self.keys.user(&key.user);
            let mut keys = vec![of.device(), of.presence(), of.partition.starts(), of.away(), of.watch()];
            keys.extend(waiting.map(|_| of.partition.outbox()));
            Item {
                keys,
                arguments: vec![
                    text(key.user.as_str()),
                    text(key.device.as_str()),
                    number(node.incarnation.0),
                    text(&node.id),
                    number(limits.most.max(1) as u64),
                    number(limits.forget_after_ms),
                    self.cursor_keys(&key.user).into_bytes().into(),
                ],
                partition: of.partition,
            }
        });
        let script = script!(
            "version.lua",
            "live.lua",
            "seen.lua",
            "forget.lua",
            "watchers.lua",
            "tell.lua",
            "connect.lua"
        );
        let answers = self.change(script, &[bound(waiting)], items.collect()).await?;
        answers.into_iter().map(connected).collect()
    }

    async fn disconnect(&self, batch: Vec<Disconnect>) -> Result<Vec<Vec<NodeRef>>, StoreError> {
        let waiting = self.consumed_presence().await?;
        let items = batch.iter().map(|Disconnect { key, epoch, received }| {
            let of = self.keys.user(&key.user);
            let mut keys = vec![of.device(), of.presence(), of.away(), of.watch(), of.partition.starts()];
            keys.extend(waiting.map(|_| of.partition.outbox()));
            Item {
                keys,
                arguments: vec![
                    text(key.user.as_str()),
                    text(key.device.as_str()),
                    number(*epoch),
                    number(u64::from(*received)),
                ],
                partition: of.partition,
            }
        });
        let script =
            script!("version.lua", "live.lua", "seen.lua", "watchers.lua", "tell.lua", "disconnect.lua");
        // Nobody says an end again after a failover, so it is confirmed.
        let answers = self.change(script, &[bound(waiting)], items.collect()).await?;
        answers.into_iter().map(watching::nodes).collect()
    }

    async fn generation(&self) -> Result<u64, StoreError> {
        self.check_schema().await?;
        let mut servers = BTreeMap::new();
        let partitions = if self.is_cluster() { PARTITIONS } else { 1 };
        for partition in self.keys.partitions().take(partitions.into()) {
            let key = partition.starts();
            servers.entry(self.link.owner(&key).await.map_err(failed)?).or_insert(key);
        }
        let script = script!("generation.lua");
        let call = |key: &String| Call::script(key, script, &[key], &[] as &[&str]);
        let answers = self.run(servers.values().map(call).collect(), false).await?;
        let lives = answers.into_iter().map(values::text).collect::<Result<BTreeSet<_>, _>>()?;
        // With fixed keys: the same for every caller.
        let mut hasher = DefaultHasher::new();
        lives.hash(&mut hasher);
        Ok(hasher.finish())
    }

    async fn assert_presence(&self, node: &NodeRef, batch: Vec<Held>) -> Result<Vec<bool>, StoreError> {
        self.assert_held(node, &batch).await
    }

    async fn cursors(&self, key: &DeviceKey) -> Result<Cursors, StoreError> {
        self.cursors_of(key).await
    }

    async fn move_cursors(&self, batch: Vec<CursorMove>) -> Result<Vec<Moved>, StoreError> {
        self.move_all(&batch).await
    }

    async fn set_interest(&self, node: &NodeRef, changes: Vec<InterestChange>) -> Result<(), StoreError> {
        self.change_interest(node, &changes).await
    }

    async fn routing(&self, groups: Vec<Group>) -> Result<Vec<(u64, Vec<NodeRef>)>, StoreError> {
        self.routing_of(&groups).await
    }

    async fn set_room_members(
        &self,
        node: &NodeRef,
        counts: Vec<RoomCount>,
    ) -> Result<Vec<Vec<RoomHolder>>, StoreError> {
        self.change_rooms(node, &counts).await
    }

    async fn room_members(&self, rooms: Vec<Room>) -> Result<Vec<Vec<RoomHolder>>, StoreError> {
        self.holders_of(&rooms).await
    }

    async fn presence(&self, users: Vec<User>) -> Result<Vec<UserPresence>, StoreError> {
        self.presence_of(&users).await
    }
}

impl RedisStore {
    /// Writes what nodes say again after a failover: no replica is waited for.
    pub(super) async fn note(&self, calls: Vec<Call>) -> Result<Vec<Value>, StoreError> {
        self.check_schema().await?;
        self.run(calls, false).await
    }
}

fn connected(answer: Value) -> Result<Connected, StoreError> {
    let mut parts = values::list(answer)?.into_iter();
    let mut next = || values::next(&mut parts);
    let (epoch, born_at) = (values::unsigned(next()?)?, values::signed(next()?)?);
    let (known, since_at) = (values::unsigned(next()?)? == 1, values::signed(next()?)?);
    let held = values::optional(next()?, values::text)?;
    let previous = held.as_deref().map(str::parse::<Entry>).transpose();
    let previous = previous.map_err(|error| unreadable("a connection", &error))?;
    let previous = previous.map(|entry| (entry.node, entry.epoch));
    let away_since = values::signed(next()?)?;
    let mut evicted = Vec::new();
    for (device, entry) in values::pairs(next()?)? {
        let Entry { node, epoch, .. } = values::parsed(entry)?;
        evicted.push(Evicted { device: values::parsed(device)?, node, epoch });
    }
    let watchers = watching::nodes(next()?)?;
    Ok(Connected { epoch, born_at, known, since_at, previous, away_since, evicted, watchers })
}
