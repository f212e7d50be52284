//! What happened to a conversation beside new messages: a change of its log, and the events made of it.

use serde::Serialize;

use crate::{Conversation, MessageId, User};

/// One change. Each kind may be told again without harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The sender took a message back; its body is gone.
    Recalled {
        /// Its place, which stays.
        seq: u64,
        /// Its id.
        id: MessageId,
    },
    /// A user has read everything up to a message.
    Read {
        /// Who.
        user: User,
        /// The last `seq` that they have read.
        read_seq: u64,
    },
}

impl Change {
    /// The event that clients get of it: its name and its payload.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn event(&self, conversation: &Conversation) -> serde_json::Result<(&'static str, String)> {
        #[derive(Serialize)]
        struct Recalled<'a> {
            conversation: &'a Conversation,
            seq: u64,
            id: MessageId,
        }
        #[derive(Serialize)]
        struct Receipt<'a> {
            conversation: &'a Conversation,
            user: &'a User,
            read_seq: u64,
        }
        match self {
            Self::Recalled { seq, id } => {
                let payload = Recalled { conversation, seq: *seq, id: *id };
                Ok(("recalled", serde_json::to_string(&payload)?))
            }
            Self::Read { user, read_seq } => {
                let payload = Receipt { conversation, user, read_seq: *read_seq };
                Ok(("receipt", serde_json::to_string(&payload)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_names_and_fields_of_the_contract() {
        let user = User::new("a").expect("a name");
        let conversation = Conversation::direct(user.clone(), user.clone());
        let recalled = Change::Recalled { seq: 3, id: MessageId(7) }.event(&conversation).expect("JSON");
        assert_eq!(recalled, ("recalled", r#"{"conversation":"u:a:a","seq":3,"id":"7"}"#.to_owned()));
        let receipt = Change::Read { user, read_seq: 4 }.event(&conversation).expect("JSON");
        assert_eq!(receipt, ("receipt", r#"{"conversation":"u:a:a","user":"a","read_seq":4}"#.to_owned()));
    }
}
