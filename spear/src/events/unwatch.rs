//! `unwatch`: not to be told any more.

use conversation::Refusal;
use serde_json::json;

use super::{Answer, Asking, answer, watch::Place};

/// Whoever was not watched is stepped over.
pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let Place::Users(users) = asking.payload::<Place>()?.check(asking.context.watch.users)?;
    asking.context.hub.unwatch(asking.connection, &users);
    Ok(Box::pin(std::future::ready(answer::done(&json!({})))))
}
