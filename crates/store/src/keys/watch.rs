//! Keys of what is learned by watching tasks.

use super::{Keys, part};

impl Keys {
    /// How long tasks of a class take.
    #[must_use]
    pub fn times(&self, class: &str) -> String {
        self.key(format_args!("times:{}", part(class)))
    }
}
