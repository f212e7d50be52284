//! Reading Redis's answers.

use std::{fmt::Display, str::FromStr};

use redis::Value;

use super::failure::unreadable;
use crate::StoreError;

fn unexpected(wanted: &str, found: &Value) -> StoreError {
    let mut found = format!("{found:?}");
    // An answer may hold a page of messages.
    if let Some((end, _)) = found.char_indices().nth(80) {
        found.truncate(end);
    }
    StoreError::Corrupt(format!("expected {wanted}, found {found}"))
}

pub(super) fn list(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(values) | Value::Set(values) => Ok(values),
        other => Err(unexpected("a list", &other)),
    }
}

/// A hash.
pub(super) fn pairs(value: Value) -> Result<Vec<(Value, Value)>, StoreError> {
    if let Value::Map(pairs) = value {
        return Ok(pairs);
    }
    let mut values = list(value)?.into_iter();
    let mut pairs = Vec::with_capacity(values.len() / 2);
    while let (Some(field), Some(value)) = (values.next(), values.next()) {
        pairs.push((field, value));
    }
    Ok(pairs)
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        other => Err(unexpected("a string", &other)),
    }
}

pub(super) fn text(value: Value) -> Result<String, StoreError> {
    String::from_utf8(bytes(value)?).map_err(|error| unreadable("a text", &error))
}

/// A name, or a number that stands as text.
pub(super) fn parsed<T>(value: Value) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    parse(&text(value)?)
}

pub(super) fn parse<T>(text: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| unreadable(&format!("{text:?}"), &error))
}

/// What may be missing.
pub(super) fn optional<T>(
    value: Value,
    read: impl FnOnce(Value) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    if value == Value::Nil { Ok(None) } else { read(value).map(Some) }
}

/// A number, as an integer or as text.
pub(super) fn signed(value: Value) -> Result<i64, StoreError> {
    match value {
        Value::Int(number) => Ok(number),
        other => parsed(other),
    }
}

/// A count, a `seq` or a version; 0 where it is missing.
pub(super) fn unsigned(value: Value) -> Result<u64, StoreError> {
    match value {
        Value::Nil => Ok(0),
        Value::Int(number) => u64::try_from(number).map_err(|error| unreadable("a count", &error)),
        other => parsed(other),
    }
}

/// A whole number as the score of a sorted set, as text or as a number.
pub(super) fn score(value: Value) -> Result<u64, StoreError> {
    match value {
        // Exact up to 2^53, which revs stay below until the year 2255.
        Value::Double(score) if score >= 0.0 => Ok(score as u64),
        other => unsigned(other),
    }
}

/// Members of a sorted set with their scores: flat, or as pairs.
pub(super) fn scored(value: Value) -> Result<Vec<(Value, Value)>, StoreError> {
    let entries = list(value)?;
    let mut flat = Vec::with_capacity(2 * entries.len());
    for entry in entries {
        match entry {
            Value::Array(pair) => flat.extend(pair),
            other => flat.push(other),
        }
    }
    pairs(Value::Array(flat))
}

/// The next answer of a list that should have one more.
pub(super) fn next(values: &mut impl Iterator<Item = Value>) -> Result<Value, StoreError> {
    values.next().ok_or_else(|| StoreError::Corrupt("an answer is shorter than the question".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unexpected_answer_is_an_error_of_bounded_length() {
        let long = Value::BulkString("☃".repeat(1_000).into_bytes());
        let StoreError::Corrupt(text) = list(long).expect_err("it is no list") else { panic!("corrupt") };
        assert!(text.len() < 500, "{text}");
        assert!(unsigned(Value::Int(-1)).is_err());
        assert!(text_of(vec![0xff]).is_err());
    }

    fn text_of(bytes: Vec<u8>) -> Result<String, StoreError> {
        super::text(Value::BulkString(bytes))
    }

    #[test]
    fn a_hash_reads_the_same_from_both_protocols() {
        let value = |text: &str| Value::BulkString(text.into());
        let flat = Value::Array(vec![value("a"), value("1")]);
        let map = Value::Map(vec![(value("a"), value("1"))]);
        assert_eq!(pairs(flat).expect("a hash"), pairs(map).expect("a hash"));
    }
}
