//! What each device has confirmed.

use redis_link::Call;
use wire::User;

use super::{
    RedisStore, script,
    shards::{Item, number, text},
    values,
};
use crate::{CursorMove, Cursors, DeviceKey, Moved, StoreError};

impl RedisStore {
    /// One hash a device: conversation → `seq`. No name holds a slash.
    fn cursor_key(&self, key: &DeviceKey) -> String {
        format!("{}{}", self.cursor_keys(&key.user), key.device)
    }

    /// What the names of a user's hashes begin with.
    pub(super) fn cursor_keys(&self, user: &User) -> String {
        format!("{}/", self.keys.user(user).of("cursor"))
    }

    pub(super) async fn cursors_of(&self, key: &DeviceKey) -> Result<Cursors, StoreError> {
        let hash = self.cursor_key(key);
        let mut command = redis::cmd("HGETALL");
        command.arg(&hash);
        let partition = self.keys.user(&key.user).partition;
        let answers = self.read_confirmed(vec![Call::command(&hash, command)], [partition]).await?;
        let cursors = values::pairs(values::next(&mut answers.into_iter())?)?;
        cursors
            .into_iter()
            .map(|(conversation, seq)| Ok((values::parsed(conversation)?, values::unsigned(seq)?)))
            .collect()
    }

    pub(super) async fn move_all(&self, batch: &[CursorMove]) -> Result<Vec<Moved>, StoreError> {
        let items = batch.iter().map(|CursorMove { key, epoch, cursors }| {
            let of = self.keys.user(&key.user);
            let mut arguments = vec![text(key.device.as_str()), number(*epoch), number(cursors.len() as u64)];
            for (conversation, seq) in cursors {
                arguments.extend([conversation.to_string().into_bytes().into(), number(*seq)]);
            }
            let keys = vec![of.device(), self.cursor_key(key)];
            Item { keys, arguments, partition: of.partition }
        });
        let answers = self.change(script!("move_cursors.lua"), &[], items.collect()).await?;
        let moved = |answer| match values::text(answer)?.as_str() {
            "done" => Ok(Moved::Done),
            "replaced" => Ok(Moved::Replaced),
            "unknown" => Ok(Moved::Unknown),
            other => Err(StoreError::Corrupt(format!("of a cursor it is said: {other:?}"))),
        };
        answers.into_iter().map(moved).collect()
    }
}
