//! Changes of a group's members.

use rusqlite::params;
use wire::{Conversation, Group, User};

use super::{
    append::is_member,
    failure::{parsed, signed, unsigned},
    job::{Operation, Weight},
    live::Live,
    unit::Unit,
};
use crate::{JoinRefusal, MembersChanged};

pub(super) enum Change {
    Add(Vec<User>),
    /// One user, into an open group that has fewer members than this.
    Join(User, u64),
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
    refusal: Option<JoinRefusal>,
}

impl Operation for ChangeMembers {
    type Written = Option<Written>;
    type Answer = Result<MembersChanged, JoinRefusal>;

    fn weight(&self) -> Weight {
        let rows = match &self.change {
            Change::Add(users) | Change::Remove(users) => users.len(),
            Change::Join(..) | Change::Delete => 1,
        };
        Weight { rows, bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<Option<Written>> {
        let conversation = Conversation::Group(self.group.clone());
        let Some(mut row) = unit.row(&conversation)?.filter(|row| row.is_group) else { return Ok(None) };
        let next_seq = row.last_seq + 1;
        let refusal = match &self.change {
            Change::Join(user, most) => refusal(unit, row.id, user, *most)?,
            _ => None,
        };
        let changed = match &self.change {
            Change::Add(users) => add(unit, row.id, next_seq, users)?,
            Change::Join(..) if refusal.is_some() => Vec::new(),
            Change::Join(user, _) => add(unit, row.id, next_seq, std::slice::from_ref(user))?,
            Change::Remove(users) => remove(unit, row.id, next_seq, users)?,
            Change::Delete => {
                let users = everybody(unit, row.id)?;
                remove(unit, row.id, next_seq, &users)?
            }
        };
        let members = match &self.change {
            Change::Add(_) | Change::Join(..) => count(unit, row.id, signed(changed.len() as u64))?,
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
        Ok(Some(Written { members_version: row.members_version, members, changed, refusal }))
    }

    fn settle(self, written: Option<Written>, live: &mut Live) -> Self::Answer {
        let Written { members_version, members, changed, refusal } = written.ok_or(JoinRefusal::NoGroup)?;
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let nodes = live.bump(changed.iter());
        Ok(MembersChanged { members_version, members, changed, nodes })
    }
}

fn refusal(unit: &Unit<'_>, group: i64, user: &User, most: u64) -> rusqlite::Result<Option<JoinRefusal>> {
    let (open, members) = unit
        .connection
        .prepare_cached("SELECT open, members FROM chat_group WHERE conversation = ?1")?
        .query_row([group], |row| Ok((row.get::<_, bool>(0)?, unsigned(row, 1)?)))?;
    let refusal = match (open, members < most) {
        (false, _) => JoinRefusal::Closed,
        (true, false) => JoinRefusal::Full,
        (true, true) => return Ok(None),
    };
    Ok((!is_member(unit, group, user)?).then_some(refusal))
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
