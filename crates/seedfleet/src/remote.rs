//! Verbs over the gateway: the same words, rows and exit codes as those that open Redis.
//!
//! Who is talked to is decided here, once and for all verbs, by `docs/decisions/0038-whom-the-command-line-talks-to.md`.
//! What the API does not have is refused with the way that there is: `--direct`.

mod batch;
mod bulk;
pub(crate) mod contexts;
mod erase;
mod events;
mod export;
mod gateway;
mod import;
mod jobs;
mod keys;
mod limits;
mod lines;
mod operations;
mod review;
mod rows;
mod submit;
mod totals;
mod webhooks;

use crate::cli::{Global, Verb};
use crate::exit::{Failure, Outcome};
use crate::output::note;
use contexts::{Context, Contexts, address, place};
use egress::{Secret, Url};
use gateway::{Gateway, Key};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The tenant of options that name none; the key knows its own.
const TENANT_DEFAULT: &str = "default";
/// Permission to read for whoever has an account on this machine.
const READ_BY_ALL: u32 = 0o004;

/// Whether a verb is about a fleet, and not about this machine alone.
pub(crate) const fn is_of_a_fleet(verb: &Verb) -> bool {
    match verb {
        Verb::Submit(_)
        | Verb::Import(_)
        | Verb::Export(_)
        | Verb::Jobs(_)
        | Verb::Batch(_)
        | Verb::Queue(_)
        | Verb::Failed(_)
        | Verb::Operations(_)
        | Verb::Usage(_)
        | Verb::Limits(_)
        | Verb::Workers
        | Verb::Top(_)
        | Verb::Doubt(_)
        | Verb::Review(_)
        | Verb::Erase(_)
        | Verb::Reconcile(_)
        | Verb::Freeze(_)
        | Verb::Thaw(_)
        | Verb::Audit(_)
        | Verb::Keys(_)
        | Verb::Tenants(_)
        | Verb::Schema(_)
        | Verb::Events(_)
        | Verb::Webhooks(_) => true,
        // Prices are in the program; the others look at what lies on this machine.
        Verb::Cost(_)
        | Verb::Context(_)
        | Verb::Config(_)
        | Verb::Doctor(_)
        | Verb::Debug(_)
        | Verb::Probe(_)
        | Verb::Dev(_)
        | Verb::Docs(_)
        | Verb::Completions { .. }
        | Verb::Man { .. }
        | Verb::Version => false,
    }
}

/// Who named the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Flag,
    Environment,
    /// The context of this name.
    Context(String),
}

/// A gateway that is meant.
#[derive(Debug)]
struct Meant {
    server: Url,
    named: Named,
    key_file: Option<PathBuf>,
    pool: Option<String>,
}

/// What is set in the environment; an empty value is as good as none.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The gateway that is meant: flag, then environment, then the current context; none means Redis.
fn meant(global: &Global) -> Result<Option<Meant>, Failure> {
    let whereto = &global.whereto;
    if whereto.direct {
        return Ok(None);
    }
    let plain = |field: &str, text: &str, named| {
        Ok(Some(Meant { server: address(field, text)?, named, key_file: None, pool: None }))
    };
    if let Some(server) = &whereto.server {
        return plain("--server", server, Named::Flag);
    }
    if whereto.context.is_none() {
        if let Some(server) = environment("SEEDFLEET_SERVER") {
            return plain("SEEDFLEET_SERVER", &server, Named::Environment);
        }
        if !global.config.is_empty() {
            return Ok(None);
        }
    }
    let Some(path) = contexts_file(whereto.context.is_some())? else { return Ok(None) };
    let all = Contexts::read(&path)?;
    let Some(name) = whereto.context.clone().or_else(|| all.current.clone()) else {
        return Ok(None);
    };
    let Context { server, api_key_file, pool } = all.find(&name)?.clone();
    let server = address(&format!("contexts.{name}.server"), &server)?;
    Ok(Some(Meant { server, named: Named::Context(name), key_file: api_key_file, pool }))
}

