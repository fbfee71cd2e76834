//! The door's own words for what is wrong, beside those of the validator in `seedance`. Each has its
//! advice in `config/error-codes.toml`; a test holds the two together.

macro_rules! codes {
    ($($name:ident = $word:literal),+ $(,)?) => {
        $(pub(crate) const $name: &str = $word;)+
        /// Every code this room can say: faults, warnings and refusals.
        pub const CODES: &[&str] = &[$($word),+];
    };
}

codes! {
    // Shared with the validator: one word for one kind of mistake.
    WRONG_TYPE = "wrong-type",
    NOT_AN_INTEGER = "not-an-integer",
    OUT_OF_RANGE = "out-of-range",
    VALUE_NOT_ALLOWED = "value-not-allowed",
    MISSING_FIELD = "missing-field",
    URL_INVALID = "url-invalid",
    URL_SCHEME = "url-scheme",
    MEDIA_TOO_LARGE = "media-too-large",
    // Faults of the envelope.
    CONSENT_MISSING = "consent-missing",
    USEFUL_UNTIL_PAST = "useful-until-past",
    NAME_INVALID = "name-invalid",
    TOO_MANY_ENTRIES = "too-many-entries",
    // Faults of a stream of rows.
    JSON_INVALID = "json-invalid",
    LINE_TOO_LONG = "line-too-long",
    ROW_MALFORMED = "row-malformed",
    HEADER_MALFORMED = "header-malformed",
    // Faults of rows in place of jobs.
    NO_JOB_TO_MEND = "no-job-to-mend",
    NOT_FAILED = "not-failed",
    // Warnings.
    REVIEW_MARK_WITHOUT_EFFECT = "review-mark-without-effect",
    // Refusals.
    INVALID_REQUEST = "invalid-request",
    KEY_REUSED = "idempotency-key-reused",
    PRICE_UNKNOWN = "price-unknown",
    INTAKE_PAUSED = "intake-paused",
    INTAKE_UNAVAILABLE = "intake-unavailable",
    BACKLOG_FULL = "backlog-full",
    BUDGET_EXHAUSTED = "budget-exhausted",
    MEDIA_EXHAUSTED = "media-exhausted",
}
