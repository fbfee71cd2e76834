//! Failures by code: how many, when, which of them were dismissed, and which have left Redis.

use super::page::Row;
use super::{Keys, part};
use crate::failures::Scope;

impl Keys {
    /// Failures by code, in a scope.
    #[must_use]
    pub fn failures(&self, scope: Scope<'_>) -> String {
        self.of_failures("failures", scope)
    }

    /// The first and the last failure of each code, in a scope.
    #[must_use]
    pub fn failures_last(&self, scope: Scope<'_>) -> String {
        self.of_failures("failures:last", scope)
    }

    /// Failures that were dismissed, by code, in a scope.
    #[must_use]
    pub fn failures_dismissed(&self, scope: Scope<'_>) -> String {
        self.of_failures("failures:dismissed", scope)
    }

    fn of_failures(&self, what: &str, scope: Scope<'_>) -> String {
        match scope {
            Scope::Pool => self.key(format_args!("{what}")),
            Scope::Tenant(tenant) => self.key(format_args!("{what}:tenant:{}", part(tenant))),
            Scope::Batch(tenant, batch) => {
                self.key(format_args!("{what}:batch:{}:{}", part(tenant), part(batch)))
            }
        }
    }
}

pub(super) const ROWS: &[Row] = &[
    Row { key: "failures", kind: "hash", holds: "error code to failed jobs", bound: "codes" },
    Row {
        key: "failures:tenant:<tenant>",
        kind: "hash",
        holds: "error code to failed jobs of the tenant",
        bound: "codes",
    },
    Row {
        key: "failures:batch:<tenant>:<batch>",
        kind: "hash",
        holds: "error code to failed jobs of the batch",
        bound: "codes",
    },
    Row {
        key: "failures:last",
        kind: "hash",
        holds: "`<code>|first`, `|last` (Unix ms of failures), `|job` (the last one), `|class`",
        bound: "codes × 4",
    },
    Row {
        key: "failures:last:tenant:<tenant>",
        kind: "hash",
        holds: "as `failures:last`",
        bound: "codes × 4",
    },
    Row {
        key: "failures:last:batch:<tenant>:<batch>",
        kind: "hash",
        holds: "as `failures:last`",
        bound: "codes × 4",
    },
    Row {
        key: "failures:dismissed",
        kind: "hash",
        holds: "error code to those of `failures` that somebody dismissed",
        bound: "codes",
    },
    Row {
        key: "failures:dismissed:tenant:<tenant>",
        kind: "hash",
        holds: "as `failures:dismissed`, of the tenant",
        bound: "codes",
    },
    Row {
        key: "failures:dismissed:batch:<tenant>:<batch>",
        kind: "hash",
        holds: "as `failures:dismissed`, of the batch",
        bound: "codes",
    },
    Row {
        key: "archived:failures",
        kind: "hash",
        holds: "error code to failed jobs that `failures` holds and that are archived",
        bound: "codes",
    },
    Row {
        key: "archived:failures:tenant:<tenant>",
        kind: "hash",
        holds: "as `archived:failures`, of the tenant",
        bound: "codes",
    },
    Row {
        key: "archived:failures:batch:<tenant>:<batch>",
        kind: "hash",
        holds: "as `archived:failures`, of the batch",
        bound: "codes",
    },
    Row {
        key: "archived:failures:dismissed",
        kind: "hash",
        holds: "error code to failed jobs that `failures:dismissed` holds and that are archived",
        bound: "codes",
    },
    Row {
        key: "archived:failures:dismissed:tenant:<tenant>",
        kind: "hash",
        holds: "as `archived:failures:dismissed`, of the tenant",
        bound: "codes",
    },
    Row {
        key: "archived:failures:dismissed:batch:<tenant>:<batch>",
        kind: "hash",
        holds: "as `archived:failures:dismissed`, of the batch",
        bound: "codes",
    },
];
