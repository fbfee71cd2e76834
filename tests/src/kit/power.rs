//! A private Redis on a machine whose power can be cut.
//!
//! SIGKILL is no power cut: the kernel still writes what the server had handed over. The server here
//! runs with a shim (`tests/shim/powercut.c`, compiled when needed) that notes what its syncs have
//! made durable; [`PowerRedis::power_cut`] kills it and takes everything else away: bytes beyond the
//! last finished sync, and names whose directory was never synced. The shim also slows syncs down and
//! fills the disk. Every fault keeps the port, so that a fleet finds its server again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sandbox::{Redis, TempDir, wait};

const SHIM: &str = include_str!("../../shim/powercut.c");
/// Files in the data directory that the server does not write itself.
const NOT_THE_SERVERS: [&str; 2] = ["redis.log", "written-by"];
/// A copy of files that are being rewritten is taken again, at most this often.
const SNAPSHOT_TRIES_MAX: u32 = 50;
/// Folders below folders; the server has one level.
const DEPTH_MAX: u32 = 4;

/// What to start.
#[derive(Debug, Clone)]
pub struct PowerOptions {
    /// `always` or `everysec`.
    pub appendfsync: &'static str,
    /// A memory file system of this size under the data; needs root, and knows no power cut.
    pub tmpfs_bytes: Option<u64>,
    /// More arguments for the server.
    pub extra_args: Vec<String>,
}

impl Default for PowerOptions {
    fn default() -> Self {
        Self { appendfsync: "always", tmpfs_bytes: None, extra_args: Vec::new() }
    }
}

/// What a power cut took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// Bytes that were written and not synced.
    pub bytes_lost: u64,
    /// Files that were there and are not any more, or came back under their old name.
    pub names_undone: u64,
}

/// The server. Every method takes `&self`: a test shares it with the part that breaks things.
#[derive(Debug)]
pub struct PowerRedis {
    redis: Redis,
    data: PathBuf,
    state: PathBuf,
    _tmpfs: Option<Tmpfs>,
    _home: TempDir,
}

/// A copy of the data of one moment.
#[derive(Debug)]
pub struct Snapshot {
    home: TempDir,
}

impl PowerRedis {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    ///
    /// There is no server program or no C compiler, or it does not start.
    #[must_use]
    pub fn start(options: &PowerOptions) -> Self {
        let home = TempDir::new("power").expect("a temporary folder");
        let root = home.path().canonicalize().expect("it was just made");
        let (data, state) = (root.join("data"), root.join("state"));
        for dir in [&data, &state] {
            fs::create_dir(dir).expect("the folder is ours");
        }
        let tmpfs = options.tmpfs_bytes.map(|bytes| Tmpfs::mount(&data, bytes));
        let shim = compile(&root);
        let plain = sandbox::Options {
            dir: Some(data.clone()),
            appendfsync: options.appendfsync.to_owned(),
            extra_args: options.extra_args.clone(),
            env: [("LD_PRELOAD", &shim), ("POWERCUT_DATA", &data), ("POWERCUT_STATE", &state)]
                .map(|(name, path)| (name.to_owned(), path.display().to_string()))
                .to_vec(),
            ..sandbox::Options::default()
        };
        settle(&data, &state);
        let redis = Redis::start(plain).unwrap_or_else(|error| panic!("no Redis: {error}"));
        Self { redis, data, state, _tmpfs: tmpfs, _home: home }
    }

    /// The server as any other: address, orders, log.
    #[must_use]
    pub fn server(&self) -> &Redis {
        &self.redis
    }

    /// SIGKILL; the files keep all that was written.
    pub fn kill9(&self) {
        self.redis.kill9();
    }

    /// Where the server keeps its files.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Starts it on what is there, on its old port.
    ///
    /// # Panics
    ///
    /// It does not start.
    pub fn restart(&self) {
        self.redis.restart().unwrap_or_else(|error| panic!("no Redis: {error}"));
    }

