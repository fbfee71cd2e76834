//! The command line as types.

mod debug;
mod doubt;
mod erase;
mod export;
mod failed;
mod hooks;
mod import;
mod jobs;
mod keys;
mod operations;
mod pilot;
mod queue;
pub(crate) mod reach;
mod reconcile;
mod remote;
mod schema;
mod top;
mod totals;

pub(crate) use debug::{BundleArgs, DebugVerb};
pub(crate) use doubt::{AuditArgs, Bulk, Decision, DoubtVerb};
pub(crate) use erase::{AdoptArgs, EraseVerb, Erasing};
pub(crate) use export::ExportArgs;
pub(crate) use failed::{FailedArgs, FailedVerb, FailedWhich};
pub(crate) use hooks::{EventsVerb, TailArgs, WebhooksVerb};
pub(crate) use import::{CheckArgs, Duplicates, ImportArgs};
pub(crate) use jobs::{CloneArgs, JobsArgs, JobsVerb};
pub(crate) use keys::{CreateArgs, KeysVerb, TenantsVerb};
pub(crate) use operations::{Many, OperationsVerb};
pub(crate) use queue::{DrainArgs, PauseArgs, QueueVerb, ResumeArgs};
pub(crate) use reconcile::{FreezeArgs, ReconcileArgs, ThawArgs};
pub(crate) use remote::{ContextVerb, Whereto};
pub(crate) use schema::{FinalizeArgs, SchemaStatusArgs, SchemaVerb};
pub(crate) use top::TopArgs;
pub(crate) use totals::{
    BatchArgs, BatchNamed, BatchVerb, BudgetArgs, CostVerb, EditArgs, EstimateArgs, LimitsOf,
    LimitsResetArgs, LimitsSetArgs, LimitsVerb, Setting, StopOnArgs, UsageArgs,
};

use crate::output::Form;
use clap::{Args, Parser, Subcommand};
use jiff::SignedDuration;
use job::filter::Filter;
use job::{JobId, StateWord, TaskId};
use std::path::PathBuf;
use std::time::Duration;

