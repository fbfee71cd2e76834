//! The provider's contract as values.
//!
//! This room knows what the Seedance 2.0 service accepts, answers and charges: routes, models with
//! their capabilities, a generation request in one normal form, the strict validator in front of
//! it, the task object, the error classes, and the token and cost formulas. Numbered references such
//! as "§7.3" point at `docs/provider.md`.
//!
//! It must not know that there is a network, a clock, a database or an async runtime. Everything
//! here is a pure function over values; tables are data files compiled in and parsed once.

#![forbid(unsafe_code)]

mod api_error;
mod calendar;
mod class;
mod content;
mod error_table;
mod link;
mod media;
mod model;
mod output;
mod pricing;
mod request;
mod route;
mod task;
mod tokens;
mod validate;
mod wire_body;

pub use api_error::ApiError;
pub use class::{Brake, Call, Class, Created, Retry};
pub use content::{ContentItem, ImageRole, Mode};
pub use error_table::{
    Classified, ClassifiedTask, ErrorTable, OwnRule, Rule, StatusRule, TableError,
};
pub use link::links_die_at_unix_s;
pub use media::{AudioFormat, ImageFormat, InlineMedia, MediaSource};
pub use model::{Capabilities, ModelKey, Quota, SlotClass, Tier};
pub use output::{DurationChoice, FrameSize, Ratio, Resolution};
pub use pricing::{Cost, Currency, Day, PriceTable, PricingError, UnknownPrice, micros};
pub use request::Request;
pub use route::{Route, TASKS_PATH, UnknownRoute};
pub use task::{
    EXPIRES_AFTER_DEFAULT_S, Task, TaskError, TaskPage, TaskStatus, Unreadable, created_task_id,
    is_task_id,
};
pub use tokens::{estimate_tokens, least_tokens, tokens};
pub use validate::{
    Checked, FAULT_CODES, Fault, FileFacts, FileFormat, MediaKind, Reached, Rules, WARNING_CODES,
    Warning, nearest, reference_doubt, reference_faults, unknown_key, validate, validate_beside,
};
pub use wire_body::{Envelope, MissingMedia, RENDERER_VERSION};
