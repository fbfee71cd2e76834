//! Which server wrote a data directory.
//!
//! Valkey 9 writes files that Redis 7.0 cannot open, and the server then ends with a message about a
//! bad file format. The stamp turns that into a sentence before anything is touched.

use std::fs;
use std::io;
use std::path::Path;

use super::find::{Server, Version};

const FILE: &str = "written-by";

/// Why a directory may not be used, in one sentence; or what the file system said.
pub(super) enum Refusal {
    Foreign(String),
    Io(io::Error),
}

/// Checks the stamp of `dir` and renews it for `server`.
pub(super) fn claim(dir: &Path, server: &Server) -> Result<(), Refusal> {
    let file = dir.join(FILE);
    match fs::read_to_string(&file) {
        Ok(stamp) => judge(stamp.trim(), server).map_or(Ok(()), |why| {
            let (engine, version) = (server.engine, server.version);
            let shown = dir.display();
            Err(Refusal::Foreign(format!(
                "the data in {shown} was written by {}, and {engine} {version} {why}; use that \
                 server (SEEDFLEET_REDIS_SERVER names one) or another directory",
                stamp.trim()
            )))
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Refusal::Io(error)),
    }
    fs::write(&file, format!("{} {}\n", server.engine, server.version)).map_err(Refusal::Io)
}

/// Why `server` cannot take over from the one that left `stamp`; [`None`] when it can.
fn judge(stamp: &str, server: &Server) -> Option<&'static str> {
    let (engine, version) = stamp.split_once(' ')?;
    if engine != server.engine.to_string() {
        return Some("is another engine");
    }
    // A newer server reads what an older one wrote, never the other way round for certain.
    match Version::parse(version) {
        Some(written) if written > server.version => Some("is older"),
        Some(_) => None,
        None => Some("cannot tell which version that is"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::find::Engine;
    use super::*;

    #[test]
    fn only_the_same_engine_not_older_may_take_over() {
        let version = Version { major: 7, minor: 0, patch: 15 };
        let server = Server { path: "redis-server".into(), engine: Engine::Redis, version };
        assert_eq!(judge("redis 7.0.15", &server), None);
        assert_eq!(judge("redis 7.0.2", &server), None);
        assert_eq!(judge("redis 7.2.4", &server), Some("is older"));
        assert_eq!(judge("valkey 9.1.2", &server), Some("is another engine"));
    }
}
