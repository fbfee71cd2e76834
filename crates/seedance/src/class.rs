//! The words in which errors are sorted: class, call, what was created, what may follow (§7.2).

use serde::{Deserialize, Serialize};

/// What an error asks of us (§7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The request is wrong; the job fails.
    Input,
    /// Moderation refused the input; the job fails.
    Content,
    /// Moderation refused the result; unbilled, and a new task may pass if policy allows one.
    Output,
    /// Key or permission; the account stops, jobs wait.
    Auth,
    /// Money, activation or a cap; the account stops, jobs wait.
    Account,
    /// Too many calls; the shared limiter slows down.
    Rate,
    /// The provider is busy or its queue full; a longer wait.
    Capacity,
    /// A window's quota is used up; wait until it resets.
    Pause,
    /// The provider failed at something that can safely be asked again.
    Server,
    /// Perhaps a task was made; find out before anything else.
    Ambiguous,
    /// Wrong state for the action; read the task again.
    State,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 11] = [
        Class::Input,
        Class::Content,
        Class::Output,
        Class::Auth,
        Class::Account,
        Class::Rate,
        Class::Capacity,
        Class::Pause,
        Class::Server,
        Class::Ambiguous,
        Class::State,
    ];

    /// The word used in configuration, records and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Class::Input => "input",
            Class::Content => "content",
            Class::Output => "output",
            Class::Auth => "auth",
            Class::Account => "account",
            Class::Rate => "rate",
            Class::Capacity => "capacity",
            Class::Pause => "pause",
            Class::Server => "server",
            Class::Ambiguous => "ambiguous",
            Class::State => "state",
        }
    }

    /// Whether the account is told to call less, or later.
    pub const fn is_told_off(self) -> bool {
        match self {
            Class::Rate | Class::Capacity | Class::Pause => true,
            Class::Input
            | Class::Content
            | Class::Output
            | Class::Auth
            | Class::Account
            | Class::Server
            | Class::Ambiguous
            | Class::State => false,
        }
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// What a refused create says that we gave too much of. What is taken back of it comes again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Brake {
    /// Creates a minute.
    Rate,
    /// Growth: the creates began too suddenly.
    Ramp,
    /// Tasks that wait in the provider's own queue.
    Depth,
}

impl Brake {
    /// All of them.
    pub const ALL: [Brake; 3] = [Brake::Rate, Brake::Ramp, Brake::Depth];

    /// The word used in Redis, metrics and output.
    pub const fn word(self) -> &'static str {
        match self {
            Brake::Rate => "rate",
            Brake::Ramp => "ramp",
            Brake::Depth => "depth",
        }
    }
}

/// The four calls of the provider (§1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// The one that costs money.
    Create,
    /// Read one task.
    Retrieve,
    /// Read a page of tasks.
    List,
    /// Cancel a waiting task, or delete a finished one's record.
    Delete,
}

impl Call {
    /// Every call.
    pub const ALL: [Call; 4] = [Call::Create, Call::Retrieve, Call::List, Call::Delete];

    /// The word used in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Call::Create => "create",
            Call::Retrieve => "retrieve",
            Call::List => "list",
            Call::Delete => "delete",
        }
    }

    /// Calls per second one account may make; `None` for create, which is limited per model and
    /// minute instead (§8.1).
    pub const fn default_per_second(self) -> Option<u32> {
        match self {
            Call::Create => None,
            Call::Retrieve | Call::Delete => Some(20),
            Call::List => Some(1),
        }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// Whether a create call left a task behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Created {
    /// Certainly not.
    No,
    /// Perhaps.
    Unknown,
}

/// What the contract allows after an error. How often and how long is the job's policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// The same thing would fail the same way.
    Never,
    /// The same call again after a backoff.
    Backoff,
    /// The same call again after a longer backoff.
    BackoffLong,
    /// The same call again once the quota's window has turned.
    AfterReset,
    /// Once the account is in order again; probe with one job at growing gaps.
    AfterRepair,
    /// Settle first whether a task exists.
    AfterSettling,
    /// Read the task and decide from what it says.
    ReadAgain,
    /// A new task may be made: the old one is over and was not billed.
    NewTask,
    /// A new task may be made if the operator's policy says so; the default is none.
    NewTaskByPolicy,
    /// Nobody knows this one: hold for a person.
    Hold,
}
