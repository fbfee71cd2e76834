//! Keys of what is learned by watching tasks.

use super::{Keys, part};

impl Keys {
    /// How long tasks of a class take.
    #[must_use]
    pub fn times(&self, class: &str) -> String {
        self.key(format_args!("times:{}", part(class)))
    }

    /// The last tasks of an account that ended.
    #[must_use]
    pub fn ends(&self, account: &str) -> String {
        self.key(format_args!("ends:{}", part(account)))
    }

    /// Tasks of an account whose end a callback has told.
    #[must_use]
    pub fn told(&self, account: &str) -> String {
        self.key(format_args!("told:{}", part(account)))
    }
}
