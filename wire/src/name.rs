//! Names of users, groups, rooms and devices.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The longest name, in bytes (all allowed characters are one byte).
const NAME_MAX_BYTES: usize = 64;

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// More than 64 characters.
    #[error("must have at most {NAME_MAX_BYTES} characters, not {0}")]
    TooLong(usize),
    /// A character outside `A-Z a-z 0-9 _ . : @ -`.
    #[error("may hold A-Z a-z 0-9 _ . : @ - only, not {0:?}")]
    Character(char),
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:@-".contains(c);
    if let Some(other) = text.chars().find(|&c| !allowed(c)) {
        return Err(NameError::Character(other));
    }
    if text.len() > NAME_MAX_BYTES {
        return Err(NameError::TooLong(text.len()));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        ///
        /// Matches `[A-Za-z0-9_.:@-]{1,64}`; cheap to clone.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks `text`.
            ///
            /// # Errors
            /// [`NameError`] says what is wrong with it.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(D::Error::custom)
            }
        }
    };
}

name!(
    /// A user of the back end's: the `sub` of their token.
    User
);
name!(
    /// A group: members, history, order.
    Group
);
name!(
    /// A room: live only, nothing is stored.
    Room
);
name!(
    /// One of a user's devices; each has a cursor of its own.
    Device
);

impl Default for Device {
    /// The device of a client that names none: `default`.
    fn default() -> Self {
        Self("default".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_alphabet_and_length() {
        assert!(User::new("A.b_c:d@e-9").is_ok());
        assert_eq!(User::new(""), Err(NameError::Empty));
        assert_eq!(User::new("a b"), Err(NameError::Character(' ')));
        assert_eq!(User::new("é"), Err(NameError::Character('é')));
        assert!(User::new(&"x".repeat(64)).is_ok());
        assert_eq!(User::new(&"x".repeat(65)), Err(NameError::TooLong(65)));
    }

    #[test]
    fn a_bad_name_in_json_is_refused_with_the_reason() {
        let refused = serde_json::from_str::<Group>("\"a/b\"").expect_err("a slash is not allowed");
        assert!(refused.to_string().contains("not '/'"), "{refused}");
    }
}
