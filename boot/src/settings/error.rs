//! Why settings cannot be used.

use figment::error::{Actual, Error, Kind};

/// Names the file (or variable), the key and what was expected; one line for each fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

impl SettingsError {
    pub(super) fn plain(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// `key` is the whole path (`spear.port`), `place` where it stands.
    pub(super) fn at(place: &str, key: &str, problem: &str) -> Self {
        Self(format!("{place}: {key}: {problem}"))
    }

    /// What serde says, under `prefix`; `place_of` finds where a path stands.
    pub(super) fn from_figment(prefix: &str, error: Error, place_of: impl Fn(&str) -> String) -> Self {
        let mut path: Vec<String> = vec![prefix.to_owned()];
        path.extend(error.path.clone());
        let key = path.join(".");
        let problem = match &error.kind {
            Kind::UnknownField(name, expected) => {
                let hint = did_you_mean(name, expected.iter().copied()).map_or_else(
                    || format!("expected one of {}", expected.join(", ")),
                    |near| format!("did you mean {near}?"),
                );
                format!("unknown key, {hint}")
            }
            Kind::MissingField(name) => {
                return Self::at(&place_of(&key), &format!("{key}.{name}"), "this key is missing");
            }
            Kind::UnknownVariant(got, expected) => {
                format!("expected one of {}, got {got:?}", expected.join(", "))
            }
            Kind::InvalidType(got, expected) | Kind::InvalidValue(got, expected) => {
                format!("expected {}, got {}", readable(expected), found(got))
            }
            other => other.to_string(),
        };
        Self::at(&place_of(&key), &key, &problem)
    }
}

/// Serde names Rust's types; operators think in numbers and text.
fn readable(expected: &str) -> String {
    match expected {
        "u8" => "a whole number from 0 to 255".into(),
        "u16" => "a whole number from 0 to 65535".into(),
        "u32" | "u64" | "usize" => "a whole number, 0 or more".into(),
        "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a string" => "text in quotes".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        other => match other.strip_prefix("struct ") {
            Some(_) => "a table".into(),
            None => other.into(),
        },
    }
}

/// What stands there, as it was written.
fn found(got: &Actual) -> String {
    match got {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Str(text) => format!("{text:?}"),
        Actual::Seq => "a list".into(),
        Actual::Map => "a table".into(),
        other => other.to_string(),
    }
}

/// The candidate that `name` is probably a slip of.
pub(super) fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let tolerated = 1 + name.len() / 4;
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out or replaced (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key() {
        let keys = ["port", "host", "drain_timeout_ms"];
        assert_eq!(did_you_mean("prot", keys.into_iter()), Some("port"));
        assert_eq!(did_you_mean("drain_timeout", keys.into_iter()), Some("drain_timeout_ms"));
        assert_eq!(did_you_mean("colour", keys.into_iter()), None);
    }
}