/// Drives video generation at fleet scale, and never buys one twice.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Configuration file above /etc/seedfleet; repeat it to lay one over the other.
    #[arg(long, global = true, env = "SEEDFLEET_CONFIG", value_delimiter = ':')]
    pub(crate) config: Vec<PathBuf>,
    /// The pool, where several are configured.
    #[arg(long, global = true)]
    pub(crate) pool: Option<String>,
    #[command(flatten)]
    pub(crate) whereto: Whereto,
    #[command(flatten)]
    pub(crate) output: Form,
    /// Neither progress nor remarks.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Log lines on standard error, as section `telemetry` says.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Take one job in.
    Submit(Box<SubmitArgs>),
    /// Take a file of jobs in: one JSON object a line.
    Import(ImportArgs),
    /// Results, one row a job.
    Export(ExportArgs),
    /// Look at jobs, wait for them, cancel them.
    #[command(subcommand)]
    Jobs(JobsVerb),
    /// Batches: look at them, pause, resume, cancel them, set their budget.
    #[command(subcommand)]
    Batch(BatchVerb),
    /// What waits, and what is paused: pause, resume or drain a pool, a tenant, a model or a stage.
    #[command(subcommand)]
    Queue(QueueVerb),
    /// Failures by code: look at them, make them again, dismiss them.
    #[command(subcommand)]
    Failed(FailedVerb),
    /// What was asked for many jobs at once, and how far it has come.
    #[command(subcommand)]
    Operations(OperationsVerb),
    /// Jobs that ended, tokens and cost, by day, tenant, batch or model.
    Usage(UsageArgs),
    /// What requests would cost.
    #[command(subcommand)]
    Cost(CostVerb),
    /// Limits of the provider and what holds jobs up now.
    #[command(subcommand)]
    Limits(LimitsVerb),
    /// How many processes of each role are of use now, and why; how many are at work, and how many fell silent.
    Workers,
    /// The pool on a terminal, drawn anew every second: flow, slots, limits, money, failures, jobs.
    Top(TopArgs),
    /// Jobs whose create call ended without a clear answer.
    #[command(subcommand)]
    Doubt(DoubtVerb),
    /// Jobs that wait for a person before anything is paid.
    #[command(subcommand)]
    Review(ReviewVerb),
    /// Take out what jobs were asked for and what came of them; a bill without content stays.
    #[command(subcommand)]
    Erase(EraseVerb),
    /// Our records against the provider's list and the second fence; exit 3 when a person should look.
    ///
    /// Told are tasks that no job owns (`orphan_task`), a second task of a job (`stray_task`), tokens that differ
    /// (`tokens_differ`), and jobs whose task neither the list nor a read of its own shows (`unknown_task`). For the
    /// last, jobs are looked at that are running, overdue or downloading, however old, and ended ones that count as
    /// paid (succeeded, output_lost, timed_out), if their create lies within --since and the provider's memory of 7
    /// days, the oldest hour of it left out. Not looked at: ends that are not billed (failed, expired, cancelled),
    /// jobs without a task, ended ones that were adopted, and those that have left Redis; and no more than 200
    /// tasks of an account are read in one run.
    Reconcile(ReconcileArgs),
    /// Begin no new create in this pool until it is thawed; all else goes on.
    Freeze(FreezeArgs),
    /// Let creates go on.
    Thaw(ThawArgs),
    /// Versions of the stored record while a fleet is upgraded: who reads what, and the step to the next one.
    #[command(subcommand)]
    Schema(SchemaVerb),
    /// What people decided: who, when, on what evidence, why, and what came of it.
    Audit(AuditArgs),
    /// API keys: make, list, rotate and revoke them.
    #[command(subcommand)]
    Keys(KeysVerb),
    /// Who uses the fleet, with caps and usage.
    #[command(subcommand)]
    Tenants(TenantsVerb),
    /// What becomes of jobs, as it happens.
    #[command(subcommand)]
    Events(EventsVerb),
    /// Customers' webhook endpoints: look at them, test them, tell them again.
    #[command(subcommand)]
    Webhooks(WebhooksVerb),
    /// Gateways by name: which one this command line talks to.
    #[command(subcommand)]
    Context(ContextVerb),
    /// The configuration: check it, show it, explain it.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Check Redis, bucket, provider, callbacks and certificates, each fault with its cure.
    Doctor(DoctorArgs),
    /// Gather what others need to help.
    #[command(subcommand)]
    Debug(DebugVerb),
    /// Ask an account what the provider's documents leave open, for a dollar at most.
    Probe(ProbeArgs),
    /// The whole fleet on this machine, against the simulated provider.
    #[command(subcommand)]
    Dev(DevVerb),
    /// Print the pages the code writes about itself.
    Docs(DocsArgs),
    /// Print what a shell needs to complete this command line: `source <(seedfleet completions bash)`.
    Completions { shell: clap_complete::Shell },
    /// Write manual pages, one for each verb, into a folder that is there: `man -l DIR/seedfleet-import.1`.
    Man { dir: PathBuf },
    /// Versions of program and stored forms.
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The prompt.
    #[arg(short, long, required_unless_present_any = ["file", "image", "video"])]
    pub(crate) prompt: Option<String>,
    /// A picture: address or file, with `:first_frame`, `:last_frame` or `:reference_image` behind it.
    #[arg(long, value_name = "URL[:ROLE]")]
    pub(crate) image: Vec<String>,
    /// A reference video by address.
    #[arg(long, value_name = "URL")]
    pub(crate) video: Vec<String>,
    /// A reference sound: address or file.
    #[arg(long, value_name = "URL")]
    pub(crate) audio: Vec<String>,
    /// The whole request as JSON, from a file or `-`; other options go over it.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Model: seedance-2.0, seedance-2.0-fast, seedance-2.0-mini or the route's own id.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// 480p, 720p, 1080p or 4k.
    #[arg(long)]
    pub(crate) resolution: Option<String>,
    /// 16:9, 4:3, 1:1, 3:4, 9:16, 21:9 or adaptive.
    #[arg(long)]
    pub(crate) ratio: Option<String>,
    /// Whole seconds, or -1 for the model's choice.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) duration: Option<i64>,
    /// Your own id of the request.
    #[arg(long)]
    pub(crate) custom_id: Option<String>,
    /// Whose job.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// The same key twice means the same job.
    #[arg(long)]
    pub(crate) idempotency_key: Option<String>,
    /// 2, 3, …: a wanted repeat of the same request.
    #[arg(long)]
    pub(crate) take: Option<u32>,
    /// Wait for the end.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Longest wait, such as 90s or 10m.
    #[arg(long, default_value = "30m", value_parser = duration)]
    pub(crate) timeout: Duration,
}

/// Which jobs; all conditions must hold.
#[derive(Debug, Args, Clone, Default)]
pub(crate) struct Which {
    /// Conditions, such as 'state=failed,expired code=InternalServiceError age>1h'; docs/filters.md
    /// has them all.
    #[arg(long = "where", value_name = "FILTER")]
    pub(crate) conditions: Option<Filter>,
    /// State, such as running or failed.
    #[arg(long, value_parser = state)]
    pub(crate) state: Option<StateWord>,
    /// Batch.
    #[arg(long)]
    pub(crate) batch: Option<String>,
    /// Tenant.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Error code.
    #[arg(long)]
    pub(crate) code: Option<String>,
}

