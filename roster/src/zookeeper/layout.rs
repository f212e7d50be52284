//! Where what lies (CONTRACT §7), and one subtree more: the fences.

use wire::Role;

/// How many fences there are: enough that nodes which register at once seldom meet at one, few enough to stay for good.
const FENCES: u64 = 256;

/// Absolute paths.
#[derive(Debug)]
pub(super) struct Layout {
    base: String,
    nodes: String,
}

impl Layout {
    pub(super) fn new(chroot: &str, root: &str) -> Self {
        let base = format!("{chroot}{root}");
        Self { nodes: format!("{base}/nodes"), base }
    }

    /// The folder of the roles.
    pub(super) fn nodes(&self) -> &str {
        &self.nodes
    }

    /// The folder of one role.
    pub(super) fn role(&self, role: Role) -> String {
        format!("{}/{role}", self.nodes)
    }

    /// One node.
    pub(super) fn node(&self, role: Role, id: &str) -> String {
        format!("{}/{role}/{id}", self.nodes)
    }

    /// Which node a path belongs to; none where it is a folder, or of a role that this build does not know.
    pub(super) fn key<'a>(&self, path: &'a str) -> Option<(Role, &'a str)> {
        let (role, id) = path.strip_prefix(&self.nodes)?.strip_prefix('/')?.split_once('/')?;
        Some((role.parse().ok()?, id))
    }

    /// The persistent node whose version changes with each registration of this node.
    pub(super) fn fence(&self, role: Role, id: &str) -> String {
        // FNV-1a: all builds must agree, for ever.
        let hash = [role.as_str().as_bytes(), b"/", id.as_bytes()]
            .concat()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("{}/fences/{:02x}", self.base, (hash ^ (hash >> 32)) % FENCES)
    }

    /// A persistent node.
    pub(super) fn record(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The folder of an election's latches.
    pub(super) fn election(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_by_its_path() {
        let layout = Layout::new("/apps", "/phalanx");
        let path = layout.node(Role::MinionsUi, "a/b".split('/').next().expect("a part"));
        assert_eq!(path, "/apps/phalanx/nodes/minions-ui/a");
        assert_eq!(layout.key(&path), Some((Role::MinionsUi, "a")));
        for other in ["/apps/phalanx/nodes", "/apps/phalanx/nodes/spear", "/apps/phalanx/nodes/later/x", "/x"]
        {
            assert_eq!(layout.key(other), None, "{other}");
        }
    }

    #[test]
    fn fences_stay_where_they_are() {
        let layout = Layout::new("", "/phalanx");
        assert_eq!(layout.fence(Role::Spear, "spear-1"), layout.fence(Role::Spear, "spear-1"));
        let all: std::collections::BTreeSet<_> =
            (0..10_000).map(|number| layout.fence(Role::Spear, &format!("spear-{number}"))).collect();
        assert_eq!(all.len(), 256, "they are spread over all");
    }
}
