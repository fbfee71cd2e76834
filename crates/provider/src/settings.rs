//! The `provider` section of the configuration.

use std::time::Duration;

use egress::CallLimits;
use limiter::UnderWay;
use serde::Deserialize;

/// How long calls to the provider may take, and which way they go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Longest wait for a connection: name, TCP and TLS together.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Longest create call, connection included; at most 60 s. Past it the outcome is unclear.
    #[serde(with = "humantime_serde")]
    pub create_timeout: Duration,
    /// Longest retrieve, list or delete call.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
    /// How long the kernel keeps sending unacknowledged bytes. Part of the quiet horizon.
    #[serde(with = "humantime_serde")]
    pub tcp_user_timeout: Duration,
    /// Proxy for these calls; empty goes direct.
    pub proxy: String,
}

impl Default for Settings {
    fn default() -> Self {
        let (creates, reads) = (CallLimits::for_creates(), CallLimits::for_reads());
        Self {
            connect_timeout: creates.connect_timeout,
            create_timeout: creates.total_timeout,
            read_timeout: reads.total_timeout,
            tcp_user_timeout: creates.tcp_user_timeout,
            proxy: String::new(),
        }
    }
}

impl Settings {
    /// How long calls may be under way: their time-out, and what the kernel goes on sending behind it.
    #[must_use]
    pub fn under_way(&self) -> UnderWay {
        UnderWay {
            read: self.read_timeout + self.tcp_user_timeout,
            create: self.create_timeout + self.tcp_user_timeout,
        }
    }

    pub(crate) fn creates(&self) -> CallLimits {
        self.over(CallLimits::for_creates(), self.create_timeout)
    }

    pub(crate) fn reads(&self) -> CallLimits {
        self.over(CallLimits::for_reads(), self.read_timeout)
    }

    fn over(&self, limits: CallLimits, total_timeout: Duration) -> CallLimits {
        CallLimits {
            connect_timeout: self.connect_timeout,
            total_timeout,
            tcp_user_timeout: self.tcp_user_timeout,
            proxy: (!self.proxy.is_empty()).then(|| self.proxy.clone()),
            ..limits
        }
    }
}
