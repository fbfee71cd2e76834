//! What the server must promise before money is spent on its word.

use crate::lease::millis;
use crate::{Store, StoreError, Topology};
use std::collections::BTreeMap;
use std::sync::PoisonError;

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

/// What a lost write costs where the second fence stands.
const WITH_FENCE: &str = "with the fence on no create is repeated, but accepted jobs that had not begun are forgotten and their callers must send them again";
/// And where it does not.
const WITHOUT_FENCE: &str = "each forgotten attempt may buy a second video";

/// Fields of INFO and CONFIG; absent where the server will not tell.
struct Facts {
    info: BTreeMap<String, String>,
    config: Option<BTreeMap<String, String>>,
    sentinels: u64,
    /// What the settings say, whoever happens to be there now.
    topology: Topology,
    fence: bool,
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

    /// What is safe behind the fence outside Redis only: told there, refused without.
    fn needs_fence(&self, check: &'static str, sentence: &str, fix: &str) -> Finding {
        if self.fence {
            return warn(check, format!("{sentence}; {WITH_FENCE}"), fix);
        }
        refuse(
            check,
            format!("{sentence}; {WITHOUT_FENCE}"),
            format!("{fix}; or switch the fence on: fence.enabled = true, in every process"),
        )
    }

    fn config(&self, field: &str) -> Option<&str> {
        self.config.as_ref()?.get(field).map(String::as_str)
    }
}

impl Store {
    /// Asks the server whether what it acknowledges stays. `allow` names checks that the operator
    /// accepts: they are told as warnings. `fence`: intents outside Redis stand behind every create,
    /// so that a server that may forget its last writes is told and not refused. Worth repeating every
    /// 30 s and after each reconnect.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn self_check(
        &self,
        allow: &[String],
        fence: bool,
    ) -> Result<Vec<Finding>, StoreError> {
        let lsn_seen = self.lsn_seen();
        let info: String = match self.connection().ask(&redis::cmd("INFO")).await {
            Ok(info) => info,
            Err(error) if forbidden(&error) => return Ok(vec![allowed(mute(), allow)]),
            Err(error) => return Err(error),
        };
        let lsn: Option<u64> =
            self.connection().ask(redis::cmd("GET").arg(self.keys().lsn())).await?;
        let facts = Facts {
            info: fields(&info),
            config: self.told_config().await?,
            sentinels: self.sentinels().await?,
            topology: self.inner.settings.topology,
            fence,
            lsn: lsn.unwrap_or(0),
            lsn_seen,
        };
        self.note_server(&facts);
        let found = findings(&facts, &self.slow_reply_advice());
        let mut findings: Vec<Finding> =
            found.into_iter().map(|finding| allowed(finding, allow)).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(findings)
    }

    /// What the server says about itself (`INFO`): memory, persistence, replicas, clients. It names no secret.
    ///
    /// # Errors
    ///
    /// As every call; some managed services forbid it.
    pub async fn server_info(&self) -> Result<String, StoreError> {
        self.connection().ask(&redis::cmd("INFO")).await
    }

    /// Managed services forbid CONFIG; what they will not tell must be declared.
    async fn told_config(&self) -> Result<Option<BTreeMap<String, String>>, StoreError> {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg(&["appendfsync", "no-appendfsync-on-rewrite"]);
        match self.connection().ask(&command).await {
            Ok(config) => Ok(Some(config)),
            Err(error) if error.is_passing() && !forbidden(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// A primary does not know its Sentinels, but each of them listens on this channel.
    async fn sentinels(&self) -> Result<u64, StoreError> {
        let mut command = redis::cmd("PUBSUB");
        command.arg("NUMSUB").arg("__sentinel__:hello");
        match self.connection().ask::<(String, u64)>(&command).await {
            Ok((_, listening)) => Ok(listening),
            Err(error) if error.is_passing() && !forbidden(&error) => Err(error),
            Err(_) => Ok(0),
        }
    }

    /// Another process or another line of replication is no fault by itself; who looks for one wants to
    /// know when it came.
    fn note_server(&self, facts: &Facts) {
        let (run, line) = (facts.info("run_id"), facts.info("master_replid"));
        let now = format!("{run} {line}");
        let mut known = self.inner.server.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.is_empty() && *known != now {
            tracing::warn!(
                pool = self.pool(),
                run_id = run,
                replication_id = line,
                lsn = facts.lsn,
                seen = facts.lsn_seen,
                "the Redis server is another process or replication line than before"
            );
        }
        *known = now;
    }

    fn slow_reply_advice(&self) -> String {
        format!(
            "replies later than {} ms count as lost",
            millis(self.inner.settings.response_timeout)
        )
    }
}

/// The operator's word against a check.
fn allowed(mut finding: Finding, allow: &[String]) -> Finding {
    if allow.iter().any(|name| name == finding.check) {
        finding.severity = Severity::Warn;
    }
    finding
}

fn mute() -> Finding {
    refuse(
        "info",
        "the user may not call INFO, so nothing is known of what the server keeps",
        "grant it: ACL SETUSER <user> +info +config|get +pubsub|numsub",
    )
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
    found.extend(failover(facts));
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
    if facts.info("redis_mode") == "sentinel" {
        return Some(refuse(
            "role",
            "this is a Sentinel: it watches servers and keeps no jobs",
            "set redis.topology = \"sentinel\", or point redis.url at the primary that it watches",
        ));
    }
    let role = facts.info("role");
    (role != "master").then(|| {
        refuse(
            "role",
            format!("the server is a {role}: it takes no writes, or loses them at the next sync"),
            "point redis.url at the primary, or at Sentinels that know it with redis.topology = \"sentinel\"",
        )
    })
}

/// Whoever takes over for a primary may not have had its last writes yet.
fn failover(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    if facts.info("cluster_enabled") == "1" || facts.topology == Topology::Cluster {
        found.push(facts.needs_fence(
            "cluster",
            "the server is part of a cluster, and a failover forgets what was not replicated yet",
            "use a single server with appendfsync always",
        ));
    }
    let replicas = facts.number("connected_slaves");
    if replicas > 0 {
        found.push(facts.needs_fence(
            "replicas",
            &format!("{replicas} replicas follow the server, and one that takes over forgets what it had not received yet"),
            "use a single server with appendfsync always, without replicas",
        ));
    }
    if facts.sentinels > 0 || facts.topology == Topology::Sentinel {
        found.push(facts.needs_fence(
            "sentinel",
            "Sentinels watch the server, and a failover forgets what was not replicated yet",
            "use a single server with appendfsync always, without Sentinel",
        ));
    }
    found
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
        Some("everysec") => found.push(facts.needs_fence(
            "appendfsync",
            "appendfsync is everysec: up to 2 seconds of acknowledged writes are lost with the machine, or with the server on a slow disk",
            "CONFIG SET appendfsync always, and the same in redis.conf",
        )),
        Some(other) => found.push(refuse(
            "appendfsync",
            format!("appendfsync is {other}: half a minute of acknowledged jobs and intents is lost with the machine"),
            "CONFIG SET appendfsync always, and the same in redis.conf",
        )),
        None => found.push(facts.needs_fence(
            "appendfsync",
            "the server does not tell its appendfsync, so it counts as everysec: up to 2 seconds of acknowledged writes may be lost",
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
            format!("the server counts {} commits and had acknowledged {}: it lost data, and attempts it forgot may have bought tasks", facts.lsn, facts.lsn_seen),
            "creates are frozen by themselves; with the fence on the fleet brings forgotten attempts back and thaws, without it: seedfleet reconcile --after-restore",
        )
    })
}
