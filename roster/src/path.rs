//! Which paths, names and contents a roster takes: what ZooKeeper takes too, so that no implementation is laxer.

use crate::RosterError;

/// The longest path, in bytes.
const PATH_MAX_BYTES: usize = 512;

/// The largest content of a persistent node, in bytes: half of what ZooKeeper takes in one packet by default.
pub const DATA_MAX_BYTES: usize = 512 * 1024;

/// Checks one part of a path: a node's id, or a name between slashes.
pub(crate) fn check_part(part: &str) -> Result<(), RosterError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:@-".contains(c);
    if part.is_empty() || part == "." || part == ".." || !part.chars().all(allowed) {
        return Err(RosterError::Invalid(format!(
            "the name {part:?} must have A-Z a-z 0-9 _ . : @ - only, and not be empty, . or .."
        )));
    }
    Ok(())
}

/// Checks the path of a persistent node.
pub(crate) fn check_path(path: &str) -> Result<(), RosterError> {
    if path.len() > PATH_MAX_BYTES {
        return Err(RosterError::Invalid(format!(
            "a path must have at most {PATH_MAX_BYTES} bytes, not {}",
            path.len()
        )));
    }
    let Some(relative) = path.strip_prefix('/') else {
        return Err(RosterError::Invalid(format!("the path {path:?} must start with a slash")));
    };
    relative.split('/').try_for_each(check_part)
}

/// Checks the name of an election: a path below the root, without the slash in front.
pub(crate) fn check_election(name: &str) -> Result<(), RosterError> {
    check_path(&format!("/{name}"))
}

/// Checks the content of a persistent node.
pub(crate) fn check_data(data: &[u8]) -> Result<(), RosterError> {
    if data.len() > DATA_MAX_BYTES {
        return Err(RosterError::Invalid(format!(
            "a persistent node holds at most {DATA_MAX_BYTES} bytes, not {}",
            data.len()
        )));
    }
    Ok(())
}

/// The paths above `path`, from the top: `/a` and `/a/b` for `/a/b/c`.
pub(crate) fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter(|(at, _)| *at > 0).map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_to_what_zookeeper_takes() {
        for good in ["/a", "/idgen/watermark", "/idgen/workers/17"] {
            assert!(check_path(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a", "/a/", "//a", "/a/../b", "/a b", "/é"] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
        assert!(check_path(&format!("/{}", "x".repeat(512))).is_err());
        assert!(check_election("idgen/leader").is_ok());
        assert!(check_election("/idgen/leader").is_err());
    }

    #[test]
    fn parents_come_from_the_top() {
        assert_eq!(parents("/a/b/c").collect::<Vec<_>>(), ["/a", "/a/b"]);
        assert_eq!(parents("/a").count(), 0);
    }
}
