//! The groups of failures that a job counts into.

use super::{Moves, Standing};
use crate::failures::Scope;

impl Moves<'_> {
    /// The failure groups of the pool, the tenant and the batch.
    pub(super) fn failed(&mut self, standing: &Standing, step: &str) {
        let Some(code) = &standing.code else { return };
        let (keys, record) = (self.keys, self.record);
        let of = |what: &str| format!("{code}|{what}");
        for scope in Scope::all_of(&record.spec) {
            self.add(keys.failures(scope), code, step);
            if let (Some(end), "1") = (&standing.end, step) {
                let (at, last) = (end.at.unix_ms().to_string(), keys.failures_last(scope));
                self.push("HSETNX", last.clone(), &[&of("first"), &at]);
                let class = standing.class.unwrap_or_default();
                let id = record.id.as_str();
                let told = [&of("last"), at.as_str(), &of("job"), id, &of("class"), class];
                self.push("HSET", last, &told);
            }
        }
    }

    /// The same, of those among them that were dismissed.
    pub(super) fn dismissed(&mut self, code: Option<&str>, step: &str) {
        let Some(code) = code else { return };
        let (keys, record) = (self.keys, self.record);
        for scope in Scope::all_of(&record.spec) {
            self.add(keys.failures_dismissed(scope), code, step);
        }
    }
}
