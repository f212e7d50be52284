//! Inbox versions, kept in memory.

use wire::User;

use super::cache::Cache;

/// Users with a version of their own in each of two generations, about 100 bytes each: 50 MiB at most. The others share
/// one version, which grows when some are forgotten: their nodes then compare once for nothing.
const USERS: usize = 262_144;

/// A version a user that grows with each change. Versions are cut from one counter, so that a user who is forgotten and
/// comes back never gets an old one.
pub(super) struct Versions {
    given: u64,
    of: Cache<User, u64>,
    /// Of every user without one of their own: not less than any that was forgotten.
    others: u64,
}

impl Versions {
    pub(super) fn new(version: u64) -> Self {
        Self { given: version, of: Cache::new(USERS), others: version }
    }

    pub(super) fn bump(&mut self, user: &User) {
        self.given += 1;
        match self.of.get_mut(user) {
            Some(version) => *version = self.given,
            None => self.of.insert(user.clone(), self.given),
        }
        if self.of.trim() {
            self.others = self.given;
        }
    }

    pub(super) fn get(&self, user: &User) -> u64 {
        self.of.peek(user).copied().unwrap_or(self.others)
    }

    pub(super) fn version(&self) -> u64 {
        self.given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_only_grow_even_for_those_who_were_forgotten() {
        let user = |n: usize| User::new(&format!("u{n}")).expect("a name");
        let mut versions = Versions::new(7);
        assert_eq!(versions.get(&user(0)), 7);
        versions.bump(&user(0));
        let first = versions.get(&user(0));
        assert!(first > 7);
        for n in 1..=2 * USERS {
            versions.bump(&user(n));
        }
        assert!(versions.of.peek(&user(0)).is_none(), "the oldest is forgotten");
        assert!(versions.get(&user(0)) >= first);
    }
}
