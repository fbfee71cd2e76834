//! Names of log fields: `tracing::info!({ fields::JOB_ID } = %id, "stored")`.
//!
//! One thing has one name in every log line of every process, so that a search by `job_id` finds
//! the whole story. Prompts, keys, signed links and callback paths have no name here on purpose.

macro_rules! fields {
    ($($(#[doc = $meaning:literal])+ $name:ident = $text:literal;)*) => {
        $($(#[doc = $meaning])+ pub const $name: &str = $text;)*

        /// Every field with its meaning, as the printed page lists them.
        pub const FIELDS: &[(&str, &str)] = &[$(($text, concat!($($meaning),+)),)*];
    };
}

fields! {
    /// Our record of one requested generation.
    JOB_ID = "job_id";
    /// One try to submit a job.
    ATTEMPT_ID = "attempt_id";
    /// The provider's generation.
    TASK_ID = "task_id";
    /// A route with its accounts.
    POOL = "pool";
    /// One key of a pool, by its name in the configuration.
    ACCOUNT = "account";
    /// Route of the pool.
    ROUTE = "route";
    /// Word of the model.
    MODEL = "model";
    /// Queue at work: submit, settle, poll, download, notify.
    STEP = "step";
    /// This process since its start; a restart is another worker.
    WORKER = "worker";
    /// Whose job it is.
    TENANT = "tenant";
    /// Batch of an import.
    BATCH = "batch";
    /// Error code, ours in kebab-case or the provider's verbatim.
    CODE = "code";
    /// Class of a provider's answer.
    CLASS = "class";
    /// State before a transition.
    FROM = "from";
    /// State after a transition.
    TO = "to";
    /// What was learned.
    EVENT = "event";
    /// Tries spent so far.
    TRIES = "tries";
    /// Call to the provider: create, retrieve, list, delete, fetch.
    OP = "op";
    /// HTTP status of an answer.
    HTTP_STATUS = "http_status";
    /// The provider's id of one request, for its support.
    REQUEST_ID = "request_id";
    /// Host of an address; never the whole address.
    HOST = "host";
    /// Path inside the bucket.
    PATH = "path";
    /// Bytes moved.
    BYTES = "bytes";
    /// How long it took, in milliseconds.
    DURATION_MS = "duration_ms";
    /// How long until the next try, in milliseconds.
    RETRY_MS = "retry_ms";
    /// Claim fence a worker holds.
    FENCE = "fence";
    /// Address a listener got.
    LISTEN = "listen";
    /// Key of the configuration.
    SETTING = "setting";
    /// How a span ended, in the words of its step.
    OUTCOME = "outcome";
    /// What went wrong, causes included.
    ERROR = "error";
}
