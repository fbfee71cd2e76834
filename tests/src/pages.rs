//! The generated pages: which file, and the room that prints it.
//!
//! What a page says is written where the thing lives; here stands only the list, so that one command
//! prints them all and one test compares them all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::requirements::{Proof, Requirements, page, proofs};

/// One generated page.
pub struct Page {
    /// From the top of the clone, with `/` between names.
    pub path: &'static str,
    print: fn(&Path) -> io::Result<String>,
}

/// All of them.
pub const PAGES: [Page; 11] = [
    Page { path: "deploy/redis/sentinels.acl", print: |_| Ok(crate::users::sentinels()) },
    Page { path: "deploy/redis/users.acl", print: crate::users::acl },
    Page { path: "docs/dashboard.md", print: |_| Ok(dashboard::markdown()) },
    Page { path: "docs/filters.md", print: |_| Ok(job::filter::markdown()) },
    Page { path: "docs/keys.md", print: |_| Ok(store::keys::markdown()) },
    Page { path: "docs/metrics.md", print: |_| Ok(telemetry::catalogue_markdown()) },
    Page { path: "docs/model.md", print: |_| Ok(submit_model::markdown()) },
    Page { path: "docs/openapi.json", print: |_| Ok(gateway::openapi()) },
    Page { path: "docs/requirements.md", print: requirements_markdown },
    Page { path: "docs/retry-matrix.md", print: |_| Ok(job::docs::retry_matrix_markdown()) },
    Page { path: "docs/state-machine.md", print: |_| Ok(job::docs::state_machine_markdown()) },
];

impl Page {
    /// What the page should say in the clone at `root`.
    ///
    /// # Errors
    ///
    /// A file the page is made from cannot be read.
    pub fn printed(&self, root: &Path) -> io::Result<String> {
        (self.print)(root)
    }

    /// What is wrong with the page that stands in the clone at `root`; [`None`] when it is fresh.
    #[must_use]
    pub fn staleness(&self, root: &Path) -> Option<String> {
        let path = self.path;
        let stands = fs::read_to_string(root.join(path));
        match (self.printed(root), stands) {
            (Ok(printed), Ok(stands)) if printed == stands => None,
            (Ok(_), Ok(_)) => Some(format!("{path} is not what the code prints: cargo xtask docs")),
            (Ok(_), Err(error)) => Some(format!("{path}: {error}: cargo xtask docs")),
            (Err(error), _) => Some(format!("{path} cannot be printed: {error}")),
        }
    }

    /// Writes the page into the clone at `root`; true when that changed it.
    ///
    /// # Errors
    ///
    /// A file cannot be read or written.
    pub fn refresh(&self, root: &Path) -> io::Result<bool> {
        if self.staleness(root).is_none() {
            return Ok(false);
        }
        fs::write(root.join(self.path), self.printed(root)?)?;
        Ok(true)
    }
}

/// Every tag in the clone at `root`, and what is wrong with those that tag nothing.
///
/// # Errors
///
/// A source file cannot be read.
pub fn all_proofs(root: &Path) -> io::Result<(Vec<Proof>, Vec<String>)> {
    let mut files = Vec::new();
    for top in ["crates", "tests"] {
        collect(&root.join(top), &mut files)?;
    }
    files.sort();
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        let below = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        let (proofs, wrong) = proofs(&below, &fs::read_to_string(&file)?);
        found.extend(proofs);
        faults.extend(wrong);
    }
    Ok((found, faults))
}

/// The lines of `docs/requirements.toml` in the clone at `root`.
///
/// # Errors
///
/// The file is missing or malformed.
pub fn requirements(root: &Path) -> io::Result<Requirements> {
    Requirements::parse(&fs::read_to_string(root.join("docs/requirements.toml"))?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn requirements_markdown(root: &Path) -> io::Result<String> {
    Ok(page(&requirements(root)?, &all_proofs(root)?.0))
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
