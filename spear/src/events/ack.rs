//! `ack`: this device holds everything of a conversation up to a `seq`.

use conversation::Refusal;
use serde::Deserialize;
use serde_json::json;
use wire::Conversation;

use super::{Answer, Asking, answer};

/// The most conversations that one event confirms.
const MOST: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    conversation: Conversation,
    seq: u64,
}

pub(super) fn begin(asking: Asking<'_>) -> Result<Answer, Refusal> {
    let many = asking.payload.is_some_and(|payload| payload.get().starts_with('['));
    let confirmations: Vec<Confirmation> =
        if many { asking.payload()? } else { vec![asking.payload::<Confirmation>()?] };
    if confirmations.len() > MOST {
        return Err(Refusal::bad_request(format!("expected at most {MOST} conversations at once")));
    }
    for Confirmation { conversation, seq } in confirmations {
        if asking.connection.confirm(conversation, seq) {
            asking.context.cursors.mark(asking.connection.clone());
        }
    }
    Ok(Box::pin(std::future::ready(answer::done(&json!({})))))
}
