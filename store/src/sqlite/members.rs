//! Changes of a group's members.

use rusqlite::params;
use wire::{Conversation, Group, User};

use super::{
    failure::{parsed, signed, unsigned},
    job::{Operation, Weight},
    live::Live,
    unit::Unit,
};
use crate::MembersChanged;

pub(super) enum Change {
    Add(Vec<User>),
    Remove(Vec<User>),
    /// Removes all members and the group's settings.
    Delete,
}

pub(super) struct ChangeMembers {
    pub(super) group: Group,
    pub(super) change: Change,
}

pub(super) struct Written {
    members_version: u64,
    members: u64,
    changed: Vec<User>,
}

impl Operation for ChangeMembers {
    type Written = Option<Written>;
    type Answer = Option<MembersChanged>;

    fn weight(&self) -> Weight {
        let rows = match &self.change {
            Change::Add(users) | Change::Remove(users) => users.len(),
            Change::Delete => 1,
        };
        Weight { rows, bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<Option<Written>> {
        let conversation = Conversation::Group(self.group.clone());
        let Some(mut row) = unit.row(&conversation)?.filter(|row| row.is_group) else { return Ok(None) };
        let next_seq = row.last_seq + 1;
        let changed = match &self.change {
            Change::Add(users) => add(unit, row.id, next_seq, users)?,
            Change::Remove(users) => remove(unit, row.id, next_seq, users)?,
            Change::Delete => {
                let users = everybody(unit, row.id)?;
                remove(unit, row.id, next_seq, &users)?
            }
        };
        let members = match &self.change {
            Change::Add(_) => count(unit, row.id, signed(changed.len() as u64))?,
            Change::Remove(_) => count(unit, row.id, -signed(changed.len() as u64))?,
            Change::Delete => {
                unit.connection
                    .prepare_cached("DELETE FROM chat_group WHERE conversation = ?1")?
                    .execute([row.id])?;
                0
            }
        };
        let deleted = matches!(self.change, Change::Delete);
        if deleted || !changed.is_empty() {
            row.members_version += 1;
            row.is_group = !deleted;
            unit.set_row(&conversation, row);
        }
        Ok(Some(Written { members_version: row.members_version, members, changed }))
    }

    fn settle(self, written: Option<Written>, live: &mut Live) -> Option<MembersChanged> {
        let Written { members_version, members, changed } = written?;
        let nodes = live.bump(changed.iter());
        Some(MembersChanged { members_version, members, changed, nodes })
    }
}

/// Answers who was not a member before.
fn add(unit: &Unit<'_>, group: i64, next_seq: u64, users: &[User]) -> rusqlite::Result<Vec<User>> {
    let mut insert = unit.connection.prepare_cached(
        "INSERT INTO member (conversation, user, joined_seq)
         SELECT ?1, ?2, ?3 WHERE NOT EXISTS
             (SELECT 1 FROM member WHERE conversation = ?1 AND user = ?2 AND left_seq IS NULL)",
    )?;
    let mut list =
        unit.connection.prepare_cached("INSERT OR IGNORE INTO inbox (user, conversation) VALUES (?1, ?2)")?;
    let mut added = Vec::new();
    for user in users {
        if insert.execute(params![group, user.as_str(), signed(next_seq)])? == 1 {
            list.execute(params![user.as_str(), group])?;
            added.push(user.clone());
        }
    }
    Ok(added)
}

/// Answers who was a member. Who leaves before a message was sent leaves no span: it would hold nothing, and its place is
/// needed if they join again before the next message.
fn remove(unit: &Unit<'_>, group: i64, next_seq: u64, users: &[User]) -> rusqlite::Result<Vec<User>> {
    let mut forget = unit.connection.prepare_cached(
        "DELETE FROM member WHERE conversation = ?1 AND user = ?2 AND left_seq IS NULL AND joined_seq = ?3",
    )?;
    let mut close = unit.connection.prepare_cached(
        "UPDATE member SET left_seq = ?3 WHERE conversation = ?1 AND user = ?2 AND left_seq IS NULL",
    )?;
    let mut removed = Vec::new();
    for user in users {
        let key = params![group, user.as_str(), signed(next_seq)];
        if forget.execute(key)? == 1 || close.execute(key)? == 1 {
            removed.push(user.clone());
        }
    }
    Ok(removed)
}

fn everybody(unit: &Unit<'_>, group: i64) -> rusqlite::Result<Vec<User>> {
    unit.connection
        .prepare_cached(
            "SELECT user FROM member INDEXED BY member_now WHERE conversation = ?1 AND left_seq IS NULL ORDER BY user",
        )?
        .query_map([group], |row| parsed(row, 0))?
        .collect()
}

/// Changes the number of members and answers it.
fn count(unit: &Unit<'_>, group: i64, by: i64) -> rusqlite::Result<u64> {
    unit.connection
        .prepare_cached(
            "UPDATE chat_group SET members = members + ?2 WHERE conversation = ?1 RETURNING members",
        )?
        .query_row(params![group, by], |row| unsigned(row, 0))
}
