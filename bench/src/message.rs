//! The message that the works send, and how it comes back.
//!
//! Every server gets the same JSON: `send` with `{to, cid, body}`, answered by `{ok, …}`, delivered as the event `message`
//! with `{from, seq?, body, …}`. The body holds the sender's count, so that loss is seen also where a server numbers nothing.

use serde::Deserialize;

/// The size of a body, in bytes of its JSON.
pub const BODY_BYTES: usize = 128;

/// To whom a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// All devices of a user.
    User(String),
    /// All members of a group, save the sender.
    Group(String),
    /// Whoever is in a room, save the sender.
    Room(String),
}

/// What is sent: the JSON of the argument of `send`. `number` counts the sender's messages from 0.
#[must_use]
pub fn send(to: &Recipient, number: u64) -> String {
    let (kind, name) = match to {
        Recipient::User(name) => ("user", name),
        Recipient::Group(name) => ("group", name),
        Recipient::Room(name) => ("room", name),
    };
    let body = body(number);
    format!("{{\"to\":{{\"{kind}\":\"{name}\"}},\"cid\":\"{number}\",\"body\":{body}}}")
}

fn body(number: u64) -> String {
    let mut body = format!("{{\"n\":{number},\"pad\":\"");
    while body.len() < BODY_BYTES - 2 {
        body.push('x');
    }
    body.push_str("\"}");
    body
}

/// What a receiver is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Delivery<'a> {
    /// Who sent it.
    pub from: &'a str,
    /// Its number in the conversation, where the server gives one.
    pub seq: Option<u64>,
    /// Its body.
    pub body: Body,
}

/// What the works look at in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Body {
    /// The sender's count.
    pub n: u64,
}

impl<'a> Delivery<'a> {
    /// Reads the JSON array of an event; `None` where it is another event than `message`.
    ///
    /// # Errors
    /// A `message` without what every one has.
    pub fn read(event: &'a [u8]) -> Result<Option<Self>, serde_json::Error> {
        let Some(argument) = event.strip_prefix(b"[\"message\",").and_then(|rest| rest.strip_suffix(b"]"))
        else {
            return Ok(None);
        };
        serde_json::from_slice(argument).map(Some)
    }
}

/// What the sender is answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// Whether it was taken.
    pub ok: bool,
    /// Its number in the conversation, where the server gives one.
    pub seq: Option<u64>,
    /// How many there are, after a `join`.
    pub members: Option<u64>,
    /// Why it was not taken.
    pub error: Option<Refusal>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// A stable word.
    pub code: String,
}

impl Answer {
    /// Reads the JSON array of an acknowledgement.
    ///
    /// # Errors
    /// Anything else than one answer.
    pub fn read(arguments: &[u8]) -> Result<Self, serde_json::Error> {
        let (answer,) = serde_json::from_slice(arguments)?;
        Ok(answer)
    }

    /// In one word, what went wrong; `None` where nothing did.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        if self.ok { None } else { Some(self.error.as_ref().map_or("refused", |error| &error.code)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_its_size_whatever_it_counts() {
        for number in [0, 9, 1_000_000, u64::MAX] {
            assert_eq!(body(number).len(), BODY_BYTES, "{number}");
        }
    }

    #[test]
    fn what_is_sent_is_json() {
        let json: serde_json::Value =
            serde_json::from_str(&send(&Recipient::User("bob".into()), 7)).expect("JSON");
        assert_eq!((json["to"]["user"].as_str(), json["body"]["n"].as_u64()), (Some("bob"), Some(7)));
        let json: serde_json::Value =
            serde_json::from_str(&send(&Recipient::Group("team".into()), 7)).expect("JSON");
        assert_eq!((json["to"]["group"].as_str(), json["cid"].as_str()), (Some("team"), Some("7")));
    }

    #[test]
    fn what_comes_back_is_read() {
        let event =
            br#"["message",{"conversation":"u:a:b","seq":4,"id":"7","from":"a","body":{"n":3,"pad":"]"}}]"#;
        let delivery = Delivery { from: "a", seq: Some(4), body: Body { n: 3 } };
        assert_eq!(Delivery::read(event).expect("a message"), Some(delivery));
        assert_eq!(Delivery::read(b"[\"ready\",{}]").expect("another event"), None);
        assert!(Delivery::read(b"[\"message\",{}]").is_err());
    }

    #[test]
    fn an_answer_says_why_it_is_none() {
        let taken = Answer::read(br#"[{"ok":true,"id":"7","seq":4}]"#).expect("an answer");
        assert_eq!((taken.seq, taken.refusal()), (Some(4), None));
        let refused = Answer::read(br#"[{"ok":false,"error":{"code":"unavailable","message":""}}]"#);
        assert_eq!(refused.expect("an answer").refusal(), Some("unavailable"));
        assert_eq!(Answer::read(br#"[{"ok":false}]"#).expect("an answer").refusal(), Some("refused"));
        assert!(Answer::read(b"[]").is_err());
    }
}
