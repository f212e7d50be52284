//! What an operation works with: the transaction under way and what the writer remembers.

use parking_lot::RwLock;
use rusqlite::{Connection, OptionalExtension};
use wire::Conversation;

use super::{
    cache::Cache,
    conversations::{self, Row},
    failure::unsigned,
    live::Live,
};
use crate::{DeviceKey, outbox::Wanted};

/// Conversations that the writer remembers in each of two generations, about 250 bytes each: 32 MiB at most.
const CONVERSATIONS: usize = 65_536;
/// Devices whose epoch it remembers in each of two generations, about 100 bytes each: 25 MiB at most.
const EPOCHS: usize = 131_072;

/// What the writer remembers: rows that it would otherwise read for each append.
pub(super) struct Memory {
    rows: Cache<Conversation, Row>,
    epochs: Cache<DeviceKey, u64>,
    dirty: Vec<Conversation>,
    undo: Vec<Undo>,
}

/// How a failed operation's traces in memory are taken back.
enum Undo {
    Row(Conversation, Option<Row>),
    Epoch(DeviceKey),
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            rows: Cache::new(CONVERSATIONS),
            epochs: Cache::new(EPOCHS),
            dirty: Vec::new(),
            undo: Vec::new(),
        }
    }

    /// What was done so far stays, unless the whole transaction fails.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
    }

    /// Takes back what was done since the last [`Memory::keep`].
    pub(super) fn take_back(&mut self) {
        for undo in self.undo.drain(..).rev() {
            match undo {
                Undo::Row(conversation, Some(row)) => self.rows.insert(conversation, row),
                Undo::Row(conversation, None) => self.rows.remove(&conversation),
                Undo::Epoch(key) => self.epochs.remove(&key),
            }
        }
    }

    /// Writes back the rows that differ from the tables.
    pub(super) fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for conversation in self.dirty.drain(..) {
            if let Some(row) = self.rows.get_mut(&conversation)
                && row.dirty
            {
                row.dirty = false;
                conversations::save(connection, row)?;
            }
        }
        Ok(())
    }

    /// After a commit: keeps within the bounds.
    pub(super) fn trim(&mut self) {
        self.rows.trim();
        self.epochs.trim();
    }

    /// After a failed transaction: what is remembered may not be true.
    pub(super) fn forget(&mut self) {
        self.rows.clear();
        self.epochs.clear();
        self.dirty.clear();
        self.undo.clear();
    }
}

/// The transaction under way, for one operation.
pub(super) struct Unit<'a> {
    pub(super) connection: &'a Connection,
    pub(super) memory: &'a mut Memory,
    pub(super) live: &'a RwLock<Live>,
    /// The time of the transaction.
    pub(super) now: i64,
    /// How many cids were noted in this transaction.
    pub(super) cids: usize,
    /// Whether a device was born that does not own the past.
    pub(super) births: bool,
    /// What consumers want to be written down.
    pub(super) wanted: Wanted,
}

impl Unit<'_> {
    /// A conversation as it is now; `None` where nothing was ever stored about it.
    pub(super) fn row(&mut self, conversation: &Conversation) -> rusqlite::Result<Option<Row>> {
        if let Some(row) = self.memory.rows.get_mut(conversation) {
            return Ok(Some(*row));
        }
        let found = conversations::find(self.connection, conversation)?;
        if let Some(row) = found {
            self.memory.rows.insert(conversation.clone(), row);
        }
        Ok(found)
    }

    /// A conversation as it is now, made if there was none.
    pub(super) fn row_or_new(&mut self, conversation: &Conversation) -> rusqlite::Result<Row> {
        if let Some(row) = self.row(conversation)? {
            return Ok(row);
        }
        let row = conversations::create(self.connection, conversation)?;
        self.memory.undo.push(Undo::Row(conversation.clone(), None));
        self.memory.rows.insert(conversation.clone(), row);
        Ok(row)
    }

    /// Changes a conversation that [`Unit::row`] or [`Unit::row_or_new`] answered; it is written before the commit.
    pub(super) fn set_row(&mut self, conversation: &Conversation, mut row: Row) {
        row.dirty = true;
        let before = self.memory.rows.get_mut(conversation).map(|slot| std::mem::replace(slot, row));
        if before.is_none_or(|before| !before.dirty) {
            self.memory.dirty.push(conversation.clone());
        }
        self.memory.undo.push(Undo::Row(conversation.clone(), before));
    }

    /// The epoch of a device's last connection; 0 where it never connected.
    pub(super) fn epoch(&mut self, key: &DeviceKey) -> rusqlite::Result<u64> {
        if let Some(epoch) = self.memory.epochs.get_mut(key) {
            return Ok(*epoch);
        }
        let epoch = self
            .connection
            .prepare_cached("SELECT epoch FROM device WHERE user = ?1 AND device = ?2")?
            .query_row([key.user.as_str(), key.device.as_str()], |row| unsigned(row, 0))
            .optional()?
            .unwrap_or(0);
        self.memory.epochs.insert(key.clone(), epoch);
        Ok(epoch)
    }

    /// A device's epoch was written.
    pub(super) fn set_epoch(&mut self, key: &DeviceKey, epoch: u64) {
        self.memory.undo.push(Undo::Epoch(key.clone()));
        self.memory.epochs.insert(key.clone(), epoch);
    }
}
