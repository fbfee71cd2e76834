//! `probe`: asks a real account what the provider's documents leave open (`docs/provider.md` §13),
//! cheapest questions first.
//!
//! It prints the bill before anything is asked, never spends above `--max-usd`, and buys its one video
//! through the fleet like any job. What it learns is saved, and what the re-send policy rests on
//! (`settle.evidence_…`) is noted with the account.

mod asker;
mod free;
mod paid;
mod report;

use crate::cli::{Global, ProbeArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{note, say};
use crate::session::Session;
use crate::verbs::import::money;
use asker::Asker;
use job::Timestamp;
use report::{Question, Report, Shown};
use seedance::{Cost, Currency, Day, FrameSize, ModelKey, PriceTable, Resolution};
use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;
use ulid::Ulid;

/// Yuan that are taken for a dollar: fewer than any rate of the last years, so never too cheap.
const CNY_PER_USD: u64 = 5;
/// Longest video of the cheapest model, in seconds: what a create costs that is taken by mistake.
const MISTAKE_S: u8 = 15;

/// Rows of the contract's list that no probe can answer, and why.
const NOT_ASKED: [(Question, &str); 5] = [
    ((9, "queue_cap", "how many tasks may be queued?"), "learned from QuotaExceeded in service"),
    ((11, "link_after_a_day", "is a link signed anew after 24 h?"), "read the task again tomorrow"),
    ((13, "500_leaves_a_task", "can an HTTP 500 on create leave a task?"), "taken for yes"),
    ((15, "downloads_max", "what is the limit of downloads per link?"), "the fleet downloads once"),
    (
        (16, "video_minimum", "what does a reference video cost at least?"),
        "the first such job tells",
    ),
];

/// What may be spent.
struct Bill {
    video: Option<Cost>,
    /// A create that should be refused and is not.
    mistake: Option<Cost>,
    max_micros: u64,
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, args: &ProbeArgs) -> Outcome {
    let session = Session::open(global).await?;
    let account = account(&session, args)?;
    let mut asker = Asker::open(&session, &account)?;
    let now = session.store.now().await?;
    let mark = Ulid::generate().to_string();
    let bill = bill(&session, args, &mark, now)?;
    let mut report = Report::new(now.rfc3339(), session.store.pool(), &account);
    report.route = session.pool.route.to_string();
    report.simulated = session.pool.simulated;
    report.cost_max = money_of(bill.most());
    tell(&bill, &asker, args);
    bill.guard()?;
    agree(args)?;

    free::reads(&mut asker, &mut report).await?;
    let mut whole = match bill.may_err() {
        true => free::refusals(&asker, &mut report).await,
        false => {
            report.remarks.push(
                "the creates that must be refused were left out: --max-usd is too low".into(),
            );
            true
        }
    };
    if bill.video.is_some() && whole {
        let patience = paid::Patience { start_max: args.start_max, end_max: args.timeout };
        let intake = paid::intake(&mark);
        whole = paid::ask(&session, &asker, &mut report, intake, &patience).await?;
    }
    for (question, why) in NOT_ASKED {
        report.open(question, why);
    }
    report.evidence = Some(shown(&session, &account).await?);
    finish(global, args, &report)?;
    Ok(if whole { Exit::Done } else { Exit::Partial })
}

/// The account that is meant.
fn account(session: &Session, args: &ProbeArgs) -> Result<String, Failure> {
    let known = session.pool.accounts.keys().cloned().collect::<Vec<_>>().join(", ");
    match &args.account {
        Some(name) if session.pool.accounts.contains_key(name) => Ok(name.clone()),
        Some(name) => Err(Failure::usage(format!("no account is called {name:?}"))
            .hint(format!("configured are: {known}"))),
        None if session.pool.accounts.len() == 1 => Ok(known),
        None => Err(Failure::usage(format!("the pool has several accounts: {known}"))
            .hint("choose one with --account")),
    }
}

fn bill(session: &Session, args: &ProbeArgs, mark: &str, now: Timestamp) -> Result<Bill, Failure> {
    let video = match args.free_only {
        true => None,
        false => {
            let checked = session.door()?.check(&paid::intake(mark), now).map_err(|refusal| {
                Failure::new(Exit::Findings, "the probe's own request has faults").because(refusal)
            })?;
            Some(checked.cost)
        }
    };
    let day = Day::from_unix_s(now.unix_ms().div_euclid(1_000));
    let size: FrameSize = Resolution::P480.frame_size_max();
    let tokens = seedance::tokens(Resolution::P480, size, MISTAKE_S, None);
    let (route, model) = (session.pool.route, ModelKey::V20Mini);
    let mistake =
        PriceTable::in_force().cost_of(route, model, Resolution::P480, false, tokens, day).ok();
    Ok(Bill { video, mistake, max_micros: (args.max_usd * 1e6) as u64 })
}

impl Bill {
    fn in_usd_micros(cost: Cost) -> u64 {
        match cost.currency {
            Currency::Usd => cost.micros,
            Currency::Cny => cost.micros.div_ceil(CNY_PER_USD),
        }
    }

    /// Whether a create that is taken by mistake would fit. It ends the probe, so no video comes on top.
    fn may_err(&self) -> bool {
        self.mistake.is_some_and(|mistake| Self::in_usd_micros(mistake) <= self.max_micros)
    }

    fn most(&self) -> u64 {
        let mistake = self.mistake.filter(|_| self.may_err()).map_or(0, Self::in_usd_micros);
        self.video.map_or(0, Self::in_usd_micros).max(mistake)
    }

    fn guard(&self) -> Result<(), Failure> {
        let Some(video) = self.video.map(Self::in_usd_micros).filter(|v| *v > self.max_micros)
        else {
            return Ok(());
        };
        let (video, max) = (money_of(video), money_of(self.max_micros));
        Err(Failure::new(Exit::Guard, format!("the video costs {video}, above --max-usd {max}"))
            .hint("raise --max-usd, or ask the free questions with --free-only"))
    }
}

fn money_of(usd_micros: u64) -> String {
    money(Currency::Usd, usd_micros)
}

/// The bill, before anything is asked.
fn tell(bill: &Bill, asker: &Asker, args: &ProbeArgs) {
    let burst = asker.burst_calls();
    note(&format!("probe of account {} ({})", asker.account, asker.route));
    note("  free  order and filters of the list, the 404 of an unknown task: 6 reads");
    note("  free  deleting a cancelled task of this fleet, if the list shows one: 2 calls");
    note(&format!(
        "  free  {burst} lists at once, to be refused for their rate: 1 s without list calls"
    ));
    match bill.mistake {
        Some(mistake) if bill.may_err() => note(&format!(
            "  free  4 creates with three faults each, to be refused; if one is taken all the same, the probe ends there \
             and it costs at most {}",
            money(mistake.currency, mistake.micros)
        )),
        Some(_) | None => note(
            "  ----  no creates that are to be refused: --max-usd leaves no room for a mistake",
        ),
    }
    match bill.video {
        Some(video) => note(&format!(
            "  {}  one video of 4 s at 480p, seedance-2.0-mini, bought by the fleet: echo of mark and identifier, lag of \
             the list, callbacks, links, last frame",
            money(video.currency, video.micros)
        )),
        None => note("  ----  no video (--free-only)"),
    }
    note(&format!("at most {} of --max-usd {}", money_of(bill.most()), money_of(bill.max_micros)));
    if !args.free_only {
        note(
            "the fleet must be running: a submitter buys the video, a poller and a downloader bring it home",
        );
    }
}

/// Nobody is asked twice: `--yes`, or a yes on the terminal.
fn agree(args: &ProbeArgs) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    let refused = || {
        Failure::new(Exit::Guard, "nothing was asked").hint("agree with --yes, or on a terminal")
    };
    if !io::stdin().is_terminal() {
        return Err(refused());
    }
    note("go on? [y/N]");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused()),
    }
}

