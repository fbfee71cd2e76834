//! The operators' script, called as they call it.

use crate::kit::Fleet;
use sandbox::Redis;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user of `deploy/redis/users.acl` that may ask for a snapshot.
const USER: &str = "seedfleet-backup";
const PASSWORD: &str = "canary-redis-password-of-backup";

/// Ours to look for where the variable of the script names none.
const CLIENTS: [&str; 2] = ["redis-cli", "valkey-cli"];

/// The script, and how its words lead to one server.
pub(super) struct Script<'a> {
    redis: &'a Redis,
    client: &'static str,
}

impl<'a> Script<'a> {
    /// # Panics
    ///
    /// There is no client of Redis on this machine.
    pub(super) fn of(fleet: &'a Fleet) -> Self {
        let answers = |client: &&str| Command::new(client).arg("--version").output().is_ok();
        let client = CLIENTS.into_iter().find(answers);
        let client = client
            .unwrap_or_else(|| panic!("none of {CLIENTS:?} is on PATH (Debian: redis-tools)"));
        Self { redis: fleet.redis(), client }
    }

    /// Copies the server's files below a folder; where the copy is.
    pub(super) fn take(&self, target: &Path) -> PathBuf {
        self.run(&["take".as_ref(), self.redis.dir().as_os_str(), target.as_os_str()]).into()
    }

    /// Has the server send a snapshot, as the user that is made for it and may do nothing else.
    pub(super) fn dump(&self, target: &Path) -> PathBuf {
        let (password, rights) = (format!(">{PASSWORD}"), rights());
        let mut words = vec!["ACL", "SETUSER", USER, "reset", "on", password.as_str()];
        words.extend(rights.split_whitespace());
        self.redis.command(&words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let read = self.redis.command_as(USER, PASSWORD, &["DBSIZE"]);
        assert!(read.is_err(), "who takes backups may ask for nothing else: {read:?}");
        self.run(&["dump".as_ref(), target.as_os_str()]).into()
    }

    /// Loads a copy into a server of its own; what that says it holds.
    pub(super) fn check(&self, backup: &Path) -> String {
        self.run(&["check".as_ref(), backup.as_os_str()])
    }

    /// Puts a copy into the server's folder.
    pub(super) fn restore(&self, backup: &Path) {
        self.run(&["restore".as_ref(), backup.as_os_str(), self.redis.dir().as_os_str()]);
    }

    fn run(&self, words: &[&OsStr]) -> String {
        let mut command = Command::new("sh");
        command.arg(root().join("deploy/redis/backup.sh")).args(words);
        let leads = format!("{} -h 127.0.0.1 -p {} --user {USER}", self.client, self.redis.port());
        command.env("REDIS_CLI", leads).env("REDISCLI_AUTH", PASSWORD);
        command.env("REDIS_SERVER", &self.redis.server().path);
        let output = command.output().unwrap_or_else(|error| panic!("sh: {error}"));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "backup.sh {words:?} ended with {}: {told}",
            output.status
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// The top of the clone.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package stands one below the top")
}

/// What the shipped list of users grants it, behind the place of its password.
fn rights() -> String {
    let shipped = std::fs::read_to_string(root().join("deploy/redis/users.acl"));
    let shipped = shipped.expect("the shipped file");
    let head = format!("user {USER} on ");
    let line = shipped.lines().find_map(|line| line.strip_prefix(&head));
    let (_password, rights) = line.and_then(|line| line.split_once(' ')).expect("its line");
    rights.to_owned()
}
