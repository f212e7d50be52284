//! The ban list: a key a banned user, because it is asked for every ticket.

use async_trait::async_trait;
use redis::Value;
use redis_link::Call;
use wire::User;

use super::{RedisStore, values};
use crate::{Bans, StoreError};

#[async_trait]
impl Bans for RedisStore {
    async fn set_banned(&self, user: &User, banned: bool) -> Result<bool, StoreError> {
        let of = self.keys.user(user);
        let (key, fence) = (of.of("ban"), of.partition.fence());
        let mut command = redis::cmd(if banned { "SET" } else { "DEL" });
        command.arg(&key);
        if banned {
            command.arg("").arg("GET");
        }
        // Taking back what is not there writes nothing; then the replicas are waited for all the same.
        let mut write = redis::cmd("SET");
        write.arg(&fence).arg("");
        let answers = self.write(vec![Call::command(&key, command), Call::command(&fence, write)]).await?;
        let before = values::next(&mut answers.into_iter())?;
        Ok(if banned { before == Value::Nil } else { values::unsigned(before)? > 0 })
    }

    async fn is_banned(&self, user: &User) -> Result<bool, StoreError> {
        let key = self.keys.user(user).of("ban");
        let mut command = redis::cmd("EXISTS");
        command.arg(&key);
        let answers = self.read(vec![Call::command(&key, command)]).await?;
        Ok(values::unsigned(values::next(&mut answers.into_iter())?)? > 0)
    }
}
