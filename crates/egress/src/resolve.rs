//! Name lookup for guarded clients: only public addresses come out.
//!
//! The connection is made to exactly the addresses that were vetted here, so a name that answers
//! differently the second time gains nothing.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{address::check_public, target::Refused};

/// How a host name becomes addresses.
pub type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync + 'static>;

/// The system's resolver.
#[must_use]
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Resolves names and keeps public addresses only.
pub(crate) struct PublicOnly(pub(crate) Lookup);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.0)(name.as_str().to_owned());
        Box::pin(async move {
            let mut refused = None;
            let mut public = Vec::new();
            for address in found.await? {
                match check_public(address) {
                    // Port 0 lets the connector use the one of the URL.
                    Ok(()) => public.push(SocketAddr::new(address, 0)),
                    Err(not_public) => refused = Some(not_public),
                }
            }
            match refused {
                Some(not_public) if public.is_empty() => Err(Refused::Address(not_public).into()),
                _ if public.is_empty() => Err(io::Error::other("the name has no address").into()),
                _ => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_a_mixed_answer_only_the_public_part_is_connected_to() {
        let lookup: Lookup = Arc::new(|_| {
            let mixed = ["127.0.0.1", "8.8.8.8", "::1", "2606:4700::1111", "10.0.0.1"];
            let mixed = mixed.map(|text| text.parse().unwrap()).to_vec();
            Box::pin(async move { Ok(mixed) })
        });
        let found = PublicOnly(lookup).resolve("b.example".parse().unwrap()).await.unwrap();
        let found: Vec<String> = found.map(|address| address.ip().to_string()).collect();
        assert_eq!(found, ["8.8.8.8", "2606:4700::1111"]);
    }
}
