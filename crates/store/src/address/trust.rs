//! Certificates and passwords that lie in files.

use crate::StoreError;
use crate::settings::Settings;
use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, TlsCertificates};
use rustls::crypto::aws_lc_rs;

/// The same address with the certificates of the settings, where it is one of TLS.
pub(super) fn with_files(
    info: ConnectionInfo,
    settings: &Settings,
) -> Result<ConnectionInfo, StoreError> {
    let files = [
        ("redis.ca_file", &settings.ca_file),
        ("redis.client_cert_file", &settings.client_cert_file),
        ("redis.client_key_file", &settings.client_key_file),
    ];
    if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        return match files.iter().find(|(_, file)| !file.is_empty()) {
            Some((key, _)) => Err(StoreError::Refused {
                cause: format!(
                    "{key} is set and redis.url is not for TLS: it must begin with rediss://"
                ),
            }),
            None => Ok(info),
        };
    }
    // An error means that this process has chosen one already, which serves as well.
    let _ = aws_lc_rs::default_provider().install_default();
    let [ca, cert, key] = files.map(|(key, file)| pem(key, file));
    let (ca, cert, key) = (ca?, cert?, key?);
    let client_tls = match (cert, key) {
        (Some(client_cert), Some(client_key)) => Some(ClientTlsConfig { client_cert, client_key }),
        (None, None) => None,
        (Some(_), None) => return Err(alone("redis.client_cert_file", "redis.client_key_file")),
        (None, Some(_)) => return Err(alone("redis.client_key_file", "redis.client_cert_file")),
    };
    let certificates = TlsCertificates { client_tls, root_cert: ca };
    // Its error tells which of them it could not read and quotes nothing of it.
    let client = Client::build_with_tls(info, certificates).map_err(|error| {
        let cause = format!(
            "redis.ca_file, redis.client_cert_file or redis.client_key_file cannot be used: {error}"
        );
        StoreError::Refused { cause }
    })?;
    Ok(client.get_connection_info().clone())
}

/// User and password of Sentinels; none where they ask for none.
pub(super) fn sentinel_login(settings: &Settings) -> Result<Option<(String, String)>, StoreError> {
    let file = settings.sentinel_login_file.as_str();
    if file.is_empty() {
        return Ok(None);
    }
    let refuse = |why: String| StoreError::Refused {
        cause: format!("redis.sentinel_login_file: {file}: {why}"),
    };
    let text = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
    let login = text.trim().split_once(':').filter(|(_, password)| !password.is_empty());
    let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
    login.map(Some).ok_or_else(|| refuse("holds no user:password, nor :password".into()))
}

/// The file of a key, which holds at least one block of PEM; none where the key is empty.
fn pem(key: &str, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
    if file.is_empty() {
        return Ok(None);
    }
    let refuse = |why: String| StoreError::Refused { cause: format!("{key}: {file}: {why}") };
    let bytes = std::fs::read(file).map_err(|error| refuse(error.to_string()))?;
    // The redis crate takes a file without any block for an empty list and trusts nobody.
    if !bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        return Err(refuse("holds no PEM, which begins with -----BEGIN".into()));
    }
    Ok(Some(bytes))
}

fn alone(set: &str, other: &str) -> StoreError {
    StoreError::Refused { cause: format!("{set} is set without {other}: set both, or neither") }
}
