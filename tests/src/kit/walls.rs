//! Servers behind walls, as they should stand: certificates of a CA of one's own, which everybody must show, and a user
//! for each program, for replicas and for Sentinels.

use super::guard;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sandbox::TempDir;
use sandbox::redis::Tls;
use std::path::{Path, PathBuf};

/// The certificates and access lists of a test's own servers.
pub struct Walls {
    dir: TempDir,
}

impl Walls {
    /// A CA, a certificate for servers on 127.0.0.1, and one for the fleet.
    ///
    /// # Panics
    ///
    /// They cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let dir = TempDir::new("walls").expect("a temporary folder");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        // A certificate with the name of its signer would count as signed by itself.
        params.distinguished_name.push(DnType::CommonName, "walls");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        write(dir.path(), "ca.pem", &params.self_signed(&key).expect("a certificate").pem());
        let issuer = Issuer::new(params, key);
        for (who, name) in [("server", "127.0.0.1"), ("fleet", "fleet")] {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec![name.to_owned()]).expect("a good name");
            let signed = params.signed_by(&key, &issuer).expect("a certificate");
            write(dir.path(), &format!("{who}.pem"), &signed.pem());
            write(dir.path(), &format!("{who}.key"), &key.serialize_pem());
        }
        let (name, password) = guard::login("fleet");
        write(dir.path(), "sentinel.login", &format!("{name}:{password}\n"));
        Self { dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// For servers and Sentinels.
    #[must_use]
    pub fn tls(&self) -> Tls {
        Tls { ca: self.file("ca.pem"), cert: self.file("server.pem"), key: self.file("server.key") }
    }

    /// For a server, which may have to replicate another.
    #[must_use]
    pub fn server(&self) -> sandbox::Options {
        let (user, password) = guard::login("replica");
        let mut extra_args = guard::arguments(self.dir.path());
        let words = ["--masteruser", &user, "--masterauth", &password];
        extra_args.extend(words.map(str::to_owned));
        sandbox::Options { extra_args, tls: Some(self.tls()), ..sandbox::Options::default() }
    }

    /// For a Sentinel that watches a primary of this name.
    #[must_use]
    pub fn sentinel_lines(&self, primary: &str) -> Vec<String> {
        guard::sentinel_lines(self.dir.path(), primary)
    }

    /// What programs are told of it, in section `redis`.
    #[must_use]
    pub fn settings(&self) -> String {
        let keys = [
            ("ca_file", "ca.pem"),
            ("client_cert_file", "fleet.pem"),
            ("client_key_file", "fleet.key"),
        ];
        keys.map(|(key, name)| self.setting(key, name)).concat()
    }

    /// What they are told of Sentinels besides.
    #[must_use]
    pub fn sentinel_settings(&self) -> String {
        self.settings() + &self.setting("sentinel_login_file", "sentinel.login")
    }

    fn setting(&self, key: &str, name: &str) -> String {
        format!("{key} = \"{}\"\n", self.file(name).display())
    }
}

impl Default for Walls {
    fn default() -> Self {
        Self::new()
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).expect("the folder is ours");
}
