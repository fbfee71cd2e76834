//! What a filter may speak of.

use crate::{Priority, Record, Source, StateWord};
use seedance::{Class, Resolution};
use std::fmt::Write as _;

/// A property of a job that a filter may speak of, in the order of the canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// The public state word.
    State,
    /// The error code by which failures are grouped.
    Code,
    /// The class of the error.
    Class,
    /// Whether a failure was dismissed.
    Dismissed,
    /// Whose job.
    Tenant,
    /// The batch it came with.
    Batch,
    /// The caller's own id.
    CustomId,
    /// The model, by its short name or its id.
    Model,
    /// Order inside the tenant.
    Priority,
    /// The door it came through.
    Source,
    /// The caller's own customer.
    EndUser,
    /// Of the video that was asked for.
    Resolution,
    /// Taken in at.
    Created,
    /// Last change of the state.
    Updated,
    /// Time since it was taken in.
    Age,
}

/// The words of a field that is one or the other.
pub(super) const YES: &str = "yes";
pub(super) const NO: &str = "no";

/// What the values of a field are.
pub(super) enum Kind {
    /// One of these words.
    Words(Vec<&'static str>),
    /// Any text.
    Text,
    /// RFC 3339, or a date.
    Instant,
    /// A length of time.
    Length,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 15] = [
        Self::State,
        Self::Code,
        Self::Class,
        Self::Dismissed,
        Self::Tenant,
        Self::Batch,
        Self::CustomId,
        Self::Model,
        Self::Priority,
        Self::Source,
        Self::EndUser,
        Self::Resolution,
        Self::Created,
        Self::Updated,
        Self::Age,
    ];

    /// The field's name in the text.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Code => "code",
            Self::Class => "class",
            Self::Dismissed => "dismissed",
            Self::Tenant => "tenant",
            Self::Batch => "batch",
            Self::CustomId => "custom_id",
            Self::Model => "model",
            Self::Priority => "priority",
            Self::Source => "source",
            Self::EndUser => "end_user",
            Self::Resolution => "resolution",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Age => "age",
        }
    }

    /// What it means, for pages and help.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::State => "the job's state",
            Self::Code => "the error code of a failed job",
            Self::Class => "the class of a failed job's error",
            Self::Dismissed => "whether somebody has dismissed the failure",
            Self::Tenant => "whose job; a caller of the API sees only its own",
            Self::Batch => "the batch it came with",
            Self::CustomId => "the caller's own id of the job",
            Self::Model => {
                "the model, by its name (seedance-2.0), its short name (2.0) or its id at the provider"
            }
            Self::Priority => "order inside the tenant",
            Self::Source => "the door it came through",
            Self::EndUser => "the caller's own customer",
            Self::Resolution => "of the video that was asked for",
            Self::Created => "when it was taken in",
            Self::Updated => "when its state last changed",
            Self::Age => "time since it was taken in",
        }
    }

    /// The words the field takes; empty where it takes any text, instants or lengths.
    #[must_use]
    pub fn words_allowed(self) -> Vec<&'static str> {
        match self.kind() {
            Kind::Words(words) => words,
            Kind::Text | Kind::Instant | Kind::Length => Vec::new(),
        }
    }

    /// What may stand behind the field, in words.
    #[must_use]
    pub fn takes(self) -> String {
        match self.kind() {
            Kind::Words(words) => format!("`=` or `!=` and one or more of {}", words.join(", ")),
            Kind::Text => "`=` or `!=` and one or more values; in double quotes where they hold blanks, commas or quotes".to_owned(),
            Kind::Instant => "`>` (later) or `<` (earlier) and an instant such as 2026-11-23T06:00:00Z, or a date such as 2026-11-23 (its first moment in UTC)".to_owned(),
            Kind::Length => "`>` (older) or `<` (younger) and a length of time such as 90s, 1h30m or 7d".to_owned(),
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::State => Kind::Words(StateWord::ALL.map(StateWord::as_str).to_vec()),
            Self::Class => Kind::Words(Class::ALL.map(Class::word).to_vec()),
            Self::Dismissed => Kind::Words(vec![YES, NO]),
            Self::Priority => {
                let all = [Priority::High, Priority::Normal, Priority::Low];
                Kind::Words(all.map(Priority::word).to_vec())
            }
            Self::Source => Kind::Words(Source::ALL.map(Source::word).to_vec()),
            Self::Resolution => Kind::Words(Resolution::ALL.map(Resolution::word).to_vec()),
            Self::Code
            | Self::Tenant
            | Self::Batch
            | Self::CustomId
            | Self::Model
            | Self::EndUser => Kind::Text,
            Self::Created | Self::Updated => Kind::Instant,
            Self::Age => Kind::Length,
        }
    }

    /// The record's own values; a field of instants has none.
    pub(super) fn words(self, record: &Record) -> [Option<&str>; 3] {
        let (spec, state) = (&record.spec, &record.life.state);
        let one = match self {
            Self::State => Some(state.word().as_str()),
            Self::Code => state.failure_code(),
            Self::Class => state.failure().map(|cause| cause.class.word()),
            Self::Dismissed => Some(if record.life.dismissed { YES } else { NO }),
            Self::Tenant => Some(spec.tenant.as_str()),
            Self::Batch => spec.batch.as_deref(),
            Self::CustomId => spec.custom_id.as_deref(),
            Self::Model => {
                let (model, id) = (spec.request.model, spec.request.model_id.as_str());
                return [Some(model.alias()), Some(model.word()), Some(id)];
            }
            Self::Priority => Some(spec.priority.word()),
            Self::Source => Some(spec.source.word()),
            Self::EndUser => spec.end_user.as_deref(),
            Self::Resolution => Some(spec.request.resolution.word()),
            Self::Created | Self::Updated | Self::Age => None,
        };
        [one, None, None]
    }
}

/// The page `docs/filters.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# Which jobs: the filter\n\n\
         <!-- Printed by `cargo xtask docs`; edit crates/job/src/filter/field.rs instead. -->\n\n\
         One grammar for `?where=` of the HTTP API, `--where` of the command line, the dashboard's filter bar and bulk\n\
         operations. All conditions must hold:\n\n\
         ```text\nstate=failed,expired code=InternalServiceError batch=spring-ads age>1h\n```\n\n\
         `=` takes one of several values, `!=` none of them; a job that has no such value fits `!=` too.\n\n\
         | Field | Means | Takes |\n| --- | --- | --- |\n",
    );
    for field in Field::ALL {
        let _ = writeln!(page, "| `{}` | {} | {} |", field.word(), field.meaning(), field.takes());
    }
    page.push_str(
        "\nA list by one of state, batch, tenant, code or custom_id, or by state and tenant, is read straight from an index,\n\
         narrowed by `created` and `age`. Other conditions are checked record by record: a page looks at no more than 5,000\n\
         records, can be shorter than asked for, and says by its cursor that there is more to look at.\n",
    );
    page
}