async fn shown(session: &Session, account: &str) -> Result<Shown, Failure> {
    let evidence = session.store.evidence(account, session.store.now().await?).await?;
    let ms = |lag: Duration| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
    Ok(Shown {
        echoes_ok: evidence.echoes_ok,
        echoes_bad: evidence.echoes_bad,
        lags: evidence.lags,
        lag_max_ms: ms(evidence.lag_max),
        callbacks_before: evidence.callbacks_before,
        callbacks_after: evidence.callbacks_after,
    })
}

/// Saves the report, then shows it.
fn finish(global: &Global, args: &ProbeArgs, report: &Report) -> Result<(), Failure> {
    let dated = || {
        let at: String = report.asked_at.chars().filter(|c| c.is_ascii_digit()).take(14).collect();
        PathBuf::from(format!("probe-{}-{}-{at}.json", report.pool, report.account))
    };
    let out = args.out.clone().unwrap_or_else(dated);
    let saved = report.save(&out);
    // Shown in any case: a full disk must not cost what was paid for.
    match args.json || !global.output.is_a_page() {
        true => say(&format!("{}\n", serde_json::to_string_pretty(report).unwrap_or_default()))?,
        false => say(&report.text())?,
    }
    let [json, text] = saved?;
    note(&format!("saved: {} and {}", json.display(), text.display()));
    Ok(())
}
