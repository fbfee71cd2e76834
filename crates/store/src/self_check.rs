//! What the server must promise before money is spent on its word.

use crate::lease::millis;
use crate::{Store, StoreError};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Below this share of free memory new jobs should wait.
const HEADROOM_MIN_PERCENT: u64 = 20;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Told; the fleet runs.
    Warn,
    /// The fleet does not start, unless the operator allows this check by name.
    Refuse,
}

/// Something the server does not promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name by which `redis.allow_unsafe` accepts it.
    pub check: &'static str,
    /// How bad.
    pub severity: Severity,
    /// What is, and what it can cost.
    pub sentence: String,
    /// What to do.
    pub fix: String,
}

/// Fields of INFO and CONFIG; absent where the server will not tell.
struct Facts {
    info: BTreeMap<String, String>,
    config: Option<BTreeMap<String, String>>,
    lsn: u64,
    lsn_seen: u64,
}

impl Facts {
    fn info(&self, field: &str) -> &str {
        self.info.get(field).map_or("", String::as_str)
    }

    fn number(&self, field: &str) -> u64 {
        self.info(field).parse().unwrap_or(0)
    }

    fn config(&self, field: &str) -> Option<&str> {
        self.config.as_ref()?.get(field).map(String::as_str)
    }
}

impl Store {
    /// Asks the server whether what it acknowledges stays. `allow` names checks that the operator
    /// accepts: they are told as warnings. Worth repeating every 30 s and after each reconnect.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn self_check(&self, allow: &[String]) -> Result<Vec<Finding>, StoreError> {
        let info: String = self.connection().ask(&redis::cmd("INFO")).await?;
        let lsn: Option<u64> =
            self.connection().ask(redis::cmd("GET").arg(self.keys().lsn())).await?;
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg(&["appendfsync", "no-appendfsync-on-rewrite"]);
        // Managed services forbid CONFIG; what they will not tell must be declared.
        let config = match self.connection().ask(&command).await {
            Ok(config) => Some(config),
            Err(error) if error.is_passing() && !forbidden(&error) => return Err(error),
            Err(_) => None,
        };
        let facts = Facts {
            info: fields(&info),
            config,
            lsn: lsn.unwrap_or(0),
            lsn_seen: self.inner.lsn_seen.fetch_max(lsn.unwrap_or(0), Ordering::Relaxed),
        };
        let mut findings = findings(&facts, &self.slow_reply_advice());
        for finding in &mut findings {
            if allow.iter().any(|name| name == finding.check) {
                finding.severity = Severity::Warn;
            }
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(findings)
    }

    fn slow_reply_advice(&self) -> String {
        format!(
            "replies later than {} ms count as lost",
            millis(self.inner.settings.response_timeout)
        )
    }
}

fn forbidden(error: &StoreError) -> bool {
    matches!(error, StoreError::Refused { cause } if cause.contains("NOPERM"))
}

fn fields(info: &str) -> BTreeMap<String, String> {
    info.lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn refuse(check: &'static str, sentence: impl Into<String>, fix: impl Into<String>) -> Finding {
    let (sentence, fix) = (sentence.into(), fix.into());
    Finding { check, severity: Severity::Refuse, sentence, fix }
}

fn warn(check: &'static str, sentence: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { severity: Severity::Warn, ..refuse(check, sentence, fix) }
}

fn findings(facts: &Facts, slow: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(version(facts));
    found.extend(role(facts, slow));
    found.extend(eviction(facts));
    found.extend(append_only(facts));
    found.extend(fsync(facts));
    found.extend(headroom(facts));
    found.extend(rollback(facts));
    found
}

fn version(facts: &Facts) -> Option<Finding> {
    // Valkey reports the Redis version it is compatible with in the same field.
    let version = facts.info("redis_version");
    let major: u32 = version.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    (major < 7).then(|| {
        refuse(
            "version",
            format!("the server is Redis {version}; scripts need 7.0 or newer"),
            "upgrade to Redis 7 or later, or to Valkey",
        )
    })
}

fn role(facts: &Facts, slow: &str) -> Option<Finding> {
    if facts.info("loading") == "1" {
        return Some(refuse(
            "loading",
            format!("the server is loading its data set; {slow}"),
            "wait until it has loaded, then start again",
        ));
    }
    let role = facts.info("role");
    (role != "master").then(|| {
        refuse(
            "role",
            format!("the server is a {role}: it takes no writes, or loses them at the next sync"),
            "point redis.url at the primary",
        )
    })
}

fn eviction(facts: &Facts) -> Option<Finding> {
    let policy = facts.info("maxmemory_policy");
    (policy != "noeviction").then(|| {
        refuse(
            "eviction",
            format!("maxmemory-policy is {policy}: when memory is short the server deletes jobs that were acknowledged"),
            "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf",
        )
    })
}

fn append_only(facts: &Facts) -> Option<Finding> {
    if facts.info("aof_enabled") != "1" {
        return Some(refuse(
            "appendonly",
            "the append-only file is off: a crash loses minutes of acknowledged jobs, and may buy them twice",
            "CONFIG SET appendonly yes, and the same in redis.conf",
        ));
    }
    let failed = ["aof_last_write_status", "aof_last_bgrewrite_status"]
        .into_iter()
        .find(|field| facts.info(field) != "ok");
    failed.map(|field| {
        refuse(
            "aof-status",
            format!(
                "{field} is {}: the server could not write its append-only file",
                facts.info(field)
            ),
            "free disk space, look at the server's log, then BGREWRITEAOF",
        )
    })
}

fn fsync(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    match facts.config("appendfsync") {
        Some("always") => {}
        Some(other) => found.push(refuse(
            "appendfsync",
            format!("appendfsync is {other}: up to 2 seconds of acknowledged intents are lost with the machine, and each may buy a second video"),
            "CONFIG SET appendfsync always, and the same in redis.conf",
        )),
        None => found.push(refuse(
            "appendfsync",
            "the server does not tell its appendfsync, so it counts as everysec",
            "grant CONFIG GET, or, if the operator of the server promises `always`, put \"appendfsync\" into redis.allow_unsafe",
        )),
    }
    if facts.config("no-appendfsync-on-rewrite").is_some_and(|value| value != "no") {
        found.push(refuse(
            "no-appendfsync-on-rewrite",
            "no-appendfsync-on-rewrite is on: while the file is rewritten nothing is flushed, whatever appendfsync says",
            "CONFIG SET no-appendfsync-on-rewrite no, and the same in redis.conf",
        ));
    }
    found
}

fn headroom(facts: &Facts) -> Option<Finding> {
    let (used, max) = (facts.number("used_memory"), facts.number("maxmemory"));
    let free = max.saturating_sub(used);
    (max > 0 && free.saturating_mul(100) < max.saturating_mul(HEADROOM_MIN_PERCENT)).then(|| {
        warn(
            "memory",
            format!("{free} of {max} bytes of memory are free, less than {HEADROOM_MIN_PERCENT} %: soon every write is refused"),
            "raise maxmemory, or let jobs finish before more are taken in",
        )
    })
}

fn rollback(facts: &Facts) -> Option<Finding> {
    (facts.lsn < facts.lsn_seen).then(|| {
        refuse(
            "rollback",
            format!("the server counts {} begun attempts and had acknowledged {}: it lost data, and attempts it forgot may have bought tasks", facts.lsn, facts.lsn_seen),
            "stop creating, find out what was lost (failover, restored backup, lost file), settle the forgotten attempts by hand",
        )
    })
}
