//! The id of a message.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A snowflake: 41 bits of milliseconds since 2024-01-01, 10 bits of worker, 12 bits of sequence.
///
/// Below 2^63, so that stores with signed integers hold it. In JSON it is a decimal string, because JavaScript's numbers
/// cannot hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for MessageId {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_decimal_string_in_json() {
        let id = MessageId(9_007_199_254_740_993);
        let json = serde_json::to_string(&id).expect("an id is text");
        assert_eq!(json, "\"9007199254740993\"");
        assert_eq!(serde_json::from_str::<MessageId>(&json).expect("our own text"), id);
    }
}
