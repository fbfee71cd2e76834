//! What people paused.

use super::page::Row;
use super::{Keys, part, whole};
use crate::pauses::PauseScope;
use seedance::SlotClass;

impl Keys {
    /// What is paused.
    #[must_use]
    pub fn pauses(&self) -> String {
        self.key(format_args!("pauses"))
    }

    /// Paused batches, by [`Keys::batch_member`].
    #[must_use]
    pub fn paused_batches(&self) -> String {
        self.key(format_args!("paused:batches"))
    }

    /// Batches that stop by themselves, by the instant of the next look at them.
    #[must_use]
    pub fn stop_looks(&self) -> String {
        self.key(format_args!("stop:looks"))
    }

    /// Pauses of batches that were not shared out among the outboxes yet.
    #[must_use]
    pub fn pause_news(&self) -> String {
        self.key(format_args!("paused:news"))
    }

    /// The field of a pause.
    #[must_use]
    pub fn pause_field(scope: &PauseScope) -> String {
        match scope {
            PauseScope::Submit | PauseScope::Poll | PauseScope::Download => scope.kind().to_owned(),
            PauseScope::Tenant(tenant) => format!("tenant:{}", part(tenant)),
            PauseScope::Model(class) => format!("model:{}", class.word()),
        }
    }

    /// What such a field pauses.
    #[must_use]
    pub fn pause_scope(field: &str) -> Option<PauseScope> {
        Some(match field.split_once(':') {
            None if field == PauseScope::Submit.kind() => PauseScope::Submit,
            None if field == PauseScope::Poll.kind() => PauseScope::Poll,
            None if field == PauseScope::Download.kind() => PauseScope::Download,
            Some(("tenant", tenant)) => PauseScope::Tenant(whole(tenant)?),
            Some(("model", word)) => {
                PauseScope::Model(SlotClass::ALL.into_iter().find(|class| class.word() == word)?)
            }
            None | Some(_) => return None,
        })
    }
}

pub(super) const ROWS: &[Row] = &[
    Row {
        key: "pauses",
        kind: "hash",
        holds: "what people paused: `submit`, `tenant:<tenant>`, `model:<class>`, `poll`, `download` to the end (Unix ms; 0: until it is resumed) and, behind a blank, by whom, when, why (JSON)",
        bound: "1,000; those that have ended go with the next one",
    },
    Row {
        key: "paused:batches",
        kind: "zset",
        holds: "`<tenant>:<batch>`, each part escaped as in keys, that is paused, by the instant (Unix ms) of its pause",
        bound: "batches",
    },
    Row {
        key: "paused:news",
        kind: "list",
        holds: "pauses of batches that are to be told to webhooks, oldest first (JSON); only where somebody asks for them",
        bound: "10,000",
    },
    Row {
        key: "stop:looks",
        kind: "zset",
        holds: "`<tenant>:<batch>` with conditions on which it stops, by the instant (Unix ms) of the next look at it; it goes 30 days after its last job ended",
        bound: "batches",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_read_back() {
        let tenant = PauseScope::Tenant("a:b".into());
        let model = PauseScope::Model(SlotClass::V20Fast);
        for scope in [PauseScope::Submit, PauseScope::Poll, PauseScope::Download, tenant, model] {
            assert_eq!(Keys::pause_scope(&Keys::pause_field(&scope)), Some(scope));
        }
        for field in ["", "settle", "model:9", "step:poll"] {
            assert_eq!(Keys::pause_scope(field), None);
        }
    }
}
