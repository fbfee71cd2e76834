//! `keys`: made, shown once, rotated, ended.

use crate::cli::{CreateArgs, Global, KeysVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, Rows, note};
use crate::session::{open_fleet, operator};
use access::{ApiKey, KeyId, KeySpec, NAME_CHARS_MAX, Secret};
use serde_json::json;
use std::time::Duration;
use store::{API_KEYS_MAX, FleetStore, KnownKey, Minted, Revoked};

pub(crate) const COLUMNS: &[&str] =
    &["id", "name", "tenant", "mode", "scopes", "state", "ends_at", "used_at", "created_at"];

/// Said beside a key that is shown.
pub(crate) const KEEP_IT: &str = "keep the key now: it is not stored and cannot be shown again";

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: KeysVerb) -> Outcome {
    let fleet = open_fleet(global).await?;
    match verb {
        KeysVerb::Create(args) => create(global, &fleet, args).await,
        KeysVerb::List { tenant } => list(global, &fleet, tenant.as_deref()).await,
        KeysVerb::Rotate { id, overlap, by } => {
            rotate(global, &fleet, &id, overlap, by.as_deref()).await
        }
        KeysVerb::Revoke { id } => revoke(&fleet, &id).await,
    }
}

async fn create(global: &Global, fleet: &FleetStore, args: CreateArgs) -> Outcome {
    let name = args.name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(Failure::usage(format!("--name takes 1 to {NAME_CHARS_MAX} characters")));
    }
    let ends = match args.expires_in {
        Some(lifetime) => Some(fleet.now().await? + lifetime),
        None => None,
    };
    let mut scopes = args.scopes;
    scopes.sort();
    scopes.dedup();
    let spec = KeySpec {
        name: name.to_owned(),
        tenant: args.tenant,
        mode: args.mode,
        scopes,
        sources: args.sources,
        created_by: operator(args.by.as_deref()).as_str().to_owned(),
    };
    let secret = Secret::draw(spec.mode);
    let key = ApiKey { id: secret.id().clone(), sha256: secret.sha256(), spec, rotated_from: None };
    match fleet.mint(&key, ends, Duration::ZERO).await? {
        Minted::Done { .. } => show_once(global, fleet, &secret, None).await,
        Minted::Full => Err(full()),
        Minted::Gone | Minted::Ended => Err(Failure::new(Exit::Failed, "the key was not made")),
    }
}

async fn rotate(
    global: &Global,
    fleet: &FleetStore,
    id: &KeyId,
    overlap: Duration,
    by: Option<&str>,
) -> Outcome {
    let old = fleet.api_key(id).await?.ok_or_else(|| unknown(id))?;
    let created_by = operator(by).as_str().to_owned();
    let spec = KeySpec { created_by, ..old.key.spec.clone() };
    let secret = Secret::draw(spec.mode);
    let (id, sha256) = (secret.id().clone(), secret.sha256());
    let key = ApiKey { id, sha256, spec, rotated_from: Some(old.key.id.clone()) };
    match fleet.mint(&key, None, overlap).await? {
        Minted::Done { old_ends, .. } => {
            let ends = old_ends.map(|at| at.rfc3339());
            show_once(global, fleet, &secret, Some(("old_ends_at", json!(ends)))).await
        }
        Minted::Gone => Err(unknown(&old.key.id)),
        Minted::Full => Err(full()),
        Minted::Ended => {
            let what = format!("key {} has an end already", old.key.id);
            let hint = "rotate its successor, or make a new key";
            Err(Failure::new(Exit::Conflict, what).hint(hint))
        }
    }
}

async fn list(global: &Global, fleet: &FleetStore, tenant: Option<&str>) -> Outcome {
    let mut rows = Rows::new(&global.output, COLUMNS);
    for known in fleet.api_keys().await? {
        if tenant.is_none_or(|tenant| known.key.spec.tenant == tenant) {
            rows.add(row(&known))?;
        }
    }
    rows.end()?;
    Ok(Exit::Done)
}

async fn revoke(fleet: &FleetStore, id: &KeyId) -> Outcome {
    match fleet.revoke(id).await? {
        Revoked::Now => note(&format!("key {id} has ended; gateways hear of it within 2 seconds")),
        Revoked::Before => note(&format!("key {id} had ended before")),
        Revoked::Gone => return Err(unknown(id)),
    }
    Ok(Exit::Done)
}

/// The one answer that shows the secret.
async fn show_once(
    global: &Global,
    fleet: &FleetStore,
    secret: &Secret,
    more: Option<(&str, serde_json::Value)>,
) -> Outcome {
    let known = fleet.api_key(secret.id()).await?.ok_or_else(|| unknown(secret.id()))?;
    let mut shown = Row::new();
    shown.insert("key".into(), json!(secret.reveal()));
    shown.extend(row(&known));
    if let Some((name, value)) = more {
        shown.insert(name.into(), value);
    }
    output::object(&global.output, shown)?;
    if !global.quiet {
        note(KEEP_IT);
    }
    Ok(Exit::Done)
}

/// A key as a row; never its hash.
pub(super) fn row(known: &KnownKey) -> Row {
    let spec = &known.key.spec;
    let words: Vec<&str> = spec.scopes.iter().map(|scope| scope.word()).collect();
    let state = match known.end {
        Some((at, why)) if at <= known.now => why.word(),
        Some(_) | None => "live",
    };
    let sources: Vec<String> = spec.sources.iter().map(ToString::to_string).collect();
    let time = |at: Option<job::Timestamp>| json!(at.map(job::Timestamp::rfc3339));
    Row::from_iter([
        ("id".to_owned(), json!(known.key.id.as_str())),
        ("name".to_owned(), json!(spec.name)),
        ("tenant".to_owned(), json!(spec.tenant)),
        ("mode".to_owned(), json!(spec.mode.word())),
        ("scopes".to_owned(), json!(words.join(","))),
        ("sources".to_owned(), json!(sources.join(","))),
        ("state".to_owned(), json!(state)),
        ("ends_at".to_owned(), time(known.end.map(|end| end.0))),
        ("used_at".to_owned(), time(known.used_at)),
        ("created_at".to_owned(), time(known.created_at)),
        ("created_by".to_owned(), json!(spec.created_by)),
        ("rotated_from".to_owned(), json!(known.key.rotated_from.as_ref().map(KeyId::as_str))),
    ])
}

fn unknown(id: &KeyId) -> Failure {
    Failure::new(Exit::NotFound, format!("no key is called {id}"))
        .hint("`seedfleet keys list` shows those there are; configured keys are not among them")
}

fn full() -> Failure {
    Failure::new(Exit::Conflict, format!("there are {API_KEYS_MAX} keys, and no more may be"))
        .hint("ended keys are forgotten after 90 days")
}
