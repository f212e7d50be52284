//! Which nodes watch whose presence, and whose messages.

use async_trait::async_trait;
use redis::Value;
use wire::{Incarnation, NodeRef};

use super::{
    RedisStore, script,
    shards::{Item, number, text},
    values,
};
use crate::{StoreError, WatchChange, Watched};

#[async_trait]
impl crate::Watching for RedisStore {
    async fn set_watched(&self, node: &NodeRef, changes: Vec<WatchChange>) -> Result<(), StoreError> {
        let items = changes.iter().map(|WatchChange { user, what, watched }| {
            let of = self.keys.user(user);
            Item {
                keys: vec![of.watch(), of.presence(), of.partition.starts()],
                arguments: vec![number(u64::from(*watched)), number(u64::from(*what == Watched::Messages))],
                partition: of.partition,
            }
        });
        let first = [number(node.incarnation.0), text(&node.id)];
        let script = script!("version.lua", "live.lua", "watchers.lua", "set_watched.lua");
        // No replica is waited for: what a failover takes back is said again, and one that was not taken back lapses.
        self.note(self.shards(script, &first, items.collect()).calls).await.map(drop)
    }
}

/// The nodes that `watchers.lua` answers.
pub(super) fn nodes(answer: Value) -> Result<Vec<NodeRef>, StoreError> {
    let node = |(id, incarnation)| {
        let incarnation = Incarnation(values::unsigned(incarnation)?);
        Ok(NodeRef { id: values::text(id)?.into(), incarnation })
    };
    values::pairs(answer)?.into_iter().map(node).collect()
}
