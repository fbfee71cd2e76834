//! The scripts, compiled in. One verb, one file, one reason: see the head of each in `lua/`.

use std::sync::LazyLock;

/// What snippet `run` says where one server alone can have written what is read, and what stands there
/// where another may have taken over.
const ONE_SERVER: &str = "local many_servers = false";
const MANY_SERVERS: &str = "local many_servers = true";
/// Stands before every script where pools may be spread over a cluster.
const WHOLE: &str = include_str!("../lua/snippet/whole.lua");

/// A script and the name the server knows it by.
#[derive(Debug)]
pub(crate) struct Script {
    name: &'static str,
    source: &'static str,
    sha: LazyLock<String>,
    many: LazyLock<(String, String)>,
}

impl Script {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The text, for one server or for servers that take over for each other.
    pub(crate) fn source(&self, many: bool) -> &str {
        if many { &self.many.0 } else { self.source }
    }

    pub(crate) fn sha(&self, many: bool) -> &str {
        if many { &self.many.1 } else { &self.sha }
    }
}

fn for_many(source: &str) -> (String, String) {
    let source = [WHOLE, &source.replace(ONE_SERVER, MANY_SERVERS)].join("\n");
    let sha = redis::Script::new(&source).get_hash().to_owned();
    (source, sha)
}

/// `NAME = "verb", snippets…;`: the verb's file after the snippets it uses. Whatever stands here is one of [`ALL`].
macro_rules! scripts {
    ($($name:ident = $verb:literal $(, $snippet:literal)*;)*) => {
        $(pub(crate) static $name: Script = Script {
            name: $verb,
            source: concat!(
                $(include_str!(concat!("../lua/snippet/", $snippet, ".lua")), "\n",)*
                include_str!(concat!("../lua/", $verb, ".lua"))
            ),
            sha: LazyLock::new(|| redis::Script::new($name.source).get_hash().to_owned()),
            many: LazyLock::new(|| for_many($name.source)),
        };)*

        static ALL: &[&Script] = &[$(&$name),*];
    };
}

scripts! {
    CREATE = "create", "ticket", "tomb", "audit", "run", "lsn", "days";
    COMMIT = "commit", "ticket", "tomb", "audit", "run", "pace", "lsn", "days", "purse", "pauses";
    CLAIM = "claim", "pauses";
    CLAIM_SUBMIT = "claim_submit", "audit", "run", "pace", "pauses";
    RENEW = "renew";
    RELEASE = "release", "ticket";
    PUT_OFF = "put_off", "ticket";
    HINT = "hint", "ticket";
    GRANT = "grant", "audit", "run", "pace";
    DONE = "done", "audit", "run", "pace";
    HOLD = "hold";
    LIMIT = "limit", "audit";
    SLOW = "slow";
    FREEZE = "freeze", "audit", "run", "lsn";
    THAW = "thaw", "audit";
    LOCK = "lock";
    NOTE = "note", "days";
    RESERVE = "reserve", "days";
    MEND = "mend", "ticket";
    LOOK = "look";
    PAGE = "page";
    SHARE = "share", "ticket";
    DELIVER = "deliver", "ticket", "audit";
    HOOK = "hook";
    ALLOT = "allot", "days";
    MINT = "mint";
    REVOKE = "revoke";
    RATE = "rate";
    LEARN = "learn";
    FORGET = "forget", "ticket";
    ARCHIVE = "archive";
    RECALL = "recall", "ticket";
    LAPSE = "lapse";
    FREE = "free";
    UNLIST = "unlist";
    PAUSE = "pause", "audit";
    TURN = "turn", "ticket";
    EDIT = "edit", "ticket";
    BEAT = "beat";
    RAISE = "raise";
}

/// The file name, without its ending, of the script that a server knows by this hash: for people who read a
/// server's logs.
#[must_use]
pub fn script_of(sha: &str) -> Option<&'static str> {
    let is_it = |script: &&&Script| [false, true].iter().any(|many| script.sha(*many) == sha);
    ALL.iter().find(is_it).map(|script| script.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_has_a_name() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("lua");
        let files = std::fs::read_dir(folder).expect("the scripts").flatten();
        let files = files.filter(|file| file.path().extension().is_some_and(|end| end == "lua"));
        assert_eq!(ALL.len(), files.count(), "each file is a script that is known by its name");
        assert_eq!(script_of(COMMIT.sha(false)), Some("commit"));
        assert_eq!(script_of(COMMIT.sha(true)), Some("commit"));
        assert_ne!(COMMIT.sha(false), COMMIT.sha(true), "it tells servers apart");
        assert!(ALL.iter().all(|script| script.source(true).starts_with(WHOLE)));
        assert!(!ALL.iter().any(|script| script.source(false).contains(WHOLE)));
        assert_eq!(script_of("0123"), None);
    }
}
