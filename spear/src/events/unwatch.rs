//! `unwatch`: not to be told any more.

use conversation::Refusal;
use serde_json::json;

use super::{
    Answer, Asking, answer,
    watch::{self, Watched},
};

/// What was not watched is stepped over.
pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    match watch::read(&asking)? {
        Watched::Presence(users) => asking.context.hub.unwatch(asking.connection, &users),
        Watched::Messages(topics) => asking.context.hub.stop_monitoring(asking.connection, &topics),
    }
    Ok(Box::pin(std::future::ready(answer::done(&json!({})))))
}
