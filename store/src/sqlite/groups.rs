//! [`Groups`] in SQLite: settings and reading; `members.rs` changes members.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use wire::{Conversation, Group, User};

use super::{
    SqliteStore,
    failure::{parsed, parsed_optional, unsigned},
    job::{Operation, Weight},
    live::Live,
    members::{Change, ChangeMembers},
    pages,
    unit::Unit,
};
use crate::{GroupRecord, Groups, JoinRefusal, MemberPage, MembersChanged, Span, StoreError, UserGroup};

/// The most members in one page.
const PAGE_MAX: usize = 1_000;

#[async_trait]
impl Groups for SqliteStore {
    async fn put_group(&self, record: GroupRecord) -> Result<bool, StoreError> {
        self.write(PutGroup(record)).await
    }

    async fn group(&self, group: &Group) -> Result<Option<GroupRecord>, StoreError> {
        let group = group.clone();
        self.readers.read(move |connection| record(connection, &group)).await
    }

    async fn delete_group(&self, group: &Group) -> Result<Option<MembersChanged>, StoreError> {
        self.write(ChangeMembers { group: group.clone(), change: Change::Delete }).await.map(Result::ok)
    }

    async fn add_members(
        &self,
        group: &Group,
        users: Vec<User>,
    ) -> Result<Option<MembersChanged>, StoreError> {
        self.write(ChangeMembers { group: group.clone(), change: Change::Add(users) }).await.map(Result::ok)
    }

    async fn join_group(
        &self,
        group: &Group,
        user: User,
        most: u64,
    ) -> Result<Result<MembersChanged, JoinRefusal>, StoreError> {
        self.write(ChangeMembers { group: group.clone(), change: Change::Join(user, most) }).await
    }

    async fn remove_members(
        &self,
        group: &Group,
        users: Vec<User>,
    ) -> Result<Option<MembersChanged>, StoreError> {
        self.write(ChangeMembers { group: group.clone(), change: Change::Remove(users) })
            .await
            .map(Result::ok)
    }

    async fn members(
        &self,
        group: &Group,
        cursor: Option<User>,
        limit: usize,
    ) -> Result<Option<MemberPage>, StoreError> {
        let group = group.clone();
        self.readers.read(move |connection| members(connection, &group, cursor, limit)).await
    }

    async fn memberships(&self, of: Vec<(User, Group)>) -> Result<Vec<UserGroup>, StoreError> {
        self.readers
            .read(move |connection| {
                of.into_iter().map(|(user, group)| membership(connection, &user, group)).collect()
            })
            .await
    }
}

/// Creates a group or changes its settings.
struct PutGroup(GroupRecord);

impl Operation for PutGroup {
    type Written = bool;
    type Answer = bool;

    fn weight(&self) -> Weight {
        Weight { rows: 1, bytes: 0 }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<bool> {
        let record = &self.0;
        let conversation = Conversation::Group(record.group.clone());
        let mut row = unit.row_or_new(&conversation)?;
        let owner = record.owner.as_ref().map(User::as_str);
        unit.connection
            .prepare_cached(
                "INSERT INTO chat_group (conversation, open, name, owner, created_at, members)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0)
                 ON CONFLICT DO UPDATE SET open = excluded.open, name = excluded.name, owner = excluded.owner",
            )?
            .execute(params![row.id, record.open, record.name, owner, record.created_at])?;
        let created = !row.is_group;
        if created {
            row.is_group = true;
            unit.set_row(&conversation, row);
        }
        Ok(created)
    }

    fn settle(self, created: bool, _: &mut Live) -> bool {
        created
    }
}

fn record(connection: &Connection, group: &Group) -> rusqlite::Result<Option<GroupRecord>> {
    connection
        .prepare_cached(
            "SELECT open, chat_group.name, owner, created_at, members
             FROM chat_group JOIN conversation ON id = chat_group.conversation WHERE conversation.name = ?1",
        )?
        .query_row([Conversation::Group(group.clone()).to_string()], |row| {
            Ok(GroupRecord {
                group: group.clone(),
                open: row.get(0)?,
                name: row.get(1)?,
                owner: parsed_optional(row, 2)?,
                created_at: row.get(3)?,
                members: unsigned(row, 4)?,
            })
        })
        .optional()
}

fn members(
    connection: &Connection,
    group: &Group,
    cursor: Option<User>,
    limit: usize,
) -> rusqlite::Result<Option<MemberPage>> {
    let conversation: Option<i64> = connection
        .prepare_cached(
            "SELECT id FROM conversation JOIN chat_group ON chat_group.conversation = id
             WHERE conversation.name = ?1",
        )?
        .query_row([Conversation::Group(group.clone()).to_string()], |row| row.get(0))
        .optional()?;
    let Some(conversation) = conversation else { return Ok(None) };
    let limit = limit.clamp(1, PAGE_MAX);
    let mut statement = connection.prepare_cached(
        "SELECT user FROM member INDEXED BY member_now
         WHERE conversation = ?1 AND user > ?2 AND left_seq IS NULL ORDER BY user LIMIT ?3",
    )?;
    let after = cursor.as_ref().map_or("", User::as_str);
    // One more than is wanted tells whether there is a next page.
    let mut members = statement
        .query_map(params![conversation, after, limit as i64 + 1], |row| parsed(row, 0))?
        .collect::<rusqlite::Result<Vec<User>>>()?;
    let more = members.len() > limit;
    members.truncate(limit);
    let cursor = if more { members.last().cloned() } else { None };
    Ok(Some(MemberPage { members, cursor }))
}

fn membership(connection: &Connection, user: &User, group: Group) -> rusqlite::Result<UserGroup> {
    let Some(extent) = pages::extent(connection, &Conversation::Group(group.clone()))? else {
        return Ok(UserGroup { group, spans: Vec::new(), last_seq: 0, members_version: 0, rev: 0 });
    };
    let spans = connection
        .prepare_cached(
            "SELECT joined_seq, left_seq FROM member WHERE conversation = ?1 AND user = ?2 ORDER BY joined_seq",
        )?
        .query_map(params![extent.id, user.as_str()], |row| {
            let left = row.get_ref(1)?.as_i64_or_null()?;
            Ok(Span { joined_seq: unsigned(row, 0)?, left_seq: left.map(i64::unsigned_abs) })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let (last_seq, members_version, rev) = (extent.last_seq, extent.members_version, extent.rev);
    Ok(UserGroup { group, spans, last_seq, members_version, rev })
}
