//! The causes in sentences.

use super::CauseKind;
use super::look::FailingHook;
use job::Timestamp;
use seedance::SlotClass;
use std::time::Duration;
use store::StopRow;

/// An instant that is nearer is not told.
const TOLD_FROM: Duration = Duration::from_secs(2);

/// `n` of them, with its verb.
fn counted(n: u64, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

/// What was met behind a sentence; nothing for those who are not told.
fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(" ({why})") }
}

/// No process of a role is at work, though there is work for it. `silent`: how long ago the last one told that it
/// lives, where that is known.
pub(super) fn missing(role: &str, n: u64, silent: Option<Duration>) -> String {
    let work = match role {
        "submitter" => counted(n, "job waits to be bought", "jobs wait to be bought"),
        "poller" => {
            let what = counted(n, "job is", "jobs are");
            format!("{what} at the provider or in doubt, and nobody looks")
        }
        "downloader" => {
            let what = counted(n, "video waits", "videos wait");
            format!("{what} to be copied before links die")
        }
        _ => counted(n, "endpoint waits to be told", "endpoints wait to be told"),
    };
    match silent {
        Some(silent) => {
            let s = silent.as_secs();
            format!("No {role} runs: the last one has been silent for {s} s, and {work}.")
        }
        None => format!("No {role} runs: {work}."),
    }
}

/// How far away the first create is, where somebody would wonder.
pub(super) fn first_instant(next: Option<Timestamp>, now: Timestamp) -> String {
    let away = next.map(|next| next.since(now)).filter(|away| *away >= TOLD_FROM);
    away.map_or_else(String::new, |away| {
        format!(", the first of which is {} s away at the soonest", away.as_secs())
    })
}

pub(super) fn bucket(role: &str, why: &str) -> String {
    let holds = if role == "submitter" {
        "nothing is bought without the intent that lies there"
    } else {
        "videos wait for their copy"
    };
    format!("The bucket fails the {role}: {holds}{}.", because(why))
}

/// Until when an account buys nothing; past it one job asks.
fn until(stop: &StopRow, now: Timestamp) -> String {
    if stop.until > now {
        format!("until {}, when one job asks again", stop.until.rfc3339())
    } else {
        "until a job that asks now is taken".to_owned()
    }
}

/// Why an account buys nothing.
pub(super) fn stop(stop: &StopRow, now: Timestamp) -> (CauseKind, String) {
    let StopRow { account, code, class, .. } = stop;
    let until = until(stop, now);
    match class.as_str() {
        "auth" => (
            CauseKind::KeyRefused,
            format!(
                "The provider refuses the key of account {account} ({code}): it buys nothing {until}."
            ),
        ),
        "account" => (
            CauseKind::AccountRefused,
            format!(
                "The provider refuses account {account} for its balance or its rights ({code}): it buys nothing {until}."
            ),
        ),
        "server" => (
            CauseKind::ProviderUnreachable,
            format!(
                "The provider cannot be reached ({code}): account {account} buys nothing {until}."
            ),
        ),
        _ => (
            CauseKind::Throttled,
            format!(
                "The provider asks account {account} to wait ({code}): it buys nothing {until}."
            ),
        ),
    }
}

pub(super) fn throttled(class: SlotClass, stop: &StopRow, now: Timestamp) -> String {
    let (class, code) = (class.word(), &stop.code);
    let until = until(stop, now);
    format!(
        "The provider refuses creates of {class} for their rate or number ({code}): nothing of it is bought {until}."
    )
}

pub(super) fn provider(creates: Option<&str>, reads: Option<&str>) -> Option<String> {
    let creates =
        creates.map(|why| format!("creates end without an answer that counts{}", because(why)));
    let reads = reads.map(|why| format!("tasks cannot be read{}", because(why)));
    let all: Vec<String> = creates.into_iter().chain(reads).collect();
    (!all.is_empty()).then(|| format!("The provider fails: {}.", all.join(", and ")))
}

pub(super) fn links(why: &str) -> String {
    format!("Outputs cannot be fetched{}; each is tried again until its link dies.", because(why))
}

pub(super) fn hooks(hooks: &[FailingHook]) -> Option<String> {
    let first = hooks.first()?;
    let waits = counted(first.waiting, "event waits", "events wait");
    let more = match hooks.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more like it"),
    };
    Some(format!(
        "Webhooks: endpoint {} of tenant {} does not take what it is told{}; {waits}{more}.",
        first.id,
        first.tenant,
        because(&first.why)
    ))
}

pub(super) fn silent(accounts: &[String]) -> Option<String> {
    let accounts = (!accounts.is_empty()).then(|| accounts.join(", "))?;
    Some(format!(
        "Callbacks are silent: none told the last ends of account {accounts}; polling alone finds them, later."
    ))
}
