//! The page of keys, printed from their table, and the table read the other way round.

use super::Keys;
use std::fmt::Write as _;

/// One row of `docs/keys.md`.
pub(super) struct Row {
    pub(super) key: &'static str,
    pub(super) kind: &'static str,
    pub(super) holds: &'static str,
    pub(super) bound: &'static str,
}

/// `docs/keys.md`, printed from the table this file holds.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "<!-- Printed by `store::keys::markdown()`; do not edit. -->\n\
         # Keys in Redis\n\n\
         Every key below is prefixed with the pool's hash tag `{<prefix>:<pool>}:`. Tenants, batches, accounts, codes and\n\
         idempotency keys stand percent-escaped in keys (`:`, `%`, braces, blanks).\n\n",
    );
    print(&mut page, TABLE);
    page.push_str("\n## Failures\n\n");
    print(&mut page, super::failures::ROWS);
    page.push_str("\n## What was bought\n\n");
    print(&mut page, super::money::ROWS);
    page.push_str("\n## What is paused\n\n");
    print(&mut page, super::pauses::ROWS);
    page.push_str("\n## What is left of archived jobs\n\n");
    print(&mut page, super::archive::ROWS);
    page.push_str(
        "\n## Of the whole fleet\n\n\
         These carry the hash tag `{<prefix>:fleet}:` in place of a pool's, which is why no pool may be called `fleet`.\n\n",
    );
    print(&mut page, super::fleet::ROWS);
    page
}

fn print(page: &mut String, rows: &[Row]) {
    page.push_str("| Key | Type | Holds | Members at most |\n| --- | --- | --- | --- |\n");
    for row in rows {
        writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            row.key,
            row.kind,
            row.holds.replace('|', "\\|"),
            row.bound
        )
        .expect("a string takes everything");
    }
}

/// The documented form of a key of this pool, if it has one; for tests that walk a real server.
#[must_use]
pub fn documented(keys: &Keys, key: &str) -> Option<(&'static str, &'static str)> {
    let rest = key.strip_prefix(keys.tag.as_str())?.strip_prefix(':')?;
    let (money, pauses) = (super::money::ROWS, super::pauses::ROWS);
    let tables = [TABLE, super::failures::ROWS, money, pauses, super::archive::ROWS];
    tables.into_iter().find_map(|rows| row_of(rows, rest))
}

/// The row a key without its tag fits, as shape and type.
pub(super) fn row_of(rows: &'static [Row], rest: &str) -> Option<(&'static str, &'static str)> {
    let given: Vec<&str> = rest.split(':').collect();
    rows.iter().find(|row| shape_fits(row.key, &given)).map(|row| (row.key, row.kind))
}

fn shape_fits(shape: &str, given: &[&str]) -> bool {
    let wanted: Vec<&str> = shape.split(':').collect();
    // A queue may itself have two parts: `submit:<class>`.
    let submit = given.len() == 3 && given[1] == "submit" && shape.ends_with(":<queue>");
    (wanted.len() == given.len() || submit)
        && wanted.iter().zip(given).all(|(w, g)| w == g || (w.starts_with('<') && !g.is_empty()))
}

