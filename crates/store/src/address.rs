//! Where the fleet's memory is: the address, who we are there, and whom we trust.

mod find;
mod trust;

use crate::StoreError;
use crate::error::is_on_its_way;
use crate::settings::{Settings, Topology, redact};
use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError};
use std::time::Duration;

/// The address, checked; nobody has been there yet.
#[derive(Clone)]
pub(crate) struct Address {
    topology: Topology,
    /// The server; or Sentinels, or some nodes of a cluster, all with one login and one set of certificates.
    hosts: Vec<ConnectionInfo>,
    primary_name: String,
    /// User and password of Sentinels.
    sentinel_login: Option<(String, String)>,
    connect_timeout: Duration,
    shown: String,
    ca_file: String,
}

impl Address {
    /// Reads the address and the files it needs.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`], which names the key.
    pub(crate) fn read(settings: &Settings) -> Result<Self, StoreError> {
        let shown = redact(&settings.url);
        // The error of the redis crate may quote the address: it is replaced, not passed on.
        let refuse = || StoreError::Refused {
            cause: format!(
                "redis.url is not usable: {shown}; expected {}",
                form(settings.topology)
            ),
        };
        let mut hosts = Vec::new();
        for url in each_host(settings) {
            let info = url.as_str().into_connection_info().map_err(|_| refuse())?;
            // Without it Nagle's algorithm holds back the second half of a pipeline.
            let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
            // Not every server we support knows the question, and an access list would have to allow it.
            let login = info.redis_settings().clone().set_skip_set_lib_name();
            hosts.push(trust::with_files(info.set_redis_settings(login), settings)?);
        }
        let moves = settings.topology != Topology::Server;
        let socket = |info: &ConnectionInfo| host_of(info.addr()).is_none();
        let database = |info: &ConnectionInfo| info.redis_settings().db() != 0;
        if hosts.is_empty()
            || (moves && hosts.iter().any(socket))
            || (settings.topology == Topology::Cluster && hosts.iter().any(database))
        {
            return Err(refuse());
        }
        Ok(Self {
            topology: settings.topology,
            hosts,
            primary_name: settings.primary_name.clone(),
            sentinel_login: trust::sentinel_login(settings)?,
            connect_timeout: settings.connect_timeout,
            shown,
            ca_file: settings.ca_file.clone(),
        })
    }

    /// Whether another server may take over.
    pub(crate) fn moves(&self) -> bool {
        self.topology != Topology::Server
    }

    /// Whether one pool's keys may lie elsewhere than another's.
    pub(crate) fn spreads(&self) -> bool {
        self.topology == Topology::Cluster
    }

    /// The node that the slot is on its way to, by the word of the one that we asked.
    pub(crate) fn redirected(
        &self,
        error: &RedisError,
        asked: &ConnectionAddr,
    ) -> Option<ConnectionInfo> {
        if !self.spreads() || !is_on_its_way(error) {
            return None;
        }
        let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
        // A node that does not know its own address leaves it out, and means the one by which it was reached.
        let host = if matches!(host, "" | "?") { host_of(asked)?.0 } else { host };
        Some(self.at(host, port.parse().ok()?))
    }

    /// A server that Sentinels or a node told of, with our login and certificates.
    fn at(&self, host: &str, port: u16) -> ConnectionInfo {
        let addr = match self.hosts[0].addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        };
        self.hosts[0].clone().set_addr(addr)
    }

    fn encrypts(&self) -> bool {
        matches!(self.hosts[0].addr(), ConnectionAddr::TcpTls { .. })
    }

    /// What went wrong on the way there, with the key to look at.
    pub(crate) fn why(&self, error: RedisError) -> StoreError {
        match StoreError::from(error) {
            StoreError::Unreachable(why) => {
                let shown = &self.shown;
                match self.distrust(&why) {
                    Some(advice) => {
                        StoreError::Refused { cause: format!("{shown}: {why} ({advice})") }
                    }
                    None => StoreError::Unreachable(format!("{shown}: {why}")),
                }
            }
            other => other,
        }
    }

    /// What to do where it was the certificates that failed.
    fn distrust(&self, why: &str) -> Option<String> {
        if !self.encrypts() {
            return None;
        }
        if why.contains("not valid for name") {
            return Some(
                "the server's certificate is for another name: redis.url, and what Sentinels or nodes announce, must name it as its certificate does".into(),
            );
        }
        if why.contains("invalid peer certificate") {
            return Some(match self.ca_file.as_str() {
                "" => "the server's certificate is signed by nobody this machine trusts: name the CA in redis.ca_file".into(),
                file => format!("redis.ca_file, which is {file}, does not hold the CA that signed the server's certificate"),
            });
        }
        why.contains("received fatal alert").then(|| {
            "the server does not take our certificate: look at redis.client_cert_file and redis.client_key_file".into()
        })
    }
}

