//! `ack`: this device holds everything of a conversation up to a `seq`.

use conversation::Refusal;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use wire::Conversation;

use super::{Answer, Asking, answer, object};

/// The most conversations that one event confirms.
const MOST: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    conversation: Conversation,
    seq: u64,
}

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let confirmations = confirmations(asking.payload.map_or("null", RawValue::get))?;
    for Confirmation { conversation, seq } in confirmations {
        if asking.connection.confirm(conversation, seq) {
            asking.context.cursors.mark(asking.connection.clone());
        }
    }
    Ok(Box::pin(std::future::ready(answer::done(&json!({})))))
}

/// One, or a list of them.
fn confirmations(json: &str) -> Result<Vec<Confirmation>, Refusal> {
    if !json.starts_with('[') {
        return Ok(vec![object(json)?]);
    }
    let list: Vec<&RawValue> =
        serde_json::from_str(json).map_err(|error| Refusal::bad_request(error.to_string()))?;
    if list.len() > MOST {
        return Err(Refusal::bad_request(format!("expected at most {MOST} conversations at once")));
    }
    list.into_iter().map(|entry| object(entry.get())).collect()
}
