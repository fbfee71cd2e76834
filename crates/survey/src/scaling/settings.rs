//! Section `scaling`, as far as the arithmetic reads it.

use serde::Deserialize;
use std::time::Duration;

/// What the arithmetic takes from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ScalingSettings {
    /// What waits is to be done within this.
    #[serde(with = "humantime_serde")]
    pub drain_within: Duration,
    /// Free slots are to be filled within this.
    #[serde(with = "humantime_serde")]
    pub fill_within: Duration,
    /// How long a task runs, while nothing is learned of it.
    #[serde(with = "humantime_serde")]
    pub generate: Duration,
    /// How large a video is taken to be.
    pub output_bytes: u64,
    /// Section `scaling.submitter`.
    pub submitter: Submitters,
    /// Section `scaling.poller`.
    pub poller: Pollers,
    /// Section `scaling.downloader`.
    pub downloader: Downloaders,
    /// Section `scaling.notifier`.
    pub notifier: Notifiers,
}

/// How many there may be of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Never fewer.
    pub min: u32,
    /// Never more.
    pub max: u32,
}

/// A role's own section: its bounds, and what one process of it does.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $(#[$each_doc:meta])* $each:ident }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Processes at least.
            pub min: u32,
            /// Processes at most.
            pub max: u32,
            $(#[$each_doc])*
            pub $each: u64,
        }

        impl $name {
            pub(super) const fn share(self) -> Share {
                Share { min: self.min, max: self.max }
            }
        }
    };
}

section! {
    /// Section `scaling.submitter`.
    Submitters {
        /// Creates a second that one process makes.
        creates_per_s
    }
}
section! {
    /// Section `scaling.poller`.
    Pollers {
        /// Looks at tasks a second that one process makes.
        looks_per_s
    }
}
section! {
    /// Section `scaling.downloader`.
    Downloaders {
        /// Bytes a second that one process copies.
        bytes_per_s
    }
}
section! {
    /// Section `scaling.notifier`.
    Notifiers {
        /// Endpoints that one process serves at a time.
        endpoints
    }
}
