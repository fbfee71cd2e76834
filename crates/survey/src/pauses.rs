//! What people paused.

use serde::Serialize;
use store::{Pause, PauseScope};
use utoipa::ToSchema;

/// A pause of a part of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = QueuePause)]
pub struct QueuePauseView {
    /// `submit`, `tenant`, `model`, `poll` or `download`.
    pub scope: &'static str,
    /// Which tenant or class of models.
    pub of: Option<String>,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: String,
    /// When it ends by itself; null: when it is resumed.
    pub until: Option<String>,
}

impl From<&Pause> for QueuePauseView {
    fn from(pause: &Pause) -> Self {
        let of = match &pause.scope {
            PauseScope::Tenant(tenant) => Some(tenant.clone()),
            PauseScope::Model(class) => Some(class.word().to_owned()),
            PauseScope::Submit | PauseScope::Poll | PauseScope::Download => None,
        };
        Self {
            scope: pause.scope.kind(),
            of,
            by: pause.by.as_str().to_owned(),
            reason: pause.reason.clone(),
            at: pause.at.rfc3339(),
            until: pause.until.map(|until| until.rfc3339()),
        }
    }
}

/// The pauses that concern a tenant; all for an operator.
pub(crate) fn concerning(pauses: Vec<Pause>, tenant: Option<&str>) -> Vec<Pause> {
    let concerns = |pause: &Pause| match &pause.scope {
        PauseScope::Tenant(whose) => tenant.is_none_or(|tenant| tenant == whose),
        PauseScope::Submit | PauseScope::Model(_) | PauseScope::Poll | PauseScope::Download => true,
    };
    pauses.into_iter().filter(concerns).collect()
}

/// All of them in one sentence, behind whatever else limits; empty without any.
#[must_use]
pub fn pauses_sentence(pauses: &[Pause]) -> Option<String> {
    let each: Vec<String> = pauses.iter().map(Pause::words).collect();
    (!each.is_empty()).then(|| format!("Paused: {}.", each.join("; ")))
}
