//! The command line of `usage`, `cost`, `batch` and `limits`.

use super::doubt::Decision;
use super::import::RowFormat;
use clap::{Args, Subcommand, ValueEnum};
use job::filter::Filter;
use job::{Priority, StopOn, Timestamp};
use seedance::SlotClass;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use store::Limit;
use survey::Group;

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// From this day on: a date or an instant; 30 days back if not given.
    #[arg(long, value_parser = instant)]
    pub(crate) from: Option<Timestamp>,
    /// Up to this day, included; today if not given.
    #[arg(long, value_parser = instant)]
    pub(crate) to: Option<Timestamp>,
    /// Sums by this.
    #[arg(long, value_enum, default_value = "day")]
    pub(crate) by: By,
    /// One tenant's.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
}

/// By what usage is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// UTC day of the job's end.
    Day,
    /// Tenant.
    Tenant,
    /// Batch: all that its jobs cost so far, of those that began in the time asked for.
    Batch,
    /// Model.
    Model,
}

impl From<By> for Group {
    fn from(by: By) -> Self {
        match by {
            By::Day => Self::Day,
            By::Tenant => Self::Tenant,
            By::Batch => Self::Batch,
            By::Model => Self::Model,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum BatchVerb {
    /// Newest first.
    List {
        /// One tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// Rows at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
    /// Jobs by state, cost, and whether it is paused.
    Show(BatchNamed),
    /// Follow it until its jobs have ended, with the time that is left as a range and what binds it; exit 8 when
    /// time is up, 1 or 7 when not all succeeded. With -o ndjson, a line for each estimate and one for the end.
    Watch {
        #[command(flatten)]
        named: BatchNamed,
        /// Longest wait, such as 10m or 2h.
        #[arg(long, default_value = "24h", value_parser = super::duration)]
        timeout: Duration,
        /// Between two estimates of the time that is left, from 100ms to 1h.
        #[arg(long, default_value = "10s", value_parser = estimates)]
        every: Duration,
    },
    /// Submit none of its queued jobs until it is resumed.
    Pause(BatchArgs),
    /// Change what was said beside the requests of its jobs that wait: their order, and until when they are worth
    /// buying. What has begun stays as it is; without --yes it is only told how many.
    Edit(EditArgs),
    /// Set what may be bought for it; jobs that would pass it wait until there is room.
    Budget(BudgetArgs),
    /// Set on what it is paused by itself, as `import --stop-on` does.
    StopOn(StopOnArgs),
    /// Let its paused jobs go on; what it stops on is counted anew from now.
    Resume(BatchArgs),
    /// Stop its jobs; what runs at the provider is stopped only while it still waits there.
    Cancel(BatchArgs),
}

/// A batch.
#[derive(Debug, Args)]
pub(crate) struct BatchNamed {
    /// Its name.
    pub(crate) batch: String,
    /// Whose it is, where several tenants have one of this name.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
}

/// A batch, and who wants something of it.
#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    #[command(flatten)]
    pub(crate) named: BatchNamed,
    #[command(flatten)]
    pub(crate) decision: Decision,
}

/// A batch's caps, in decimal numbers of the currency that its pool's route bills in.
#[derive(Debug, Args)]
pub(crate) struct BudgetArgs {
    #[command(flatten)]
    pub(crate) named: BatchNamed,
    /// What may be bought for it on one day (UTC); 0 takes the cap away.
    #[arg(long, value_parser = money)]
    pub(crate) buy_day_max: Option<u64>,
    /// What may be bought for it in all; 0 takes the cap away.
    #[arg(long, value_parser = money)]
    pub(crate) buy_total_max: Option<u64>,
    #[command(flatten)]
    pub(crate) decision: Decision,
}

/// What is changed of a batch's jobs that wait.
#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(crate) named: BatchNamed,
    /// Which of its jobs; all that wait if not said. Conditions as those of `jobs list --where`.
    #[arg(long = "where", value_name = "FILTER")]
    pub(crate) conditions: Option<Filter>,
    /// priority=high|normal|low, useful_until=INSTANT|none, or budget=AMOUNT for all that may be bought for the
    /// batch (0: no cap); several of them, each once.
    #[arg(long, value_name = "FIELD=VALUE", required = true, value_parser = setting)]
    pub(crate) set: Vec<Setting>,
    #[command(flatten)]
    pub(crate) decision: Decision,
}

/// One thing to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Order inside the tenant.
    Priority(Priority),
    /// After which instant a job is not worth buying.
    UsefulUntil(Option<Timestamp>),
    /// What may be bought for the batch in all, in millionths.
    Budget(u64),
}

fn setting(text: &str) -> Result<Setting, String> {
    let known = "priority=high|normal|low, useful_until=INSTANT|none, budget=AMOUNT";
    let Some((field, value)) = text.split_once('=') else {
        return Err(format!("no `=` in it; known are {known}"));
    };
    match (field.trim(), value.trim()) {
        ("priority", word) => [Priority::High, Priority::Normal, Priority::Low]
            .into_iter()
            .find(|priority| priority.word() == word)
            .map(Setting::Priority)
            .ok_or_else(|| format!("{word:?} is no priority; known are high, normal, low")),
        ("useful_until", "none") => Ok(Setting::UsefulUntil(None)),
        ("useful_until", at) => instant(at).map(|at| Setting::UsefulUntil(Some(at))),
        ("budget", amount) => money(amount).map(Setting::Budget),
        (field, _) => Err(format!("there is no {field:?} to set; known are {known}")),
    }
}

/// On what a batch is paused by itself.
#[derive(Debug, Args)]
pub(crate) struct StopOnArgs {
    #[command(flatten)]
    pub(crate) named: BatchNamed,
    /// Such as 'failed>5% of 50 | code=CODE>3 | in_doubt>10'; left out, on nothing any more.
    #[arg(long, value_parser = StopOn::parse)]
    pub(crate) conditions: Option<StopOn>,
    #[command(flatten)]
    pub(crate) decision: Decision,
}

/// An amount in millionths.
pub(crate) fn money(text: &str) -> Result<u64, String> {
    job::cap_micros(text).ok_or_else(|| {
        let most = job::CAP_UNITS_MAX;
        format!("{text:?} is no amount; write it like 25.00, at most {most}")
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum CostVerb {
    /// What a file of requests would need, by the price table. Asks nobody: neither Redis nor the provider.
    Estimate(EstimateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct EstimateArgs {
    /// One request as a JSON object, or a file of requests as `import` takes it; `-` for lines of JSON on
    /// standard input.
    pub(crate) file: PathBuf,
    /// How its rows are written; told by the end of its name if not given, and else lines of JSON.
    #[arg(long, value_enum)]
    pub(crate) format: Option<RowFormat>,
    /// At the prices of this route; those of the pool if not given, and then no pool is needed.
    #[arg(long, value_parser = seedance::Route::from_str)]
    pub(crate) route: Option<seedance::Route>,
    /// At the prices of this day, such as 2026-12-01; today's if not given.
    #[arg(long, value_parser = seedance::Day::from_str)]
    pub(crate) on: Option<seedance::Day>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LimitsVerb {
    /// The provider's limits, as in force and as configured, their use, and what holds jobs up now.
    Show,
    /// Lower limits of an account for the whole fleet, at once. The configuration is the ceiling; running tasks
    /// are left alone.
    Set(LimitsSetArgs),
    /// Take back what was set: those named, of one class, or all of the account.
    Reset(LimitsResetArgs),
}

/// Whose limits, and who wants it.
#[derive(Debug, Args)]
pub(crate) struct LimitsOf {
    /// The account, where the pool has several.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// The slot class, for limits of a class: 2.0, 2.0-4k, 2.0-fast, 2.0-mini.
    #[arg(long, value_parser = class)]
    pub(crate) class: Option<SlotClass>,
    /// Why; it stays in the audit.
    #[arg(long)]
    pub(crate) reason: String,
    /// Your name in the audit; the login name if not given.
    #[arg(long)]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LimitsSetArgs {
    #[command(flatten)]
    pub(crate) of: LimitsOf,
    /// Creates a minute of the class.
    #[arg(long, requires = "class")]
    pub(crate) create_rpm: Option<f64>,
    /// Tasks of the class that run at once; 0 lets nothing begin.
    #[arg(long, requires = "class")]
    pub(crate) running: Option<f64>,
    /// Tasks of the class that the account is fed beyond that.
    #[arg(long, requires = "class")]
    pub(crate) lookahead: Option<f64>,
    /// Reads of single tasks a second.
    #[arg(long)]
    pub(crate) retrieve_qps: Option<f64>,
    /// List pages a second.
    #[arg(long)]
    pub(crate) list_qps: Option<f64>,
    /// Deletes a second.
    #[arg(long)]
    pub(crate) delete_qps: Option<f64>,
    /// For how long, such as 30m or 2h; until it is taken back if not given.
    #[arg(long = "for", value_name = "TIME", value_parser = super::duration)]
    pub(crate) lasts: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct LimitsResetArgs {
    #[command(flatten)]
    pub(crate) of: LimitsOf,
    /// Only these: create_rpm, running, lookahead, retrieve_qps, list_qps, delete_qps.
    #[arg(long = "limit", value_name = "LIMIT", value_parser = limit)]
    pub(crate) limits: Vec<Limit>,
}

fn class(word: &str) -> Result<SlotClass, String> {
    SlotClass::from_word(word).ok_or_else(|| {
        let known = SlotClass::ALL.map(SlotClass::word).join(", ");
        format!("no slot class is called so; known are {known}")
    })
}

fn limit(word: &str) -> Result<Limit, String> {
    Limit::parse(word).ok_or_else(|| {
        let known = Limit::ALL.map(Limit::word).join(", ");
        format!("no limit is called so; known are {known}")
    })
}

pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_instant(text)
}

/// How often the time that is left is estimated.
fn estimates(text: &str) -> Result<Duration, String> {
    let every = super::duration(text)?;
    match (Duration::from_millis(100)..=Duration::from_secs(3_600)).contains(&every) {
        true => Ok(every),
        false => Err(format!("{text} is not allowed: 100ms to 1h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_or_refused_by_name() {
        assert_eq!(setting("priority=high"), Ok(Setting::Priority(Priority::High)));
        assert_eq!(setting("useful_until = none"), Ok(Setting::UsefulUntil(None)));
        assert_eq!(setting("budget=2.5"), Ok(Setting::Budget(2_500_000)));
        let day = setting("useful_until=2030-01-01");
        assert!(matches!(day, Ok(Setting::UsefulUntil(Some(_)))), "{day:?}");
        for (text, why) in [
            ("priority", "no `=`"),
            ("priority=urgent", "high, normal, low"),
            ("useful_until=soon", "soon"),
            ("budget=-1", "no amount"),
            ("model=x", "no \"model\""),
        ] {
            assert!(setting(text).is_err_and(|told| told.contains(why)), "{text}");
        }
    }
}
