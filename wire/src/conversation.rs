//! The name of a conversation.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Group, NameError, User};

/// Two users (`u:<a>:<b>`, sorted bytewise, each `:` inside a name written `%3A`), or a group (`g:<group>`).
///
/// A user may write to themselves: then both names are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Conversation {
    /// Between two users; the first is never bytewise greater than the second.
    Direct(User, User),
    /// Of a group.
    Group(Group),
}

/// Why a text does not name a conversation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConversationError {
    /// It starts with neither `u:` nor `g:`, or a part is missing.
    #[error("must be u:<a>:<b> or g:<group>")]
    Shape,
    /// The two users are not in bytewise order.
    #[error("the two users must be sorted bytewise")]
    Order,
    /// A name in it is not a name.
    #[error("a name in it {0}")]
    Name(#[from] NameError),
}

impl Conversation {
    /// The conversation of two users, in either order.
    pub fn direct(one: User, other: User) -> Self {
        if one <= other { Self::Direct(one, other) } else { Self::Direct(other, one) }
    }

    /// The other side of a direct conversation for `user`; `None` for a group or somebody else's conversation.
    pub fn peer(&self, user: &User) -> Option<&User> {
        match self {
            Self::Direct(a, b) if a == user => Some(b),
            Self::Direct(a, b) if b == user => Some(a),
            _ => None,
        }
    }

    /// The group, where it is one's.
    pub fn group(&self) -> Option<&Group> {
        match self {
            Self::Group(group) => Some(group),
            Self::Direct(..) => None,
        }
    }

    /// The users of a direct conversation (one entry where they write to themselves); none for a group.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        let (first, second) = match self {
            Self::Direct(a, b) => (Some(a), (a != b).then_some(b)),
            Self::Group(_) => (None, None),
        };
        first.into_iter().chain(second)
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(a, b) => {
                write!(f, "u:{}:{}", a.as_str().replace(':', "%3A"), b.as_str().replace(':', "%3A"))
            }
            Self::Group(group) => write!(f, "g:{group}"),
        }
    }
}

impl FromStr for Conversation {
    type Err = ConversationError;

    fn from_str(text: &str) -> Result<Self, ConversationError> {
        if let Some(group) = text.strip_prefix("g:") {
            return Ok(Self::Group(Group::new(group)?));
        }
        let (a, b) =
            text.strip_prefix("u:").and_then(|rest| rest.split_once(':')).ok_or(ConversationError::Shape)?;
        if b.contains(':') {
            return Err(ConversationError::Shape);
        }
        let (a, b) = (User::new(&a.replace("%3A", ":"))?, User::new(&b.replace("%3A", ":"))?);
        if a > b {
            return Err(ConversationError::Order);
        }
        Ok(Self::Direct(a, b))
    }
}

impl Serialize for Conversation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Conversation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_conversation_survives_its_text(a in "[A-Za-z0-9_.:@-]{1,64}", b in "[A-Za-z0-9_.:@-]{1,64}") {
            let (a, b) = (User::new(&a).expect("a name"), User::new(&b).expect("a name"));
            let direct = Conversation::direct(a.clone(), b.clone());
            prop_assert_eq!(&direct, &Conversation::direct(b, a));
            prop_assert_eq!(direct.to_string().parse(), Ok(direct));
        }
    }

    #[test]
    fn colons_in_names_are_escaped() {
        let (a, b) = (User::new("x:1").expect("a name"), User::new("a").expect("a name"));
        assert_eq!(Conversation::direct(a, b).to_string(), "u:a:x%3A1");
    }

    #[test]
    fn what_is_not_a_conversation_is_refused() {
        for text in ["", "u:", "u:a", "u:b:a", "u:a:b:c", "g:", "g:a/b", "r:lobby", "u:%3a:b"] {
            assert!(text.parse::<Conversation>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_who_writes_to_themselves_is_named_once() {
        let a = User::new("a").expect("a name");
        assert_eq!(Conversation::direct(a.clone(), a).users().count(), 1);
    }
}
