//! `spear-++` and `30001++`: one text for many instances.

const MARK: &str = "++";

/// The text for instance `instance` (from 0): a number before `++` is counted up from, otherwise instances count from 1.
///
/// `spear-++` becomes `spear-1`, `30001++` becomes `30001`; the next instance gets `spear-2` and `30002`. `None` where the
/// number becomes too large.
pub(super) fn expand(text: &str, instance: u32) -> Option<String> {
    let Some((before, after)) = text.split_once(MARK) else {
        return Some(text.to_owned());
    };
    let stem = before.trim_end_matches(|c: char| c.is_ascii_digit());
    let base: u64 = match &before[stem.len()..] {
        "" => 1,
        digits => digits.parse().ok()?,
    };
    let number = base.checked_add(u64::from(instance))?;
    Some(format!("{stem}{number}{after}"))
}

/// Whether instances get texts of their own.
pub(super) fn varies(text: &str) -> bool {
    text.contains(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_count_up() {
        assert_eq!(expand("spear-++", 0).as_deref(), Some("spear-1"));
        assert_eq!(expand("spear-++", 1).as_deref(), Some("spear-2"));
        assert_eq!(expand("30001++", 2).as_deref(), Some("30003"));
        assert_eq!(
            expand("https://s-7++.example.org:443", 1).as_deref(),
            Some("https://s-8.example.org:443")
        );
        assert_eq!(expand("plain", 5).as_deref(), Some("plain"));
    }
}
