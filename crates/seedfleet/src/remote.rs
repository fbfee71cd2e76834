//! Verbs over the gateway: the same words, rows and exit codes as those that open Redis.
//!
//! Who is talked to is decided here, once and for all verbs, by `docs/decisions/0038-whom-the-command-line-talks-to.md`.
//! What the API does not have is refused with the way that there is: `--direct`.

mod batch;
mod bulk;
pub(crate) mod contexts;
mod doubt;
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
mod pool;
mod requests;
mod review;
mod rows;
mod submit;
mod totals;
mod webhooks;

use crate::cli::reach::Reach;
use crate::cli::{DoubtVerb, Global, Verb};
use crate::exit::{Failure, Outcome};
use crate::output::note;
use contexts::{Context, Contexts, address, place};
use egress::{Secret, Url};
use gateway::{Gateway, Key};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The tenant of options that name none; the key knows its own.
const TENANT_DEFAULT: &str = "default";
/// Permission to read for whoever has an account on this machine.
const READ_BY_ALL: u32 = 0o004;

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
    if is_in_the_clear(&meant.server) {
        note(&format!(
            "warning: the API key goes to {} in the clear, for everybody on the way to read: name the gateway with https",
            meant.server
        ));
    }
    let pool = global.pool.clone().or(meant.pool);
    Gateway::new(meant.server, key, pool).map(Some)
}

/// Whether what is sent there can be read on the way: plain HTTP to another machine.
fn is_in_the_clear(server: &Url) -> bool {
    let host = server.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = match address {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    server.scheme() == "http" && !is_here
}

/// Whether everybody may read a file. One that cannot be looked at is told when it is read.
fn is_open(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & READ_BY_ALL != 0)
}

/// Runs a verb over the gateway; `words` are those it was given by.
pub(crate) async fn run(global: &Global, gateway: &Gateway, words: &str, verb: Verb) -> Outcome {
    if let Reach::Redis { needs, instead } = Reach::of(words) {
        return Err(lacks(words, needs, instead));
    }
    // Only what is told of whole pools is told of one of several.
    let of_pools = matches!(
        verb,
        Verb::Limits(_)
            | Verb::Queue(_)
            | Verb::Workers
            | Verb::Audit(_)
            | Verb::Doubt(DoubtVerb::List)
    );
    if global.pool.is_some() && !of_pools {
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
        Verb::Queue(verb) => pool::queue(global, gateway, verb).await,
        Verb::Workers => pool::workers(global, gateway).await,
        Verb::Doubt(verb) => doubt::run(global, gateway, verb).await,
        Verb::Review(verb) => review::run(global, gateway, verb).await,
        Verb::Erase(verb) => erase::run(global, gateway, verb).await,
        Verb::Audit(args) => pool::audit(global, gateway, &args).await,
        Verb::Keys(verb) => keys::run(global, gateway, verb).await,
        Verb::Events(verb) => events::run(global, gateway, verb).await,
        Verb::Webhooks(verb) => webhooks::run(global, gateway, verb).await,
        // The table of where verbs work lets none of these through.
        Verb::Top(_)
        | Verb::Reconcile(_)
        | Verb::Freeze(_)
        | Verb::Thaw(_)
        | Verb::Tenants(_)
        | Verb::Schema(_)
        | Verb::Cost(_)
        | Verb::Context(_)
        | Verb::Config(_)
        | Verb::Doctor(_)
        | Verb::Debug(_)
        | Verb::Probe(_)
        | Verb::Dev(_)
        | Verb::Docs(_)
        | Verb::Completions { .. }
        | Verb::Man { .. }
        | Verb::Version => Err(no_way(words, "something that the API does not have")),
    }
}

/// A verb has no way over the gateway.
fn no_way(verb: &str, needs: &str) -> Failure {
    Failure::usage(format!("{verb} has no way over the gateway: it needs {needs}"))
        .hint("--direct opens Redis with the configuration of this machine")
}

