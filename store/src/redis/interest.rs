//! Which nodes want hints of which group.

use redis::Value;
use wire::{Group, Incarnation, NodeRef};

use super::{
    RedisStore,
    keys::ConversationKeys,
    script,
    shards::{Argument, Item, number, sort, text},
    values,
};
use crate::{InterestChange, StoreError};

impl RedisStore {
    pub(super) async fn change_interest(
        &self,
        node: &NodeRef,
        changes: &[InterestChange],
    ) -> Result<(), StoreError> {
        let items = changes.iter().map(|InterestChange { group, interested }| {
            let arguments = vec![number(u64::from(*interested))];
            item(self.keys.group(group), arguments)
        });
        let first = [number(node.incarnation.0), text(&node.id)];
        let shards =
            self.shards(script!("version.lua", "live.lua", "set_interest.lua"), &first, items.collect());
        // Interest is said again after a failover, that there is none any more is not.
        if changes.iter().all(|change| change.interested) {
            self.note(shards.calls).await.map(drop)
        } else {
            self.write(shards.calls).await.map(drop)
        }
    }

    pub(super) async fn routing_of(&self, groups: &[Group]) -> Result<Vec<(u64, Vec<NodeRef>)>, StoreError> {
        let items = groups.iter().map(|group| item(self.keys.group(group), Vec::new()));
        let shards = self.shards(script!("live.lua", "routing.lua"), &[], items.collect());
        let answers = self.read(shards.calls).await?;
        sort(answers, shards.items)?.into_iter().map(routing).collect()
    }
}

fn item(of: ConversationKeys, arguments: Vec<Argument<'static>>) -> Item<'static> {
    Item { keys: vec![of.conv(), of.interest(), of.partition.starts()], arguments, partition: of.partition }
}

fn routing(answer: Value) -> Result<(u64, Vec<NodeRef>), StoreError> {
    let mut parts = values::list(answer)?.into_iter();
    let version = values::unsigned(values::next(&mut parts)?)?;
    let nodes = values::pairs(values::next(&mut parts)?)?.into_iter().map(|(id, incarnation)| {
        let incarnation = Incarnation(values::unsigned(incarnation)?);
        Ok(NodeRef { id: values::text(id)?.into(), incarnation })
    });
    Ok((version, nodes.collect::<Result<_, StoreError>>()?))
}
