//! Sessions whose client was not let in yet: few, so that those who say nothing keep nobody out.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::{DashMap, Entry};

pub(crate) struct Unconnected {
    most: usize,
    most_of_an_address: usize,
    all: AtomicUsize,
    by_address: DashMap<IpAddr, usize>,
}

/// A place among them, left when it is dropped.
pub(crate) struct Place {
    unconnected: Arc<Unconnected>,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.unconnected.leave(self.address);
    }
}

/// What counts as one address: of IPv6 the first half, for the second one is the host's own to choose.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

/// There are as many as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crowded;

impl Unconnected {
    pub(crate) fn new(most: usize, most_of_an_address: usize) -> Self {
        Self { most, most_of_an_address, all: AtomicUsize::new(0), by_address: DashMap::new() }
    }

    pub(crate) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Place, Crowded> {
        let address = address.map(counted);
        self.count(address)?;
        Ok(Place { unconnected: self.clone(), address })
    }

    fn count(&self, address: Option<IpAddr>) -> Result<(), Crowded> {
        let take = |count: usize| (count < self.most).then_some(count + 1);
        self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_err(|_| Crowded)?;
        let Some(address) = address else { return Ok(()) };
        let entered = match self.by_address.entry(address) {
            Entry::Occupied(mut of_address) if *of_address.get() < self.most_of_an_address => {
                *of_address.get_mut() += 1;
                Ok(())
            }
            Entry::Vacant(place) if self.most_of_an_address > 0 => {
                place.insert(1);
                Ok(())
            }
            Entry::Occupied(_) | Entry::Vacant(_) => Err(Crowded),
        };
        if entered.is_err() {
            self.all.fetch_sub(1, Ordering::Relaxed);
        }
        entered
    }

    fn leave(&self, address: Option<IpAddr>) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = address else { return };
        if let Entry::Occupied(mut of_address) = self.by_address.entry(address) {
            if *of_address.get() > 1 {
                *of_address.get_mut() -= 1;
            } else {
                of_address.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const OTHER: Option<IpAddr> = Some(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST));

    #[test]
    fn an_address_has_its_share_and_all_have_theirs() {
        let unconnected = Unconnected::new(3, 2);
        assert_eq!(unconnected.count(ONE), Ok(()));
        assert_eq!(unconnected.count(ONE), Ok(()));
        assert_eq!(unconnected.count(ONE), Err(Crowded));
        assert_eq!(unconnected.count(OTHER), Ok(()));
        assert_eq!(unconnected.count(OTHER), Err(Crowded));
        unconnected.leave(ONE);
        assert_eq!(unconnected.count(OTHER), Ok(()));
        assert_eq!(unconnected.count(None), Err(Crowded));
    }

    #[test]
    fn nothing_is_kept_of_an_address_whose_sessions_are_gone() {
        let unconnected = Unconnected::new(3, 0);
        assert_eq!(unconnected.count(ONE), Err(Crowded));
        let unconnected = Unconnected::new(3, 2);
        unconnected.count(ONE).expect("room");
        unconnected.leave(ONE);
        assert!(unconnected.by_address.is_empty());
    }

    #[test]
    fn a_host_with_many_addresses_has_one_share() {
        let address = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let unconnected = Arc::new(Unconnected::new(4, 1));
        let place = unconnected.enter(address("2001:db8::1")).expect("room");
        assert!(unconnected.enter(address("2001:db8::ffff:2")).is_err());
        let _other = unconnected.enter(address("2001:db8:0:1::1")).expect("room");
        let _four = unconnected.enter(address("192.0.2.1")).expect("room");
        assert!(unconnected.enter(address("::ffff:192.0.2.1")).is_err());
        drop(place);
        assert!(unconnected.enter(address("2001:db8::ffff:2")).is_ok());
    }
}
