//! `doctor`: is what the fleet needs there, and safe? Every finding comes with its cure.
//!
//! It asks what a worker asks at its start, with the same code, and a few things more. Without
//! `--repair` it changes nothing but one small object that it creates in the bucket and deletes again.

mod records;

use super::schema::{self, Finding};
use crate::cli::{DoctorArgs, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Form, Format, Row, Rows, say};
use crate::session::{self, Session};
use job::PoolSettings;
use limiter::Limiter;
use provider::{CallbackSettings, Callbacks, Client, ListQuery, Listed, Site};
use seedance::{Call, Class};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use store::{FreezeKind, Severity};
use tokio::net::TcpStream;

/// How long a permit to list may take: the fleet may be using all of them, and where Redis has just lost what was
/// given away, or nothing ever was, there is none before all that may be under way has arrived.
const PERMIT_MAX: Duration = Duration::from_secs(30);
/// How long the callback address may take to answer.
const REACH_MAX: Duration = Duration::from_secs(5);

/// Jobs whose record's version is looked at.
const SCHEMA_SAMPLE: u64 = 5_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Ok,
    Warn,
    Fail,
}

impl Grade {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the report.
struct Line {
    grade: Grade,
    about: String,
    what: String,
    hint: Option<String>,
    /// Which kind of difference, for programs.
    kind: Option<&'static str>,
}

impl Line {
    fn row(&self) -> Row {
        let Self { grade, about, what, hint, kind } = self;
        Row::from_iter([
            ("grade".to_owned(), json!(grade.word().to_lowercase())),
            ("about".to_owned(), json!(about)),
            ("what".to_owned(), json!(what)),
            ("hint".to_owned(), json!(hint)),
            ("kind".to_owned(), json!(kind)),
        ])
    }
}

#[derive(Default)]
struct Report(Vec<Line>);

impl Report {
    fn ok(&mut self, about: &str, what: impl Into<String>) {
        self.add(Grade::Ok, about, what.into(), None);
    }

    fn warn(&mut self, about: &str, what: impl Into<String>, hint: impl Into<String>) {
        self.add(Grade::Warn, about, what.into(), Some(hint.into()));
    }

    fn fail(&mut self, about: &str, what: impl Into<String>, hint: impl Into<String>) {
        self.add(Grade::Fail, about, what.into(), Some(hint.into()));
    }

