//! The written form of a key: `sf_{live|test}_{id}_{secret}`, the secret ending in a checksum.
//!
//! 256 random bits, so guessing is hopeless and a fast hash is the right one; a checksum, so that a
//! mistyped or cut key is told from a wrong one without a look-up, and scanners of leaked text can be sure.

use crate::{KeyId, Mode};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// Crockford's alphabet, lower case: no letter that reads like another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 256 bits at 5 a character.
const SECRET_CHARS: usize = 52;
/// 30 bits of SHA-256 over all that stands before it.
const CHECK_CHARS: usize = 6;
/// Longest text worth looking at.
const TEXT_BYTES_MAX: usize = 128;

/// SHA-256 of a whole key, as hex. Compared in constant time.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sha256Hex(String);

/// SHA-256 (lower-case hex) of a key as it was given.
#[must_use]
pub fn digest(key: &str) -> Sha256Hex {
    Sha256Hex(hex::encode(Sha256::digest(key.as_bytes())))
}

impl Sha256Hex {
    /// Reads 64 hex digits, as `sha256sum` prints them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let good = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        good.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The 64 digits, in lower case.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// Whether both are the same; the time taken does not tell where they differ.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<sha256>")
    }
}

/// A fresh key, to be shown once. Neither printed by `{:?}` nor stored.
pub struct Secret {
    text: String,
    id: KeyId,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.id)
    }
}

impl Secret {
    /// Draws a key from the system's randomness.
    #[must_use]
    pub fn draw(mode: Mode) -> Self {
        let mut random = rand::rng();
        let id = KeyId::from_bytes(&random.random());
        let bytes: [u8; 32] = random.random();
        let body = format!("sf_{}_{id}_{}", mode.word(), spell(&bytes, SECRET_CHARS));
        Self { text: format!("{body}{}", check(&body)), id }
    }

    /// The key's public part.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// What is kept of it.
    #[must_use]
    pub fn sha256(&self) -> Sha256Hex {
        digest(&self.text)
    }

    /// The key itself, for the one answer that shows it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

/// A key somebody sent, sound in form; whether it is known is for the store to say.
#[derive(Debug, Clone)]
pub struct Presented {
    /// What it claims to reach.
    pub mode: Mode,
    /// Which key it claims to be.
    pub id: KeyId,
    /// The hash of the whole.
    pub sha256: Sha256Hex,
}

/// Why a text is no key of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It does not begin like one: perhaps a configured key.
    #[error("not of the form sf_{{live|test}}_{{id}}_{{secret}}")]
    OtherForm,
    /// It begins like one, and its checksum is wrong.
    #[error("mistyped or cut off: its checksum does not fit")]
    Damaged,
}

impl Presented {
    /// Reads a key. Costs one hash for a damaged one, two for a sound one.
    ///
    /// # Errors
    ///
    /// [`Unreadable`].
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        if text.len() > TEXT_BYTES_MAX || !text.is_ascii() {
            return Err(Unreadable::OtherForm);
        }
        let rest = text.strip_prefix("sf_").ok_or(Unreadable::OtherForm)?;
        let (mode, rest) = rest.split_once('_').ok_or(Unreadable::OtherForm)?;
        let mode = Mode::parse(mode).ok_or(Unreadable::OtherForm)?;
        let (id, secret) = rest.split_once('_').ok_or(Unreadable::Damaged)?;
        let id = KeyId::parse(id).map_err(|_| Unreadable::Damaged)?;
        let body = text.len().saturating_sub(CHECK_CHARS);
        if secret.len() != SECRET_CHARS + CHECK_CHARS || check(&text[..body]) != text[body..] {
            return Err(Unreadable::Damaged);
        }
        Ok(Self { mode, id, sha256: digest(text) })
    }
}

fn check(body: &str) -> String {
    spell(&Sha256::digest(body.as_bytes()), CHECK_CHARS)
}

/// The first `chars` × 5 bits, most significant first; missing bits are zero.
pub(crate) fn spell(bytes: &[u8], chars: usize) -> String {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| (byte >> (7 - at % 8)) & 1);
    let letter =
        |n: usize| (5 * n..5 * n + 5).fold(0_usize, |sum, at| 2 * sum + usize::from(bit(at)));
    (0..chars).map(|n| char::from(ALPHABET[letter(n)])).collect()
}

/// Whether all characters are of our alphabet.
pub(crate) fn is_spelled(text: &str) -> bool {
    text.bytes().all(|byte| ALPHABET.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_and_shows_its_mode_and_id_only() {
        for mode in Mode::ALL {
            let secret = Secret::draw(mode);
            let read = Presented::read(secret.reveal()).expect("our own");
            assert_eq!((read.mode, &read.id), (mode, secret.id()));
            assert!(read.sha256.is(&secret.sha256()));
            let (hidden, shown) =
                (secret.reveal().rsplit('_').next().unwrap_or(""), format!("{secret:?}"));
            assert!(!shown.contains(hidden) && !format!("{read:?}").contains(hidden), "{shown}");
        }
    }

    #[test]
    fn every_single_slip_is_noticed() {
        let text = Secret::draw(Mode::Live).reveal().to_owned();
        for at in "sf_live_".len()..text.len() {
            let mut slip = text.clone().into_bytes();
            slip[at] = if slip[at] == b'x' { b'y' } else { b'x' };
            let slip = String::from_utf8(slip).expect("ASCII");
            assert_eq!(Presented::read(&slip).expect_err("a slip"), Unreadable::Damaged, "{at}");
        }
        assert_eq!(Presented::read(&text[..40]).expect_err("cut"), Unreadable::Damaged);
        assert_eq!(
            Presented::read(&text.replace("live", "test")).expect_err("mode"),
            Unreadable::Damaged
        );
        for other in ["", "sf_", "sf_prod_a_b", "a-configured-key", &"ä".repeat(40)] {
            assert_eq!(
                Presented::read(other).expect_err("no key"),
                Unreadable::OtherForm,
                "{other}"
            );
        }
    }

    #[test]
    fn letters_carry_the_bits_in_order() {
        assert_eq!(spell(&[0b0000_1000, 0b0100_0000], 3), "110");
        assert_eq!(spell(&[0xff; 32], SECRET_CHARS), format!("{}g", "z".repeat(51)));
        assert_ne!(Secret::draw(Mode::Test).reveal(), Secret::draw(Mode::Test).reveal());
    }

    #[test]
    fn hashes_are_read_strictly_and_never_shown() {
        assert!(
            Sha256Hex::parse(&"AB".repeat(32))
                .is_some_and(|hash| hash.is(&Sha256Hex("ab".repeat(32))))
        );
        for bad in ["", "ab", &"zz".repeat(32), &"ä".repeat(32)] {
            assert!(Sha256Hex::parse(bad).is_none(), "{bad}");
        }
        assert!(!digest("a").is(&digest("b")));
        assert_eq!(format!("{:?}", digest("a")), "<sha256>");
    }
}
