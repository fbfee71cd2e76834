//! The two places where the same service is sold.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Currency, ModelKey};

/// Path of the task resource under a route's base URL; create and list use it as it stands,
/// retrieve and delete append `/{id}` (§1.3).
pub const TASKS_PATH: &str = "/contents/generations/tasks";

/// One region with its host, keys, model ids and billing, which never mix with another's (§1.1, M3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// BytePlus ModelArk, Johor; the main route.
    Byteplus,
    /// Volcengine Ark, mainland China.
    Volcengine,
}

impl Route {
    /// Every route, in the order people are shown them.
    pub const ALL: [Route; 2] = [Route::Byteplus, Route::Volcengine];

    /// The word used in configuration, records and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Route::Byteplus => "byteplus",
            Route::Volcengine => "volcengine",
        }
    }

    /// The public base URL, without a trailing slash (§1.1). A pool may point elsewhere, for
    /// instance at the simulator.
    pub const fn base_url(self) -> &'static str {
        match self {
            Route::Byteplus => "https://ark.ap-southeast.bytepluses.com/api/v3",
            Route::Volcengine => "https://ark.cn-beijing.volces.com/api/v3",
        }
    }

    /// What this route's 2.x model ids begin with (§2.2).
    pub const fn model_prefix(self) -> &'static str {
        match self {
            Route::Byteplus => "dreamina-",
            Route::Volcengine => "doubao-",
        }
    }

    /// The currency this route bills in (§11).
    pub const fn currency(self) -> Currency {
        match self {
            Route::Byteplus => Currency::Usd,
            Route::Volcengine => Currency::Cny,
        }
    }

    /// The other route, for messages about a mix-up.
    pub const fn other(self) -> Route {
        match self {
            Route::Byteplus => Route::Volcengine,
            Route::Volcengine => Route::Byteplus,
        }
    }

    /// The model a wire id of this route names, if we know it.
    pub fn model_by_id(self, model_id: &str) -> Option<ModelKey> {
        ModelKey::ALL.into_iter().find(|key| key.wire_id(self) == model_id)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Route {
    type Err = UnknownRoute;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Route::ALL
            .into_iter()
            .find(|route| route.word() == word)
            .ok_or_else(|| UnknownRoute { word: word.to_owned() })
    }
}

/// A word that names no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown route {word:?}; known are byteplus and volcengine")]
pub struct UnknownRoute {
    /// The word as it was given.
    pub word: String,
}
