//! `conversations`: the user's conversations, most recent first.

use conversation::{OverviewRequest, Refusal};
use serde::Deserialize;

use super::{Answer, Asking, answer};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    cursor: Option<String>,
    limit: Option<usize>,
}

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let Payload { cursor, limit } = asking.payload::<Option<Payload>>()?.unwrap_or_default();
    let user = asking.connection.identity.key.user.clone();
    let conversations = asking.context.conversations.clone();
    Ok(Box::pin(
        async move { answer::of(conversations.overview(&user, OverviewRequest { cursor, limit }).await) },
    ))
}
