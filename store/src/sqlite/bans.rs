//! The ban list: durable, and whole in memory, since it is asked for every ticket.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use wire::User;

use super::{
    SqliteStore,
    failure::parsed,
    job::{Operation, Weight},
    live::Live,
    unit::Unit,
};
use crate::{Bans, StoreError};

struct SetBanned {
    user: User,
    banned: bool,
}

impl Operation for SetBanned {
    type Written = bool;
    type Answer = bool;

    fn weight(&self) -> Weight {
        Weight { rows: 1, bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<bool> {
        let user = self.user.as_str();
        let changed = if self.banned {
            unit.connection
                .prepare_cached("INSERT INTO ban (user, banned_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                .execute(params![user, unit.now])?
        } else {
            unit.connection.prepare_cached("DELETE FROM ban WHERE user = ?1")?.execute([user])?
        };
        Ok(changed > 0)
    }

    fn settle(self, changed: bool, live: &mut Live) -> bool {
        if self.banned {
            live.banned.insert(self.user);
        } else {
            live.banned.remove(&self.user);
        }
        changed
    }
}

/// Everybody who is banned, about 100 bytes each.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<User>> {
    connection.prepare("SELECT user FROM ban")?.query_map([], |row| parsed(row, 0))?.collect()
}

#[async_trait]
impl Bans for SqliteStore {
    async fn set_banned(&self, user: &User, banned: bool) -> Result<bool, StoreError> {
        self.write(SetBanned { user: user.clone(), banned }).await
    }

    async fn is_banned(&self, user: &User) -> Result<bool, StoreError> {
        Ok(self.live.read().banned.contains(user))
    }
}
