//! One question after one file: its beginning, through the guarded client.

use crate::cli::Global;
use crate::exit::{Exit, Failure};
use crate::session;
use egress::{BuildError, FetchError, FetchTimeouts, GuardedClient, Refused, Rules, Trust, Url};
use job::PoolSettings;
use seedance::{FileFacts, Reached};
use settings::Loaded;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Waits between the tries of one address. A server that is away for a moment costs no row.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// Longest time for one try, from the look-up of the name to the last byte that is read.
const TRY_WITHIN: Duration = Duration::from_secs(15);
const TIMEOUTS: FetchTimeouts =
    FetchTimeouts { connect: Duration::from_secs(5), idle: Duration::from_secs(10) };

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It tells something of the file.
    Reached(Reached),
    /// Every try ended without an answer that lasts.
    Silent(Arc<str>),
    /// We do not ask there, though the provider might.
    NotAsked(Arc<str>),
}

impl Answer {
    /// Why the file could not be looked at, or not well enough.
    pub(super) fn doubt(&self) -> Option<String> {
        match self {
            Self::Reached(Reached::File(facts)) => facts.doubt(),
            Self::Reached(Reached::Status(_) | Reached::NotPublic) => None,
            Self::Silent(why) | Self::NotAsked(why) => Some(why.to_string()),
        }
    }
}

/// Where this machine lets nobody be sent.
#[derive(Debug, Clone)]
pub(crate) struct Fences {
    settings: egress::Settings,
    /// Beside all that is public.
    origins: Vec<String>,
    simulated: bool,
}

impl Fences {
    /// Those of a pool.
    ///
    /// # Errors
    ///
    /// Section `egress`.
    pub(crate) fn of(loaded: &Loaded, pool: &PoolSettings) -> Result<Self, Failure> {
        let (origins, simulated) = (pool.output_origins.clone(), pool.simulated);
        Ok(Self { settings: loaded.section("egress")?, origins, simulated })
    }

