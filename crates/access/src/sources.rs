//! Ranges of addresses.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// One address or a range of them: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Source {
    base: IpAddr,
    bits: u8,
}

/// Not a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address range; write one like 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32, host bits zero"
)]
pub struct SourceError(String);

impl Source {
    /// Reads a range from outside.
    ///
    /// # Errors
    ///
    /// [`SourceError`] shows the form that is expected.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let wrong = || SourceError(text.chars().take(60).collect());
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let source = Self { base, bits: bits.unwrap_or(most) };
        let sound = source.bits <= most && source.masked(base) == Some(base);
        if sound { Ok(source) } else { Err(wrong()) }
    }

    /// Whether the address lies in the range. A v4 address in v6 clothes is the v4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.masked(address.to_canonical()) == Some(self.base)
    }

    /// The address with all bits behind the prefix cleared; none of another family.
    fn masked(&self, address: IpAddr) -> Option<IpAddr> {
        match (self.base, address) {
            (IpAddr::V4(_), IpAddr::V4(v4)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits.min(32))).unwrap_or(0);
                Some(IpAddr::V4((v4.to_bits() & mask).into()))
            }
            (IpAddr::V6(_), IpAddr::V6(v6)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits.min(128))).unwrap_or(0);
                Some(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl TryFrom<String> for Source {
    type Error = SourceError;
    fn try_from(text: String) -> Result<Self, SourceError> {
        Self::parse(&text)
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_they_say() {
        let holds = |range: &str, address: &str| {
            let address = address.parse().expect("an address");
            Source::parse(range).expect("a range").contains(address)
        };
        assert!(holds("10.0.0.0/8", "10.255.1.2") && !holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("192.0.2.7", "::ffff:192.0.2.7") && !holds("192.0.2.7", "192.0.2.8"));
        assert!(holds("2001:db8::/32", "2001:db8:1::9") && !holds("2001:db8::/32", "2001:db9::"));
        for bad in ["", "10.0.0.1/8", "10.0.0.0/33", "2001:db8::/129", "ten", "10.0.0.0/", "::/x"] {
            assert!(Source::parse(bad).is_err(), "{bad}");
        }
    }
}