/// Where the contexts are. A process without a home has none, which matters only where one was asked for.
fn contexts_file(asked_for: bool) -> Result<Option<PathBuf>, Failure> {
    match place() {
        Ok(path) => Ok(Some(path)),
        Err(_) if !asked_for => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The key for it: the flag's file; that of the context; what the environment names. A context's key goes to
/// its own server and no other.
fn key(global: &Global, meant: &Meant) -> Result<Key, Failure> {
    if let Some(file) = global.whereto.api_key_file.as_ref().or(meant.key_file.as_ref()) {
        return Ok(Key::File(file.clone()));
    }
    if let Some(file) = environment("SEEDFLEET_API_KEY_FILE") {
        return Ok(Key::File(file.into()));
    }
    match environment("SEEDFLEET_API_KEY") {
        Some(key) => Secret::new(key).map(Key::Given).map_err(|_| {
            Failure::usage("SEEDFLEET_API_KEY is no key: allowed are visible ASCII characters")
        }),
        None => Err(Failure::usage(format!("there is no key for the gateway {}", meant.server))
            .hint("--api-key-file FILE, SEEDFLEET_API_KEY_FILE or SEEDFLEET_API_KEY; --direct opens Redis")),
    }
}

/// In words, who is talked to.
///
/// # Errors
///
/// What names a gateway has a fault.
pub(crate) fn told(global: &Global) -> Result<String, Failure> {
    Ok(match meant(global)? {
        None if global.whereto.direct => "redis (--direct)".to_owned(),
        None => "redis (no gateway is named)".to_owned(),
        Some(Meant { server, named, .. }) => match named {
            Named::Flag => format!("{server} (--server)"),
            Named::Environment => format!("{server} (SEEDFLEET_SERVER)"),
            Named::Context(name) => format!("{server} (context {name})"),
        },
    })
}

/// The gateway that is meant, ready to be called; none means Redis.
///
/// # Errors
///
/// What names it has a fault, or there is no key for it.
pub(crate) fn chosen(global: &Global) -> Result<Option<Gateway>, Failure> {
    if global.verbose {
        note(&format!("talks to: {}", told(global)?));
    }
    let Some(meant) = meant(global)? else {
        if global.whereto.api_key_file.is_some() {
            return Err(Failure::usage("--api-key-file is for a gateway, and none is named")
                .hint("name one with --server, or choose one with `seedfleet context use`"));
        }
        return Ok(None);
    };
    let key = key(global, &meant)?;
    if let Key::File(path) = &key
        && is_open(path)
    {
        let shown = path.display();
        note(&format!(
            "warning: everybody on this machine can read the key in {shown}: chmod 600 {shown}"
        ));
    }
    let pool = global.pool.clone().or(meant.pool);
    Gateway::new(meant.server, key, pool).map(Some)
}

/// Whether everybody may read a file. One that cannot be looked at is told when it is read.
fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & READ_BY_ALL != 0)
}

/// Runs a verb over the gateway.
pub(crate) async fn run(global: &Global, gateway: &Gateway, verb: Verb) -> Outcome {
    if global.pool.is_some() && !matches!(verb, Verb::Limits(_)) {
        return Err(Failure::usage("--pool: the gateway knows the pool of a key's tenant")
            .hint("leave it out; --direct opens Redis, where it chooses one"));
    }
    match verb {
        Verb::Submit(args) => submit::run(global, gateway, &args).await,
        Verb::Jobs(verb) => jobs::run(global, gateway, verb).await,
        Verb::Failed(verb) => totals::failed(global, gateway, verb).await,
        Verb::Operations(verb) => operations::run(global, gateway, verb).await,
        Verb::Batch(verb) => batch::run(global, gateway, verb).await,
        Verb::Usage(args) => totals::usage(global, gateway, args).await,
        Verb::Limits(verb) => limits::run(global, gateway, verb).await,
        Verb::Import(args) => import::run(global, gateway, &args).await,
        Verb::Export(args) => export::run(global, gateway, &args).await,
        Verb::Queue(_) => Err(no_way("queue", "the queues and pauses of a whole pool")),
        Verb::Workers => Err(no_way("workers", "the processes of a whole pool")),
        Verb::Top(_) => Err(no_way("top", "the state of a whole pool")),
        Verb::Doubt(_) => Err(no_way("doubt", "the evidence of attempts")),
        Verb::Review(verb) => review::run(global, gateway, verb).await,
        Verb::Erase(verb) => erase::run(global, gateway, verb).await,
        Verb::Reconcile(_) => Err(no_way("reconcile", "the provider's list and the second fence")),
        Verb::Freeze(_) => Err(no_way("freeze", "the state of a whole pool")),
        Verb::Thaw(_) => Err(no_way("thaw", "the state of a whole pool")),
        Verb::Audit(_) => Err(no_way("audit", "what people decided in a whole pool")),
        Verb::Keys(verb) => keys::run(global, gateway, verb).await,
        Verb::Tenants(_) => Err(no_way("tenants", "every tenant")),
        Verb::Schema(_) => Err(no_way("schema", "the records and processes of a whole pool")),
        Verb::Events(verb) => events::run(global, gateway, verb).await,
        Verb::Webhooks(verb) => webhooks::run(global, gateway, verb).await,
        Verb::Cost(_)
        | Verb::Context(_)
        | Verb::Config(_)
        | Verb::Doctor(_)
        | Verb::Debug(_)
        | Verb::Probe(_)
        | Verb::Dev(_)
        | Verb::Docs(_)
        | Verb::Completions { .. }
        | Verb::Man { .. }
        | Verb::Version => Err(no_way("this verb", "this machine")),
    }
}

/// A verb has no way over the gateway.
fn no_way(verb: &str, needs: &str) -> Failure {
    Failure::usage(format!("{verb} has no way over the gateway: it needs {needs}"))
        .hint("--direct opens Redis with the configuration of this machine")
}

/// Who decides: over the gateway, the name of its key stands in audits and timelines.
fn own_name(by: Option<&str>) -> Result<(), Failure> {
    match by {
        None => Ok(()),
        Some(_) => Err(Failure::usage("--by: over a gateway the name of the key is written down")
            .hint("leave it out, or take a key of that name; --direct opens Redis")),
    }
}

/// Whose jobs: over the gateway, always those of the key's tenant.
fn own_tenant(tenant: Option<&str>) -> Result<(), Failure> {
    match tenant {
        None => Ok(()),
        Some(_) => Err(Failure::usage("--tenant: a gateway's key speaks for its own tenant")
            .hint("leave it out, take that tenant's key, or open Redis with --direct")),
    }
}