    /// SIGKILL, then takes away what no finished sync covers. The server stays down.
    ///
    /// # Panics
    ///
    /// The data lie on a memory file system, or a file cannot be moved.
    pub fn power_cut(&self) -> Cut {
        assert!(self._tmpfs.is_none(), "a memory file system keeps nothing anyway");
        self.kill9();
        let cut = cut(&self.data, &self.state).unwrap_or_else(|error| panic!("power cut: {error}"));
        settle(&self.data, &self.state);
        cut
    }

    /// Copies the data as they are now, under a running server: a state it could have crashed in.
    ///
    /// # Panics
    ///
    /// A file cannot be read, or the server rewrites without end.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        for _ in 0..SNAPSHOT_TRIES_MAX {
            let home = TempDir::new("snapshot").expect("a temporary folder");
            let before = names(&self.data);
            let copied = copy(&self.data, home.path());
            // A rewrite in between would mix the files of two lives.
            if copied.is_ok() && before == names(&self.data) {
                return Snapshot { home };
            }
        }
        panic!("no quiet moment for a copy of {}", self.data.display());
    }

    /// SIGKILL, then starts again on an older copy, as after a restored backup.
    ///
    /// # Panics
    ///
    /// The copy cannot be put back, or the server does not start on it.
    pub fn rollback(&self, older: &Snapshot) {
        self.kill9();
        self.clear().and_then(|()| copy(older.home.path(), &self.data)).expect("files are ours");
        settle(&self.data, &self.state);
        self.restart();
    }

    /// SIGKILL, then starts again with nothing.
    ///
    /// # Panics
    ///
    /// As [`PowerRedis::rollback`].
    pub fn wipe(&self) {
        self.kill9();
        self.clear().expect("the files are ours");
        settle(&self.data, &self.state);
        self.restart();
    }

    /// Answers nobody for a while; connections stay open.
    ///
    /// # Panics
    ///
    /// The signal cannot be sent.
    pub fn freeze(&self, pause: Duration) {
        self.redis.pause().expect("a signal");
        // sleeps: the pause itself is the fault.
        std::thread::sleep(pause);
        self.redis.resume().expect("a signal");
    }

    /// Forgets every script, as a restart does. How often that was met: `refused("NOSCRIPT")`.
    ///
    /// # Panics
    ///
    /// The server does not answer.
    pub fn flush_scripts(&self) {
        self.order(&["SCRIPT", "FLUSH"]);
    }

    /// From now on the memory is full for every write, or enough again. How often that was met:
    /// `refused("OOM")`.
    ///
    /// # Panics
    ///
    /// The server does not answer.
    pub fn low_memory(&self, on: bool) {
        self.order(&["CONFIG", "SET", "maxmemory", if on { "1" } else { "0" }]);
    }

    /// How often this life of the server has refused a call with an error of that word.
    #[must_use]
    pub fn refused(&self, word: &str) -> u64 {
        let info = self.redis.command(&["INFO", "errorstats"]).unwrap_or_default();
        let head = format!("errorstat_{word}:count=");
        let count = info.lines().find_map(|line| line.strip_prefix(&head)?.trim().parse().ok());
        count.unwrap_or(0)
    }

    /// From now on every sync takes this much longer; zero ends it.
    pub fn slow_sync(&self, extra: Duration) {
        self.set(0, u64::try_from(extra.as_micros()).unwrap_or(u64::MAX));
    }

    /// Syncs that were slowed.
    #[must_use]
    pub fn slowed(&self) -> u64 {
        self.number(2)
    }

    /// From now on the disk is full for the server, or empty enough again. The first write it hits
    /// may be cut short, as on a real one.
    pub fn disk_full(&self, on: bool) {
        self.set(1, u64::from(on));
    }

    /// Writes that a full disk has refused or cut short.
    #[must_use]
    pub fn writes_refused(&self) -> u64 {
        self.number(3)
    }

    /// Waits until the server has ended by itself, as it does when it cannot keep `always`.
    #[must_use]
    pub fn ends_within(&self, bound: Duration) -> bool {
        // One that lives on refuses even a PING while it cannot write.
        let gone = || (!self.redis.is_running()).then_some(());
        wait::until("the end of the server", bound, gone).is_ok()
    }

    /// Has the server write its file anew from memory, as a person does after a full disk under `everysec`.
    ///
    /// # Panics
    ///
    /// It does not do so in time.
    pub fn rewrite(&self) {
        const BOUND: Duration = Duration::from_secs(60);
        let info = |line: &str| {
            let told = self.redis.command(&["INFO", "persistence"]).unwrap_or_default();
            told.lines().any(|found| found.trim_end() == line)
        };
        let able = || info("aof_last_write_status:ok").then_some(());
        let begun = || self.redis.command(&["BGREWRITEAOF"]).ok();
        let done = || {
            let idle = info("aof_rewrite_in_progress:0") && info("aof_rewrite_scheduled:0");
            (idle && info("aof_last_bgrewrite_status:ok")).then_some(())
        };
        let all = wait::until("a server that writes again", BOUND, able)
            .and_then(|()| wait::until("a rewrite that begins", BOUND, begun).map(drop))
            .and_then(|()| wait::until("a rewritten file", BOUND, done));
        all.unwrap_or_else(|why| panic!("{why}: {}", self.redis.log_tail(5)));
    }

    /// Fills a memory file system to its last byte, or empties it again.
    ///
    /// # Panics
    ///
    /// There is none.
    pub fn fill(&self, on: bool) {
        assert!(self._tmpfs.is_some(), "only a memory file system is ours to fill");
        let filler = self.data.join("filler");
        if !on {
            fs::remove_file(filler).expect("it was filled before");
            return;
        }
        let mut file = fs::File::create(filler).expect("the folder is ours");
        for bytes in [64 * 1024, 4096] {
            while file.write_all(&vec![0; bytes]).is_ok() {}
        }
    }

    fn order(&self, words: &[&str]) {
        self.redis.command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }

    fn control(&self) -> fs::File {
        let path = self.state.join("control");
        fs::File::options().read(true).write(true).open(path).expect("it was made at the start")
    }

    fn set(&self, slot: u64, value: u64) {
        self.control().write_all_at(&value.to_ne_bytes(), slot * 8).expect("a page of memory");
    }

    fn number(&self, slot: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control().read_exact_at(&mut bytes, slot * 8).expect("a page of memory");
        u64::from_ne_bytes(bytes)
    }

    /// Removes what the server wrote.
    fn clear(&self) -> io::Result<()> {
        for file in files(&self.data)? {
            fs::remove_file(self.data.join(file))?;
        }
        Ok(())
    }
}

