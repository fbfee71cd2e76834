//! `deploy/redis/users.acl`: a user of Redis for each program, with the commands it can reach and no others; and
//! `deploy/redis/sentinels.acl`, the same for Sentinels, which every program asks the one question.
//!
//! Read from the sources, so that a new command is granted in the same commit: from every function of the
//! store that a program's rooms name, along the names in its body, to the commands and the scripts it sends;
//! Redis checks what a script calls against the user who runs it. Names stand for functions, so a program may
//! be granted what it never sends; it is never refused what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// The programs, by the folder of their room, and the user of each.
pub const PROGRAMS: [(&str, &str); 6] = [
    ("gateway", "gateway"),
    ("submitter", "submitter"),
    ("poller", "poller"),
    ("downloader", "downloader"),
    ("notifier", "notifier"),
    ("seedfleet", "cli"),
];
/// Rooms that ship with the command line and speak to servers of their own.
const APART: [&str; 3] = ["sandbox", "simulator", "store"];
/// What every connection says before its first question.
const GREETING: [&str; 4] = ["auth", "hello", "ping", "select"];
/// Commands of which one part is enough.
const PARTS: [(&str, &str); 4] = [
    ("CLUSTER", "cluster|nodes"),
    ("CONFIG", "config|get"),
    ("PUBSUB", "pubsub|numsub"),
    ("SCRIPT", "script|load"),
];
/// Words in capitals that are no commands, or none that a server of ours is sent.
const WORDS: [&str; 33] = [
    "ASK",
    "BLOCK",
    "BUSY",
    "BYLEX",
    "BYSCORE",
    "CLUSTERDOWN",
    "COUNT",
    "ERR",
    "LIMIT",
    "LOAD",
    "LOADING",
    "MASTER",
    "MASTERDOWN",
    "MATCH",
    "MAXLEN",
    "MINID",
    "MISCONF",
    "MOVED",
    "NOAUTH",
    "NODES",
    "NOPERM",
    "NOREPLICAS",
    "NOSCRIPT",
    "NUMSUB",
    "OOM",
    "READONLY",
    "REV",
    "SENTINEL",
    "STREAMS",
    "TRYAGAIN",
    "UNBLOCKED",
    "WITHSCORES",
    "WRONGPASS",
];
/// For servers that replicate, for Sentinels (see Redis's own pages on ACLs), and for `deploy/redis/backup.sh dump`.
pub const SERVERS: [(&str, &str); 3] = [
    ("replica", "+psync +replconf +ping"),
    (
        "sentinel",
        "allchannels +multi +exec +slaveof +ping +subscribe +publish +info +role +config|rewrite +client|setname +client|kill +script|kill",
    ),
    ("backup", "+ping +psync +replconf +sync"),
];

/// At a Sentinel: all programs, which ask `src/address/find.rs`'s question, and the other Sentinels.
pub const AT_SENTINELS: [(&str, &str); 2] = [
    ("fleet", "+sentinel|master"),
    (
        "sentinel",
        "&__sentinel__:hello +ping +publish +client|setname +sentinel|is-master-down-by-addr",
    ),
];

/// What stands where the hash of a password belongs. No server starts with it.
#[must_use]
pub fn placeholder(user: &str) -> String {
    format!("#SHA256-OF-THE-PASSWORD-OF-{}", user.to_uppercase())
}

/// The name a program logs in with.
#[must_use]
pub fn name(user: &str) -> String {
    format!("seedfleet-{user}")
}

/// The file, for the sources in the clone at `root`.
///
/// # Errors
///
/// A source cannot be read.
pub fn acl(root: &Path) -> io::Result<String> {
    let store = Store::read(root)?;
    let keys = store::keys::acl_pattern(&store::Settings::default().key_prefix);
    let mut file = "user default off\n".to_owned();
    for (room, user) in PROGRAMS {
        let commands = store.reached_from(&texts_of(root, room)?);
        let granted = commands.iter().map(|command| {
            let part = PARTS.iter().find(|(whole, _)| whole == command);
            part.map_or_else(|| command.to_lowercase(), |(_, part)| (*part).to_owned())
        });
        let granted: BTreeSet<String> = granted.chain(GREETING.map(str::to_owned)).collect();
        let granted: Vec<String> = granted.iter().map(|command| format!("+{command}")).collect();
        file.push_str(&format!(
            "user {} on {} resetchannels resetkeys ~{keys} -@all {}\n",
            name(user),
            placeholder(user),
            granted.join(" ")
        ));
    }
    file.extend(SERVERS.map(line));
    Ok(file)
}

