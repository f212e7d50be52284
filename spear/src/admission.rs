//! Who gets in: a ticket that is ours, for this start of this spear, not expired and not used before.

use std::{
    collections::{BTreeSet, HashSet},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use wire::{Code, NodeRef, TicketClaims, TicketError, TicketKeys, time::now_ms};

/// Why a client is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotAdmitted {
    pub(crate) code: Code,
    pub(crate) message: String,
}

/// Checks tickets. A ticket names the start of the spear, so the set of used ones needs no other memory than this process's.
pub(crate) struct Admission {
    node: NodeRef,
    keys: TicketKeys,
    max_connections: usize,
    draining: AtomicBool,
    used: Mutex<UsedTickets>,
}

/// The tickets that were used and have not expired yet; bounded by the rate of connections times a ticket's life.
#[derive(Default)]
struct UsedTickets {
    ids: HashSet<String>,
    by_expiry: BTreeSet<(i64, String)>,
}

impl UsedTickets {
    /// Notes a ticket; answers whether it was new. Forgets those that have expired: they are refused for that.
    fn insert(&mut self, claims: &TicketClaims, now: i64) -> bool {
        while let Some((expires_at, _)) = self.by_expiry.first()
            && *expires_at < now
        {
            if let Some((_, id)) = self.by_expiry.pop_first() {
                self.ids.remove(&id);
            }
        }
        let new = self.ids.insert(claims.jti.clone());
        if new {
            self.by_expiry.insert((claims.expires_at, claims.jti.clone()));
        }
        new
    }
}

impl Admission {
    pub(crate) fn new(node: NodeRef, keys: TicketKeys, max_connections: usize) -> Self {
        Self { node, keys, max_connections, draining: AtomicBool::new(false), used: Mutex::default() }
    }

    /// From now on everybody is refused as `draining`.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Takes [`Admission::drain`] back.
    pub(crate) fn open(&self) {
        self.draining.store(false, Ordering::Relaxed);
    }

    /// Checks a ticket and uses it up. Draining and overload are answered first, and leave the ticket unused.
    pub(crate) fn check(
        &self,
        ticket: Option<&str>,
        connections: usize,
    ) -> Result<TicketClaims, NotAdmitted> {
        let refuse = |code, message: &str| Err(NotAdmitted { code, message: message.to_owned() });
        if self.draining.load(Ordering::Relaxed) {
            return refuse(Code::Draining, "this spear is leaving: ask for a new ticket");
        }
        if connections >= self.max_connections {
            return refuse(Code::Overloaded, "this spear is full: ask for a ticket that avoids it");
        }
        let Some(ticket) = ticket else {
            return refuse(Code::TicketMissing, "no ticket: expected auth.ticket, or ?ticket= in the query");
        };
        let now = now_ms();
        let claims = match self.keys.verify(ticket, now) {
            Ok(claims) => claims,
            Err(TicketError::Expired) => {
                return refuse(Code::TicketExpired, "the ticket has expired: ask for a new one");
            }
            Err(TicketError::Invalid) => {
                return refuse(Code::TicketInvalid, "the ticket is not one of this cluster's");
            }
        };
        if claims.spear != self.node.id || claims.incarnation != self.node.incarnation {
            return refuse(
                Code::WrongNode,
                "the ticket is for another spear, or for an earlier start of this one",
            );
        }
        if !self.used.lock().insert(&claims, now) {
            return refuse(Code::TicketUsed, "the ticket was used before: ask for a new one");
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use wire::{Incarnation, TicketKey};

    use super::*;

    const LIFE_MS: i64 = 30_000;

    fn admission() -> (Admission, TicketKey) {
        let node = NodeRef { id: "spear-1".into(), incarnation: Incarnation(7) };
        let key = TicketKey::new("k1", &[1; 32]);
        (Admission::new(node, TicketKeys::new([key.clone()]), 10), key)
    }

    fn claims() -> TicketClaims {
        let now = now_ms();
        TicketClaims {
            jti: "t1".into(),
            spear: "spear-1".into(),
            incarnation: Incarnation(7),
            user: "alice".parse().expect("a name"),
            device: wire::Device::default(),
            issued_at: now,
            expires_at: now + LIFE_MS,
            token_expires_at: now + LIFE_MS,
            scope: Vec::new(),
        }
    }

    fn code(admission: &Admission, ticket: Option<&str>, connections: usize) -> Option<Code> {
        admission.check(ticket, connections).err().map(|refusal| refusal.code)
    }

    #[test]
    fn a_good_ticket_is_taken_once() {
        let (admission, key) = admission();
        let ticket = key.sign(&claims());
        assert_eq!(code(&admission, Some(&ticket), 0), None);
        assert_eq!(code(&admission, Some(&ticket), 0), Some(Code::TicketUsed));
    }

    #[test]
    fn every_other_ticket_is_refused_with_its_code() {
        let (admission, key) = admission();
        let sign = |change: fn(&mut TicketClaims)| {
            let mut claims = claims();
            change(&mut claims);
            key.sign(&claims)
        };
        let expired = sign(|claims| claims.expires_at = now_ms() - LIFE_MS);
        let elsewhere = sign(|claims| claims.spear = "spear-2".into());
        let before = sign(|claims| claims.incarnation = Incarnation(6));
        let foreign = TicketKey::new("k1", &[2; 32]).sign(&claims());
        assert_eq!(code(&admission, None, 0), Some(Code::TicketMissing));
        assert_eq!(code(&admission, Some("x.y.z"), 0), Some(Code::TicketInvalid));
        assert_eq!(code(&admission, Some(&foreign), 0), Some(Code::TicketInvalid));
        assert_eq!(code(&admission, Some(&expired), 0), Some(Code::TicketExpired));
        assert_eq!(code(&admission, Some(&elsewhere), 0), Some(Code::WrongNode));
        assert_eq!(code(&admission, Some(&before), 0), Some(Code::WrongNode));
    }

    #[test]
    fn a_full_or_leaving_spear_does_not_use_the_ticket_up() {
        let (admission, key) = admission();
        let ticket = key.sign(&claims());
        assert_eq!(code(&admission, Some(&ticket), 10), Some(Code::Overloaded));
        assert_eq!(code(&admission, Some(&ticket), 9), None);
        admission.drain();
        assert_eq!(code(&admission, Some(&ticket), 0), Some(Code::Draining));
        admission.open();
        assert_eq!(code(&admission, Some(&ticket), 0), Some(Code::TicketUsed), "it looks at tickets again");
    }

    #[test]
    fn used_tickets_are_forgotten_once_they_have_expired() {
        let mut used = UsedTickets::default();
        let first = claims();
        assert!(used.insert(&first, first.issued_at));
        let later = TicketClaims { jti: "t2".into(), ..first.clone() };
        assert!(used.insert(&later, first.expires_at + 1));
        assert_eq!(used.ids.len(), 1);
    }
}
