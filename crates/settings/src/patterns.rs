//! Keys below names that the operator chooses. A word in angle brackets stands for any name.
//!
//! `default.toml` cannot hold these, since nothing in it may make a pool or a tenant exist; it shows
//! them as commented examples, and a test holds the two together.

/// One such key: dotted form, meaning, what is allowed (same grammar as in `default.toml`).
pub(crate) struct Pattern {
    pub(crate) key: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) allowed: &'static str,
}

/// Sections that may stand again below a name, key by key: what is set there holds instead.
pub(crate) const MIRRORS: &[Mirror] =
    &[Mirror { of: "store", at: "tenants.<tenant>.store", whose: "For one tenant" }];

/// See [`MIRRORS`].
pub(crate) struct Mirror {
    pub(crate) of: &'static str,
    pub(crate) at: &'static str,
    pub(crate) whose: &'static str,
}

pub(crate) const PATTERNS: &[Pattern] = &[
    Pattern {
        key: "pools.<pool>.route",
        meaning: "Which of the provider's routes the pool uses: base URL, model ids and prices come with it.",
        allowed: "byteplus or volcengine. Required.",
    },
    Pattern {
        key: "pools.<pool>.base_url",
        meaning: "Another base URL than the route's own, for a simulator.",
        allowed: "http:// or https:// URL; only together with `simulated = true`.",
    },
    Pattern {
        key: "pools.<pool>.simulated",
        meaning: "The far side is a simulator: nothing is billed, and every output says so.",
        allowed: "true or false.",
    },
    Pattern {
        key: "pools.<pool>.policy",
        meaning: "What happens to a job whose create is in doubt and that no scan of the provider's list finds.",
        allowed: "strict (park it) or balanced (send it once more). Unset: strict, for a simulated pool balanced.",
    },
    Pattern {
        key: "pools.<pool>.output_origins",
        meaning: "Origins outputs may be fetched from, and references looked at, although they are private or plain http.",
        allowed: "list of exact origins such as http://127.0.0.1:8091; simulated pools only.",
    },
    Pattern {
        key: "pools.<pool>.buy_day_max",
        meaning: "What the pool may buy on one day (UTC), in whole units of the currency its route bills in. Jobs that would pass it are held until the day turns.",
        allowed: "count, 0 to 1000000000. 0, or unset: no cap.",
    },
    Pattern {
        key: "pools.<pool>.buy_total_max",
        meaning: "What the pool may buy in all. Jobs that would pass it are held until it is raised.",
        allowed: "count, 0 to 1000000000. 0, or unset: no cap.",
    },
    Pattern {
        key: "pools.<pool>.accounts.<account>.api_key_file",
        meaning: "File with the account's key, trimmed when read. Read at start, on SIGHUP and by itself after a change; never printed.",
        allowed: "path of a readable file. Required.",
    },
    Pattern {
        key: "pools.<pool>.accounts.<account>.tier",
        meaning: "Which of the provider's quota tables holds for the account.",
        allowed: "individual or enterprise. Unset: individual.",
    },
    Pattern {
        key: "pools.<pool>.accounts.<account>.limits.retrieve_qps",
        meaning: "Reads of single tasks per second. Unset: 20.",
        allowed: "count, 1 to 10000.",
    },
    Pattern {
        key: "pools.<pool>.accounts.<account>.limits.list_qps",
        meaning: "List pages per second. Unset: 1.",
        allowed: "count, 1 to 10000.",
    },
    Pattern {
        key: "pools.<pool>.accounts.<account>.limits.delete_qps",
        meaning: "Deletes per second. Unset: 20.",
        allowed: "count, 1 to 10000.",
    },
    Pattern {
        key: "pools.<pool>.accounts.<account>.limits.classes.<class>.create_rpm",
        meaning: "Create calls per minute for one class of model (\"2.0\", \"2.0-4k\", \"2.0-fast\", \"2.0-mini\"). Unset: by tier.",
        allowed: "count, 1 to 1000000.",
    },
    Pattern {
        key: "pools.<pool>.accounts.<account>.limits.classes.<class>.running",
        meaning: "Tasks of that class the provider runs at once. Unset: by tier.",
        allowed: "count, 1 to 1000000.",
    },
    Pattern {
        key: "gateway.keys.<name>.tenant",
        meaning: "Tenant the key acts for; * for the fleet's operators, who act for all.",
        allowed: "name of a tenant, or *; empty means default.",
    },
    Pattern {
        key: "gateway.keys.<name>.mode",
        meaning: "Which pools the key reaches: live ones, or simulated ones. Unset: the tenant's `pool`, or the only one there is.",
        allowed: "live or test.",
    },
    Pattern {
        key: "gateway.keys.<name>.key_sha256",
        meaning: "SHA-256 of the key, so that the configuration holds no secret.",
        allowed: "64 hex digits; instead of `key_file`.",
    },
    Pattern {
        key: "gateway.keys.<name>.key_file",
        meaning: "File with the key itself, trimmed when read.",
        allowed: "path of a readable file; instead of `key_sha256`.",
    },
    Pattern {
        key: "gateway.keys.<name>.scopes",
        meaning: "What the key may do.",
        allowed: "list of jobs:read, jobs:write, review, admin.",
    },
    Pattern {
        key: "callbacks.token_keys.<id>",
        meaning: "File with a key that signs callback paths. Two at a time allow rotation.",
        allowed: "path of a file with at least 32 random bytes, raw or in hex.",
    },
    Pattern {
        key: "tenants.<tenant>.pool",
        meaning: "Pool of the tenant's live keys. Unset: the only one that is not simulated.",
        allowed: "name of a pool.",
    },
    Pattern {
        key: "tenants.<tenant>.test_pool",
        meaning: "Pool of the tenant's test keys. Unset: the only one that is simulated.",
        allowed: "name of a pool with `simulated = true`.",
    },
    Pattern {
        key: "tenants.<tenant>.rpm",
        meaning: "Requests of the tenant a minute, in place of `caps.rpm`.",
        allowed: "count, 0 to 1000000. 0: no cap.",
    },
    Pattern {
        key: "tenants.<tenant>.queued_max",
        meaning: "Jobs of the tenant that may wait, in place of `caps.queued_max`.",
        allowed: "count, 0 to 100000000. 0: no cap.",
    },
    Pattern {
        key: "tenants.<tenant>.in_flight_max",
        meaning: "Jobs of the tenant between create and bucket, in place of `caps.in_flight_max`.",
        allowed: "count, 0 to 1000000. 0: no cap.",
    },
    Pattern {
        key: "tenants.<tenant>.media_bytes_day_max",
        meaning: "Bytes of the tenant's inline media a day, in place of `caps.media_bytes_day_max`.",
        allowed: "bytes, 0 to 1125899906842624 (1 PiB). 0: no cap.",
    },
    Pattern {
        key: "tenants.<tenant>.spend_day_max",
        meaning: "What the tenant's jobs of a day may cost, in place of `caps.spend_day_max`.",
        allowed: "count, 0 to 1000000000. 0: no cap.",
    },
    Pattern {
        key: "tenants.<tenant>.buy_day_max",
        meaning: "What may be bought for the tenant on one day (UTC), in place of `caps.buy_day_max`.",
        allowed: "count, 0 to 1000000000. 0: no cap.",
    },
    Pattern {
        key: "tenants.<tenant>.buy_total_max",
        meaning: "What may be bought for the tenant in all, in place of `caps.buy_total_max`.",
        allowed: "count, 0 to 1000000000. 0: no cap.",
    },
    Pattern {
        key: "tenants.<tenant>.weight",
        meaning: "Share of the tenant while several wait, in place of `caps.weight`.",
        allowed: "count, 1 to 1000.",
    },
    Pattern {
        key: "tenants.<tenant>.review",
        meaning: "Which of the tenant's jobs wait for a person, in place of `review.require`.",
        allowed: "off, marked, any_image_or_video or always.",
    },
    Pattern {
        key: "tenants.<tenant>.retention_days",
        meaning: "Days for which the tenant's content is kept after a job's end, in place of `retention.days`.",
        allowed: "count, 0 to 36500; 0 keeps for ever.",
    },
];
