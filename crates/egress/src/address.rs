//! Which IP addresses belong to the public internet.
//!
//! A link that somebody else wrote must not lead into our own network, to the machine itself, or to
//! a cloud's metadata service. The lists follow IANA's special-purpose registries; an IPv6 address
//! that carries an IPv4 one is judged by what it carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address may not be contacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is not a public address ({kind})")]
pub struct NotPublic {
    /// The address as it was written or resolved.
    pub address: IpAddr,
    /// What it is instead.
    pub kind: &'static str,
}

/// IPv4 networks that are not public: network, prefix length, kind.
const V4_REFUSED: &[([u8; 4], u32, &str)] = &[
    ([0, 0, 0, 0], 8, "this network"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "carrier-grade NAT or cloud metadata"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([168, 63, 129, 16], 32, "cloud metadata"),
    ([169, 254, 0, 0], 16, "link-local or cloud metadata"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "protocol assignments"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 88, 99, 0], 24, "6to4 relay"),
    ([192, 168, 0, 0], 16, "private"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved or broadcast"),
];

/// IPv6 networks inside 2000::/3 that are not public. All outside of 2000::/3 is refused anyway.
const V6_REFUSED: &[([u16; 8], u32, &str)] = &[
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments or Teredo"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation"),
];

/// Accepts an address of the public internet.
///
/// # Errors
///
/// [`NotPublic`] for private, loopback, link-local, shared, multicast, documentation, reserved and
/// metadata addresses, and for IPv6 forms that carry such an IPv4 address.
pub fn check_public(address: IpAddr) -> Result<(), NotPublic> {
    let kind = match address {
        IpAddr::V4(v4) => v4_kind(v4),
        IpAddr::V6(v6) => v6_kind(v6),
    };
    match kind {
        None => Ok(()),
        Some(kind) => Err(NotPublic { address, kind }),
    }
}

/// What a non-public IPv4 address is; `None` for a public one.
fn v4_kind(address: Ipv4Addr) -> Option<&'static str> {
    let bits = u32::from(address);
    V4_REFUSED.iter().find_map(|(network, length, kind)| {
        let shift = 32 - length;
        (bits >> shift == u32::from(Ipv4Addr::from(*network)) >> shift).then_some(*kind)
    })
}

/// What a non-public IPv6 address is; `None` for a public one.
fn v6_kind(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    if let Some(carried) = carried_v4(segments) {
        return v4_kind(carried);
    }
    let bits = u128::from(address);
    // One eighth of the space is in public use; the loopback, unique-local, link-local,
    // site-local and multicast ranges all lie outside of it.
    if bits >> 125 != 0b001 {
        return Some(match segments[0] {
            0xff00..=0xffff => "multicast",
            0xfe80..=0xfebf => "link-local",
            0xfc00..=0xfdff => "unique local",
            0 if bits == 1 => "loopback",
            _ => "not global unicast",
        });
    }
    V6_REFUSED.iter().find_map(|(network, length, kind)| {
        let shift = 128 - length;
        (bits >> shift == u128::from(Ipv6Addr::from(*network)) >> shift).then_some(*kind)
    })
}

/// The IPv4 address inside an IPv6 one: mapped, translated, NAT64 (well-known prefix) and 6to4.
/// The deprecated "compatible" form and the local NAT64 prefix are refused as a whole instead.
fn carried_v4(segments: [u16; 8]) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}
