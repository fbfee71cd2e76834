//! Who looks, and what the page offers them.

/// What a person may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Cancels, retries, reviews, decides doubts.
    Operator,
    /// Sees every tenant and changes the fleet.
    Admin,
}

impl Role {
    /// The word on the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Forms that change something are shown.
    #[must_use]
    pub fn acts(self) -> bool {
        self >= Self::Operator
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
    /// Goes into every form; the server compares it with the session's.
    pub csrf: String,
}