impl Which {
    /// The options as one filter.
    pub(crate) fn filter(&self) -> Filter {
        let mut filter = self.conditions.clone().unwrap_or_default();
        if let Some(word) = self.state {
            filter = filter.state(word);
        }
        if let Some(batch) = &self.batch {
            filter = filter.batch(batch);
        }
        if let Some(tenant) = &self.tenant {
            filter = filter.tenant(tenant);
        }
        match &self.code {
            Some(code) => filter.code(code),
            None => filter,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReviewVerb {
    /// Jobs that wait.
    List {
        /// Rows at most; 0 means all.
        #[arg(long, default_value_t = 50)]
        limit: u64,
        /// Where the page before ended.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Let them be bought.
    Approve {
        #[arg(value_parser = job_id, required = true)]
        ids: Vec<JobId>,
        /// Your name in the timeline; the login name if not given.
        #[arg(long)]
        by: Option<String>,
    },
    /// End them unpaid.
    Reject {
        #[arg(value_parser = job_id, required = true)]
        ids: Vec<JobId>,
        /// Why; the caller reads it.
        #[arg(long)]
        reason: String,
        /// Your name in the timeline; the login name if not given.
        #[arg(long)]
        by: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Read all layers and tell every fault.
    Check,
    /// Every key in force, secrets masked.
    Show {
        /// Which layer said it.
        #[arg(long)]
        origin: bool,
    },
    /// What a key means, what it takes, and its default.
    Explain { key: String },
    /// Every name the environment may hold.
    Env,
}

#[derive(Debug, Args, Default)]
pub(crate) struct DoctorArgs {
    /// Show the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write what the records call for where slots, tickets, indexes or counters disagree with them.
    #[arg(long, requires = "reason")]
    pub(crate) repair: bool,
    /// Agree to the repairs; without, they are shown and asked for on a terminal.
    #[arg(long, requires = "repair")]
    pub(crate) yes: bool,
    /// Why; it stays in the audit.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Your name in the audit; the login name if not given.
    #[arg(long)]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// The account, where the pool has several.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// Most it may cost, in US dollars.
    #[arg(long, default_value_t = 1.0, value_parser = dollars)]
    pub(crate) max_usd: f64,
    /// Only what costs nothing.
    #[arg(long)]
    pub(crate) free_only: bool,
    /// Agree to the bill; without, it is asked for on a terminal.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Show the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The report's JSON file, a text beside it; named after pool, account and time if not given.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Longest wait for a submitter to take the job; then it is cancelled.
    #[arg(long, default_value = "2m", value_parser = duration)]
    pub(crate) start_max: Duration,
    /// Longest wait for the video.
    #[arg(long, default_value = "30m", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DevVerb {
    /// Start everything and print where it is; Ctrl-C stops it.
    Up(UpArgs),
    /// Import real jobs, run them, kill the submitter twice, and count.
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Folder for everything; a new one below .seedfleet if not given.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Simulated seconds per second.
    #[arg(long, default_value_t = 30.0)]
    pub(crate) clock_scale: f64,
    /// An origin that webhooks may call, such as http://127.0.0.1:9000 for a receiver on this machine.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) webhooks_to: Vec<String>,
    /// Creates a minute that the simulated account is allowed, of each model.
    #[arg(long, value_name = "COUNT", default_value_t = crate::dev::Allowed::default().create_rpm,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) create_rpm: u32,
    /// Tasks that the simulated account may have running at once, of each model.
    #[arg(long, value_name = "COUNT", default_value_t = crate::dev::Allowed::default().running,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) running: u32,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many jobs.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) jobs: u32,
    /// End with one JSON object on the last line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Folder for everything; a new one below .seedfleet if not given.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Chooses the requests and the simulator's draws.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct DocsArgs {
    /// Folder of the pages.
    #[arg(default_value = "docs")]
    pub(crate) dir: PathBuf,
    /// Compare only; exit 3 when a page differs.
    #[arg(long)]
    pub(crate) check: bool,
}

fn state(word: &str) -> Result<StateWord, String> {
    StateWord::parse(word).ok_or_else(|| {
        let known = StateWord::ALL.map(StateWord::as_str).join(", ");
        format!("no state is called so; known are {known}")
    })
}

fn job_id(text: &str) -> Result<JobId, String> {
    JobId::parse(text).map_err(|error| error.to_string())
}

fn task_id(text: &str) -> Result<TaskId, String> {
    TaskId::parse(text).map_err(|error| error.to_string())
}

fn dollars(text: &str) -> Result<f64, String> {
    let amount = text.parse::<f64>().ok().filter(|amount| (0.0..=100.0).contains(amount));
    amount.ok_or_else(|| format!("{text:?} is no amount from 0 to 100 US dollars"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time such as 90s or 10m");
    let signed: SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(signed).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lengths_of_time_are_read() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert!(duration("-1s").is_err());
        assert!(duration("soon").is_err());
    }
}
