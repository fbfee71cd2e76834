//! One run, from the first process to the last line.

use super::eta;
use super::idle::{self, unix_ms};
use super::judge::{self, Allowed, Verdict};
use super::order::{Asked, Order};
use super::stall::{self, Stalls};
use super::trouble::{Trouble, Victim, pass};
use crate::campaign::settings::shipped;
use crate::kit::{Clock, Fleet, Options, text};
use sandbox::TempDir;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What an account is fed beyond what it runs; the shipped value.
const LOOKAHEAD: u32 = 2;
/// How late a slot may be used: the shipped value.
const USE_WITHIN_MS: i64 = 100;
/// Jobs queued with one call.
const ADMITTED_AT_ONCE: usize = 500;
/// The longest until everybody is up and the first creates are in.
const UP_MAX: Duration = Duration::from_secs(120);
const TEN_MINUTES_S: i64 = 600;
/// Parts of a run whose use of the slots is told apart.
const TURNS: i64 = 5;

/// Does what is asked, and prints one line of JSON.
///
/// # Panics
///
/// Something does not start: then there is nothing to judge.
#[must_use]
pub fn run(asked: &Asked) -> ExitCode {
    match asked {
        Asked::Load(order) => judged(order),
        Asked::Eta(order) => eta::judged(order),
        Asked::Idle(order) => {
            let _ = writeln!(std::io::stdout(), "{}", idle::measure(order));
            ExitCode::SUCCESS
        }
    }
}

/// Plays an order whose programs all tell this machine's time, and tells what it came to.
///
/// # Panics
///
/// Something does not start: then there is nothing to judge.
#[must_use]
pub fn measure(order: &Order) -> Verdict {
    play(order, None).verdict
}