/// Compiles the shim into a folder.
fn compile(dir: &Path) -> PathBuf {
    let shim = dir.join("powercut.so");
    let mut cc = Command::new("cc");
    cc.args(["-x", "c", "-shared", "-fPIC", "-O1", "-o"]).arg(&shim).args(["-", "-ldl"]);
    let mut child = cc.stdin(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("cc: {error}"));
    let mut source = child.stdin.take().expect("it is piped");
    source.write_all(SHIM.as_bytes()).expect("the compiler reads");
    drop(source);
    let status = child.wait().expect("it is our child");
    assert!(status.success(), "cc does not compile tests/shim/powercut.c: {status}");
    shim
}

/// Every regular file of the server below `dir`, by its path from there.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fn walk(dir: &Path, below: &Path, depth: u32, found: &mut Vec<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(dir.join(below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                if depth < DEPTH_MAX {
                    walk(dir, &path, depth + 1, found)?;
                }
            } else if !NOT_THE_SERVERS.iter().any(|name| path == Path::new(name)) {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(dir, Path::new(""), 0, &mut found)?;
    found.sort();
    Ok(found)
}

/// Names with what tells two files of one name apart.
fn names(dir: &Path) -> BTreeMap<PathBuf, u64> {
    let inode = |file: PathBuf| Some((fs::metadata(dir.join(&file)).ok()?.ino(), file));
    let found = files(dir).unwrap_or_default().into_iter().filter_map(inode);
    found.map(|(inode, file)| (file, inode)).collect()
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for file in files(from)? {
        let target = to.join(&file);
        fs::create_dir_all(target.parent().unwrap_or(to))?;
        fs::copy(from.join(&file), target)?;
    }
    Ok(())
}

