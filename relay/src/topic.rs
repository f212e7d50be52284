//! Node ids in the names of topics.

/// `prefix` and the id of a node, of `A-Z a-z 0-9 - _` only: everything else, and `_` itself, becomes `_` and two hexadecimal digits.
/// So two ids never have the same name, nor, for Kafka, names that differ in `.` and `_` only, which it refuses.
pub(crate) fn topic(prefix: &str, id: &str) -> String {
    let mut name = String::with_capacity(prefix.len() + id.len());
    name.push_str(prefix);
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("_{byte:02x}"));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::topic;

    #[test]
    fn ids_that_differ_have_names_that_differ() {
        assert_eq!(topic("phalanx-relay-", "spear-1"), "phalanx-relay-spear-1");
        let ids = ["a_b", "a.b", "a:b", "a@b", "a_2eb", "a-b", "ab"];
        let names: std::collections::HashSet<String> = ids.iter().map(|id| topic("", id)).collect();
        assert_eq!(names.len(), ids.len(), "{names:?}");
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(names.iter().all(|name| name.chars().all(legal)), "{names:?}");
    }
}
