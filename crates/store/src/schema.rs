//! The version of the record that this store writes, and how old the records are that lie in Redis.

use crate::overview::AuditLine;
use crate::{Store, StoreError, commit};
use job::{Misfit, Versions, version_of_parts};
use redis::{Pipeline, Value};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// Jobs in one page of a walk, about.
const PAGE: usize = 500;

/// What a walk over jobs found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaTally {
    /// Jobs looked at.
    pub looked: u64,
    /// Of them, by version of their record.
    pub by_version: BTreeMap<u32, u64>,
    /// Of them, those whose record does not say.
    pub silent: u64,
    /// Jobs in the pool when the walk began.
    pub jobs: u64,
    /// Where the next walk goes on; 0: this one, with those before, has seen all.
    pub cursor: u64,
}

impl SchemaTally {
    /// Jobs whose record is of an older version.
    #[must_use]
    pub fn older_than(&self, version: u32) -> u64 {
        self.by_version.range(..version).map(|(_, jobs)| jobs).sum()
    }

    /// Jobs whose record is of a newer version.
    #[must_use]
    pub fn newer_than(&self, version: u32) -> u64 {
        self.by_version.iter().filter(|(of, _)| **of > version).map(|(_, jobs)| jobs).sum()
    }
}

impl Store {
    /// The version in which records are written: that in force when this process last heard, or as near to it
    /// as this program can write.
    #[must_use]
    pub fn writes_version(&self) -> u32 {
        Versions::own().written_at(self.inner.in_force.load(Ordering::Relaxed))
    }

    /// Whether this program may work with the version in force, as heard at the start.
    ///
    /// # Errors
    ///
    /// Why not, with what to do.
    pub fn fits(&self) -> Result<(), Misfit> {
        Versions::own().fits(self.inner.in_force.load(Ordering::Relaxed))
    }

    /// Takes over the version in force. All clones of this store write in it from here on.
    pub fn hear_version(&self, in_force: u32) {
        self.inner.in_force.store(in_force, Ordering::Relaxed);
    }

    /// Counts jobs by the version of their record, from `cursor` (0 to begin) on until about `most` were looked
    /// at. Those that are archived are none of this.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn tally_versions(&self, cursor: u64, most: u64) -> Result<SchemaTally, StoreError> {
        let index = self.keys().ix_all();
        let jobs = self.connection().ask(redis::cmd("ZCARD").arg(&index)).await?;
        let mut tally = SchemaTally { jobs, cursor, ..SchemaTally::default() };
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(&index).arg(tally.cursor).arg("COUNT").arg(PAGE);
            let (cursor, members): (u64, Vec<String>) = self.connection().ask(&scan).await?;
            tally.cursor = cursor;
            // Members and scores in turn.
            let ids: Vec<&String> = members.iter().step_by(2).collect();
            self.tally_page(&ids, &mut tally).await?;
            if tally.cursor == 0 || tally.looked >= most {
                return Ok(tally);
            }
        }
    }

    async fn tally_page(&self, ids: &[&String], tally: &mut SchemaTally) -> Result<(), StoreError> {
        let mut pipe = Pipeline::with_capacity(ids.len());
        let parsed = ids.iter().filter_map(|id| job::JobId::parse(id).ok());
        for id in parsed {
            pipe.cmd("HMGET").arg(self.keys().job(&id)).arg(&["spec", "life"]);
        }
        for answer in self.connection().pipe(&mut pipe).await? {
            let Value::Array(parts) = &answer else {
                return Err(StoreError::reply("HMGET", &answer));
            };
            let text = |i: usize| parts.get(i).filter(|v| **v != Value::Nil).and_then(commit::word);
            // Gone, or archived, between the two reads.
            let (Some(spec), Some(life)) = (text(0), text(1)) else { continue };
            tally.looked += 1;
            match version_of_parts(&spec, &life) {
                Ok(version) => *tally.by_version.entry(version).or_default() += 1,
                Err(_) => tally.silent += 1,
            }
        }
        Ok(())
    }

    /// A line in the pool's audit about something a person did to the whole fleet.
    ///
    /// # Errors
    ///
    /// As every call; repeated, it stands there twice.
    pub async fn note_fleet_deed(
        &self,
        what: &str,
        by: &str,
        reason: &str,
    ) -> Result<(), StoreError> {
        let line = AuditLine {
            at: self.now().await?,
            job: None,
            alarm: what.to_owned(),
            by: Some(by.to_owned()),
            reason: Some(reason.to_owned()),
        };
        let line = StoreError::json("a line that is", &line)?;
        let key = self.keys().audit();
        let mut pipe = Pipeline::with_capacity(2);
        pipe.cmd("LPUSH").arg(&key).arg(line);
        pipe.cmd("LTRIM").arg(&key).arg(0).arg(crate::keys::AUDIT_LINES_MAX - 1);
        self.connection().pipe(&mut pipe).await.map(drop)
    }
}