const TABLE: &[Row] = &[
    Row {
        key: "job:<job id>",
        kind: "hash",
        holds: "the record: `spec` and `life` (JSON), `st` (state word), `rev` (revision), `by` (token of the last commit), `hint` (task id a callback named), `idem` (the caller's key it came with), `left` (place in the bucket that it came back from), `nudged` (somebody wants the leased ticket back at once), `usable` (paced instant of the open attempt, µs)",
        bound: "one per job",
    },
    Row {
        key: "due:<step>",
        kind: "zset",
        holds: "job id by due time (Unix ms); steps settle, poll, download; of notify: endpoint",
        bound: "open jobs",
    },
    Row {
        key: "due:submit:<class>:<tenant>:<priority>",
        kind: "zset",
        holds: "a lane: job id by due time (Unix ms)",
        bound: "queued jobs",
    },
    Row {
        key: "lanes:<class>",
        kind: "zset",
        holds: "tenants with waiting jobs, by virtual time (tokens bought so far, in fair-queueing order)",
        bound: "tenants",
    },
    Row {
        key: "lease:<queue>",
        kind: "zset",
        holds: "job id by end of lease (Unix ms); queues settle, poll, download, submit:<class>; of notify: endpoint",
        bound: "tickets in work",
    },
    Row {
        key: "holder:<queue>",
        kind: "hash",
        holds: "job id (of notify: endpoint) to the claim fence of its holder",
        bound: "tickets in work",
    },
    Row {
        key: "offers:<class>",
        kind: "hash",
        holds: "job id to end (Unix ms) and account of an offer: a ticket in work that has not begun counts against this account's slots until then",
        bound: "tickets in work",
    },
    Row { key: "wake:<queue>", kind: "list", holds: "a token for one idle claimer", bound: "1" },
    Row { key: "fence", kind: "string", holds: "last claim fence; never reset", bound: "1" },
    Row {
        key: "lsn",
        kind: "string",
        holds: "jobs admitted and verdicts committed, ever; a lower value than seen before means that data was lost; a freeze for that cause moves it on by 10^9",
        bound: "1",
    },
    Row {
        key: "run",
        kind: "hash",
        holds: "`stamp` of the server's run (its LASTSAVE and, where servers take over for each other, its line of replication) and the `lsn` it began with: a process compares what it was told in an earlier run with that",
        bound: "1",
    },
    Row {
        key: "freeze",
        kind: "hash",
        holds: "no attempt begins: `since_ms`, `kind` (`rollback` or `asked`), `why`, `by`, `seen` (highest `lsn` that was acknowledged); absent: not frozen",
        bound: "1",
    },
    Row {
        key: "lock:<name>",
        kind: "string",
        holds: "token of the one process, or the one part of it, that does this for all; expires",
        bound: "jobs of that kind",
    },
    Row {
        key: "evidence:<account>",
        kind: "hash",
        holds: "`<UTC day>|echo_ok`, `|echo_bad`, `|lags`, `|lag_max_ms`, `|cb_before`, `|cb_after`: what the provider showed",
        bound: "7 days × 6",
    },
    Row {
        key: "days",
        kind: "hash",
        holds: "`<UTC day>|creates`: attempts begun; `<UTC day>|resends`: automatic re-sends reserved",
        bound: "7 days × 2",
    },
    Row {
        key: "slots",
        kind: "hash",
        holds: "`<account>|<class>` to slots in use",
        bound: "accounts × 4",
    },
    Row {
        key: "nonces:<account>",
        kind: "hash",
        holds: "nonce (seconds) to the open attempt that uses it",
        bound: "open attempts",
    },
    Row {
        key: "stops",
        kind: "hash",
        holds: "`<account>|until` (Unix ms), `|class`, `|code`, `|in_row`, `|probe` of stopped accounts; `<account>|<class>|until` … of those that are stopped for a slot class",
        bound: "accounts × 25",
    },
    Row {
        key: "pace:<account>:<call>",
        kind: "hash",
        holds: "`tat`: first instant not yet given away (µs), `gap` after the last one that was (µs), none where that one is not known; `calls` (thousandths), `running`, `lookahead`: what a person has set, with its end (µs, or 0) and who, when and why (JSON); `rate`, `ramp` (thousandths), `depth`: what was taken away after a refusal, with how much comes back how often since when (µs) and for which code (JSON); `hold`: none before this instant (µs), `code`: of the answer that asked for it; `out`: where calls are counted, each that counts and until when (µs); `stamp` and `run` of the server that wrote it: after another run the row may be older than what was given away; call is `create.<class>`, `retrieve`, `list` or `delete`",
        bound: "accounts × 7",
    },
    Row {
        key: "tasks",
        kind: "hash",
        holds: "provider's task id to the one job that owns it",
        bound: "tasks of jobs that are not archived",
    },
    Row {
        key: "attempt:<attempt id>",
        kind: "string",
        holds: "job id; expires 9 days after the attempt was closed",
        bound: "attempts of 9 days",
    },
    Row {
        key: "fp:<tenant>:<fingerprint>",
        kind: "string",
        holds: "job id of the request",
        bound: "one per job",
    },
    Row {
        key: "idem:<tenant>:<key>",
        kind: "string",
        holds: "job id and SHA-256 of the body that came with the idempotency key; one that came with a request of another job expires after 90 days",
        bound: "one per key",
    },
    Row {
        key: "ix:all",
        kind: "zset",
        holds: "every job id by creation time (Unix ms)",
        bound: "jobs",
    },
    Row {
        key: "ix:state:<word>",
        kind: "zset",
        holds: "job id by creation time, per public state word",
        bound: "jobs",
    },
    Row {
        key: "ix:tenant:<tenant>",
        kind: "zset",
        holds: "job id by creation time",
        bound: "jobs",
    },
    Row {
        key: "ix:batch:<tenant>:<batch>",
        kind: "zset",
        holds: "job id by creation time",
        bound: "jobs of the batch",
    },
    Row {
        key: "ix:code:<code>",
        kind: "zset",
        holds: "failed job id by creation time, per error code",
        bound: "failed jobs",
    },
    Row {
        key: "ix:tenant:<tenant>:<word>",
        kind: "zset",
        holds: "job id by creation time, per tenant and public state word",
        bound: "jobs of the tenant",
    },
    Row {
        key: "ix:custom",
        kind: "zset",
        holds: "the caller's own id and, behind a colon, the job id, all with score 0: read in the order of the bytes",
        bound: "jobs with a custom id",
    },
    Row {
        key: "ix:user:<tenant>:<hash>",
        kind: "zset",
        holds: "job id by creation time, per customer of a caller (SHA-256 of tenant and `end_user`); jobs whose content is here",
        bound: "jobs of the customer",
    },
    Row {
        key: "ix:media:<tenant>:<sha256>",
        kind: "zset",
        holds: "job id by creation time, per inline medium; the last one out takes the medium along",
        bound: "jobs with the medium",
    },
    Row {
        key: "ix:kept:<tenant>",
        kind: "zset",
        holds: "ended job id by the instant (Unix ms) at which it ended, while its content is here",
        bound: "ended jobs",
    },
    Row { key: "kept", kind: "zset", holds: "tenants with ended jobs; score 0", bound: "tenants" },
    Row {
        key: "erasure:<erasure id>",
        kind: "string",
        holds: "a wish to erase and, once it is fulfilled, its receipt (JSON without content); expires 400 days after its end",
        bound: "erasures of 400 days",
    },
    Row {
        key: "erased:<erasure id>",
        kind: "hash",
        holds: "what an erasure has removed so far: `jobs`, `objects`, `bytes`, `media`, `intents`, `lines`, `rejects`; expires with it",
        bound: "7",
    },
    Row {
        key: "aged",
        kind: "hash",
        holds: "tenant to its last erasure by age: the next one begins when that is done",
        bound: "tenants",
    },
    Row {
        key: "erasures",
        kind: "zset",
        holds: "erasures that are not fulfilled, by the instant (Unix ms) of their next turn",
        bound: "open erasures",
    },
    Row {
        key: "ix:deadline",
        kind: "zset",
        holds: "job id by the instant (Unix ms) at which its output link dies; a payload without a video has 7 days",
        bound: "jobs to download",
    },
    Row { key: "counts", kind: "hash", holds: "state word to jobs", bound: "17" },
    Row {
        key: "counts:batch:<tenant>:<batch>",
        kind: "hash",
        holds: "state word to jobs of the batch",
        bound: "17",
    },
    Row {
        key: "counts:tenant:<tenant>",
        kind: "hash",
        holds: "state word to jobs of the tenant",
        bound: "17",
    },
    Row {
        key: "usage:<tenant>",
        kind: "hash",
        holds: "`<UTC day>|micros`: what the jobs accepted that day cost or may yet cost, in millionths of the route's currency; `<UTC day>|media`: bytes of inline media taken in",
        bound: "62 days × 2",
    },
    Row {
        key: "tenants",
        kind: "hash",
        holds: "every tenant that ever had a job, to the creation time of its first (Unix ms)",
        bound: "tenants",
    },
    Row {
        key: "rejects:<tenant>",
        kind: "zset",
        holds: "batches with refused rows by the instant (Unix ms) of the last one; those older than 30 days go with the next one",
        bound: "uploads of 30 days",
    },
    Row {
        key: "rejects:<tenant>:<batch>",
        kind: "hash",
        holds: "refused rows of an upload: `id:<custom id>` or `row:<place>` to what is wrong (JSON); expires 30 days after the last one",
        bound: "10,000",
    },
    Row {
        key: "batch:<tenant>:<batch>",
        kind: "hash",
        holds: "`created_at` (Unix ms) of the batch's first job; `tokens`, `micros.<currency>` of its finished jobs; `first_end`, `last_end` (Unix ms); `paused` (JSON): by whom, when, why; `pilot`: rows for which its pause does not hold, until it is resumed, and `piloted` from then on; `stop_on`: conditions on which it stops, `stop_from` (JSON): what had happened when it was last resumed; `buy_day_max`, `buy_total_max`: caps in millionths of the currency; `told`: the number of jobs at whose end webhooks were told",
        bound: "one per batch",
    },
    Row {
        key: "batches",
        kind: "zset",
        holds: "`<tenant>:<batch>`, each part escaped as in keys, by the creation time of its first job",
        bound: "batches",
    },
    Row {
        key: "batches:<tenant>",
        kind: "zset",
        holds: "a tenant's batch, by the creation time of its first job",
        bound: "batches of the tenant",
    },
    Row {
        key: "owners:<batch>",
        kind: "zset",
        holds: "tenants with a batch of this name, by the creation time of its first job",
        bound: "tenants",
    },
    Row {
        key: "uploads:<tenant>:<batch>",
        kind: "zset",
        holds: "uploads to the batch that are under way, by the instant (Unix ms) at which they are given up unless they are renewed; expires with the last one",
        bound: "uploads at a time",
    },
    Row {
        key: "uploads",
        kind: "zset",
        holds: "`<tenant>:<batch>` that is uploaded to, or was until just now, by the instant (Unix ms) at which the notifier looks whether it is completed",
        bound: "batches",
    },
    Row {
        key: "times:<class>",
        kind: "hash",
        holds: "generation times of tasks by `<model>|<resolution>|<length>`: number of a bucket (eight to a doubling, from 1 s) to samples, `n` of them in all; halved at 1,000, expires 30 days after the last",
        bound: "161",
    },
    Row {
        key: "ends:<account>",
        kind: "zset",
        holds: "task by the instant (Unix ms) of its end",
        bound: "100, and those since the last trim: one end in 16 trims",
    },
    Row {
        key: "told:<account>",
        kind: "zset",
        holds: "task by the instant (Unix ms) at which a callback told its end",
        bound: "5,000, and those since the last trim",
    },
    Row {
        key: "spent:<day>",
        kind: "hash",
        holds: "`<tenant>|<model>|` and a state word (jobs that ended so), `tokens` or `micros.<currency>`; expires 400 days after its last change",
        bound: "tenants × models × 12",
    },
    Row {
        key: "op:<operation>",
        kind: "hash",
        holds: "`asked` (JSON): verb, filter, by whom, why; `open` while it waits or runs; `changed`, `left` (jobs), `cursor`; `ended_at`, `failed`; expires 90 days after its end",
        bound: "operations of 90 days",
    },
    Row {
        key: "ops",
        kind: "zset",
        holds: "operation by its beginning (Unix ms); those older than 90 days go with the next one",
        bound: "operations of 90 days",
    },
    Row { key: "ops:open", kind: "zset", holds: "operations that wait or run", bound: "100" },
    Row { key: "tl:<job id>", kind: "list", holds: "timeline, newest first (JSON)", bound: "200" },
    Row {
        key: "events",
        kind: "stream",
        holds: "one entry per change of a job's public state: `job`, `tenant`, `batch`, `from` (empty: the job is new), `to`, `seq` (the record's revision), `hook` (`1`: the job names a webhook)",
        bound: "`events.kept`, `events.kept_max`; what the notifier has not shared out stays, and stops intake at twice that",
    },
    Row {
        key: "hooks:read",
        kind: "string",
        holds: "the last entry of `events` that was shared out among the outboxes; absent: nothing asks for it",
        bound: "1",
    },
    Row { key: "hooks:changes", kind: "string", holds: "counts changes of endpoints", bound: "1" },
    Row {
        key: "hooks:pending",
        kind: "zset",
        holds: "endpoints with something to be told, by the instant (Unix ms) of the oldest",
        bound: "endpoints",
    },
    Row {
        key: "hooks:of:<tenant>",
        kind: "zset",
        holds: "a tenant's endpoints by creation time (Unix ms)",
        bound: "20",
    },
    Row {
        key: "hook:<endpoint>",
        kind: "hash",
        holds: "`config` (JSON: address, types, secrets), `rev`, `off` (JSON: since when nothing is sent, and why), `tries`, `next` and `why` of the entry that failed; of a job's own webhook it expires 7 days after the last event",
        bound: "one per endpoint",
    },
    Row {
        key: "outbox:<endpoint>",
        kind: "list",
        holds: "events still to be told, oldest first (JSON, without prompt or links); expires 7 days after its endpoint was switched off",
        bound: "100,000; then its endpoint is switched off",
    },
    Row {
        key: "hooklog:<endpoint>",
        kind: "stream",
        holds: "deliveries: `event` (JSON), `result`, `status`, `ms`, `attempt`, `next`, `why`; of a job's own webhook it expires 7 days after the last delivery",
        bound: "1,000",
    },
    Row {
        key: "decisions",
        kind: "stream",
        holds: "`line`: who decided what about which job, on what evidence, why, and what came of it (JSON)",
        bound: "100,000",
    },
    Row {
        key: "audit",
        kind: "list",
        holds: "alarms raised by commits, newest first (JSON)",
        bound: "10,000",
    },
];
