//! [`Erasure`] in Redis.

use std::collections::BTreeMap;

use async_trait::async_trait;
use redis_link::Call;
use wire::{Conversation, Device, User};

use super::{
    RedisStore, changes,
    failure::unreadable,
    outbox::bound,
    script,
    shards::{Item, text},
    values,
};
use crate::{Erasure, KnownDevice, StoreError};

#[async_trait]
impl Erasure for RedisStore {
    async fn known_devices(&self, user: &User) -> Result<Vec<KnownDevice>, StoreError> {
        let key = self.keys.user(user).device();
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let answers = self.read(vec![Call::command(key, command)]).await?;
        let fields = values::pairs(values::next(&mut answers.into_iter())?)?
            .into_iter()
            .map(|(field, value)| Ok((values::text(field)?, values::text(value)?)))
            .collect::<Result<BTreeMap<String, String>, StoreError>>()?;
        let names = fields.iter().filter(|(field, _)| !field.starts_with('#'));
        names.map(|(name, value)| known_device(name, value, fields.get(&format!("#{name}")))).collect()
    }

    async fn forget_place(&self, user: &User, conversation: &Conversation) -> Result<bool, StoreError> {
        if !self.forget_within(user, conversation).await? {
            return Ok(false);
        }
        // Last: while it is there, whoever died in between is found again.
        self.change_entry(user, conversation, "").await?;
        // One who became a member meanwhile may have been put there before.
        let is_member = conversation.group().is_some() && !self.forget_within(user, conversation).await?;
        if is_member {
            self.change_entry(user, conversation, "1").await?;
        }
        Ok(!is_member)
    }

    async fn forget_devices(&self, user: &User) -> Result<(), StoreError> {
        let waiting = self.consumed_presence().await?;
        let of = self.keys.user(user);
        let mut keys = vec![of.device(), of.presence(), of.away()];
        keys.extend(waiting.map(|_| of.partition.outbox()));
        let item = Item {
            keys,
            arguments: vec![self.cursor_keys(user).into_bytes().into(), text(user.as_str())],
            partition: of.partition,
        };
        let script = script!("tell.lua", "forget_devices.lua");
        self.change(script, &[bound(waiting)], vec![item]).await.map(drop)
    }
}

impl RedisStore {
    /// Forgets what the conversation's partition has of a user; `false` while they are a member.
    async fn forget_within(&self, user: &User, conversation: &Conversation) -> Result<bool, StoreError> {
        let of = self.keys.conversation(conversation);
        let item = Item {
            keys: vec![of.conv(), of.read(), of.member(), of.span(), of.change()],
            arguments: vec![text(user.as_str()), text(changes::field(conversation, user))],
            partition: of.partition,
        };
        let answers = self.change(script!("forget_place.lua"), &[], vec![item]).await?;
        Ok(values::unsigned(values::next(&mut answers.into_iter())?)? == 1)
    }

    /// Takes a conversation out of a user's inbox; with `"1"`, puts it back.
    async fn change_entry(
        &self,
        user: &User,
        conversation: &Conversation,
        put: &str,
    ) -> Result<(), StoreError> {
        let of = self.keys.user(user);
        let item = Item {
            keys: vec![of.inbox(), of.changed()],
            arguments: vec![conversation.to_string().into_bytes().into(), text(put)],
            partition: of.partition,
        };
        self.change_inboxes(script!("version.lua", "forget_entry.lua"), &[], vec![item]).await.map(drop)
    }
}

/// `value` is `<epoch>:<born_at>`.
fn known_device(name: &str, value: &str, seen_at: Option<&String>) -> Result<KnownDevice, StoreError> {
    let device: Device = values::parse(name)?;
    let born_at = value.split_once(':').ok_or_else(|| unreadable("a device", &value))?.1;
    let last_seen_at = seen_at.map(|at| values::parse(at)).transpose()?;
    Ok(KnownDevice { device, born_at: values::parse(born_at)?, last_seen_at })
}
