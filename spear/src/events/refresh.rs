//! `refresh`: a newer token for a connection whose token is about to expire.

use conversation::Refusal;
use serde::Deserialize;
use serde_json::json;
use wire::{Code, time::now_ms};

use super::{Answer, Asking, answer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    token: String,
}

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let Payload { token } = asking.payload()?;
    let forbidden = |reason: String| Refusal::new(Code::Forbidden, reason);
    let token =
        asking.context.tokens.check(&token, now_ms()).map_err(|error| forbidden(error.to_string()))?;
    let key = &asking.connection.identity.key;
    if token.user != key.user {
        return Err(forbidden("token: it is another user's".to_owned()));
    }
    if token.device.is_some_and(|device| device != key.device) {
        return Err(forbidden("token: it is for another device".to_owned()));
    }
    let connection = asking.connection;
    connection.set_token_expiry(token.expires_at);
    connection.set_scope(&token.scope);
    if !connection.may_monitor() {
        asking.context.hub.stop_monitoring(connection, &connection.topics());
    }
    Ok(Box::pin(std::future::ready(answer::done(&json!({ "expires_at": token.expires_at })))))
}
