//! Section `redis` of the configuration.

use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// What the hosts of [`Settings::url`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// The server itself.
    Server,
    /// Sentinels that know which server is the primary.
    Sentinel,
    /// Nodes of a Redis Cluster, over which pools are spread.
    Cluster,
}

/// Where the fleet's memory is.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `redis://[user[:password]@]host[:port][/db]`, or `rediss://` for TLS; hosts with commas between them
    /// where they are Sentinels or nodes.
    pub url: String,
    /// What the address is one of.
    pub topology: Topology,
    /// What Sentinels call the primary.
    pub primary_name: String,
    /// Our login at Sentinels, `user:password`; empty: none.
    pub sentinel_login_file: String,
    /// Who signs the server's certificate, PEM; empty: whom the machine trusts.
    pub ca_file: String,
    /// What we show a server that asks for it, PEM; empty: nothing.
    pub client_cert_file: String,
    /// The key of that, PEM.
    pub client_key_file: String,
    /// First part of every key: lets fleets share a server.
    pub key_prefix: String,
    /// A reply slower than this counts as lost; the call is repeated, and is safe to repeat.
    #[serde(with = "humantime_serde")]
    pub response_timeout: Duration,
    /// Time to connect, TLS and login included.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Checks of [`crate::Store::self_check`] that the operator accepts by name.
    pub allow_unsafe: Vec<String>,
    /// Share of the server's `maxmemory` above which the door takes no new jobs.
    pub intake_stop_ratio: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379/0".to_owned(),
            topology: Topology::Server,
            primary_name: "mymaster".to_owned(),
            sentinel_login_file: String::new(),
            ca_file: String::new(),
            client_cert_file: String::new(),
            client_key_file: String::new(),
            key_prefix: "seedfleet".to_owned(),
            response_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            allow_unsafe: Vec::new(),
            intake_stop_ratio: 0.80,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &redact(&self.url))
            .field("topology", &self.topology)
            .field("primary_name", &self.primary_name)
            .field("sentinel_login_file", &self.sentinel_login_file)
            .field("ca_file", &self.ca_file)
            .field("client_cert_file", &self.client_cert_file)
            .field("client_key_file", &self.client_key_file)
            .field("key_prefix", &self.key_prefix)
            .field("response_timeout", &self.response_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("allow_unsafe", &self.allow_unsafe)
            .field("intake_stop_ratio", &self.intake_stop_ratio)
            .finish()
    }
}

/// The address without user and password.
#[must_use]
pub fn redact(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "<unreadable url>".to_owned();
    };
    // The last `@`: an unescaped one inside a password must not spill the rest of it.
    let bare = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let bare = bare.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{bare}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_leaves_through_a_message() {
        assert_eq!(redact("rediss://me:s@cr@t@db.internal:6380/2"), "rediss://db.internal:6380/2");
        assert_eq!(redact("redis://h/0?protocol=resp3&x=secret"), "redis://h/0");
        assert_eq!(redact("s3cret"), "<unreadable url>");
        let settings = Settings { url: "redis://:hunter2@h/".into(), ..Settings::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
