//! Every metric of the fleet.
//!
//! An entry names the field of [`Metrics`] by which it is counted, its handle with the number of
//! labels, and what is exported. A job, a task, a prompt or an address is never a label.

use crate::handles::{Counter, Gauge, Histogram, Level};
use crate::labels::{Label, Values};

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Is set to what was last seen.
    Gauge,
    /// Goes up and down by steps; exported as a gauge.
    Level,
    /// Counts durations by size.
    Histogram,
}

/// One metric as it is exported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Full name, unit included.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Unit of its value; `1` for marks that say something by their labels.
    pub unit: &'static str,
    /// Its dimensions.
    pub labels: &'static [Label],
    /// What it means.
    pub help: &'static str,
    /// Upper ends of a histogram's buckets, in the unit; empty for other kinds.
    pub buckets: &'static [f64],
}

/// From a Redis round trip to a slow HTTP call.
const CALL: &[f64] =
    &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// From a commit that waits for no disk to one that waits for a busy one.
const COMMIT: &[f64] =
    &[0.001, 0.002, 0.003, 0.005, 0.007_5, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0, 5.0];

/// From an eager download to a generation that waited long.
const PART: &[f64] = &[
    1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0,
    7_200.0,
];

const fn closed(name: &'static str, words: &'static [&'static str]) -> Label {
    Label { name, values: Values::Closed(words) }
}

const fn declared(name: &'static str, words: &'static [&'static str]) -> Label {
    Label { name, values: Values::Declared(words) }
}

const fn internal(name: &'static str) -> Label {
    Label { name, values: Values::Internal }
}

/// Public words of the states, and `none` for a job that was not there before.
const STATES: &[&str] = &[
    "none",
    "held",
    "queued",
    "submitting",
    "in_doubt",
    "parked",
    "running",
    "overdue",
    "downloading",
    "succeeded",
    "failed",
    "expired",
    "cancelled",
    "rejected",
    "not_useful",
    "given_up",
    "output_lost",
    "timed_out",
];

const SOURCE: Label = closed("source", &["api", "batch", "cli"]);
const TENANT: Label = declared("tenant", &["default"]);
const REASON: Label = declared(
    "reason",
    &["invalid", "duplicate", "consent", "caps", "redis_full", "unauthorized", "too_large"],
);
const REPLAY: Label = closed("kind", &["key", "hash"]);
const FROM: Label = closed("from", STATES);
const TO: Label = closed("to", STATES);
const BY: Label = closed(
    "by",
    &["intake", "submit", "settle", "poll", "download", "notify", "callback", "operator", "caller"],
);
const PART_OF_JOB: Label = closed(
    "step",
    &["submit_wait", "submit_call", "provider_queue", "generate", "detect", "download", "total"],
);
const BRAKE: Label = closed("brake", &["rate", "ramp", "depth"]);
const SLOT_CLASS: Label = closed("class", &["2.0", "2.0-4k", "2.0-fast", "2.0-mini"]);
const MODEL: Label = closed("model", &["2.0", "2.0-fast", "2.0-mini"]);
const ROUTE: Label = closed("route", &["byteplus", "volcengine"]);
const SUBMITTED: Label =
    closed("result", &["accepted", "not_sent", "throttled", "rejected", "unclear"]);
const SETTLED: Label = closed("result", &["adopted", "resent", "parked"]);
const ECHO: Label = closed("result", &["ok", "bad"]);
const DETECTED_BY: Label = closed("detected_by", &["callback", "list", "poll", "operator"]);
const STEP: Label = closed("step", &["submit", "settle", "poll", "download", "notify"]);
const OP: Label = closed("op", &["create", "retrieve", "list", "delete", "fetch"]);
const OUTCOME: Label = closed("outcome", &["ok", "refused", "not_sent", "unclear", "failed"]);
const CODE: Label = declared("code", &[]);
const CLASS: Label = closed(
    "class",
    &[
        "input",
        "content",
        "output",
        "auth",
        "account",
        "rate",
        "capacity",
        "pause",
        "server",
        "ambiguous",
        "state",
    ],
);
const CALLBACK: Label = closed(
    "result",
    &[
        "applied",
        "adopted",
        "duplicate",
        "stale",
        "unknown_job",
        "bad_token",
        "throttled",
        "malformed",
    ],
);
const DETECTION: Label = closed("source", &["callback", "poll", "settle"]);
const POLLED: Label = closed(
    "result",
    &[
        "in_progress",
        "succeeded",
        "failed",
        "expired",
        "cancelled",
        "not_found",
        "throttled",
        "error",
    ],
);
const DOWNLOADED: Label =
    closed("result", &["stored", "already_stored", "retry", "damaged", "too_large", "link_dead"]);
const ASSET: Label = closed("asset", &["video", "last_frame", "payload", "manifest"]);
const LOST: Label = closed("reason", &["link_dead", "record_gone", "tries_spent", "too_large"]);
const TOLD: Label = closed(
    "result",
    &["delivered", "failed", "redirected", "refused", "gone", "no_secret", "disabled", "overflow"],
);
const ROLE: Label =
    closed("role", &["submitter", "poller", "downloader", "notifier", "gateway", "cli", "settler"]);
const CHECK: Label = internal("check");
const POOL: Label = internal("pool");
const PAUSED: Label = closed("scope", &["submit", "tenant", "model", "poll", "download"]);
const CAP_OF: Label = closed("scope", &["pool", "tenant", "batch"]);
const VIOLATION: Label = closed(
    "kind",
    &[
        "record", "attempt", "owner", "request", "nonce", "index", "ticket", "lane", "slot",
        "counter",
    ],
);
const SPANS_SENT: Label = closed("result", &["sent", "dropped", "failed"]);
const PUSHED: Label = closed("result", &["sent", "failed"]);
const KEY_READ: Label = closed("result", &["taken", "bad"]);
const RECOVERED: Label = closed("result", &["restored", "doubted"]);
const VERSION: Label = internal("version");
const SCHEMA_READ: Label = internal("schema_read");
const SCHEMA_WRITE: Label = internal("schema_write");

/// Writes the list, the struct of handles and their making from one table, so that no metric can
/// be in one and not in the others.
macro_rules! catalogue {
    ($($field:ident: $handle:ident<$count:literal> {
        name: $name:literal, unit: $unit:literal, labels: [$($label:ident),*],
        $(buckets: $buckets:ident,)? help: $help:literal $(,)?
    })*) => {
        /// Every metric, in the order of the printed page.
        pub const CATALOGUE: &[Metric] = &[$(Metric {
            name: $name,
            kind: $handle::<$count>::KIND,
            unit: $unit,
            labels: &[$($label),*],
            help: $help,
            buckets: catalogue!(@buckets $($buckets)?),
        },)*];

        /// The handles, one field for each metric. From [`crate::metrics`].
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $help] pub $field: $handle<$count>,)*
        }

        impl Metrics {
            pub(crate) fn new(meter: &opentelemetry::metrics::Meter) -> Self {
                let mut rest = CATALOGUE.iter();
                let mut next = || rest.next().expect("struct and list come from one table");
                // Fields of a literal are evaluated in the order written: that of the list.
                Self { $($field: $handle::new(meter, next()),)* }
            }
        }

        $(const _: () = assert!(
            $count == { const LABELS: &[Label] = &[$($label),*]; LABELS.len() },
            "labels are miscounted"
        );)*
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

catalogue! {
    jobs_accepted: Counter<2> {
        name: "seedfleet_jobs_accepted_total", unit: "jobs", labels: [SOURCE, TENANT],
        help: "Jobs taken in.",
    }
    jobs_rejected: Counter<2> {
        name: "seedfleet_jobs_rejected_total", unit: "jobs", labels: [SOURCE, REASON],
        help: "Requests refused before anything was stored.",
    }
    idempotent_replays: Counter<1> {
        name: "seedfleet_idempotent_replays_total", unit: "jobs", labels: [REPLAY],
        help: "Requests answered with a job that was already there.",
    }
    transitions: Counter<3> {
        name: "seedfleet_transitions_total", unit: "transitions", labels: [FROM, TO, BY],
        help: "Committed changes of state.",
    }
    contradictions: Counter<1> {
        name: "seedfleet_contradictions_total", unit: "events", labels: [STEP],
        help: "Events that no allowed history leads to. Must stay 0.",
    }
    step_duration: Histogram<2> {
        name: "seedfleet_step_duration_seconds", unit: "seconds", labels: [PART_OF_JOB, MODEL],
        buckets: PART,
        help: "How long each part of a job's way took.",
    }
    submit_attempts: Counter<3> {
        name: "seedfleet_submit_attempts_total", unit: "calls", labels: [SUBMITTED, ROUTE, MODEL],
        help: "Create calls by what they may have bought.",
    }
    begin_duration: Histogram<1> {
        name: "seedfleet_begin_duration_seconds", unit: "seconds", labels: [ROUTE],
        buckets: COMMIT,
        help: "Time until the intent of an attempt was durable: slot, instant and record in one commit.",
    }
    in_doubt: Gauge<1> {
        name: "seedfleet_in_doubt", unit: "jobs", labels: [ROUTE],
        help: "Jobs whose create call ended unclear and is not settled.",
    }
    doubts_settled: Counter<1> {
        name: "seedfleet_doubts_settled_total", unit: "jobs", labels: [SETTLED],
        help: "Doubts that ended, by how.",
    }
    nonce_echo: Counter<2> {
        name: "seedfleet_nonce_echo_total", unit: "tasks", labels: [ECHO, ROUTE],
        help: "Tasks by whether they showed our mark when first read; bad must stay 0 on a real route.",
    }
    list_lag: Histogram<1> {
        name: "seedfleet_list_lag_seconds", unit: "seconds", labels: [ROUTE],
        buckets: CALL,
        help: "Time until a new task showed in the list, as an upper bound, in samples.",
    }
    duplicate_submissions: Counter<1> {
        name: "seedfleet_duplicate_submissions_total", unit: "tasks", labels: [DETECTED_BY],
        help: "Second tasks seen for one job. Must stay 0.",
    }
    orphan_tasks: Gauge<1> {
        name: "seedfleet_orphan_tasks", unit: "tasks", labels: [POOL],
        help: "Tasks in the provider's list that no job of ours owns, at the last comparison. Should stay 0.",
    }
    unknown_tasks: Gauge<1> {
        name: "seedfleet_unknown_tasks", unit: "tasks", labels: [POOL],
        help: "Tasks of running, overdue and downloading jobs that the provider does not know, at the last comparison. Should stay 0.",
    }
    token_difference: Gauge<1> {
        name: "seedfleet_token_difference", unit: "tokens", labels: [POOL],
        help: "Tokens the provider's list shows for finished tasks, less those in our records, at the last comparison.",
    }
    pauses: Gauge<2> {
        name: "seedfleet_pauses", unit: "pauses", labels: [POOL, PAUSED],
        help: "Pauses by people that hold, by what they pause.",
    }
    budget_held: Gauge<2> {
        name: "seedfleet_budget_held", unit: "jobs", labels: [POOL, CAP_OF],
        help: "Jobs that wait because a cap of spending has no room, by whose cap it is.",
    }
    budget_remaining: Gauge<1> {
        name: "seedfleet_budget_remaining_ratio", unit: "ratio", labels: [POOL],
        help: "Share of the pool's tightest cap of spending that is left; 1 without a cap.",
    }
    intents_recovered: Counter<1> {
        name: "seedfleet_intents_recovered_total", unit: "attempts", labels: [RECOVERED],
        help: "Attempts that Redis had forgotten and the second fence brought back.",
    }
    limiter_wait: Histogram<1> {
        name: "seedfleet_limiter_wait_seconds", unit: "seconds", labels: [ROUTE],
        buckets: CALL,
        help: "Time a call waited for its permit.",
    }
    call_holds: Counter<2> {
        name: "seedfleet_call_holds_total", unit: "holds", labels: [OP, ROUTE],
        help: "Kinds of calls that rest for the whole fleet because the provider refused one for its rate.",
    }
    create_brakes: Counter<2> {
        name: "seedfleet_create_brakes_total", unit: "refusals", labels: [BRAKE, ROUTE],
        help: "Refused creates after which the rate, the growth or the look-ahead of a class on an account was lowered for the whole fleet.",
    }
    create_rate_ratio: Gauge<2> {
        name: "seedfleet_create_rate_ratio", unit: "ratio", labels: [POOL, SLOT_CLASS],
        help: "Creates a minute that all accounts of the pool may make of a class now, as part of what is configured: less where a person has set less, or after refusals.",
    }
    provider_request_duration: Histogram<3> {
        name: "seedfleet_provider_request_duration_seconds", unit: "seconds",
        labels: [OP, OUTCOME, ROUTE],
        buckets: CALL,
        help: "Calls to the provider.",
    }
    provider_errors: Counter<3> {
        name: "seedfleet_provider_errors_total", unit: "answers", labels: [OP, CODE, CLASS],
        help: "Errors the provider answered, by its code.",
    }
    keys_read: Counter<2> {
        name: "seedfleet_keys_read_total", unit: "files", labels: [KEY_READ, POOL],
        help: "Key files of the provider's accounts that changed under this process: taken, or bad, and then the key read before stays in use.",
    }
    key_files_bad: Gauge<1> {
        name: "seedfleet_key_files_bad", unit: "accounts", labels: [POOL],
        help: "Accounts whose key file this process could not use when it read it last. Should stay 0.",
    }
    callbacks: Counter<1> {
        name: "seedfleet_callbacks_total", unit: "callbacks", labels: [CALLBACK],
        help: "Callbacks received, by what came of them.",
    }
    detections: Counter<1> {
        name: "seedfleet_detections_total", unit: "tasks", labels: [DETECTION],
        help: "Ended tasks, by who noticed first.",
    }
    polls: Counter<1> {
        name: "seedfleet_polls_total", unit: "checks", labels: [POLLED],
        help: "Checks of tasks, by what was seen.",
    }
    downloads: Counter<1> {
        name: "seedfleet_downloads_total", unit: "fetches", labels: [DOWNLOADED],
        help: "Turns of the download step, by how they ended.",
    }
    download_bytes: Counter<1> {
        name: "seedfleet_download_bytes_total", unit: "bytes", labels: [ASSET],
        help: "Bytes written to the bucket.",
    }
    download_tightest_deadline: Gauge<1> {
        name: "seedfleet_download_tightest_deadline_seconds", unit: "seconds", labels: [POOL],
        help: "Time until the first link of an output that is not in the bucket yet dies; +Inf without one. Alarm below 12 h, wake somebody below 2 h.",
    }
    outputs_lost: Counter<1> {
        name: "seedfleet_outputs_lost_total", unit: "jobs", labels: [LOST],
        help: "Outputs that were paid for and could not be kept. Must stay 0.",
    }
    webhook_deliveries: Counter<1> {
        name: "seedfleet_webhook_deliveries_total", unit: "deliveries", labels: [TOLD],
        help: "Deliveries to customers' webhooks, by what came of them; disabled and overflow count endpoints that were switched off.",
    }
    webhook_oldest_pending: Gauge<1> {
        name: "seedfleet_webhook_oldest_pending_seconds", unit: "seconds", labels: [POOL],
        help: "How long the oldest event waits that an endpoint has still to be told; told by the notifier that shares out. Alarm above 30 min.",
    }
    lease_expired: Counter<1> {
        name: "seedfleet_lease_expired_total", unit: "leases", labels: [ROLE],
        help: "Tickets taken over because their worker fell silent.",
    }
    fenced_writes: Counter<1> {
        name: "seedfleet_fenced_writes_total", unit: "writes", labels: [ROLE],
        help: "Commits refused because the writer came too late.",
    }
    records_unreadable: Counter<1> {
        name: "seedfleet_records_unreadable_total", unit: "tickets", labels: [ROLE],
        help: "Tickets put aside for a minute because this program cannot read their record: a newer one wrote it, or it is damaged. Nothing of it was touched.",
    }
    redis_safe: Gauge<1> {
        name: "seedfleet_redis_safe", unit: "1", labels: [CHECK],
        help: "1 where a check of the server's durability passes, else 0.",
    }
    doctor_violations: Gauge<1> {
        name: "seedfleet_doctor_violations", unit: "differences", labels: [VIOLATION],
        help: "What the last recount found that disagrees with the records, told by the process that made it.",
    }
    worker_info: Gauge<4> {
        name: "seedfleet_worker_info", unit: "1", labels: [ROLE, VERSION, SCHEMA_READ, SCHEMA_WRITE],
        help: "1 for this process; its labels tell what it is: the newest form of the record that it reads, and the one it writes. 0 for what it was before.",
    }
    worker_inflight: Level<1> {
        name: "seedfleet_worker_inflight", unit: "steps", labels: [ROLE],
        help: "Steps at work in this process.",
    }
    worker_last_progress: Gauge<1> {
        name: "seedfleet_worker_last_progress_timestamp_seconds", unit: "seconds", labels: [ROLE],
        help: "Unix time at which this process last finished a step.",
    }
    desired_replicas: Gauge<1> {
        name: "seedfleet_desired_replicas", unit: "processes", labels: [ROLE],
        help: "Processes of a role that are of use now, as each gateway reckons it for `/internal/scaling`; unchanged while Redis cannot be read.",
    }
    trace_spans: Counter<1> {
        name: "seedfleet_trace_spans_total", unit: "spans", labels: [SPANS_SENT],
        help: "Ended spans: sent, dropped because the queue to the receiver was full, or failed because the receiver did not take them.",
    }
    metric_pushes: Counter<1> {
        name: "seedfleet_metric_pushes_total", unit: "pushes", labels: [PUSHED],
        help: "Times that this process sent its metrics to a receiver of OTLP, by whether it took them.",
    }
    config_reload_success: Gauge<0> {
        name: "seedfleet_config_reload_success", unit: "1", labels: [],
        help: "1 while what the configuration files say is in force or waits for a restart; 0 since they were found faulty, and then everything is as it was.",
    }
    config_restart_needed: Gauge<0> {
        name: "seedfleet_config_restart_needed", unit: "keys", labels: [],
        help: "Keys of the configuration that have changed since this process started and hold from its next start on.",
    }
    build_info: Gauge<1> {
        name: "seedfleet_build_info", unit: "1", labels: [VERSION],
        help: "1; the label tells the version of the program.",
    }
}

#[cfg(test)]
mod tests;
