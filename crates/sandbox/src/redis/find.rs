//! Looking for a server program.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::obtain;

/// Names the server program to use; when set, nothing else is tried.
pub const SERVER_ENV: &str = "SEEDFLEET_REDIS_SERVER";

/// The oldest Redis the fleet's scripts and durability rules are written for.
const REDIS_MIN: Version = Version { major: 7, minor: 0, patch: 0 };

/// Which of the two families of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Redis, 7.0 or newer.
    Redis,
    /// Valkey, any version: the first one equals Redis 7.2.
    Valkey,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        })
    }
}

/// A server's own version, such as 7.0.15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse().ok()
        });
        let mut next = || numbers.next().unwrap_or(Some(0));
        Some(Self { major: next()?, minor: next()?, patch: next()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A server program that answered with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The program.
    pub path: PathBuf,
    /// Redis or Valkey, as it says itself: a file name may lie.
    pub engine: Engine,
    /// Its version.
    pub version: Version,
}

/// No usable server program. The message lists what was looked at and how to get one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// One line for each place looked at.
    pub tried: Vec<String>,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no Redis (7.0 or newer) or Valkey server program found:")?;
        for line in &self.tried {
            writeln!(f, "  - {line}")?;
        }
        f.write_str(obtain::COMMANDS)
    }
}

impl std::error::Error for NotFound {}

/// Looks for a server program: the one named by `SEEDFLEET_REDIS_SERVER`, or else `redis-server`,
/// then `valkey-server` on PATH, then the one [`obtain`](super::obtain()) left in a `.seedfleet`
/// folder of this directory or one above it. Installs nothing.
///
/// # Errors
///
/// [`NotFound`]; also when `SEEDFLEET_REDIS_SERVER` names something unusable.
pub fn find() -> Result<Server, NotFound> {
    if let Some(named) = std::env::var_os(SERVER_ENV).filter(|value| !value.is_empty()) {
        return probe(Path::new(&named))
            .map_err(|why| NotFound { tried: vec![format!("{SERVER_ENV}: {why}")] });
    }
    let mut tried = Vec::new();
    for path in candidates() {
        match probe(&path) {
            Ok(server) => return Ok(server),
            Err(why) => tried.push(why),
        }
    }
    if tried.is_empty() {
        tried.push("neither redis-server nor valkey-server is on PATH".to_owned());
    }
    Err(NotFound { tried })
}

/// Existing files worth asking, in order.
fn candidates() -> Vec<PathBuf> {
    let dirs: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    let on_path = ["redis-server", "valkey-server"]
        .into_iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    let here = std::env::current_dir().unwrap_or_default();
    let left_behind =
        here.ancestors().map(|dir| obtain::wheel_server(&dir.join(obtain::STATE_DIR)));
    on_path.chain(left_behind).filter(|path| path.is_file()).collect()
}

/// Asks a program for its engine and version.
///
/// # Errors
///
/// One line that says why this program will not do.
pub fn probe(path: &Path) -> Result<Server, String> {
    let shown = path.display();
    let output = Command::new(path)
        .arg("--version")
        .output()
        .map_err(|error| format!("{shown} cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let (engine, version) = parse_banner(&said).ok_or_else(|| {
        let first = said.lines().next().unwrap_or_default();
        format!("{shown} does not say which server it is: {first:?}")
    })?;
    if engine == Engine::Redis && version < REDIS_MIN {
        return Err(format!("{shown} is {engine} {version}, older than {REDIS_MIN}"));
    }
    Ok(Server { path: path.to_owned(), engine, version })
}

/// `Redis server v=7.0.15 sha=…` or `Valkey server v=9.1.2 sha=…`.
fn parse_banner(said: &str) -> Option<(Engine, Version)> {
    let engine = match said.split_whitespace().next()? {
        "Redis" => Engine::Redis,
        "Valkey" => Engine::Valkey,
        _ => return None,
    };
    let version = said.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    Some((engine, Version::parse(version)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners_are_read() {
        let version = |major, minor, patch| Version { major, minor, patch };
        assert_eq!(
            parse_banner("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"),
            Some((Engine::Redis, version(7, 0, 15)))
        );
        assert_eq!(
            parse_banner("Valkey server v=9.1.2 sha=00000000:0"),
            Some((Engine::Valkey, version(9, 1, 2)))
        );
        assert_eq!(
            parse_banner("Valkey server v=8.1-rc1 x"),
            Some((Engine::Valkey, version(8, 1, 0)))
        );
        assert_eq!(parse_banner("KeyDB server v=6.3.4"), None);
        assert_eq!(parse_banner(""), None);
    }

    #[test]
    fn a_program_that_is_no_server_is_refused_with_its_name() {
        let why = probe(Path::new("/bin/sh")).expect_err("a shell is no Redis");
        assert!(why.contains("/bin/sh"), "{why}");
        let why = probe(Path::new("/no/such/redis-server")).expect_err("not there");
        assert!(why.contains("cannot be run"), "{why}");
    }
}
