//! Bumping inboxes where that is a step of its own: in a cluster.

use std::collections::BTreeMap;

use wire::{Conversation, NodeRef, User};

use super::{
    RedisStore,
    append::{self, Ran},
    shards::{Item, number, text},
};
use crate::StoreError;

impl RedisStore {
    /// Puts the conversations that have come further into their users' inboxes, and learns where the users are.
    pub(super) async fn bump(&self, ran: Vec<(&Conversation, &mut Ran)>) -> Result<(), StoreError> {
        let mut of: BTreeMap<&User, Vec<(String, u64)>> = BTreeMap::new();
        for (conversation, ran) in ran.iter().filter(|(_, ran)| ran.has_taken()) {
            for user in conversation.users() {
                of.entry(user).or_default().push((conversation.to_string(), ran.last_seq));
            }
        }
        let items = of
            .iter()
            .map(|(user, conversations)| {
                let keys = self.keys.user(user);
                let mut arguments = vec![number(conversations.len() as u64)];
                for (name, seq) in conversations {
                    arguments.extend([text(name), number(*seq)]);
                }
                Item { keys: vec![keys.inbox(), keys.presence()], partition: keys.partition, arguments }
            })
            .collect();
        let script = super::script!("version.lua", "live.lua", "bump.lua");
        let answers = self.change_inboxes(script, &[], items).await?;
        let nodes: BTreeMap<&User, Vec<NodeRef>> = of
            .keys()
            .copied()
            .zip(answers)
            .map(|(user, answer)| Ok((user, append::nodes(answer)?)))
            .collect::<Result<_, StoreError>>()?;
        for (conversation, ran) in ran {
            for node in conversation.users().filter_map(|user| nodes.get(user)).flatten() {
                if !ran.nodes.contains(node) {
                    ran.nodes.push(node.clone());
                }
            }
        }
        Ok(())
    }
}
