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

/// The file name, without its ending, of the script that a server knows by this hash: for people who read a
/// server's logs.
#[must_use]
pub fn script_of(sha: &str) -> Option<&'static str> {
    let all = [
        &CREATE,
        &COMMIT,
        &CLAIM,
        &CLAIM_SUBMIT,
        &RENEW,
        &RELEASE,
        &HINT,
        &GRANT,
        &HOLD,
        &LIMIT,
        &SLOW,
        &FREEZE,
        &THAW,
        &LOCK,
        &NOTE,
        &RESERVE,
        &MEND,
        &LOOK,
        &PAGE,
        &SHARE,
        &DELIVER,
        &HOOK,
        &ALLOT,
        &MINT,
        &REVOKE,
        &RATE,
        &LEARN,
        &FORGET,
    ];
    all.into_iter().find(|script| script.sha() == sha).map(|script| script.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_has_a_name() {
        let this = include_str!("script.rs");
        let files =
            this.lines().filter_map(|line| line.strip_prefix("script!(")?.split('"').nth(1));
        let listed = this.split("let all = [").nth(1).and_then(|rest| rest.split(']').next());
        let listed = listed.map(|list| list.matches('&').count());
        assert_eq!(listed, Some(files.count()), "script_of knows every script");
        assert_eq!(script_of(COMMIT.sha()), Some("commit"));
        assert_eq!(script_of("0123"), None);
    }
}
