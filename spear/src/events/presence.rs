//! `presence`: who is online, and with which devices.

use std::collections::BTreeMap;

use conversation::{Presence, Refusal};
use serde::{Deserialize, Serialize};
use wire::User;

use super::{Answer, Asking, answer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    users: Vec<User>,
}

#[derive(Serialize)]
struct Known {
    presence: BTreeMap<User, Presence>,
}

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let Payload { users } = asking.payload()?;
    let most = asking.context.live.presence_users;
    if users.is_empty() || users.len() > most {
        return Err(Refusal::bad_request(format!("users: expected 1 to {most} names, not {}", users.len())));
    }
    let context = asking.context.clone();
    Ok(Box::pin(async move {
        let presence = context.conversations.presence(users, &context.snapshot()).await;
        answer::of(presence.map(|presence| Known { presence }))
    }))
}
