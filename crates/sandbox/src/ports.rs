//! Free loopback ports.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Below the range kernels take outgoing ports from (Linux 32768, macOS 49152): a server that is
/// killed and started again on its port must not find a stranger's connection sitting there.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_999;
const TRIES_MAX: u32 = 2_000;

/// Ports this process has handed out: two tests of one binary never get the same one.
static TAKEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A TCP port on 127.0.0.1 that nobody listens on now and that this process has not handed out
/// before.
///
/// Another process may still take it before its user binds, so prefer port 0 where the server can
/// report its address, and try again where it cannot.
///
/// # Panics
///
/// When thousands of tries find no free port; the machine is then beyond testing.
#[must_use]
pub fn free() -> u16 {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let span = u64::from(LAST - FIRST) + 1;
    for attempt in 0..TRIES_MAX {
        // RandomState is seeded by the system: processes started together still look apart.
        let drawn = RandomState::new().hash_one(attempt) % span;
        let port = FIRST + u16::try_from(drawn).expect("the span is smaller than a port number");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && taken.insert(port) {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {LAST} on 127.0.0.1 after {TRIES_MAX} tries");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_differ() {
        let drawn: Vec<u16> = (0..50).map(|_| free()).collect();
        let distinct: HashSet<_> = drawn.iter().collect();
        assert_eq!(distinct.len(), drawn.len());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, drawn[0])).expect("it is free");
        assert_eq!(listener.local_addr().expect("bound").port(), drawn[0]);
    }
}