/// The address once for each host in it.
fn each_host(settings: &Settings) -> Vec<String> {
    let whole = || vec![settings.url.clone()];
    if settings.topology == Topology::Server {
        return whole();
    }
    let Some((scheme, rest)) = settings.url.split_once("://") else { return whole() };
    let (login, rest) = rest.rsplit_once('@').map_or(("", rest), |(login, rest)| (login, rest));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (hosts, tail) = rest.split_at(end);
    let at = if login.is_empty() { "" } else { "@" };
    let of = |host: &str| format!("{scheme}://{login}{at}{}{tail}", host.trim());
    hosts.split(',').map(of).collect()
}

fn form(topology: Topology) -> &'static str {
    match topology {
        Topology::Server => "redis://[user[:password]@]host[:port][/db] or rediss://…",
        Topology::Sentinel => {
            "redis://[user[:password]@]host:port,host:port[/db] or rediss://…, the hosts being Sentinels"
        }
        Topology::Cluster => {
            "redis://[user[:password]@]host:port,host:port or rediss://…, the hosts being nodes of the cluster, whose only database is 0"
        }
    }
}

/// Host and port; none for a socket.
fn host_of(addr: &ConnectionAddr) -> Option<(&str, u16)> {
    match addr {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Some((host, *port))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: &Settings) -> String {
        match Address::read(settings).err() {
            Some(StoreError::Refused { cause }) => cause,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_key() {
        let of = |url: &str| Settings { url: url.into(), ..Settings::default() };
        let told = refused(&of("me:hunter2@h"));
        assert!(told.contains("redis.url") && !told.contains("hunter2"), "{told}");
        let told = refused(&Settings { ca_file: "/ca.pem".into(), ..Settings::default() });
        assert!(told.contains("redis.ca_file") && told.contains("rediss://"), "{told}");
        let url = "rediss://me:hunter2@h:1/";
        let told = refused(&Settings { ca_file: "/nonexistent/ca.pem".into(), ..of(url) });
        assert!(told.contains("redis.ca_file: /nonexistent/ca.pem"), "{told}");
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let told = refused(&Settings { client_cert_file: manifest.into(), ..of(url) });
        assert!(told.contains("redis.client_cert_file") && told.contains("no PEM"), "{told}");
        let cluster = Settings { topology: Topology::Cluster, ..of("redis://h:1,i:2/3") };
        assert!(refused(&cluster).contains("only database is 0"));
        let socket = Settings { topology: Topology::Sentinel, ..of("unix:///run/redis.sock") };
        assert!(refused(&socket).contains("the hosts being Sentinels"));
    }

    #[test]
    fn a_slot_on_its_way_is_looked_for_where_the_node_says() {
        let answer = |line: &str| match redis::parse_redis_value(line.as_bytes()) {
            Ok(redis::Value::ServerError(error)) => RedisError::from(error),
            other => panic!("no error: {other:?}"),
        };
        let of = |topology| Settings {
            url: "redis://me:pw@a:1".into(),
            topology,
            ..Settings::default()
        };
        let cluster = Address::read(&of(Topology::Cluster)).expect("a good address");
        let asked = cluster.hosts[0].addr().clone();
        let told = |line: &str| {
            let info = cluster.redirected(&answer(line), &asked)?;
            assert_eq!(info.redis_settings().username(), Some("me"));
            host_of(info.addr()).map(|(host, port)| (host.to_owned(), port))
        };
        assert_eq!(told("-ASK 3999 127.0.0.1:6381\r\n"), Some(("127.0.0.1".into(), 6381)));
        assert_eq!(told("-ASK 3999 ::1:6381\r\n"), Some(("::1".into(), 6381)));
        assert_eq!(told("-ASK 3999 :6381\r\n"), Some(("a".into(), 6381)));
        assert_eq!(told("-MOVED 3999 127.0.0.1:6381\r\n"), None);
        let server = Address::read(&of(Topology::Server)).expect("a good address");
        assert!(server.redirected(&answer("-ASK 3999 b:2\r\n"), &asked).is_none());
    }

    #[test]
    fn several_hosts_share_login_and_database() {
        let url = "redis://me:p,w@a:1, b:2,[::1]:3/4".to_owned();
        let settings = Settings { url, topology: Topology::Sentinel, ..Settings::default() };
        let address = Address::read(&settings).expect("a good address");
        let hosts: Vec<_> = address.hosts.iter().filter_map(|info| host_of(info.addr())).collect();
        assert_eq!(hosts[..2], [("a", 1), ("b", 2)]);
        assert_eq!((hosts.len(), hosts[2].1), (3, 3));
        for info in &address.hosts {
            let login = info.redis_settings();
            let told = (login.username(), login.password(), login.db());
            assert_eq!(told, (Some("me"), Some("p,w"), 4));
        }
    }
}
