//! What the process asks of the operating system for itself, before it does anything else: nobody else may read what it
//! writes, no core dump holds what it knew, and it may hold as many descriptors as it is allowed to.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// No more descriptors than this are asked for.
const DESCRIPTORS_MAX: u64 = 65_536;
/// Kept from connections, for the database, files and the rest; at least, and as a share.
const DESCRIPTORS_KEPT: u64 = 48;
const SHARE_KEPT: u64 = 4;
/// Fewer connections than this are not worth a listener.
const CONNECTIONS_LEAST: u64 = 8;

/// Files of this process are its user's alone, and it leaves no core dump. What the system refuses is only logged: it
/// makes the process no worse than it was.
pub fn harden() {
    umask(Mode::RWXG | Mode::RWXO);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
    let allowed = getrlimit(Resource::Nofile);
    let wanted = allowed.maximum.map_or(DESCRIPTORS_MAX, |most| most.min(DESCRIPTORS_MAX));
    if allowed.current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..allowed })
    {
        tracing::warn!(%error, "the limit of descriptors could not be raised");
    }
}

/// How many connections there are descriptors for.
pub fn connections_possible() -> u64 {
    getrlimit(Resource::Nofile).current.map_or(u64::MAX, connections_within)
}

fn connections_within(descriptors: u64) -> u64 {
    descriptors.saturating_sub(DESCRIPTORS_KEPT.max(descriptors / SHARE_KEPT)).max(CONNECTIONS_LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        assert_eq!([64, 1024, 65_536].map(connections_within), [16, 768, 49_152]);
        assert_eq!(connections_within(10), CONNECTIONS_LEAST);
    }
}
