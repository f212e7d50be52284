//! Reading messages from their rows.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::value::RawValue;
use wire::{Conversation, Message, MessageId};

use super::{
    append::{PLAIN_KIND, usual_destination},
    failure::{parsed, parsed_optional, signed, unreadable, unsigned},
};

/// The columns that [`read`] expects, in order.
macro_rules! columns {
    () => {
        "seq, id, sent_at, sender, device, session, cid, kind, destination, body, recalled_at"
    };
}
pub(super) use columns;

/// A message of `conversation`.
pub(super) fn read(row: &Row<'_>, conversation: &Conversation) -> rusqlite::Result<Message> {
    let from = parsed(row, 3)?;
    let to = match row.get_ref(8)?.as_str_or_null()? {
        None => usual_destination(conversation, &from),
        Some(json) => serde_json::from_str(json).map_err(|error| unreadable(8, &error))?,
    };
    let body = RawValue::from_string(row.get(9)?).map_err(|error| unreadable(9, &error))?;
    Ok(Message {
        conversation: conversation.clone(),
        seq: unsigned(row, 0)?,
        id: MessageId(unsigned(row, 1)?),
        cid: row.get_ref(6)?.as_str_or_null()?.map(Arc::from),
        from,
        device: parsed_optional(row, 4)?,
        to,
        kind: row.get_ref(7)?.as_str_or_null()?.unwrap_or(PLAIN_KIND).into(),
        body: body.into(),
        sent_at: row.get(2)?,
        recalled_at: row.get(10)?,
        origin_session: row.get::<_, i64>(5)?.cast_unsigned(),
    })
}

/// One message; `None` where retention has taken it.
pub(super) fn message(
    connection: &Connection,
    conversation: &Conversation,
    id: i64,
    seq: u64,
) -> rusqlite::Result<Option<Arc<Message>>> {
    connection
        .prepare_cached(concat!("SELECT ", columns!(), " FROM message WHERE conversation = ?1 AND seq = ?2"))?
        .query_row(params![id, signed(seq)], |row| read(row, conversation))
        .optional()
        .map(|found| found.map(Arc::new))
}
