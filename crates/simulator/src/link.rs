//! Signed result links in the object store's manner (`docs/provider.md` §8.3).
//!
//! The signature covers method, host, path and query, so a link changed in any part is refused. It
//! is not the store's real algorithm: clients treat links as opaque.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::dice::{Dice, Purpose};
use crate::task::Task;

/// When a link was signed and how long it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) signed_ms: i64,
    pub(crate) life_s: u32,
}

/// The two files a task can leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Artefact {
    Video,
    LastFrame,
}

impl Artefact {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Video => "mp4",
            Self::LastFrame => "png",
        }
    }
}

/// Why a link is not honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkFault {
    /// Its time is over.
    Expired,
    /// It was not signed by this host, or was changed.
    BadSignature,
}

/// Makes and checks links.
#[derive(Debug)]
pub(crate) struct Signer {
    secret: [u8; 16],
    base_url: String,
    dice: Dice,
}

impl Signer {
    /// `base_url` is scheme and authority without a slash at the end.
    pub(crate) fn new(dice: Dice, base_url: String) -> Self {
        let mut secret = [0; 16];
        secret[..8].copy_from_slice(&dice.bits(Purpose::ObjectName, 0).to_be_bytes());
        secret[8..].copy_from_slice(&dice.bits(Purpose::ObjectName, 1).to_be_bytes());
        Self { secret, base_url, dice }
    }

    /// The link of a succeeded task's file, the same each time for the same span.
    pub(crate) fn link(&self, task: &Task, artefact: Artefact, span: Span) -> String {
        let path = self.path(task, artefact);
        let date = basic_date(span.signed_ms);
        let life_s = span.life_s;
        let query = format!(
            "X-Tos-Algorithm=TOS4-HMAC-SHA256&X-Tos-Credential=AKSIMULATED%2F{}%2Fsimulated%2Ftos%2Frequest&X-Tos-Date={date}&X-Tos-Expires={life_s}",
            &date[..8]
        );
        let host = self.base_url.split_once("://").map_or("", |(_, host)| host);
        let signature = self.signature(host, &path, &query);
        let base = &self.base_url;
        format!("{base}{path}?{query}&X-Tos-Signature={signature}&X-Tos-SignedHeaders=host")
    }

    /// The path of a task's file; it holds the task's number, which [`seq_of_path`] reads back.
    pub(crate) fn path(&self, task: &Task, artefact: Artefact) -> String {
        let model = task.model_name.rsplit_once('-').map_or(task.model_name, |(head, _)| head);
        let tail = self.dice.bits(Purpose::ObjectName, task.seq + 2);
        let (ms, seq, extension) = (task.created_ms, task.seq, artefact.extension());
        format!("/{model}/02{ms:013}{seq:012x}{tail:016x}.{extension}")
    }

    /// Checks the query of a request for `path` on `host` at `now_ms`.
    pub(crate) fn check(
        &self,
        host: &str,
        path: &str,
        query: &str,
        now_ms: i64,
    ) -> Result<(), LinkFault> {
        let Some((signed, rest)) = query.split_once("&X-Tos-Signature=") else {
            return Err(LinkFault::BadSignature);
        };
        let given = rest.split('&').next().unwrap_or_default();
        if given != self.signature(host, path, signed) {
            return Err(LinkFault::BadSignature);
        }
        let value = |name: &str| {
            signed.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let signed_s = value("X-Tos-Date").and_then(basic_date_s);
        let life_s = value("X-Tos-Expires").and_then(|text| text.parse::<i64>().ok());
        match (signed_s, life_s) {
            (Some(signed_s), Some(life_s)) if now_ms / 1000 < signed_s + life_s => Ok(()),
            (Some(_), Some(_)) => Err(LinkFault::Expired),
            _ => Err(LinkFault::BadSignature),
        }
    }

    fn signature(&self, host: &str, path: &str, query: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret)
            .expect("a MAC of this kind takes a key of any length");
        mac.update(format!("GET\n{host}\n{path}\n{query}").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// The task number inside an object path.
pub(crate) fn seq_of_path(path: &str) -> Option<u64> {
    let name = path.rsplit('/').next()?;
    u64::from_str_radix(name.get(15..27)?, 16).ok()
}

/// `YYYYMMDDTHHMMSSZ` of a Unix time.
fn basic_date(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .unwrap_or_default()
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string()
}

fn basic_date_s(text: &str) -> Option<i64> {
    let date = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}
