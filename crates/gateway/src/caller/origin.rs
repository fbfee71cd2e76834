//! Where a request comes from, behind proxies or not.

use access::Source;
use axum::http::HeaderMap;
use std::net::IpAddr;

/// Addresses looked at in one request's chain of proxies.
const HOPS_MAX: usize = 20;

/// Proxies whose word about their own clients is believed.
pub(crate) struct Origin {
    trusted: Vec<Source>,
}

impl Origin {
    pub(crate) const fn new(trusted: Vec<Source>) -> Self {
        Self { trusted }
    }

    /// The nearest address that is no proxy of ours. Whatever stands left of it in `X-Forwarded-For` was
    /// written by a stranger.
    pub(crate) fn of(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusts = |address: IpAddr| self.trusted.iter().any(|proxy| proxy.contains(address));
        let peer = peer.to_canonical();
        if !trusts(peer) {
            return peer;
        }
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        let hops = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.rsplit(','));
        let mut nearest = peer;
        for hop in hops.take(HOPS_MAX) {
            let Ok(address) = hop.trim().parse::<IpAddr>() else { return nearest };
            nearest = address.to_canonical();
            if !trusts(nearest) {
                return nearest;
            }
        }
        nearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_proxies_are_believed_and_only_about_their_client() {
        let origin = Origin::new(vec![Source::parse("10.0.0.0/8").unwrap()]);
        let of = |peer: &str, forwarded: &[&str]| {
            let headers = forwarded
                .iter()
                .map(|value| ("x-forwarded-for".parse().unwrap(), value.parse().unwrap()));
            origin.of(peer.parse().unwrap(), &headers.collect()).to_string()
        };
        assert_eq!(of("203.0.113.5", &["192.0.2.1"]), "203.0.113.5", "a stranger says so");
        assert_eq!(of("10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(of("10.0.0.1", &["8.8.8.8, 192.0.2.1, 10.0.0.2"]), "192.0.2.1");
        assert_eq!(of("10.0.0.1", &["8.8.8.8", "192.0.2.1"]), "192.0.2.1");
        assert_eq!(of("10.0.0.1", &["8.8.8.8, garbage"]), "10.0.0.1");
        assert_eq!(of("::ffff:10.0.0.1", &[]), "10.0.0.1");
    }
}
