//! `--check-urls`: every address that rows refer to is asked once, before the first row that names it is taken in.
//!
//! What is certain (nobody gives the file, it is no file the provider takes) refuses the row like every other fault;
//! what may pass by itself is told as a warning, and the row stays good. Media inside rows and assets of the
//! provider's library are not asked for. The answers are remembered within a bound, and all passes over a file share
//! them.

mod ask;
mod known;
mod turns;

use crate::cli::CheckArgs;
use crate::exit::Failure;
use crate::output::Progress;
pub(crate) use ask::Fences;
use ask::{Answer, Asker};
use egress::{Url, redact_url};
use futures::stream::{FuturesUnordered, StreamExt};
use known::Known;
use seedance::{Fault, MediaKind, reference_doubt, reference_faults};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use turns::Turns;

/// Items of one row that are looked at; a row with more is refused for that.
const ITEMS_MAX: usize = 64;
/// Doubts that are told one by one; the others are counted.
const TOLD_MAX: u64 = 20;

/// An address, by the first half of its hash.
type Key = [u8; 16];

/// What is known of the files that rows refer to.
#[derive(Debug)]
pub(crate) struct References {
    asker: Asker,
    parallel: usize,
    per_host: usize,
    /// Never held while something is waited for.
    known: Mutex<Known>,
}

/// A reference of one row.
struct Source {
    pointer: String,
    kind: MediaKind,
    url: Url,
}

/// An address to be asked, with the first place that names it.
struct Target {
    row: u64,
    pointer: String,
    url: Url,
    key: Key,
    /// With its port: two servers of one machine are two.
    host: String,
}

impl Target {
    fn of(row: u64, pointer: String, url: Url) -> Self {
        let port = url.port_or_known_default().unwrap_or_default();
        let host = format!("{}:{port}", url.host_str().unwrap_or_default());
        Self { row, pointer, key: key(&url), url, host }
    }
}

impl References {
    /// Ready to ask, if that is wanted.
    ///
    /// # Errors
    ///
    /// The configuration, or no certificates on this machine.
    pub(crate) fn open(
        args: &CheckArgs,
        fences: impl FnOnce() -> Result<Fences, Failure>,
    ) -> Result<Option<Arc<Self>>, Failure> {
        if !args.check_urls {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self {
            asker: Asker::open(&fences()?)?,
            parallel: usize::from(args.check_urls_parallel),
            per_host: usize::from(args.check_urls_per_host),
            known: Mutex::default(),
        })))
    }

    /// Asks for what these rows refer to and nobody has asked for. Broken off, what was answered stays known.
    pub(crate) async fn ask(
        &self,
        rows: impl Iterator<Item = (u64, &Value)>,
        bytes: u64,
        progress: &Progress,
    ) {
        let mut turns = Turns::of(self.unknown(rows), self.per_host);
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < self.parallel
                && let Some(target) = turns.next()
            {
                under_way.push(async move {
                    let answer = self.answer(&target).await;
                    (target, answer)
                });
            }
            let Some((target, answer)) = under_way.next().await else { return };
            turns.ended(&target.host);
            self.keep(&target, answer, progress);
            let (looked_at, in_doubt) = self.counts();
            let text = format!("{looked_at} addresses looked at, {in_doubt} could not be checked");
            progress.at(bytes, &text);
        }
    }

    fn unknown<'r>(&self, rows: impl Iterator<Item = (u64, &'r Value)>) -> VecDeque<Target> {
        let known = self.lock();
        let mut named = HashSet::new();
        let targets = rows.flat_map(|(row, body)| {
            sources(body).into_iter().map(move |source| Target::of(row, source.pointer, source.url))
        });
        targets
            .filter(|target| known.get(&target.key).is_none() && named.insert(target.key))
            .collect()
    }

    async fn answer(&self, target: &Target) -> Answer {
        if self.lock().is_silent(&target.host) {
            let why =
                format!("{} failed us several times in a row and is not asked again", target.host);
            return Answer::Silent(why.into());
        }
        self.asker.ask(&target.url).await
    }

    fn keep(&self, target: &Target, answer: Answer, progress: &Progress) {
        let doubt = answer.doubt();
        let mut known = self.lock();
        known.put(target.key, &target.host, answer);
        let Some(why) = doubt else { return };
        known.in_doubt += 1;
        let nth = known.in_doubt;
        drop(known);
        let warning = reference_doubt(&target.pointer, &why);
        if nth <= TOLD_MAX {
            let (row, url) = (target.row, redact_url(target.url.as_str()));
            let (place, code) = (&warning.pointer, &warning.code);
            progress.remark(&format!("row {row} {place}: {url} {} [{code}]", warning.message));
        }
        if nth == TOLD_MAX {
            progress.remark("further addresses that could not be checked are only counted");
        }
    }

    /// What is wrong with the references of a row, as far as it is known.
    pub(crate) fn faults(&self, body: &Value) -> Vec<Fault> {
        let known = self.lock();
        let told = |source: Source| match known.get(&key(&source.url)) {
            Some(Answer::Reached(reached)) => {
                reference_faults(&source.pointer, source.kind, reached)
            }
            Some(Answer::Silent(_) | Answer::NotAsked(_)) | None => Vec::new(),
        };
        sources(body).into_iter().flat_map(told).collect()
    }

    /// Distinct addresses of rows, and those of them that could not be checked.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let known = self.lock();
        (known.looked_at, known.in_doubt)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses of a row, whatever else is wrong with it: the validator tells that.