/// From here on, what lies there is what survives: the shim starts with an empty notebook.
fn settle(data: &Path, state: &Path) {
    let fresh = || -> io::Result<()> {
        fs::remove_dir_all(state)?;
        for dir in ["", "len", "grave", "cut"] {
            fs::create_dir(state.join(dir))?;
        }
        fs::write(state.join("control"), [0; 32])?;
        let mut known = String::new();
        for (file, inode) in names(data) {
            let length = fs::metadata(data.join(&file))?.len();
            fs::write(state.join("len").join(inode.to_string()), format!("{length:020}"))?;
            known.push_str(&format!("F {inode} {}\n", file.display()));
        }
        fs::write(state.join("names"), known)
    };
    fresh().unwrap_or_else(|error| panic!("{}: {error}", state.display()));
}

/// Rebuilds the data directory from what the shim saw becoming durable.
fn cut(data: &Path, state: &Path) -> io::Result<Cut> {
    let (before, lasting) = (names(data), lasting(&fs::read_to_string(state.join("names"))?));
    let mut result = Cut::default();
    let aside = |inode: u64| state.join("cut").join(inode.to_string());
    for (file, inode) in &before {
        fs::rename(data.join(file), aside(*inode))?;
        result.names_undone += u64::from(lasting.get(file) != Some(inode));
    }
    for (file, inode) in &lasting {
        let grave = state.join("grave").join(inode.to_string());
        let bytes = [aside(*inode), grave].into_iter().find(|path| path.exists());
        let Some(bytes) = bytes else { continue };
        // A name can last where no byte of the file does.
        let noted = fs::read_to_string(state.join("len").join(inode.to_string()));
        let lasts: u64 = noted.map_or(Ok(0), |text| text.parse()).map_err(io::Error::other)?;
        let target = data.join(file);
        // A file with two names is cut once for each.
        fs::copy(bytes, &target)?;
        let open = fs::File::options().write(true).open(&target)?;
        let length = open.metadata()?.len();
        result.bytes_lost += length.saturating_sub(lasts);
        open.set_len(length.min(lasts))?;
    }
    Ok(result)
}

/// Which names last, with the inode each leads to.
fn lasting(notes: &str) -> BTreeMap<PathBuf, u64> {
    let mut lasting: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for note in notes.lines() {
        let Some((kind, rest)) = note.split_once(' ') else { continue };
        if kind == "D" {
            let dir = Path::new(rest);
            let dir = dir.strip_prefix(".").unwrap_or(dir);
            lasting.retain(|file, _| file.parent() != Some(dir));
        } else if let Some((inode, path)) = rest.split_once(' ')
            && let Ok(inode) = inode.parse()
        {
            let path = Path::new(path);
            lasting.insert(path.strip_prefix(".").unwrap_or(path).to_owned(), inode);
        }
    }
    lasting.retain(|file, _| !NOT_THE_SERVERS.iter().any(|name| file == Path::new(name)));
    lasting
}

#[derive(Debug)]
struct Tmpfs {
    at: PathBuf,
}

impl Tmpfs {
    fn mount(at: &Path, bytes: u64) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(at);
        let status = mount.status().unwrap_or_else(|error| panic!("mount: {error}"));
        assert!(status.success(), "a memory file system needs root: mount {status}");
        Self { at: at.to_owned() }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_last_by_the_sync_of_the_file_or_of_its_folder() {
        let notes = "F 7 base\nF 8 log/a\nF 9 temp\nD log\nE 9 log/b\nD .\nE 7 ./base\n";
        let lasting = lasting(notes);
        let expected = [("base", 7), ("log/b", 9)].map(|(name, inode)| (name.into(), inode));
        assert_eq!(lasting, BTreeMap::from(expected));
        assert_eq!(super::lasting("F 9 temp\n")[Path::new("temp")], 9, "renamed, never synced");
    }
}
