//! The pages people look at: pure functions from data to HTML.
//!
//! Every screen is a struct of what it shows and a method that writes it. Whoever serves it (the
//! gateway) fetches the data, knows who is asking and sends the text; nothing here waits, reads or
//! decides. All text from outside is escaped by the template language; the only raw markup is our
//! own.
//!
//! Pages work without a script: links, forms and redirects do everything. The scripts beside them
//! refresh what changes, add keys, and nothing else. Charts are SVG whose geometry is written as
//! attributes, because the pages forbid inline style.
//!
//! Must not know: HTTP, Redis, the bucket, how a role was proven.
#![forbid(unsafe_code)]

pub mod bottleneck;
mod chart;
mod chips;
pub mod files;
mod forms;
mod guide;
mod notice;
pub mod screens;
mod shell;
mod viewer;
mod waterfall;
mod wording;

pub use chart::{Backlog, Cell, Stage, Throughput};
pub use guide::markdown;
pub use notice::Notice;
pub use shell::{PREFIX, Screen};
pub use viewer::{Role, Viewer};

/// The policy every page is served with: nothing from elsewhere, nothing inline.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; media-src 'self'; connect-src 'self'; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'";