    fn add(&mut self, grade: Grade, about: &str, what: String, hint: Option<String>) {
        self.0.push(Line { grade, about: about.to_owned(), what, hint, kind: None });
    }
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, args: &DoctorArgs) -> Outcome {
    let loaded = session::load(global)?;
    let (report, away) = look(global, &loaded, args).await?;
    let form = if args.json { global.output.as_a(Format::Json) } else { global.output.clone() };
    tell(&form, &report)?;
    let failed = report.0.iter().any(|line| line.grade == Grade::Fail);
    Ok(away.unwrap_or(if failed { Exit::Findings } else { Exit::Done }))
}

/// What it finds, as rows.
///
/// # Errors
///
/// The configuration, or what went away in the middle.
pub(crate) async fn examine(
    global: &Global,
    loaded: &settings::Loaded,
    args: &DoctorArgs,
) -> Result<Vec<Row>, Failure> {
    let (report, _) = look(global, loaded, args).await?;
    Ok(report.0.iter().map(Line::row).collect())
}

/// The report, and the code of an outage where there is one.
async fn look(
    global: &Global,
    loaded: &settings::Loaded,
    args: &DoctorArgs,
) -> Result<(Report, Option<Exit>), Failure> {
    let mut pools = session::pools(loaded)?;
    if let Some(name) = &global.pool {
        pools.retain(|pool, _| pool == name);
        if pools.is_empty() {
            return Err(Failure::usage(format!("no pool is called {name:?}")));
        }
    }
    let mut report = Report::default();
    report.ok("config", format!("{} keys, all known", loaded.shown().len()));
    match crate::remote::told(global) {
        Ok(told) => report.ok("talks-to", told),
        Err(failure) => {
            report.fail("talks-to", failure.to_string(), "correct what names the gateway")
        }
    }
    if pools.is_empty() {
        report.fail(
            "config",
            "no pool is configured",
            "add [pools.<name>] with `route` and [pools.<name>.accounts.<name>] with `api_key_file`",
        );
    }
    check_bucket(&mut report, loaded).await;
    check_callbacks(&mut report, loaded, &pools).await?;
    let mut away = None;
    for (name, pool) in pools {
        let client = check_client(&mut report, loaded, &name, &pool)?;
        match Session::connect(loaded.clone(), &name, pool.clone()).await {
            Ok(session) => {
                check_redis(&mut report, &session).await?;
                if let Some(client) = client {
                    check_provider(&mut report, &session, &client, &pool).await?;
                }
                check_schema(&mut report, &session).await?;
                records::check(&mut report, &session, args).await?;
            }
            Err(failure) if failure.exit == Exit::Guard => {
                report.fail(
                    "schema",
                    failure.to_string(),
                    "`seedfleet schema status` tells who reads what",
                );
            }
            Err(failure) if away.is_none() => {
                report.fail("redis", failure.to_string(), "start it, or correct redis.url");
                away = Some(failure.exit);
            }
            Err(_) => {}
        }
    }
    Ok((report, away))
}

async fn check_bucket(report: &mut Report, loaded: &settings::Loaded) {
    let buckets = match worker::buckets(loaded) {
        Ok(buckets) => buckets,
        Err(error) => {
            let hint = "`seedfleet config explain store.url`";
            return report.fail("store", error.to_string(), hint);
        }
    };
    for (tenant, bucket) in buckets.iter() {
        let about = tenant.map_or_else(|| "store".to_owned(), |name| format!("store of {name}"));
        match bucket.check().await {
            Ok(health) => {
                let took = health.took.as_millis();
                report.ok(&about, format!("{}: round trip {took} ms", bucket.root()));
            }
            Err(error) => {
                report.fail(&about, error.to_string(), "jobs wait until the bucket takes them");
            }
        }
    }
}

async fn check_callbacks(
    report: &mut Report,
    loaded: &settings::Loaded,
    pools: &BTreeMap<String, PoolSettings>,
) -> Result<(), Failure> {
    let settings: CallbackSettings = loaded.section("callbacks")?;
    match Callbacks::open(&settings, pools.values()) {
        Ok(None) => report.ok("callbacks", "off: polling alone finds every result"),
        Err(fault) => {
            report.fail(
                "callbacks",
                fault.to_string(),
                "`seedfleet config explain callbacks.base_url`",
            );
        }
        Ok(Some(_)) => match reach(&settings.base_url).await {
            Ok(took) => {
                let took = took.as_millis();
                report.ok("callbacks", format!("{} answers in {took} ms", settings.base_url));
            }
            Err(why) => report.warn(
                "callbacks",
                format!("{}: {why}; results are found by polling only", settings.base_url),
                "start the gateway, or correct callbacks.base_url",
            ),
        },
    }
    Ok(())
}

/// Whether somebody listens there. Who it is cannot be told from here: the way of the provider to
/// us is another one than ours.
async fn reach(base_url: &str) -> Result<Duration, String> {
    let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let tls = base_url.starts_with("https://");
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| {
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    let default_port = if tls { ":443" } else { ":80" };
    let address =
        if has_port { authority.to_owned() } else { format!("{authority}{default_port}") };
    let began = Instant::now();
    match tokio::time::timeout(REACH_MAX, TcpStream::connect(&address)).await {
        Ok(Ok(_)) => Ok(began.elapsed()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection within {REACH_MAX:?}")),
    }
}

async fn check_redis(report: &mut Report, session: &Session) -> Result<(), Failure> {
    let settings: store::Settings = session.loaded.section("redis")?;
    let began = Instant::now();
    session.store.now().await?;
    let took_us = began.elapsed().as_micros();
    let fence: assets::FenceSettings = session.loaded.section("fence")?;
    let findings = session.store.self_check(&settings.allow_unsafe, fence.enabled).await?;
    let mut refused = false;
    for finding in &findings {
        let what = format!("{}: {}", finding.check, finding.sentence);
        match finding.severity {
            Severity::Warn => report.warn("redis", what, &finding.fix),
            Severity::Refuse => {
                refused = true;
                report.fail("redis", what, &finding.fix);
            }
        }
    }
    if !refused {
        let url = store::redact(&settings.url);
        report.ok("redis", format!("{url} keeps what it acknowledges; round trip {took_us} µs"));
    }
    if let Some(freeze) = session.store.watch().await?.frozen {
        let what = format!("creates are frozen since {}: {}", freeze.since.rfc3339(), freeze.why);
        report.fail("redis", what, freeze_hint(freeze.kind));
    }
    for stop in session.store.stops().await? {
        let only = stop.only.map(|class| format!(" for {}", class.word()));
        let what = format!(
            "account {}{} is stopped until {}: {} ({}), {} in a row",
            stop.account,
            only.unwrap_or_default(),
            stop.until.rfc3339(),
            stop.code,
            stop.class,
            stop.in_row
        );
        report.warn("account", what, "mend the account; one job probes it by itself");
    }
    Ok(())
}

const fn freeze_hint(kind: FreezeKind) -> &'static str {
    match kind {
        FreezeKind::Rollback => {
            "with the fence on the poller brings forgotten attempts back and thaws by itself; without it: seedfleet reconcile --after-restore"
        }
        FreezeKind::Asked => "seedfleet thaw --reason <WHY>",
    }
}

/// Versions of the record: of those who read it, and of some of those that lie there.
async fn check_schema(report: &mut Report, session: &Session) -> Result<(), Failure> {
    let tally = session.store.tally_versions(0, SCHEMA_SAMPLE).await?;
    let Finding { what, hint } = schema::look(&session.store.fleet(), &tally).await?;
    match hint {
        None => report.ok("schema", what),
        Some(hint) => report.warn("schema", what, hint),
    }
    Ok(())
}

/// Building the client reads the keys and, for https, the certificates of this machine.
fn check_client(
    report: &mut Report,
    loaded: &settings::Loaded,
    name: &str,
    pool: &PoolSettings,
) -> Result<Option<Client>, Failure> {
    let settings: provider::Settings = loaded.section("provider")?;
    let error = match Client::open(name, pool, &settings) {
        Ok(client) => return Ok(Some(client)),
        Err(error) => error,
    };
    let hint = match &error {
        provider::OpenError::Key(_) => "mount the key where api_key_file points",
        provider::OpenError::Http(_) => {
            "install CA certificates (Debian: apt-get install ca-certificates), or mend section provider"
        }
        provider::OpenError::BaseUrl { .. } => "remove base_url to use the route's own",
    };
    report.fail(&format!("provider {name}"), error.to_string(), hint);
    Ok(None)
}

async fn check_provider(
    report: &mut Report,
    session: &Session,
    client: &Client,
    pool: &PoolSettings,
) -> Result<(), Failure> {
    let name = session.store.pool();
    let about = format!("provider {name}");
    let limits: limiter::Settings = session.loaded.section("limits")?;
    let provider: provider::Settings = session.loaded.section("provider")?;
    let under_way = provider.under_way();
    let limiter = Limiter::new(session.store.clone(), pool, &limits, under_way);
    for account in pool.accounts.keys() {
        let about = format!("{about}/{account}");
        let permit = tokio::time::timeout(PERMIT_MAX, limiter.permit(account, Call::List)).await;
        let permit = match permit {
            Ok(Ok(permit)) => permit,
            Ok(Err(why)) => {
                report.warn(&about, why.to_string(), "ask again later");
                continue;
            }
            Err(_) => {
                let what =
                    format!("no permit to list within {PERMIT_MAX:?}: the fleet uses them all");
                report.warn(&about, what, "ask again later");
                continue;
            }
        };
        let site = Site::configured(pool, account);
        let query = ListQuery::smallest(pool.route);
        match client.list(permit, &site, &query).await {
            Listed::Page { .. } => {
                let simulated = if pool.simulated { ", simulated" } else { "" };
                report.ok(&about, format!("the key lists tasks ({}{simulated})", pool.route));
            }
            Listed::Trouble(trouble) => {
                let what = format!("{} from list-tasks: {}", trouble.code, trouble.message);
                report.fail(&about, what, provider_hint(trouble.class, name, account, pool));
            }
        }
    }
    Ok(())
}

fn provider_hint(class: Class, name: &str, account: &str, pool: &PoolSettings) -> String {
    match class {
        Class::Auth => format!(
            "the key is wrong or belongs to {}: mount the {} key in pools.{name}.accounts.{account}.api_key_file, \
             or set pools.{name}.route = \"{}\"",
            pool.route.other(),
            pool.route,
            pool.route.other()
        ),
        Class::Account => {
            "look at the account's balance and activations in the provider's console".into()
        }
        Class::Rate | Class::Capacity | Class::Pause => {
            "the provider asks to wait; ask again later".into()
        }
        Class::Server | Class::Ambiguous | Class::State => format!(
            "see that {} can be reached from here; section provider sets proxy and time-outs",
            pool.base_url()
        ),
        Class::Input | Class::Content | Class::Output => {
            "look at the answer; this is not expected".into()
        }
    }
}

fn tell(form: &Form, report: &Report) -> Result<(), Failure> {
    if form.is_a_page() {
        let width = report.0.iter().map(|line| line.about.len()).max().unwrap_or(0);
        for Line { grade, about, what, hint, .. } in &report.0 {
            say(&format!("{:<4}  {about:<width$}  {what}\n", grade.word()))?;
            if let Some(hint) = hint {
                say(&format!("      hint: {hint}\n"))?;
            }
        }
        return Ok(());
    }
    let mut rows = Rows::new(form, &["grade", "about", "what", "hint"]);
    for line in &report.0 {
        rows.add(line.row())?;
    }
    rows.end()
}
