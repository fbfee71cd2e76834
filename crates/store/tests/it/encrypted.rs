//! TLS: a server with a certificate of a private CA, and one that asks for ours as well.

use crate::ground::{SUBMIT, record};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sandbox::{Options, Redis, TempDir, ports};
use std::path::PathBuf;
use std::time::Duration;
use store::{Admitted, NewJob, Settings, Store, StoreError};

/// Certificates of one CA, in files.
struct Ca {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new(name: &str) -> Self {
        let dir = TempDir::new("ca").expect("a temporary folder");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).expect("a certificate");
        std::fs::write(dir.path().join("ca.pem"), own.pem()).expect("our own folder");
        Self { dir, issuer: Issuer::new(params, key) }
    }

    /// Signs for these names: files `<who>.pem` and `<who>.key`.
    fn sign(&self, who: &str, names: &[&str]) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("good names");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        let write = |end: &str, text: String| {
            std::fs::write(self.dir.path().join(format!("{who}.{end}")), text).expect("ours");
        };
        write("pem", signed.pem());
        write("key", key.serialize_pem());
    }

    fn file(&self, name: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        path.to_str().expect("a plain path").to_owned()
    }
}

/// A server with a second port for TLS, and the address of that.
fn start(ca: &Ca, ask_clients: &str) -> (Redis, String) {
    let port = ports::free();
    let words = [
        ("--tls-port", port.to_string()),
        ("--tls-cert-file", ca.file("server.pem")),
        ("--tls-key-file", ca.file("server.key")),
        ("--tls-ca-cert-file", ca.file("ca.pem")),
        ("--tls-auth-clients", ask_clients.to_owned()),
    ];
    let extra_args = words.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
    let redis = Redis::start(Options { extra_args, ..Options::default() }).expect("with TLS");
    (redis, format!("rediss://127.0.0.1:{port}/"))
}

async fn connect(settings: &Settings) -> Result<Store, StoreError> {
    Store::connect(settings, "main").await
}

async fn refused(settings: &Settings) -> String {
    match connect(settings).await {
        Err(StoreError::Refused { cause }) => cause,
        other => panic!("it was not refused: {other:?}"),
    }
}

/// A job comes in and is handed out, and whoever waits on a connection of its own is woken.
async fn works(store: &Store) {
    let mut changes = store::ChangeReader::connect(store, None).await.expect("a connection");
    let job = NewJob { record: record(), idempotency: None };
    let answers = store.admit(&[job]).await.expect("few enough");
    assert_eq!(answers[0].as_ref().expect("it answers"), &Admitted::Created);
    let claimed = store.claim(&SUBMIT, 1, Duration::from_secs(60)).await.expect("it answers");
    assert_eq!(claimed.items.len(), 1);
    assert_eq!(changes.next().await.expect("it answers").len(), 1);
    assert!(store.fleet().now().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_works_over_tls_and_trusts_its_own_ca_only() {
    let ca = Ca::new("ours");
    ca.sign("server", &["127.0.0.1"]);
    let (_redis, url) = start(&ca, "no");
    let settings = Settings { url, ca_file: ca.file("ca.pem"), ..Settings::default() };
    works(&connect(&settings).await.expect("it is our CA")).await;

    let other = Ca::new("theirs");
    let wrong = Settings { ca_file: other.file("ca.pem"), ..settings.clone() };
    let told = refused(&wrong).await;
    assert!(told.contains("redis.ca_file") && told.contains(&wrong.ca_file), "{told}");
    let told = refused(&Settings { ca_file: String::new(), ..settings }).await;
    assert!(told.contains("redis.ca_file"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_refused() {
    let ca = Ca::new("ours");
    ca.sign("server", &["redis.example"]);
    let (_redis, url) = start(&ca, "no");
    let settings = Settings { url, ca_file: ca.file("ca.pem"), ..Settings::default() };
    let told = refused(&settings).await;
    assert!(told.contains("redis.url") && told.contains("for another name"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_our_certificate_is_shown_it() {
    let ca = Ca::new("ours");
    ca.sign("server", &["127.0.0.1"]);
    ca.sign("fleet", &["fleet"]);
    let (_redis, url) = start(&ca, "yes");
    let settings = Settings {
        url,
        ca_file: ca.file("ca.pem"),
        client_cert_file: ca.file("fleet.pem"),
        client_key_file: ca.file("fleet.key"),
        ..Settings::default()
    };
    works(&connect(&settings).await.expect("it is our CA")).await;

    let nameless = Settings {
        client_cert_file: String::new(),
        client_key_file: String::new(),
        ..settings.clone()
    };
    assert!(connect(&nameless).await.is_err(), "it let in who shows nothing");
    let half = Settings { client_key_file: String::new(), ..settings };
    let told = refused(&half).await;
    assert!(told.contains("redis.client_cert_file") && told.contains("both"), "{told}");
}
