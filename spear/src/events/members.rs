//! `members`: a page of a group's members, for one of them.

use conversation::Refusal;
use serde::{Deserialize, Serialize};
use wire::{Group, User};

use super::{Answer, Asking, answer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    group: Group,
    cursor: Option<User>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Page {
    members: Vec<User>,
    cursor: Option<User>,
}

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let Payload { group, cursor, limit } = asking.payload()?;
    let user = asking.connection.identity.key.user.clone();
    let conversations = asking.context.conversations.clone();
    Ok(Box::pin(async move {
        let page = conversations.members_for(&user, &group, cursor, limit).await;
        answer::of(page.map(|page| Page { members: page.members, cursor: page.cursor }))
    }))
}
