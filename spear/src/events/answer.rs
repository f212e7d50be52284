//! The acknowledgement of an event.

use conversation::Refusal;
use serde::Serialize;

#[derive(Serialize)]
struct Done<'a, T> {
    ok: bool,
    #[serde(flatten)]
    result: &'a T,
}

#[derive(Serialize)]
struct Refused<'a> {
    ok: bool,
    error: &'a Refusal,
}

/// The acknowledgement, in JSON.
pub(crate) struct Answered {
    pub(crate) json: String,
    /// What comes after it.
    pub(crate) then: Option<Box<dyn FnOnce() + Send>>,
}

impl Answered {
    /// Does this once the client was answered.
    pub(super) fn then(self, then: impl FnOnce() + Send + 'static) -> Self {
        Self { then: Some(Box::new(then)), ..self }
    }
}

/// `{ok: true, …}` with the fields of `result`.
pub(super) fn done<T: Serialize>(result: &T) -> Answered {
    Answered { json: encode(&Done { ok: true, result }), then: None }
}

/// `{ok: false, error}`.
pub(crate) fn refused(refusal: &Refusal) -> String {
    encode(&Refused { ok: false, error: refusal })
}

/// The answer to a call that succeeded or was refused.
pub(super) fn of<T: Serialize>(outcome: Result<T, Refusal>) -> Answered {
    match outcome {
        Ok(result) => done(&result),
        Err(refusal) => Answered { json: refused(&refusal), then: None },
    }
}

fn encode<T: Serialize>(answer: &T) -> String {
    serde_json::to_string(answer).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer cannot be encoded");
        r#"{"ok":false,"error":{"code":"unavailable","message":"the answer cannot be encoded"}}"#.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wire::Code;

    use super::*;

    #[test]
    fn an_answer_says_whether_it_was_done() {
        assert_eq!(done(&json!({"id": "7"})).json, r#"{"ok":true,"id":"7"}"#);
        let refusal = Refusal::new(Code::NotMember, "no");
        assert_eq!(refused(&refusal), r#"{"ok":false,"error":{"code":"not_member","message":"no"}}"#);
    }
}
