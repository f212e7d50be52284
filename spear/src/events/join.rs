//! `join`: into an open group.

use conversation::Refusal;
use serde::Deserialize;
use serde_json::json;
use wire::Group;

use super::{Answer, Asking, answer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    group: Group,
}

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let Payload { group } = asking.payload()?;
    let user = asking.connection.identity.key.user.clone();
    let conversations = asking.context.conversations.clone();
    Ok(Box::pin(async move {
        let members = conversations.join_group(&group, &user).await;
        answer::of(members.map(|members| json!({ "members": members })))
    }))
}
