//! Appending messages.

use std::sync::Arc;

use rusqlite::params;
use wire::{Conversation, Destination, Message, User};

use super::{
    cids,
    conversations::Row,
    failure::signed,
    ids,
    job::{Operation, Weight},
    live::Live,
    outbox,
    unit::Unit,
};
use crate::{Append, AppendRefusal, Appended, DeviceKey, Routing};

/// Bytes of a stored message beside its body, roughly.
const OVERHEAD_BYTES: usize = 100;

/// The kind that is stored as nothing.
pub(super) const PLAIN_KIND: &str = "text";

pub(super) struct AppendBatch(pub(super) Vec<Append>);

/// A message that is written but not yet durable.
pub(super) struct Written {
    message: Arc<Message>,
    duplicate: bool,
    members_version: u64,
}

impl Operation for AppendBatch {
    type Written = Vec<Result<Written, AppendRefusal>>;
    type Answer = Vec<Result<Appended, AppendRefusal>>;

    fn weight(&self) -> Weight {
        let bytes = self.0.iter().map(|append| append.body.get().len() + OVERHEAD_BYTES).sum();
        Weight { rows: self.0.len(), bytes }
    }

    fn write(&mut self, unit: &mut Unit<'_>) -> rusqlite::Result<Self::Written> {
        self.0.iter().map(|append| write(unit, append)).collect()
    }

    fn settle(self, written: Self::Written, live: &mut Live) -> Self::Answer {
        written.into_iter().map(|outcome| outcome.map(|written| settle(written, live))).collect()
    }
}

fn settle(written: Written, live: &mut Live) -> Appended {
    let Written { message, duplicate, members_version } = written;
    let routing = match &message.conversation {
        Conversation::Group(group) => Routing::Group { version: live.interest.version_of(group) },
        direct @ Conversation::Direct(first, second) => {
            let users = [first, second];
            let distinct = direct.users().count();
            Routing::Direct(live.bump(users.into_iter().take(distinct)))
        }
    };
    Appended { message, duplicate, routing, members_version }
}

fn write(unit: &mut Unit<'_>, append: &Append) -> rusqlite::Result<Result<Written, AppendRefusal>> {
    let known = unit.row(&append.conversation)?;
    if let Err(refusal) = check(unit, append, known)? {
        return Ok(Err(refusal));
    }
    let mut row = match known {
        Some(row) => row,
        None => unit.row_or_new(&append.conversation)?,
    };
    if let Some(first) = ids::find(unit, &append.conversation, &row, append.id.0)? {
        return Ok(Ok(Written { message: first, duplicate: true, members_version: row.members_version }));
    }
    let seq = row.last_seq + 1;
    if let Some(cid) = &append.cid
        && let Some(first) = cids::find_or_note(unit, append, cid, row.id, seq)?
    {
        return Ok(Ok(Written { message: first, duplicate: true, members_version: row.members_version }));
    }
    ids::note(unit, &row, append.id.0, seq)?;
    if !row.in_inboxes {
        open_inboxes(unit, &append.conversation, row.id)?;
        row.in_inboxes = true;
    }
    let message = message(append, seq, unit.now.max(row.last_at));
    insert(unit, &row, &message)?;
    outbox::note_message(unit, row.id, seq)?;
    row.last_seq = seq;
    row.last_at = message.sent_at;
    row.max_id = row.max_id.max(append.id.0);
    mark_read(unit, append, &mut row)?;
    unit.set_row(&append.conversation, row);
    Ok(Ok(Written { message: Arc::new(message), duplicate: false, members_version: row.members_version }))
}

fn check(
    unit: &mut Unit<'_>,
    append: &Append,
    row: Option<Row>,
) -> rusqlite::Result<Result<(), AppendRefusal>> {
    if append.conversation.group().is_some() {
        let Some(row) = row.filter(|row| row.is_group) else {
            return Ok(Err(AppendRefusal::NoGroup));
        };
        if append.members_only && !is_member(unit, row.id, &append.from)? {
            return Ok(Err(AppendRefusal::NotMember));
        }
    }
    let Some(device) = &append.author.device else { return Ok(Ok(())) };
    let key = DeviceKey { user: append.from.clone(), device: device.clone() };
    if append.author.epoch < unit.epoch(&key)? {
        return Ok(Err(AppendRefusal::OldEpoch));
    }
    Ok(Ok(()))
}

pub(super) fn is_member(unit: &Unit<'_>, group: i64, user: &User) -> rusqlite::Result<bool> {
    unit.connection
        .prepare_cached("SELECT 1 FROM member WHERE conversation = ?1 AND user = ?2 AND left_seq IS NULL")?
        .exists(params![group, user.as_str()])
}

/// The first message of two users, and the first one after one of them was erased, puts the conversation into their inboxes.
fn open_inboxes(unit: &Unit<'_>, conversation: &Conversation, id: i64) -> rusqlite::Result<()> {
    for user in conversation.users() {
        unit.connection
            .prepare_cached("INSERT OR IGNORE INTO inbox (user, conversation) VALUES (?1, ?2)")?
            .execute(params![user.as_str(), id])?;
    }
    Ok(())
}

/// The sender has read what they wrote.
fn mark_read(unit: &Unit<'_>, append: &Append, row: &mut Row) -> rusqlite::Result<()> {
    match &append.conversation {
        Conversation::Direct(first, second) => {
            if *first == append.from {
                row.first_read = row.last_seq;
            }
            if *second == append.from {
                row.second_read = row.last_seq;
            }
            Ok(())
        }
        Conversation::Group(_) => unit
            .connection
            .prepare_cached(
                "INSERT INTO read_mark (conversation, user, seq) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET seq = excluded.seq",
            )?
            .execute(params![row.id, append.from.as_str(), signed(row.last_seq)])
            .map(drop),
    }
}

fn message(append: &Append, seq: u64, sent_at: i64) -> Message {
    Message {
        conversation: append.conversation.clone(),
        seq,
        id: append.id,
        cid: append.cid.clone(),
        from: append.from.clone(),
        device: append.author.device.clone(),
        to: append.to.clone(),
        kind: append.kind.clone(),
        body: append.body.clone(),
        sent_at,
        recalled_at: None,
        origin_session: append.author.session,
    }
}

/// What a message in this conversation by this user is addressed to, if nobody says otherwise: not stored.
pub(super) fn usual_destination(conversation: &Conversation, from: &User) -> Destination {
    match conversation {
        Conversation::Group(group) => Destination::Group(group.clone()),
        Conversation::Direct(first, second) => {
            Destination::User(if first == from { second.clone() } else { first.clone() })
        }
    }
}

fn insert(unit: &Unit<'_>, row: &Row, message: &Message) -> rusqlite::Result<()> {
    let destination = if message.to == usual_destination(&message.conversation, &message.from) {
        None
    } else {
        let json = serde_json::to_string(&message.to)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Some(json)
    };
    unit.connection
        .prepare_cached(
            "INSERT INTO message
                 (conversation, seq, id, sent_at, sender, device, session, cid, kind, destination, body,
                  behind)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            row.id,
            signed(message.seq),
            signed(message.id.0),
            message.sent_at,
            message.from.as_str(),
            message.device.as_ref().map(|device| device.as_str()),
            message.origin_session.cast_signed(),
            message.cid.as_deref(),
            (*message.kind != *PLAIN_KIND).then_some(&*message.kind),
            destination,
            message.body.get(),
            signed(row.max_id.saturating_sub(message.id.0)),
        ])?;
    Ok(())
}
