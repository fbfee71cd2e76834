//! The signature of the Standard Webhooks specification: HMAC-SHA-256 over id, timestamp and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// A secret that cannot sign. The text is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretFault;

/// The value of `webhook-signature`: one `v1,…` per secret, so that a receiver that knows any of them
/// accepts the delivery while they are rotated.
///
/// # Errors
///
/// [`SecretFault`]: one of them is not `whsec_` and base64, or there is none.
pub fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a str>,
    id: &str,
    timestamp_s: i64,
    body: &[u8],
) -> Result<String, SecretFault> {
    let mut signatures = Vec::new();
    for secret in secrets {
        let key = secret.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok());
        let key = key.filter(|key| !key.is_empty()).ok_or(SecretFault)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| SecretFault)?;
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        signatures.push(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    }
    if signatures.is_empty() { Err(SecretFault) } else { Ok(signatures.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_own_example_is_signed_as_it_says() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = br#"{"test": 2432232314}"#;
        let signed = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_make_two_signatures_and_a_bad_one_none() {
        let two = sign(["whsec_YQ==", "whsec_Yg=="], "a", 1, b"{}").unwrap();
        assert_eq!(two.split(' ').count(), 2);
        assert_eq!(sign(["secret"], "a", 1, b""), Err(SecretFault));
        assert_eq!(sign(["whsec_*"], "a", 1, b""), Err(SecretFault));
        assert_eq!(sign([], "a", 1, b""), Err(SecretFault));
    }
}
