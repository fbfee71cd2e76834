//! What a stream of rows is asked for with.

use crate::api::job::Rank;
use crate::api::{budget, operations};
use crate::problem::Problem;
use admission::{Beside, TAKE_MAX};
use axum::http::StatusCode;
use job::{Priority, StopOn, Timestamp};
use serde::Deserialize;
use serde_json::json;
use store::{BatchCaps, PILOT_MAX};
use ulid::Ulid;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BatchAsked {
    /// Its name; made up if you give none. The same name again adds to the batch.
    #[param(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._-]+$")]
    batch: Option<String>,
    /// Judge all rows and take none in; the answer is another one, with 200.
    #[serde(default)]
    dry_run: bool,
    /// For rows that name none: `high`, `normal` or `low`.
    #[param(inline)]
    priority: Option<Rank>,
    /// For rows that name none: after this instant they are not worth buying.
    #[param(format = DateTime)]
    useful_until: Option<String>,
    /// For rows that name none: which wanted repeat of the request each is.
    #[param(minimum = 1, maximum = 1_000)]
    take: Option<u32>,
    /// For rows that name none: the folder of their outputs, below that of the tenant.
    output_prefix: Option<String>,
    /// What an equal row means: the first one's job (`skip`), or one more take of it (`keep`).
    #[serde(default)]
    #[param(inline)]
    on_duplicates: Duplicates,
    /// The rows stand in place of jobs of this batch that ended badly: each is matched by its `custom_id`, its note `_job`
    /// or its request, linked to the old job (`retry_of`), and refused where that one did not fail. The jobs join that
    /// batch unless `batch` says otherwise.
    retry_of: Option<String>,
    /// What may be bought for the batch on one day (UTC), as `:budget` takes it.
    buy_day_max: Option<String>,
    /// What may be bought for it in all.
    buy_total_max: Option<String>,
    /// Pause the batch by itself when one of these is met: `failed>5% of 50 | code=CODE>3 | in_doubt>10`.
    stop_on: Option<String>,
    /// With `dry_run`, draw so many rows across the settings of the stream. Without, the rows of this stream, so many at
    /// most, are the batch's pilot: they are bought, and what comes to the batch beside them waits until somebody resumes it. Only
    /// for a new batch, or one that waits for its pilot.
    #[param(minimum = 1, maximum = 1_000)]
    pilot: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Duplicates {
    #[default]
    Skip,
    Keep,
}

/// The same without a fault.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) batch: String,
    pub(super) dry_run: bool,
    pub(super) beside: Beside,
    pub(super) keep: bool,
    pub(super) retry_of: Option<String>,
    pub(super) caps: BatchCaps,
    pub(super) stop_on: Option<StopOn>,
    pub(super) pilot: Option<u32>,
}

impl BatchAsked {
    /// Reads it.
    pub(super) fn wish(self) -> Result<Wish, Problem> {
        if let Some(text) = &self.useful_until
            && let Err(why) = Timestamp::parse_rfc3339(text)
        {
            return Err(bad("useful_until is no instant", &why));
        }
        between("take", self.take, TAKE_MAX)?;
        between("pilot", self.pilot, PILOT_MAX)?;
        let keep = self.on_duplicates == Duplicates::Keep;
        if self.retry_of.is_some() && (keep || self.take.is_some()) {
            let why = "the door finds the take of a row in place of a job; leave take and on_duplicates out";
            return Err(bad("retry_of goes without take and on_duplicates", why));
        }
        let caps = budget::caps(self.buy_day_max.as_deref(), self.buy_total_max.as_deref());
        let caps = caps.map_err(|(field, why)| operations::refused(field, &why))?;
        let stop_on = self.stop_on.as_deref().map(StopOn::parse).transpose();
        let said = [
            ("priority", self.priority.map(|rank| json!(Priority::from(rank).word()))),
            ("useful_until", self.useful_until.map(|until| json!(until))),
            ("take", self.take.map(|take| json!(take))),
        ];
        Ok(Wish {
            batch: name(self.batch.as_deref().or(self.retry_of.as_deref()))?,
            dry_run: self.dry_run,
            beside: Beside::of(said, self.output_prefix),
            keep,
            retry_of: self.retry_of,
            caps,
            stop_on: stop_on.map_err(|why| operations::refused("stop_on", &why))?,
            pilot: self.pilot,
        })
    }
}

fn between(name: &str, number: Option<u32>, most: u32) -> Result<(), Problem> {
    match number {
        None => Ok(()),
        Some(number) if (1..=most).contains(&number) => Ok(()),
        Some(number) => Err(bad(&format!("{name} cannot be {number}"), &format!("1 to {most}"))),
    }
}

fn name(asked: Option<&str>) -> Result<String, Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match asked {
        None => Ok(format!("batch_{}", Ulid::generate())),
        Some(name) if (1..=128).contains(&name.len()) && name.chars().all(plain) => {
            Ok(name.to_owned())
        }
        Some(_) => {
            Err(bad("this is no name for a batch", "batch: 1 to 128 of letters, digits and . _ -"))
        }
    }
}

fn bad(title: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-query", title).detail(detail)
}
