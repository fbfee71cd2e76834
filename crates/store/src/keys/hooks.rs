//! The keys of webhooks: what is told, to whom, and how far that is.

use super::{Keys, part};

impl Keys {
    /// How far the stream of events has been shared out among the outboxes.
    #[must_use]
    pub fn hooks_read(&self) -> String {
        self.key(format_args!("hooks:read"))
    }

    /// Counts changes of endpoints: who keeps a list of them looks whether it is still true.
    #[must_use]
    pub fn hooks_changes(&self) -> String {
        self.key(format_args!("hooks:changes"))
    }

    /// Endpoints with something to tell, by the instant of the oldest.
    #[must_use]
    pub fn hooks_pending(&self) -> String {
        self.key(format_args!("hooks:pending"))
    }

    /// A tenant's endpoints.
    #[must_use]
    pub fn hooks_of(&self, tenant: &str) -> String {
        self.key(format_args!("hooks:of:{}", part(tenant)))
    }

    /// One endpoint.
    #[must_use]
    pub fn hook(&self, id: &str) -> String {
        self.key(format_args!("hook:{}", part(id)))
    }

    /// What an endpoint has still to be told.
    #[must_use]
    pub fn outbox(&self, id: &str) -> String {
        self.key(format_args!("outbox:{}", part(id)))
    }

    /// What an endpoint was told, and what it answered.
    #[must_use]
    pub fn hook_log(&self, id: &str) -> String {
        self.key(format_args!("hooklog:{}", part(id)))
    }
}
