//! `join`: an open group, or a room.

use conversation::Refusal;
use serde::{Deserialize, Serialize};
use wire::{Code, Group, Room};

use super::{Answer, Asking, answer};
use crate::connection::RoomRefused;

/// What is joined or left: `{"group": …}` or `{"room": …}`.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Place {
    Group(Group),
    Room(Room),
}

/// The answer to both.
#[derive(Serialize)]
pub(super) struct Counted {
    /// How many there are now.
    pub(super) members: u64,
}

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    match asking.payload()? {
        Place::Group(group) => join_group(&asking, group),
        Place::Room(room) => join_room(&asking, room),
    }
}

fn join_group(asking: &Asking<'_>, group: Group) -> Result<Answer, Refusal> {
    let user = asking.connection.identity.key.user.clone();
    let conversations = asking.context.conversations.clone();
    Ok(Box::pin(async move {
        let members = conversations.join_group(&group, &user).await;
        answer::of(members.map(|members| Counted { members }))
    }))
}

/// Joining again does no harm. The connection is in the room when this returns, so what it sends there next is taken.
fn join_room(asking: &Asking<'_>, room: Room) -> Result<Answer, Refusal> {
    let (context, connection) = (asking.context.clone(), asking.connection.clone());
    let most = context.live.rooms;
    let room = context.hub.enter_room(&connection, room, most).map_err(|refused| match refused {
        RoomRefused::TooMany => Refusal::new(
            Code::RateLimited,
            format!("a connection may be in {most} rooms at most: leave another one first"),
        ),
        RoomRefused::Gone => Refusal::unavailable("the connection is ending"),
    })?;
    Ok(Box::pin(async move {
        let announcer = context.conversations.announcer();
        let announced = context.hub.announce_room(&connection, &room, announcer).await;
        let counted = announced.map(|()| Counted { members: room.count(&context.snapshot()) });
        answer::of(counted.map_err(Refusal::from))
    }))
}
