//! Places for connections: so many in all, and so many for one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    taken: Arc<Taken>,
    per_address: u64,
}

type Taken = Mutex<HashMap<IpAddr, u64>>;

/// One place, free again once dropped.
#[derive(Debug)]
pub(super) struct Place {
    _room: Room,
    taken: Arc<Taken>,
    address: IpAddr,
}

/// Room for one connection of anybody.
pub(super) type Room = Option<OwnedSemaphorePermit>;

impl Places {
    pub(super) fn new(limits: &Limits) -> Self {
        let all = usize::try_from(limits.connections).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(all)), taken: Arc::default(), per_address: limits.connections_per_address }
    }

    /// Waits for room. The semaphore is never closed, so there always is some in the end.
    pub(super) async fn room(&self) -> Room {
        self.all.clone().acquire_owned().await.ok()
    }

    /// A place for this address, unless it has too many.
    pub(super) fn take(&self, room: Room, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Place { _room: room, taken: self.taken.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// Whom an address stands for: with IPv6 a single customer has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test]
    async fn one_address_cannot_take_all_places() {
        let places = Places::new(&Limits { connections: 3, connections_per_address: 2, ..Limits::default() });
        let first = places.take(places.room().await, ip("10.0.0.1")).expect("a place");
        let _second = places.take(places.room().await, ip("::ffff:10.0.0.1")).expect("a place");
        assert!(places.take(places.room().await, ip("10.0.0.1")).is_none());
        let _other = places.take(places.room().await, ip("10.0.0.2")).expect("a place for another");
        drop(first);
        assert!(places.take(places.room().await, ip("10.0.0.1")).is_some(), "what is given back can be taken");
    }

    #[tokio::test]
    async fn addresses_that_have_gone_take_no_memory() {
        let places = Places::new(&Limits::default());
        for text in ["10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"] {
            drop(places.take(places.room().await, ip(text)).expect("a place"));
        }
        assert!(places.taken.lock().expect("no panic").is_empty());
        assert_eq!(network(ip("2001:db8::1")), network(ip("2001:db8::ffff:2")));
        assert_ne!(network(ip("2001:db8::1")), network(ip("2001:db8:0:1::1")));
    }
}
