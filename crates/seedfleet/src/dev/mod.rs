//! `seedfleet dev`: the whole fleet on this machine, as real processes, against the simulator.

mod config;
mod demo;
mod fleet;
mod up;

pub(crate) use config::Allowed;

use crate::cli::{DevVerb, Global};
use crate::exit::{Exit, Failure, Outcome};
use std::path::{Path, PathBuf};

/// The ignored folder for what commands leave behind.
const STATE_DIR: &str = ".seedfleet";

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: DevVerb) -> Outcome {
    match verb {
        DevVerb::Up(args) => up::run(global, args).await,
        DevVerb::Demo(args) => demo::run(global, args).await,
    }
}

/// The folder of one run: the one named, which must be empty, or a new one in the state folder.
fn run_dir(named: Option<&Path>, purpose: &str) -> Result<PathBuf, Failure> {
    let dir = match named {
        Some(dir) => {
            let taken = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
            if taken {
                let what = format!("{} is not empty", dir.display());
                return Err(Failure::usage(what).hint("name a new or empty folder with --out"));
            }
            dir.to_owned()
        }
        None => {
            let stamp = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S");
            state_dir()?.join(format!("{purpose}-{stamp}-{}", std::process::id()))
        }
    };
    std::fs::create_dir_all(&dir)?;
    Ok(dir.canonicalize()?)
}

/// The nearest state folder above, or a new one here.
fn state_dir() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir()?;
    let above = here.ancestors().map(|dir| dir.join(STATE_DIR)).find(|dir| dir.is_dir());
    Ok(above.unwrap_or_else(|| here.join(STATE_DIR)))
}

/// Runs what blocks (starting and stopping children) off the threads that serve others.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    E: Into<Failure> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(Failure::new(Exit::Failed, error.to_string())),
    }
}
