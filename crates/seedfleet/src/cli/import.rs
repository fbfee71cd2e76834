//! The command line of `import`.

use admission::{RowForm, TAKE_MAX};
use clap::{Args, ValueEnum};
use job::{StopOn, Timestamp};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// File of requests, or `-` for standard input.
    pub(crate) file: PathBuf,
    /// How its rows are written; told by the end of its name if not given, and else lines of JSON.
    #[arg(long, value_enum)]
    pub(crate) format: Option<RowFormat>,
    /// Name of the batch; the file's name if not given.
    #[arg(long)]
    pub(crate) batch: Option<String>,
    /// Whose jobs.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// What to do with rows that ask for the same and have no custom_id.
    #[arg(long, value_enum, default_value = "skip")]
    pub(crate) duplicates: Duplicates,
    /// Take no row in if the good ones may cost more than this, in the route's currency: the file is judged once
    /// before, so it can be neither standard input nor a pipe. Rows of the file that are one job cost once; rows that are jobs
    /// already count as well.
    #[arg(long, value_parser = super::totals::money)]
    pub(crate) max_cost: Option<u64>,
    /// For rows without `priority`: their order among the tenant's own jobs.
    #[arg(long, value_parser = ["high", "normal", "low"])]
    pub(crate) priority: Option<String>,
    /// For rows without `useful_until`: a date or an instant, after which a job that has not begun is not bought.
    #[arg(long, value_parser = super::totals::instant)]
    pub(crate) useful_until: Option<Timestamp>,
    /// For rows without `take`: which wanted repeat of the request each is.
    #[arg(long, conflicts_with = "duplicates", value_parser = clap::value_parser!(u32).range(1..=i64::from(TAKE_MAX)))]
    pub(crate) take: Option<u32>,
    /// For rows without `output.prefix`: the folder of their outputs, below that of the tenant.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) output_prefix: Option<String>,
    /// What may be bought for the batch on one day (UTC), in the route's currency; jobs that would pass it wait.
    #[arg(long, value_parser = super::totals::money)]
    pub(crate) buy_day_max: Option<u64>,
    /// What may be bought for the batch in all, likewise.
    #[arg(long, value_parser = super::totals::money)]
    pub(crate) buy_total_max: Option<u64>,
    /// The rows stand in place of jobs of this batch that ended badly, as `failed export` wrote them: each is matched by
    /// its custom_id, its `_job` or its request, linked to the old job (`retry_of`), and refused where that one did not
    /// fail. The jobs join that batch unless --batch says otherwise.
    #[arg(long, value_name = "BATCH", conflicts_with_all = ["take", "duplicates"])]
    pub(crate) retry_of: Option<String>,
    /// Pause the batch by itself when one of these is met, such as 'failed>5% of 50 | code=CODE>3 | in_doubt>10':
    /// more than 5% of at least 50 ended jobs failed, more than 3 failed with that code, more than 10 are in doubt.
    /// `batch resume` goes on and counts anew. It stays with the batch, and is looked at every second.
    #[arg(long, value_name = "CONDITIONS", value_parser = StopOn::parse)]
    pub(crate) stop_on: Option<StopOn>,
    #[command(flatten)]
    pub(crate) pilot: super::pilot::PilotArgs,
    #[command(flatten)]
    pub(crate) check: CheckArgs,
    /// Judge all rows and enqueue none.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Where refused rows are told; `<FILE>.rejects.jsonl` if not given.
    #[arg(long)]
    pub(crate) rejects: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Ask each http(s) address of a picture, video or sound once before its row is taken in, also with --dry-run: at
    /// most 256 KiB of the file are read. A row is refused where nobody gives the file (404, 403, a private address), or
    /// its format, length, pixels or the length of a WAV are not what the provider takes; of videos and MP3 only format
    /// and length are known. What may pass by itself (no answer, 429, 5xx) is tried three times, then told as a warning.
    #[arg(long)]
    pub(crate) check_urls: bool,
    /// Addresses asked at once, 1 to 64.
    #[arg(long, value_name = "N", default_value_t = 16, requires = "check_urls", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) check_urls_parallel: u8,
    /// Of them, at one host, 1 to 64.
    #[arg(long, value_name = "N", default_value_t = 8, requires = "check_urls", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) check_urls_per_host: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// One JSON object on each line.
    Jsonl,
    /// One JSON list of objects.
    Json,
    /// A header line, then one request in each record.
    Csv,
}

impl From<RowFormat> for RowForm {
    fn from(format: RowFormat) -> Self {
        match format {
            RowFormat::Jsonl => Self::JsonLines,
            RowFormat::Json => Self::JsonList,
            RowFormat::Csv => Self::Csv,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Duplicates {
    /// They are one job.
    Skip,
    /// Each is a wanted repeat and a job of its own.
    Keep,
}