/// The file for Sentinels.
#[must_use]
pub fn sentinels() -> String {
    ["user default off\n".to_owned()].into_iter().chain(AT_SENTINELS.map(line)).collect()
}

fn line((user, rights): (&str, &str)) -> String {
    let (name, hash) = (name(user), placeholder(user));
    format!("user {name} on {hash} resetchannels resetkeys -@all {rights}\n")
}

/// What the room of the store offers, by name.
struct Store {
    items: BTreeMap<String, Vec<String>>,
    /// Of each script, by the name Rust has for it.
    scripts: BTreeMap<String, BTreeSet<String>>,
}

impl Store {
    fn read(root: &Path) -> io::Result<Self> {
        let room = root.join("crates/store");
        let mut items: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in sources(&room.join("src"))? {
            for (name, body) in items_of(&text) {
                items.entry(name.to_owned()).or_default().push(body.to_owned());
            }
        }
        Ok(Self { items, scripts: scripts(&room)? })
    }

    /// The commands behind every name that stands after a point or two colons in these texts.
    fn reached_from(&self, texts: &[String]) -> BTreeSet<String> {
        let mut todo: Vec<&str> = Vec::new();
        for text in texts {
            let named = words(text).filter(|(at, _)| text[..*at].ends_with(['.', ':']));
            todo.extend(named.map(|(_, word)| word).filter(|word| self.items.contains_key(*word)));
        }
        let (mut seen, mut commands) = (BTreeSet::new(), BTreeSet::new());
        while let Some(name) = todo.pop() {
            let Some(bodies) = self.items.get(name).filter(|_| seen.insert(name)) else { continue };
            for body in bodies {
                commands.extend(capitals(body));
                for (_, word) in words(body) {
                    if let Some(script) = self.scripts.get(word) {
                        commands.extend(script.iter().cloned());
                    }
                    todo.extend(self.items.contains_key(word).then_some(word));
                }
            }
        }
        commands
    }
}

/// Each script's own text after those of its snippets, as `src/script.rs` puts them together.
fn scripts(room: &Path) -> io::Result<BTreeMap<String, BTreeSet<String>>> {
    let mut scripts = BTreeMap::new();
    // Before every script, where pools are spread.
    let whole = present(fs::read_to_string(room.join("lua/snippet/whole.lua")))?;
    let whole = capitals(&whole.unwrap_or_default());
    let table = present(fs::read_to_string(room.join("src/script.rs")))?.unwrap_or_default();
    for line in table.lines() {
        let Some((name, files)) = line.trim().split_once(" = \"") else { continue };
        let Some(files) = files.strip_suffix(';').filter(|_| capital(name)) else { continue };
        let mut commands = whole.clone();
        for (at, file) in files.split(',').enumerate() {
            let folder = if at == 0 { "lua" } else { "lua/snippet" };
            let file = format!("{folder}/{}.lua", file.trim().trim_matches('"'));
            commands.extend(capitals(&fs::read_to_string(room.join(file))?));
        }
        scripts.insert(name.to_owned(), commands);
    }
    Ok(scripts)
}

/// The sources of a room and of every room it uses, the store apart.
fn texts_of(root: &Path, room: &str) -> io::Result<Vec<String>> {
    let (mut rooms, mut todo) = (BTreeSet::new(), vec![room.to_owned()]);
    let mut texts = Vec::new();
    while let Some(room) = todo.pop() {
        let home = root.join("crates").join(&room);
        let manifest = present(fs::read_to_string(home.join("Cargo.toml")))?;
        let Some(manifest) = manifest.filter(|_| rooms.insert(room)) else { continue };
        texts.extend(sources(&home.join("src"))?);
        let used = manifest.split("\n[").find_map(|part| part.strip_prefix("dependencies]"));
        let used = used.unwrap_or_default().lines().filter_map(|line| {
            line.split(['.', ' ']).next().filter(|name| !name.is_empty() && !APART.contains(name))
        });
        todo.extend(used.map(str::to_owned));
    }
    Ok(texts)
}

