//! The JSON of an event: an array of its name and its arguments.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::Malformed;

/// How deep arrays and objects may lie in each other: serde_json's own limit, which it does not keep for JSON that it only
/// skips. Who gets an event decodes it, perhaps by recursion.
const DEPTH: usize = 127;

/// An event, borrowed from its JSON.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// Borrowed unless something in it is escaped.
    pub name: Cow<'a, str>,
    /// JSON each, as it came: its numbers may be larger than any type, its strings may have lone surrogates.
    /// From the third on they take 16 bytes each in a buffer, at worst eight times the bytes of their JSON (`1,1,1`).
    pub args: SmallVec<[&'a RawValue; 2]>,
}

/// Reads the JSON of an event. It does not allocate for up to two arguments and a name without escapes.
///
/// # Errors
///
/// It must be a JSON array whose first element is a string, not nested deeper than 127.
pub fn decode_event(json: &str) -> Result<Event<'_>, Malformed> {
    check_depth(json)?;
    serde_json::from_str(json).map_err(|_| Malformed("a JSON array that begins with a name"))
}

/// JSON that begins with `first`, which is `{` or `[`.
pub(super) fn check(json: &str, first: char) -> Result<(), Malformed> {
    let expected = Malformed(if first == '{' { "a JSON object" } else { "a JSON array" });
    // What JSON calls white space.
    if !json.trim_start_matches([' ', '\t', '\r', '\n']).starts_with(first) {
        return Err(expected);
    }
    check_depth(json)?;
    serde_json::from_str::<IgnoredAny>(json).map(|_| ()).map_err(|_| expected)
}

/// Refuses what is nested deeper than [`DEPTH`]; whether it is JSON, somebody else must say.
fn check_depth(json: &str) -> Result<(), Malformed> {
    // Counting alone is many times faster, and nearly always enough.
    if json.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() <= DEPTH {
        return Ok(());
    }
    let (mut depth, mut string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            b'[' | b'{' if !string => depth += 1,
            b']' | b'}' if !string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return Err(Malformed("JSON that is not so deep"));
        }
    }
    Ok(())
}

impl<'de: 'a, 'a> Deserialize<'de> for Event<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

struct Elements<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> Visitor<'de> for Elements<'a> {
    type Value = Event<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of a name and arguments")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut elements: S) -> Result<Event<'a>, S::Error> {
        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        let Some(Name(name)) = elements.next_element::<Name<'a>>()? else {
            return Err(serde::de::Error::invalid_length(0, &self));
        };
        let mut args = SmallVec::new();
        while let Some(argument) = elements.next_element::<&'a RawValue>()? {
            args.push(argument);
        }
        Ok(Event { name, args })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<(Cow<'_, str>, Vec<&str>)> {
        let event = decode_event(json).ok()?;
        Some((event.name, event.args.into_iter().map(RawValue::get).collect()))
    }

    #[test]
    fn an_event_has_a_name_and_arguments() {
        assert_eq!(read("[\"send\"]"), Some(("send".into(), vec![])));
        assert_eq!(read("[\"send\",{\"a\":1},2]"), Some(("send".into(), vec!["{\"a\":1}", "2"])));
        assert_eq!(read(" [ \"\" , null,[ ], 1e999 ] "), Some(("".into(), vec!["null", "[ ]", "1e999"])));
        assert_eq!(read("[\"\\u00e9\\n\",\"é\\ud800\"]"), Some(("é\n".into(), vec!["\"é\\ud800\""])));
    }

    #[test]
    fn a_name_without_escapes_is_borrowed() {
        let borrowed = |json| matches!(decode_event(json).map(|event| event.name), Ok(Cow::Borrowed(_)));
        assert!(borrowed("[\"sénd\"]"));
        assert!(!borrowed("[\"s\\u00e9nd\"]"));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for json in [
            "",
            "{}",
            "[]",
            "[1]",
            "[null]",
            "[[\"a\"]]",
            "[\"a\"",
            "[\"a\",]",
            "[\"a\"]x",
            "\"a\"",
            "[\"a\" 1]",
            "[\"a\",tru]",
            "[\"a\n\"]",
            "[\"a\",\"\u{1e}\"]",
            "[\"\\ud800\"]",
        ] {
            assert!(decode_event(json).is_err(), "{json}");
        }
    }

    #[test]
    fn deep_json_is_refused() {
        let nested = |depth: usize| format!("[\"a\",{}{}]", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(decode_event(&nested(DEPTH)).is_ok());
        assert!(decode_event(&nested(DEPTH + 1)).is_err());
        assert!(decode_event(&nested(100_000)).is_err());
        assert!(decode_event(&"[".repeat(100_000)).is_err());
        assert!(decode_event(&format!("[\"a\",{}", "{\"a\":".repeat(100_000))).is_err());
        assert!(check(&"{\"a\":".repeat(100_000), '{').is_err());
    }

    #[test]
    fn brackets_side_by_side_and_in_strings_are_not_depth() {
        assert!(decode_event(&format!("[\"a\"{}]", ",[{}]".repeat(1_000))).is_ok());
        assert!(decode_event(&format!("[\"a\",\"\\\"{}\"]", "[{".repeat(1_000))).is_ok());
        assert!(decode_event(&format!("[\"a\",\"\\\\\",{}]", "[".repeat(1_000))).is_err());
    }

    #[test]
    fn json_that_is_not_looked_into_is_checked() {
        for (json, first) in [("{}", '{'), (" {\"a\":[1]} ", '{'), ("[]", '['), ("\n[{}]", '[')] {
            assert_eq!(check(json, first), Ok(()), "{json}");
        }
        for (json, first) in
            [("", '{'), ("[]", '{'), ("{", '{'), ("{}{}", '{'), ("{a:1}", '{'), ("\"\"", '['), ("{}", '[')]
        {
            assert!(check(json, first).is_err(), "{json}");
        }
    }
}