/// The same with what there is instead.
fn lacks(verb: &str, needs: &str, instead: &str) -> Failure {
    no_way(verb, needs)
        .hint(format!("--direct opens Redis with the configuration of this machine; {instead}"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, reach};
    use crate::exit::Exit;
    use clap::FromArgMatches;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A line for every verb that the table says works over the gateway.
    const LINES: &[&str] = &[
        "submit -p boat",
        "export",
        "jobs list",
        "jobs show JOB",
        "jobs watch JOB",
        "jobs wait JOB",
        "jobs adopt cgt-20261127-x --account a",
        "jobs open JOB --print",
        "jobs clone JOB",
        "jobs retry JOB --yes --reason x",
        "jobs cancel JOB",
        "batch list",
        "batch show b",
        "batch watch b",
        "batch pause b",
        "batch edit b --set priority=low",
        "batch budget b --buy-day-max 1",
        "batch stop-on b",
        "batch resume b",
        "batch cancel b",
        "queue status",
        "queue pause --yes --reason x",
        "queue resume --yes --reason x",
        "queue drain --yes --reason x",
        "failed list",
        "failed show CODE",
        "failed retry CODE",
        "failed export",
        "failed dismiss CODE",
        "operations list",
        "operations show op_1",
        "operations watch op_1",
        "usage",
        "limits show",
        "limits set --account a --retrieve-qps 1 --reason x",
        "limits reset --account a --reason x",
        "workers",
        "doubt list",
        "doubt show JOB",
        "doubt adopt JOB cgt-20261127-x --reason x",
        "doubt resend JOB --reason x",
        "doubt give-up JOB --reason x",
        "review list",
        "review approve JOB",
        "review reject JOB --reason x",
        "erase job JOB --reason x --yes",
        "erase end-user u --reason x --yes",
        "erase tenant t --reason x --yes",
        "erase show ERASURE",
        "audit",
        "keys create --name n --mode test --scope jobs:read",
        "keys list",
        "keys rotate KEY",
        "keys revoke KEY",
        "events tail",
        "webhooks list",
        "webhooks test whe_1",
        "webhooks replay whe_1 --since 1h",
    ];
    const REFUSED: &[u8] =
        b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    fn parsed(line: &str) -> (String, Cli) {
        let line = line
            .replace("JOB", "job_01JB2000000000000000000000")
            .replace("ERASURE", "era_01JB2000000000000000000000")
            .replace("KEY", "0123456789ab");
        let words = ["seedfleet"].into_iter().chain(line.split(' '));
        let matches = reach::command().try_get_matches_from(words).expect(&line);
        (reach::words(&matches), Cli::from_arg_matches(&matches).expect(&line))
    }

    /// Reads a request to its end: what is left unread would break off the answer.
    fn refuse(mut stream: TcpStream) {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.and_then(|n| n.trim().parse().ok()).unwrap_or(0)];
        if stream.read_exact(&mut body).is_ok() {
            // Whoever hung up wants no answer.
            let _ = stream.write_all(REFUSED);
        }
    }

    /// A gateway that knows nobody's key, and answers until the tests end.
    fn nobodys() -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || refuse(stream));
            }
        });
        let server = address("--server", &format!("http://127.0.0.1:{port}")).expect("an address");
        let key = Key::Given(Secret::new("a-key-of-nobody".to_owned()).expect("a key"));
        Gateway::new(server, key, None).expect("a client")
    }

    #[test]
    fn what_the_table_lets_through_asks_the_gateway_and_all_else_is_refused() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let gateway = nobodys();
        let asked: Vec<(String, Cli)> = LINES.iter().map(|line| parsed(line)).collect();
        for (verb, reach) in reach::TABLE {
            let lines = asked.iter().filter(|(words, _)| words == verb).count();
            // An import reads its file before it asks anybody.
            let wanted = usize::from(*reach == Reach::Both && *verb != "import");
            assert_eq!(lines, wanted, "{verb}");
        }
        for (words, Cli { global, verb }) in asked {
            let ended = runtime.block_on(run(&global, &gateway, &words, verb));
            let exit = ended.as_ref().map_err(|failure| failure.exit);
            assert_eq!(exit, Err(Exit::Auth), "{words}: {ended:?}");
        }
        for line in [
            "top --once",
            "doubt apply f --reason x",
            "freeze --reason x",
            "tenants list",
            "schema status",
        ] {
            let (words, Cli { global, verb }) = parsed(line);
            let failure = runtime.block_on(run(&global, &gateway, &words, verb)).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{line}: {failure}");
            assert!(failure.to_string().contains("it needs "), "{line}: {failure}");
        }
    }

    #[test]
    fn a_key_in_the_clear_is_one_that_leaves_the_machine_by_http() {
        for (server, clear) in [
            ("http://fleet.example", true),
            ("http://10.0.0.7:8080", true),
            ("http://[2001:db8::1]:8080", true),
            ("http://0.0.0.0:8080", true),
            ("https://fleet.example", false),
            ("http://localhost:8080", false),
            ("http://fleet.localhost", false),
            ("http://127.0.0.1:8080", false),
            ("http://127.8.0.1", false),
            ("http://[::1]:8080", false),
            ("http://[::ffff:127.0.0.1]:8080", false),
        ] {
            let server = address("--server", server).expect("an address");
            assert_eq!(is_in_the_clear(&server), clear, "{server}");
        }
    }
}
