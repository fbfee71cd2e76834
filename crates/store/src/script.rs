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

/// `script!(NAME, "verb", snippets…)`: the verb's file after the snippets it uses.
macro_rules! script {
    ($name:ident, $verb:literal $(, $snippet:literal)*) => {
        pub(crate) static $name: Script = Script {
            name: $verb,
            source: concat!(
                $(include_str!(concat!("../lua/snippet/", $snippet, ".lua")), "\n",)*
                include_str!(concat!("../lua/", $verb, ".lua"))
            ),
            sha: LazyLock::new(|| redis::Script::new($name.source).get_hash().to_owned()),
        };
    };
}

script!(CREATE, "create", "ticket", "audit", "run", "lsn", "days");
script!(COMMIT, "commit", "ticket", "audit", "run", "pace", "lsn", "days");
script!(CLAIM, "claim");
script!(CLAIM_SUBMIT, "claim_submit", "audit", "run", "pace");
script!(RENEW, "renew");
script!(RELEASE, "release", "ticket");
script!(HINT, "hint", "ticket");
script!(GRANT, "grant", "audit", "run", "pace");
script!(HOLD, "hold");
script!(LIMIT, "limit", "audit");
script!(SLOW, "slow");
script!(FREEZE, "freeze", "audit", "run", "lsn");
script!(THAW, "thaw", "audit");
script!(LOCK, "lock");
script!(NOTE, "note", "days");
script!(RESERVE, "reserve", "days");
script!(MEND, "mend", "ticket");
script!(LOOK, "look");
script!(PAGE, "page");
script!(SHARE, "share", "ticket");
script!(DELIVER, "deliver", "ticket", "audit");
script!(HOOK, "hook");
script!(ALLOT, "allot", "days");
script!(MINT, "mint");
script!(REVOKE, "revoke");
script!(RATE, "rate");
script!(LEARN, "learn");
script!(FORGET, "forget", "ticket");
