//! How fast somebody may ask, and how often be wrong: token buckets and counters in one machine word each, without a lock.
//!
//! A key has a bucket of its own. Addresses share a fixed number of slots, so that memory is bounded whoever calls: two
//! addresses that fall into one slot share it. Must never know what a request is about.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::ConnectInfo;
use axum::http::Extensions;

/// Slots for addresses.
const SLOTS: usize = 4096;
const SECOND: u64 = 1_000_000_000;
/// Failures are counted in windows of this length.
const WINDOW_S: u64 = 60;

/// The address a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    /// As the listener noted it; a request that came from nowhere shares one address with its like.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        Self(extensions.get::<ConnectInfo<SocketAddr>>().map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| peer.ip()))
    }

    /// What is counted as one: an IPv4 address, or the network of an IPv6 address, whose lower half its owner may choose.
    fn network(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address => address,
        }
    }
}

/// A token bucket as one number: the time, in nanoseconds, at which it will be full again.
#[derive(Debug, Default)]
pub(crate) struct Bucket(AtomicU64);

/// What is left after a request was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Requests that may follow at once.
    pub(crate) remaining: u64,
    /// Seconds until all may, rounded up.
    pub(crate) reset_s: u64,
    /// Whether this one may pass.
    pub(crate) pass: bool,
}

impl Bucket {
    /// Takes one token at `now`, of `rate` a second; as many may be taken at once.
    fn take(&self, now: u64, rate: u64) -> Standing {
        let each = (SECOND / rate).max(1);
        let whole = each * rate;
        let mut full_at = self.0.load(Ordering::Relaxed);
        loop {
            let debt = full_at.saturating_sub(now);
            if debt + each > whole {
                return Standing { remaining: 0, reset_s: debt.div_ceil(SECOND).max(1), pass: false };
            }
            match self.0.compare_exchange_weak(full_at, now + debt + each, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let debt = debt + each;
                    return Standing { remaining: (whole - debt) / each, reset_s: debt.div_ceil(SECOND), pass: true };
                }
                Err(other) => full_at = other,
            }
        }
    }
}

/// Rates and failures of this process.
#[derive(Debug)]
pub(crate) struct Rates {
    per_second: u64,
    failures_max: u64,
    begin: Instant,
    hasher: RandomState,
    buckets: Box<[Bucket]>,
    /// Second in which the window began in the upper half, failures in it in the lower.
    failures: Box<[AtomicU64]>,
}

impl Rates {
    /// `per_second` 0 = no bound.
    pub(crate) fn new(per_second: u64, failures_max: u64) -> Self {
        Self {
            per_second: per_second.min(SECOND),
            failures_max: failures_max.min(u64::from(u32::MAX) - 1),
            begin: Instant::now(),
            hasher: RandomState::new(),
            buckets: (0..SLOTS).map(|_| Bucket::default()).collect(),
            failures: (0..SLOTS).map(|_| AtomicU64::default()).collect(),
        }
    }

    /// Requests a second allowed; 0 = no bound.
    pub(crate) fn per_second(&self) -> u64 {
        self.per_second
    }

    /// Counts a request against a key's bucket, or against its address; `None` when rates are not bounded.
    pub(crate) fn take(&self, bucket: Option<&Bucket>, peer: Peer) -> Option<Standing> {
        if self.per_second == 0 {
            return None;
        }
        let bucket = bucket.unwrap_or_else(|| &self.buckets[self.slot(peer)]);
        let now = u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX / 2);
        Some(bucket.take(now, self.per_second))
    }

    /// Counts a failure; beyond the bound, the seconds until the address is heard again.
    pub(crate) fn fail(&self, peer: Peer) -> Result<(), u64> {
        self.fail_at(peer, self.begin.elapsed().as_secs())
    }

    fn fail_at(&self, peer: Peer, now: u64) -> Result<(), u64> {
        let slot = &self.failures[self.slot(peer)];
        let mut seen = slot.load(Ordering::Relaxed);
        loop {
            let (begin, count) = (seen >> 32, seen & u64::from(u32::MAX));
            let (begin, count) = if count == 0 || now >= begin + WINDOW_S { (now, 1) } else { (begin, count + 1) };
            if count > self.failures_max {
                return Err((begin + WINDOW_S - now).max(1));
            }
            match slot.compare_exchange_weak(seen, (begin << 32) | count, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => seen = other,
            }
        }
    }

    fn slot(&self, peer: Peer) -> usize {
        usize::try_from(self.hasher.hash_one(peer.network()) % SLOTS as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer(text.parse().expect("an address"))
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let bucket = Bucket::default();
        let first = bucket.take(0, 10);
        assert_eq!(first, Standing { remaining: 9, reset_s: 1, pass: true });
        let passed = (0..20).filter(|_| bucket.take(0, 10).pass).count();
        assert_eq!(passed, 9, "ten at once, one of them before");
        assert_eq!(bucket.take(SECOND / 10 - 1, 10), Standing { remaining: 0, reset_s: 1, pass: false });
        assert!(bucket.take(SECOND / 10, 10).pass && !bucket.take(SECOND / 10, 10).pass, "one every tenth of a second");
        let later = (0..20).filter(|_| bucket.take(100 * SECOND, 10).pass).count();
        assert_eq!(later, 10, "rest is not saved beyond the burst");
    }

    #[test]
    fn many_threads_take_no_more_than_there_is() {
        let bucket = Bucket::default();
        let passed: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..1000).filter(|_| bucket.take(SECOND, 1000).pass).count())).collect();
            takers.into_iter().map(|taker| taker.join().expect("no panic")).sum()
        });
        assert_eq!(passed, 1000);
    }

    #[test]
    fn the_twenty_first_failure_of_a_minute_is_one_too_many() {
        let rates = Rates::new(0, 20);
        let (one, other) = (peer("192.0.2.1"), peer("2001:db8::1"));
        assert!((0..20).all(|second| rates.fail_at(one, second).is_ok()));
        assert_eq!(rates.fail_at(one, 20), Err(40));
        assert_eq!(rates.fail_at(one, 59), Err(1));
        assert!(rates.slot(one) == rates.slot(other) || rates.fail_at(other, 20).is_ok());
        assert!(rates.fail_at(one, 60).is_ok(), "a new minute");
    }

    #[test]
    fn an_address_is_one_slot_however_it_is_written_and_a_network_is_one_address() {
        let rates = Rates::new(1, 1);
        assert_eq!(rates.slot(peer("192.0.2.1")), rates.slot(peer("::ffff:192.0.2.1")));
        assert_eq!(rates.slot(peer("2001:db8::1")), rates.slot(peer("2001:db8::ffff:1")));
        assert_eq!(Rates::new(0, 1).take(None, peer("192.0.2.1")), None);
    }
}
