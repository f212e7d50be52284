//! Inboxes, their versions, read marks.

use redis::Value;
use redis_link::Call;
use wire::{Conversation, User};

use super::{RedisStore, values};
use crate::{Inbox, StoreError};

/// The field of an inbox that holds its version; no conversation has such a name.
const VERSION: &str = "#";

impl RedisStore {
    pub(super) async fn read_inbox(&self, user: &User) -> Result<Inbox, StoreError> {
        let keys = self.keys.user(user);
        let key = keys.inbox();
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let answers = self.read_confirmed(vec![Call::command(key, command)], [keys.partition]).await?;
        inbox(values::next(&mut answers.into_iter())?)
    }

    pub(super) async fn read_inbox_versions(&self, users: &[User]) -> Result<Vec<u64>, StoreError> {
        let keys: Vec<_> = users.iter().map(|user| self.keys.user(user)).collect();
        let calls = keys.iter().map(|keys| field(keys.inbox(), VERSION)).collect();
        let partitions = keys.into_iter().map(|keys| keys.partition);
        let answers = self.read_confirmed(calls, partitions).await?;
        answers.into_iter().map(values::unsigned).collect()
    }

    pub(super) async fn read_inbox_sizes(&self, users: &[User]) -> Result<Vec<u64>, StoreError> {
        let size = |user: &User| {
            let key = self.keys.user(user).inbox();
            let mut command = redis::cmd("HLEN");
            command.arg(&key);
            Call::command(key, command)
        };
        let answers = self.read(users.iter().map(size).collect()).await?;
        // One field is the version.
        answers.into_iter().map(|size| Ok(values::unsigned(size)?.saturating_sub(1))).collect()
    }

    pub(super) async fn read_marks(&self, of: &[(User, Conversation)]) -> Result<Vec<u64>, StoreError> {
        let calls = of
            .iter()
            .map(|(user, conversation)| {
                let keys = self.keys.conversation(conversation);
                match conversation {
                    Conversation::Group(_) => field(keys.read(), user.as_str()),
                    Conversation::Direct(first, _) if first == user => field(keys.conv(), "a"),
                    Conversation::Direct(_, second) if second == user => field(keys.conv(), "b"),
                    // Somebody else's: there is no such field.
                    Conversation::Direct(..) => field(keys.conv(), ""),
                }
            })
            .collect();
        self.read(calls).await?.into_iter().map(values::unsigned).collect()
    }
}

fn field(key: String, field: &str) -> Call {
    let mut command = redis::cmd("HGET");
    command.arg(&key).arg(field);
    Call::command(key, command)
}

/// One moment's: the version is never newer than the rest.
fn inbox(answer: Value) -> Result<Inbox, StoreError> {
    let mut inbox = Inbox::default();
    for (field, value) in values::pairs(answer)? {
        let field = values::text(field)?;
        if field == VERSION {
            inbox.version = values::unsigned(value)?;
            continue;
        }
        match values::parse(&field)? {
            Conversation::Group(group) => inbox.groups.push(group),
            direct @ Conversation::Direct(..) => inbox.direct.push((direct, values::unsigned(value)?)),
        }
    }
    Ok(inbox)
}
