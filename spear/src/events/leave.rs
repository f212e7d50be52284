//! `leave`: a group, or a room.

use conversation::Refusal;
use wire::{Code, Group, Room};

use super::{
    Answer, Asking, answer,
    join::{Counted, Place},
};

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    match asking.payload()? {
        Place::Group(group) => leave_group(&asking, group),
        Place::Room(room) => leave_room(&asking, &room),
    }
}

fn leave_group(asking: &Asking<'_>, group: Group) -> Result<Answer, Refusal> {
    let user = asking.connection.identity.key.user.clone();
    let conversations = asking.context.conversations.clone();
    Ok(Box::pin(async move {
        let members = conversations.leave_group(&group, &user).await;
        answer::of(members.map(|members| Counted { members }))
    }))
}

/// What is sent to the room from now on does not reach this connection.
fn leave_room(asking: &Asking<'_>, room: &Room) -> Result<Answer, Refusal> {
    let Some(left) = asking.context.hub.leave_room(asking.connection, room) else {
        return Err(Refusal::new(Code::NotMember, format!("room {room}: this connection is not in it")));
    };
    let counted = Counted { members: left.count(&asking.context.snapshot()) };
    Ok(Box::pin(std::future::ready(answer::done(&counted))))
}