/// Fails on any window that was over, and on a share below what was asked for.
fn judged(order: &Order) -> ExitCode {
    let clock = match (order.clocks, Clock::find()) {
        (true, None) => {
            say("libfaketime is not found, or does not work: install it (Debian: faketime)");
            return ExitCode::FAILURE;
        }
        (true, found) => found,
        (false, _) => None,
    };
    let Played { verdict, faults, begin, stalled, first } = play(order, clock.as_ref());
    let mut line = verdict.json();
    line["suite"] = json!("limits");
    line["order"] = told(order);
    line["faults"] = faults;
    line["begin_ms_at_most"] = begin;
    line["machine"] = json!({"stalled_ms_max": whole_ms(stalled), "far_side_goes_first": first});
    let _ = writeln!(std::io::stdout(), "{line}");
    let short = |name: &str, share: f64, least: f64| {
        let missed = share < least;
        if missed {
            say(&format!("{name}: {share:.4} is less than {least}"));
        }
        missed
    };
    if verdict.over() > 0 && stalled > order.spread {
        say(&format!(
            "a program waited here for {stalled:?}, longer than the spread: stamps are as late as that. Measure on a \
             quiet machine, or say --spread-ms"
        ));
    }
    let creates_short = short("creates", verdict.creates_ratio, order.creates_min);
    let slots_short = short("slots", verdict.slots_ratio, order.slots_min);
    match verdict.over() > 0 || creates_short || slots_short || verdict.creates == 0 {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// What a run showed.
struct Played {
    verdict: Verdict,
    faults: Value,
    begin: Value,
    /// The longest that a program waited for a processor, and whether the far side had to.
    stalled: Duration,
    first: bool,
}

fn play(order: &Order, clock: Option<&Clock>) -> Played {
    let keys = TempDir::new("limits").expect("a temporary folder");
    let fleet = Fleet::start(options(order, &keys));
    let first = stall::goes_first(fleet.simulator().pid());
    let backlog = order.backlog();
    queue_up(&fleet, backlog, 0);
    say(&format!("{backlog} jobs are queued"));
    let victims = victims(order, clock);
    victims.iter().for_each(|victim| victim.start(&fleet));
    fleet.start_role("downloader");
    let waits = Instant::now();
    while fleet.ledger().events("create_seen").next().is_none() {
        assert!(
            waits.elapsed() < UP_MAX,
            "no create came: {}",
            fleet.role("submitter-0").log_tail(20)
        );
        pass(Duration::from_millis(50));
    }
    let (began, began_ms) = (Instant::now(), unix_ms());
    let (mut trouble, stalls) = (Trouble::new(&fleet, victims, order), Stalls::watch());
    let mut rounds = 0;
    while began.elapsed() < order.lasts {
        let left = order.lasts.saturating_sub(began.elapsed());
        if order.faults.is_empty() || left < order.every {
            pass(left);
            break;
        }
        pass(order.every);
        trouble.next(&order.faults);
        if std::mem::take(&mut trouble.wiped) {
            rounds += 1;
            // Our own door may have lost its connection meanwhile.
            fleet.until("Redis", || fleet.run(fleet.store().now()).ok());
            queue_up(&fleet, backlog, rounds);
        }
    }
    let between = (began_ms + whole_ms(order.warm_up), unix_ms());
    let ledger = std::fs::read_to_string(fleet.path("ledger.ndjson")).expect("the ledger");
    let allowed = Allowed {
        create_rpm: order.create_rpm,
        running: order.running,
        accounts: order.accounts,
        lookahead: LOOKAHEAD,
        slack_ms: USE_WITHIN_MS + whole_ms(order.spread),
    };
    let mut verdict = judge::judge(&ledger, &fleet.stats(), &allowed, between);
    for turn in judge::in_turn(&ledger, &allowed, between, TURNS) {
        verdict.slots_ratio_in_turn.push(turn.slots_ratio);
        verdict.creates_ratio_in_turn.push(turn.creates_ratio);
    }
    let pages = (0..order.submitters).map(|n| fleet.metrics(&format!("submitter-{n}")));
    let begin = judge::quantiles(pages, "seedfleet_begin_duration_seconds");
    Played { verdict, faults: json!(trouble.played), begin, stalled: stalls.longest(), first }
}

fn victims(order: &Order, clock: Option<&Clock>) -> Vec<Victim> {
    let submitter = |n: usize| {
        let name = format!("submitter-{n}");
        Victim { name, role: "submitter", env: environment(clock, n) }
    };
    let poller = |n: usize| Victim { name: format!("poller-{n}"), role: "poller", env: Vec::new() };
    (0..order.submitters).map(submitter).chain((0..order.pollers).map(poller)).collect()
}

/// Half of the submitters tell another time.
fn environment(clock: Option<&Clock>, n: usize) -> Vec<(String, String)> {
    match (clock, n % 4) {
        (Some(clock), 1) => clock.shifted(TEN_MINUTES_S),
        (Some(clock), 3) => clock.shifted(-TEN_MINUTES_S),
        (Some(_) | None, _) => Vec::new(),
    }
}

fn queue_up(fleet: &Fleet, count: usize, round: u32) {
    for first in (0..count).step_by(ADMITTED_AT_ONCE) {
        let bodies = (first..count.min(first + ADMITTED_AT_ONCE))
            .map(|n| text(&format!("mark-{round}-{n} of a backlog")).into());
        fleet.admit_many(bodies);
    }
}

/// The shipped waits, divided by the scale, and the limits of the order on both sides.
pub(super) fn options(order: &Order, keys: &TempDir) -> Options {
    let reads = |qps: u32| qps * order.scale;
    let classes =
        format!("\"2.0\" = {{ create_rpm = {}, running = {} }}\n", order.create_rpm, order.running);
    let limits = |name: &str| {
        format!(
            "[pools.sim.accounts.{name}.limits]\nretrieve_qps = {}\nlist_qps = {}\ndelete_qps = {}\n\
             [pools.sim.accounts.{name}.limits.classes]\n{classes}",
            reads(20),
            reads(1),
            reads(20)
        )
    };
    let mut config = waits(order.scale);
    config.push_str(&format!(
        "use_within = \"{USE_WITHIN_MS}ms\"\nnetwork_spread = \"{}ms\"\n",
        whole_ms(order.spread)
    ));
    config.push_str(&limits("a"));
    let mut flags = vec![
        format!("--limits=create_rpm={}", order.create_rpm),
        format!("--limits=running={}", order.running),
        format!("--limits=retrieve_qps={}", reads(20)),
        format!("--limits=list_qps={}", reads(1)),
        format!("--limits=delete_qps={}", reads(20)),
    ];
    for n in 1..order.accounts {
        let (name, key) = (format!("a{n}"), keys.path().join(format!("a{n}.key")));
        let secret = format!("canary-of-account-a{n}");
        std::fs::write(&key, &secret).expect("the folder is ours");
        config.push_str(&format!(
            "[pools.sim.accounts.{name}]\napi_key_file = \"{}\"\ntier = \"enterprise\"\n{}",
            key.display(),
            limits(&name)
        ));
        flags.push(format!("--api-key={secret}={name}"));
    }
    let run_s = [order.run.0, order.run.1].map(|run| run.as_secs_f64() / f64::from(order.scale));
    flags.extend(["--run-s".to_owned(), format!("{}-{}", run_s[0], run_s[1])]);
    flags.extend(["--queue-s".to_owned(), "0-0".to_owned()]);
    let mut options = Options::empty().config(&config);
    options.simulator = flags;
    options
}

/// The waits that the fleet's pace depends on.
const WAITS: &[(&str, &[&str])] = &[
    ("provider", &["connect_timeout", "create_timeout", "tcp_user_timeout"]),
    ("submit", &["send_deadline", "retry_first", "retry_max", "lease", "renew"]),
    (
        "settle",
        &["front_door_max", "list_lag_max", "scan_gap", "look_first", "look_max", "lease", "renew"],
    ),
    ("poll", &["first", "steady", "max", "lease", "renew", "not_found_grace"]),
    // The last: more is said of it.
    ("limits", &["lead_max"]),
];
/// The least that each of them may be.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// The shipped waits, shortened.
fn waits(scale: u32) -> String {
    let mut config = String::new();
    let mut head = "";
    for (section, key, time) in shipped(WAITS).expect("each is shipped") {
        if section != std::mem::replace(&mut head, section) {
            config.push_str(&format!("[{section}]\n"));
        }
        config.push_str(&format!("{key} = \"{}ms\"\n", (time / scale).max(WAIT_MIN).as_millis()));
    }
    config
}

fn told(order: &Order) -> Value {
    json!({
        "submitters": order.submitters, "pollers": order.pollers, "accounts": order.accounts,
        "create_rpm": order.create_rpm, "running": order.running, "seconds": order.lasts.as_secs(),
        "warm_up_s": order.warm_up.as_secs(), "scale": order.scale, "clocks": order.clocks,
        "every_s": order.every.as_secs(), "reply_ms": whole_ms(order.reply), "spread_ms": whole_ms(order.spread), "seed": order.seed,
    })
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "limits: {text}");
}

fn whole_ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