/// What a folder below holds, without comments and without tests.
fn sources(dir: &Path) -> io::Result<Vec<String>> {
    let mut texts = Vec::new();
    let Some(entries) = present(fs::read_dir(dir))? else { return Ok(texts) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            texts.extend(sources(&path)?);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path)?;
            let own = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let lines = own.lines().filter(|line| !line.trim_start().starts_with("//"));
            texts.push(lines.flat_map(|line| [line, "\n"]).collect());
        }
    }
    Ok(texts)
}

/// Nothing where there is no such file or folder.
fn present<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Functions, constants and statics, each with its text.
fn items_of(text: &str) -> Vec<(&str, &str)> {
    let all: Vec<(usize, &str)> = words(text).collect();
    let mut items = Vec::new();
    for pair in all.windows(2) {
        let ((_, kind), (at, name)) = (pair[0], pair[1]);
        let ends: &[u8] = match kind {
            "fn" => b"}",
            "const" | "static" if capital(name) => b";",
            _ => continue,
        };
        let end = end_of(&text.as_bytes()[at..], ends[0]);
        items.push((name, &text[at..at + end]));
    }
    items
}

/// How long an item is that ends with `last` outside of all brackets; a function without a body ends with
/// a semicolon.
fn end_of(bytes: &[u8], last: u8) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = after_text(bytes, at),
            // A character; a lifetime has no second quote so near.
            b'\'' if bytes.get(at + 2) == Some(&b'\'') => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\\') => at += 3,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && last == b'}' {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The place of the quote that ends the text which begins at `at`.
fn after_text(bytes: &[u8], at: usize) -> usize {
    let raw = bytes[..at].ends_with(b"r#") || bytes[..at].ends_with(b"r");
    let mut at = at + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' && !raw { 2 } else { 1 };
    }
    at
}

fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(inside)?;
        let end = text[start..].find(|c| !inside(c)).map_or(text.len(), |n| start + n);
        at = end;
        Some((start, &text[start..end]))
    })
}

fn capital(word: &str) -> bool {
    word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// Quoted words in capitals that are commands: whatever is none must stand in [`WORDS`], and a server that
/// is given the file refuses what it does not know.
fn capitals(text: &str) -> BTreeSet<String> {
    let quoted = words(text).filter(|(at, word)| {
        let (before, after) = (text[..*at].chars().last(), text[at + word.len()..].chars().next());
        before == after && matches!(before, Some('"' | '\''))
    });
    let capitals = quoted.map(|(_, word)| word).filter(|word| capital(word) && !word.contains('_'));
    capitals.filter(|word| !WORDS.contains(word)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_along_names_and_through_scripts() {
        let source = r#"
            pub async fn ask(&self) -> [u8; 2] { self.deep("}", '{'); script::DO_IT }
            fn deep(&self) { cmd("GET").arg("COUNT"); READS }
            const READS: [&str; 1] = ["ZRANK"];
            fn other() { cmd("FLUSHALL") }
        "#;
        let mut items: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, body) in items_of(source) {
            items.entry(name.to_owned()).or_default().push(body.to_owned());
        }
        let script = capitals("redis.call('HSET', KEYS[1]) redis.call(x and 'LPUSH' or 'RPUSH')");
        let store = Store { items, scripts: BTreeMap::from([("DO_IT".to_owned(), script)]) };
        let reached = store.reached_from(&["store.ask(); other()".to_owned()]);
        let expected = ["GET", "HSET", "LPUSH", "RPUSH", "ZRANK"].map(str::to_owned);
        assert_eq!(reached, BTreeSet::from(expected));
    }
}
