//! [`Erasure`] in SQLite.

use async_trait::async_trait;
use rusqlite::params;
use wire::{Conversation, Device, User};

use super::{
    SqliteStore,
    append::is_member,
    failure::parsed,
    forget,
    job::{Operation, Weight},
    live::Live,
    outbox,
    unit::Unit,
};
use crate::{DeviceKey, Erasure, KnownDevice, StoreError};

#[async_trait]
impl Erasure for SqliteStore {
    async fn known_devices(&self, user: &User) -> Result<Vec<KnownDevice>, StoreError> {
        let user = user.clone();
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT device, born_at, seen_at FROM device WHERE user = ?1 ORDER BY device",
                    )?
                    .query_map([user.as_str()], |row| {
                        let seen_at: i64 = row.get(2)?;
                        Ok(KnownDevice {
                            device: parsed(row, 0)?,
                            born_at: row.get(1)?,
                            last_seen_at: (seen_at > 0).then_some(seen_at),
                        })
                    })?
                    .collect()
            })
            .await
    }

    async fn forget_place(&self, user: &User, conversation: &Conversation) -> Result<bool, StoreError> {
        self.write(ForgetPlace { user: user.clone(), conversation: conversation.clone() }).await
    }

    async fn forget_devices(&self, user: &User) -> Result<(), StoreError> {
        self.write(ForgetDevices { user: user.clone() }).await
    }
}

struct ForgetPlace {
    user: User,
    conversation: Conversation,
}

impl Operation for ForgetPlace {
    type Written = bool;
    type Answer = bool;

    fn weight(&self) -> Weight {
        Weight { rows: 5, bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<bool> {
        let Some(mut row) = unit.row(&self.conversation)? else { return Ok(true) };
        if self.conversation.group().is_some() && is_member(unit, row.id, &self.user)? {
            return Ok(false);
        }
        for sql in [
            "DELETE FROM read_mark WHERE conversation = ?1 AND user = ?2",
            "DELETE FROM member WHERE conversation = ?1 AND user = ?2",
            "DELETE FROM change WHERE conversation = ?1 AND user = ?2",
            "DELETE FROM inbox WHERE conversation = ?1 AND user = ?2",
        ] {
            unit.connection.prepare_cached(sql)?.execute(params![row.id, self.user.as_str()])?;
        }
        if let Conversation::Direct(first, second) = &self.conversation {
            if *first == self.user {
                row.first_read = 0;
            }
            if *second == self.user {
                row.second_read = 0;
            }
            row.in_inboxes = false;
            unit.set_row(&self.conversation, row);
        }
        Ok(true)
    }

    fn settle(self, is_forgotten: bool, live: &mut Live) -> bool {
        if is_forgotten {
            live.inboxes.bump(&self.user);
        }
        is_forgotten
    }
}

struct ForgetDevices {
    user: User,
}

impl Operation for ForgetDevices {
    type Written = ();
    type Answer = ();

    fn weight(&self) -> Weight {
        Weight { rows: 20, bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<()> {
        let user = self.user.as_str();
        let devices: Vec<Device> = unit
            .connection
            .prepare_cached("SELECT device FROM device WHERE user = ?1")?
            .query_map([user], |row| parsed(row, 0))?
            .collect::<rusqlite::Result<_>>()?;
        for device in devices {
            forget::forget(unit, &DeviceKey { user: self.user.clone(), device })?;
        }
        unit.connection.prepare_cached("DELETE FROM seen WHERE user = ?1")?.execute([user])?;
        // So that a consumer forgets too what it was told of the user.
        outbox::note_presence(unit, &self.user)
    }

    fn settle(self, (): (), live: &mut Live) {
        for held in live.presence.devices(&self.user) {
            live.presence.evict(&self.user, &held.device);
        }
    }
}