    /// Those of a machine that need not have a pool, since it talks to a gateway.
    ///
    /// # Errors
    ///
    /// The configuration, where there is one.
    pub(crate) fn of_machine(global: &Global) -> Result<Self, Failure> {
        let loaded = session::load(global)?;
        let mut pools = session::pools(&loaded)?;
        match (pools.len(), pools.pop_first()) {
            (1, Some((_, pool))) => Self::of(&loaded, &pool),
            (_, _) => {
                let (origins, simulated) = (Vec::new(), false);
                Ok(Self { settings: loaded.section("egress")?, origins, simulated })
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Asker {
    client: GuardedClient,
}

impl Asker {
    /// A client with the fences of everything that others name: public addresses only, but for the origins of a
    /// simulated pool.
    ///
    /// # Errors
    ///
    /// The configuration, or no certificates on this machine.
    pub(super) fn open(fences: &Fences) -> Result<Self, Failure> {
        let bad = |error: &dyn std::fmt::Display| Failure::new(Exit::Findings, error.to_string());
        let rules = Rules::for_references(&fences.settings, &fences.origins)
            .map_err(|error| bad(&error))?;
        let client = match GuardedClient::new(rules.clone(), TIMEOUTS, Trust::System) {
            // Such a pool runs on machines that trust nobody; its own origins are plain.
            Err(BuildError::NoCaCertificates) if fences.simulated => {
                GuardedClient::new(rules, TIMEOUTS, Trust::Nobody)
            }
            built => built,
        };
        Ok(Self { client: client.map_err(|error| bad(&error))? })
    }

    /// Asks, and again where that may help.
    pub(super) async fn ask(&self, url: &Url) -> Answer {
        if let Err(refused) = self.client.check(url.as_str()) {
            return not_sent(url, &refused);
        }
        let mut pauses = PAUSES.iter();
        loop {
            let why = match tokio::time::timeout(TRY_WITHIN, self.once(url)).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {} s", TRY_WITHIN.as_secs()),
            };
            match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => {
                    let tries = PAUSES.len() + 1;
                    return Answer::Silent(format!("{why} ({tries} tries)").into());
                }
            }
        }
    }

    /// One try; `Err` tells why another one is worth it.
    async fn once(&self, url: &Url) -> Result<Answer, String> {
        let head_max = FileFacts::HEAD_BYTES_MAX;
        let mut response = match self.client.first(url.as_str(), head_max as u64).await {
            Ok(response) => response,
            Err(FetchError::Refused(refused)) => return Ok(refusal(&refused)),
            Err(error @ (FetchError::Unreachable { .. } | FetchError::Interrupted(_))) => {
                return Err(error.to_string());
            }
        };
        let bytes = response.file_bytes();
        match response.status {
            200 | 206 => {}
            // There is no first byte of an empty file.
            416 if bytes == Some(0) => return Ok(file(&[], bytes)),
            status @ (408 | 416 | 425 | 429 | 500..) => {
                return Err(format!("the server answers {status}"));
            }
            status => return Ok(Answer::Reached(Reached::Status(status))),
        }
        if !response.is_beginning() {
            return Ok(Answer::NotAsked(
                "the server sends another piece than was asked for".into(),
            ));
        }
        let mut head = Vec::new();
        loop {
            let piece = response.body.next().await.map_err(|error| error.to_string())?;
            let Some(piece) = piece else { break };
            let room = head_max - head.len();
            head.extend_from_slice(&piece[..piece.len().min(room)]);
            let facts = FileFacts::read(&head, bytes);
            if facts.is_settled() {
                return Ok(Answer::Reached(Reached::File(facts)));
            }
        }
        // Whoever tells no length has told it by ending.
        Ok(file(&head, bytes.or(Some(head.len() as u64))))
    }
}

fn file(head: &[u8], bytes: Option<u64>) -> Answer {
    Answer::Reached(Reached::File(FileFacts::read(head, bytes)))
}

/// As [`refusal`], of the address itself, which may be private beside what stopped it first.
fn not_sent(url: &Url, refused: &Refused) -> Answer {
    if is_private_literal(url) {
        return Answer::Reached(Reached::NotPublic);
    }
    refusal(refused)
}

/// What it means that the fences let nobody through, there or where a redirect leads. Only a private address is the
/// file's fault: the provider may follow more redirects than we do, or ask another port.
fn refusal(refused: &Refused) -> Answer {
    match refused {
        Refused::Address(_) => Answer::Reached(Reached::NotPublic),
        Refused::Malformed(_)
        | Refused::Scheme(_)
        | Refused::UserInfo(_)
        | Refused::Port { .. }
        | Refused::Host(_)
        | Refused::Redirects(_) => Answer::NotAsked(refused.to_string().into()),
    }
}

fn is_private_literal(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.parse::<IpAddr>().is_ok_and(|address| egress::check_public(address).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_address_is_a_fault_and_other_refusals_are_doubts() {
        let rules = Rules::for_references(&egress::Settings::default(), &[]).unwrap();
        let client = GuardedClient::new(rules, TIMEOUTS, Trust::Nobody).unwrap();
        for (text, is_fault) in [
            ("https://10.0.0.1/a.png", true),
            ("http://169.254.169.254/latest/meta-data/", true),
            ("http://127.0.0.1:9000/a.png", true),
            ("https://[::1]:9000/a.png", true),
            ("https://a.example:8443/a.png", false),
            ("https://user@a.example/a.png", false),
        ] {
            let url = Url::parse(text).unwrap();
            let answer = not_sent(&url, &client.check(text).unwrap_err());
            assert_eq!(answer == Answer::Reached(Reached::NotPublic), is_fault, "{answer:?}");
            assert_eq!(answer.doubt().is_some(), !is_fault, "{answer:?}");
        }
    }
}
