//! Which nodes hold members of which room.

use redis::Value;
use wire::{Incarnation, NodeRef, Room};

use super::{
    RedisStore,
    failure::unreadable,
    script,
    shards::{Argument, Item, number, sort, text},
    values,
};
use crate::{RoomCount, RoomHolder, StoreError};

impl RedisStore {
    pub(super) async fn change_rooms(
        &self,
        node: &NodeRef,
        counts: &[RoomCount],
    ) -> Result<Vec<Vec<RoomHolder>>, StoreError> {
        let items =
            counts.iter().map(|RoomCount { room, members }| self.room_item(room, vec![number(*members)]));
        let first = [number(node.incarnation.0), text(&node.id)];
        let script = script!("live.lua", "holders.lua", "set_room_members.lua");
        let shards = self.shards(script, &first, items.collect());
        // As with interest: what a node holds is said again after a failover, that it holds nothing any more is not.
        let answers = if counts.iter().all(|count| count.members > 0) {
            self.note(shards.calls).await?
        } else {
            self.write(shards.calls).await?
        };
        sort(answers, shards.items)?.into_iter().map(holders).collect()
    }

    pub(super) async fn holders_of(&self, rooms: &[Room]) -> Result<Vec<Vec<RoomHolder>>, StoreError> {
        let items = rooms.iter().map(|room| self.room_item(room, Vec::new()));
        let shards =
            self.shards(script!("live.lua", "holders.lua", "room_members.lua"), &[], items.collect());
        let answers = self.read(shards.calls).await?;
        sort(answers, shards.items)?.into_iter().map(holders).collect()
    }

    fn room_item(&self, room: &Room, arguments: Vec<Argument<'static>>) -> Item<'static> {
        let (partition, key) = self.keys.room(room);
        Item { keys: vec![key, partition.starts()], arguments, partition }
    }
}

fn holders(answer: Value) -> Result<Vec<RoomHolder>, StoreError> {
    values::pairs(answer)?
        .into_iter()
        .map(|(node, held)| {
            let held = values::text(held)?;
            let (incarnation, members) = held
                .split_once(' ')
                .ok_or_else(|| unreadable("a room", &"expected incarnation and members"))?;
            let incarnation = Incarnation(values::parse(incarnation)?);
            let node = NodeRef { id: values::text(node)?.into(), incarnation };
            Ok(RoomHolder { node, members: values::parse(members)? })
        })
        .collect()
}