fn sources(body: &Value) -> Vec<Source> {
    let items = body["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let source = |(n, item): (usize, &Value)| {
        let kind = MediaKind::ALL.into_iter().find(|kind| item["type"] == kind.word())?;
        let url = address(item[kind.word()]["url"].as_str()?)?;
        Some(Source { pointer: format!("/content/{n}/{}/url", kind.word()), kind, url })
    };
    items.iter().enumerate().take(ITEMS_MAX).filter_map(source).collect()
}

/// What stands there, as it is asked for; nothing for media inside the row and assets of the provider's library.
fn address(text: &str) -> Option<Url> {
    // Thirty megabytes of picture are not to be parsed.
    text.get(..4).filter(|start| start.eq_ignore_ascii_case("http"))?;
    let mut url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    url.set_fragment(None);
    Some(url)
}

fn key(url: &Url) -> Key {
    let digest = Sha256::digest(url.as_str());
    std::array::from_fn(|n| digest[n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_addresses_are_asked_for() {
        let item = |kind: &str, url: &str| json!({"type": kind, kind: {"url": url}});
        let body = json!({"content": [
            {"type": "text", "text": "https://a.example/prompt"},
            item("image_url", "HTTPS://A.example/1.png#top"),
            item("image_url", "data:image/png;base64,aHR0cHM6"),
            item("image_url", "asset://one"),
            item("image_url", "ftp://a.example/2.png"),
            item("video_url", "http://a.example/3.mp4?sig=s"),
            item("audio_url", "https://"),
            item("draft_task", "https://a.example/4"),
            {"type": "image_url", "image_url": "https://a.example/5.png"},
            7,
        ]});
        let found: Vec<(String, MediaKind, String)> = sources(&body)
            .into_iter()
            .map(|source| (source.pointer, source.kind, source.url.into()))
            .collect();
        let place = |n: u32, kind: MediaKind, url: &str| {
            (format!("/content/{n}/{}/url", kind.word()), kind, url.to_owned())
        };
        let expected = [
            place(1, MediaKind::Image, "https://a.example/1.png"),
            place(5, MediaKind::Video, "http://a.example/3.mp4?sig=s"),
        ];
        assert_eq!(found, expected);
        for other in [json!(null), json!([]), json!({"content": "x"}), json!({"content": {"0": 1}})]
        {
            assert!(sources(&other).is_empty(), "{other}");
        }
        let many = json!({"content": vec![item("image_url", "https://a.example/1"); 1_000]});
        assert_eq!(sources(&many).len(), ITEMS_MAX);
    }
}
