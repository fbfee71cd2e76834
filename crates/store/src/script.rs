//! The scripts, compiled in. One verb, one file, one reason: see the head of each in `lua/`.

use std::sync::LazyLock;

/// A script and the name the server knows it by.
#[derive(Debug)]
pub(crate) struct Script {
    name: &'static str,
    source: &'static str,
    sha: LazyLock<String>,
}

impl Script {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn source(&self) -> &'static str {
        self.source
    }

    pub(crate) fn sha(&self) -> &str {
        &self.sha
    }
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
}

/// The file name, without its ending, of the script that a server knows by this hash: for people who read a
/// server's logs.
#[must_use]
pub fn script_of(sha: &str) -> Option<&'static str> {
    ALL.iter().find(|script| script.sha() == sha).map(|script| script.name())
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
        assert_eq!(script_of(COMMIT.sha()), Some("commit"));
        assert_eq!(script_of("0123"), None);
    }
}
