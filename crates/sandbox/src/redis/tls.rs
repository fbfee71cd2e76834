//! A second port of a server, on which it speaks TLS.

use std::path::PathBuf;

/// The certificates of a server, PEM files on paths without spaces. It speaks TLS with its primary, its replicas and
/// other nodes as well, and takes no client that shows no certificate of the same CA. The plain port stays, for
/// whoever started it.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Who signs for servers and clients.
    pub ca: PathBuf,
    /// What the server shows.
    pub cert: PathBuf,
    /// The key of that.
    pub key: PathBuf,
}

impl Tls {
    /// The settings for this port, by name.
    pub(super) fn settings(&self, port: u16) -> [(&'static str, String); 7] {
        let file = |path: &PathBuf| path.display().to_string();
        [
            ("tls-port", port.to_string()),
            ("tls-ca-cert-file", file(&self.ca)),
            ("tls-cert-file", file(&self.cert)),
            ("tls-key-file", file(&self.key)),
            ("tls-auth-clients", "yes".to_owned()),
            ("tls-replication", "yes".to_owned()),
            ("tls-cluster", "yes".to_owned()),
        ]
    }
}
