//! Who looks, and what the page offers them.

/// What a person may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Approves and rejects what waits for a person.
    Reviewer,
    /// Cancels, retries, reviews, decides doubts.
    Operator,
    /// Sees every tenant, and stops and starts the fleet.
    Admin,
}

impl Role {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Reviewer, Self::Operator, Self::Admin];

    /// The scopes of a key that make it.
    pub(crate) const fn scopes(self) -> &'static str {
        match self {
            Self::Viewer => "`jobs:read`",
            Self::Reviewer => "`jobs:read`, `review`",
            Self::Operator => "`jobs:read`, `jobs:write`; or `admin` for one tenant",
            Self::Admin => "`admin`, for every tenant",
        }
    }

    /// What it may do.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Viewer => "look",
            Self::Reviewer => "approve and reject held jobs",
            Self::Operator => {
                "cancel, run again, pause and resume, decide doubts, test, switch and tell webhook endpoints"
            }
            Self::Admin => "freeze a pool, so that nothing is bought, and thaw it",
        }
    }

    /// The word on the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Reviewer => "reviewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// May change jobs, batches and endpoints.
    #[must_use]
    pub fn acts(self) -> bool {
        self >= Self::Operator
    }

    /// May judge what waits for a person.
    #[must_use]
    pub fn reviews(self) -> bool {
        self >= Self::Reviewer
    }

    /// May stop and start the fleet.
    #[must_use]
    pub fn rules(self) -> bool {
        self >= Self::Admin
    }
}

/// A logged-in person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The key's name: what the audit will say.
    pub name: String,
    /// Whose jobs are shown; `None`: everybody's.
    pub tenant: Option<String>,
    /// Which pools they see: simulated ones only, all others only, or what there is.
    pub simulated: Option<bool>,
    /// What they may do.
    pub role: Role,
    /// Jobs they see of which nobody knows whether a task was bought.
    pub in_doubt: u64,
    /// Goes into every form; the server compares it with the session's.
    pub csrf: String,
}
