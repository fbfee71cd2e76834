//! Where each verb works, in one table: help, the choice of the way, refusals and `docs/verbs.md` all go by it.
//!
//! A new verb gets a line here; a test fails until it has one.

use clap::{ArgMatches, Command, CommandFactory};
use std::borrow::Cow;

/// Where a verb works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Over the gateway that is named, and directly on Redis.
    Both,
    /// Directly on Redis only.
    Redis {
        /// What it needs that the API does not have.
        needs: &'static str,
        /// What there is over the gateway instead.
        instead: &'static str,
    },
    /// On this machine, with its configuration; whatever gateway is named is not asked.
    Machine,
}

use Reach::{Both, Machine};

const FREEZE: Reach = Reach::Redis {
    needs: "the alarm of a whole pool",
    instead: "`queue pause` stops creates over the gateway",
};
const TENANTS: Reach = Reach::Redis {
    needs: "every tenant of the configuration",
    instead: "`usage` and `limits show` tell a key's own tenant",
};
const SCHEMA: Reach = Reach::Redis {
    needs: "the records and processes of a whole pool",
    instead: "there is nothing instead: an upgrade is done where the fleet runs",
};

/// Every verb by its words, in the order of the help.
pub(crate) const TABLE: &[(&str, Reach)] = &[
    ("submit", Both),
    ("import", Both),
    ("export", Both),
    ("jobs list", Both),
    ("jobs show", Both),
    ("jobs watch", Both),
    ("jobs wait", Both),
    ("jobs adopt", Both),
    ("jobs open", Both),
    ("jobs clone", Both),
    ("jobs retry", Both),
    ("jobs cancel", Both),
    ("batch list", Both),
    ("batch show", Both),
    ("batch watch", Both),
    ("batch pause", Both),
    ("batch edit", Both),
    ("batch budget", Both),
    ("batch stop-on", Both),
    ("batch resume", Both),
    ("batch cancel", Both),
    ("queue status", Both),
    ("queue pause", Both),
    ("queue resume", Both),
    ("queue drain", Both),
    ("failed list", Both),
    ("failed show", Both),
    ("failed retry", Both),
    ("failed export", Both),
    ("failed dismiss", Both),
    ("operations list", Both),
    ("operations show", Both),
    ("operations watch", Both),
    ("usage", Both),
    ("cost estimate", Machine),
    ("limits show", Both),
    ("limits set", Both),
    ("limits reset", Both),
    ("workers", Both),
    (
        "top",
        Reach::Redis {
            needs: "the state of a whole pool every second",
            instead: "`queue status`, `limits show` and `batch watch` go over the gateway, and so does its dashboard",
        },
    ),
    ("doubt list", Both),
    ("doubt show", Both),
    ("doubt adopt", Both),
    ("doubt resend", Both),
    ("doubt give-up", Both),
    (
        "doubt apply",
        Reach::Redis {
            needs: "the records that a preview binds",
            instead: "one job after the other is decided over the gateway",
        },
    ),
    ("review list", Both),
    ("review approve", Both),
    ("review reject", Both),
    ("erase job", Both),
    ("erase end-user", Both),
    ("erase tenant", Both),
    ("erase show", Both),
    (
        "reconcile",
        Reach::Redis {
            needs: "the provider's list with the account's key, and the second fence",
            instead: "the fleet reconciles by itself; run it where the fleet's configuration is",
        },
    ),
    ("freeze", FREEZE),
    ("thaw", FREEZE),
    ("schema status", SCHEMA),
    ("schema finalize", SCHEMA),
    ("audit", Both),
    ("keys create", Both),
    ("keys list", Both),
    ("keys rotate", Both),
    ("keys revoke", Both),
    ("tenants list", TENANTS),
    ("tenants show", TENANTS),
    ("events tail", Both),
    ("webhooks list", Both),
    ("webhooks test", Both),
    ("webhooks replay", Both),
    ("context list", Machine),
    ("context show", Machine),
    ("context use", Machine),
    ("context set", Machine),
    ("context remove", Machine),
    ("config check", Machine),
    ("config show", Machine),
    ("config explain", Machine),
    ("config env", Machine),
    ("doctor", Machine),
    ("debug bundle", Machine),
    ("probe", Machine),
    ("dev up", Machine),
    ("dev demo", Machine),
    ("docs", Machine),
    ("completions", Machine),
    ("man", Machine),
    ("version", Machine),
];

impl Reach {
    /// Of a verb by its words.
    pub(crate) fn of(words: &str) -> Self {
        let found = TABLE.iter().find(|(verb, _)| *verb == words);
        // A test holds the table whole: this is said of no verb there is.
        found.map_or(Machine, |(_, reach)| *reach)
    }

    /// In a sentence for help.
    fn said(self) -> Cow<'static, str> {
        match self {
            Both => "Works over the gateway that is named, and directly on Redis.".into(),
            Self::Redis { needs, instead } => format!(
                "Works directly on Redis only (--direct): it needs {needs}. {}.",
                upper(instead)
            )
            .into(),
            Machine => "Works on this machine, by its configuration; no gateway is asked.".into(),
        }
    }
}

/// With a capital at its beginning, where there is a letter.
fn upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// The words of the verb that was given.
pub(crate) fn words(matches: &ArgMatches) -> String {
    let (mut words, mut at) = (Vec::new(), matches);
    while let Some((word, inner)) = at.subcommand() {
        words.push(word);
        at = inner;
    }
    words.join(" ")
}

/// The command line, where the help of each verb says where it works.
pub(crate) fn command() -> Command {
    let whole = super::Cli::command().after_help(
        "Verbs talk to the gateway that is named (--server, --context, SEEDFLEET_SERVER, `seedfleet context`), \
         and else to Redis; the help of each verb says where it works, and docs/verbs.md lists them all.",
    );
    whole.mut_subcommands(|verb| telling(verb, ""))
}

fn telling(verb: Command, above: &str) -> Command {
    let words = format!("{above}{}", verb.get_name());
    if verb.has_subcommands() {
        let above = format!("{words} ");
        let said = of_all(&above).into_owned();
        return verb.after_help(said).mut_subcommands(move |inner| telling(inner, &above));
    }
    let said = Reach::of(&words).said();
    verb.after_help(said.into_owned())
}

/// What is said of all verbs whose words begin so.
fn of_all(words: &str) -> Cow<'static, str> {
    let of_it = TABLE.iter().filter(|(verb, _)| verb.starts_with(words));
    let mut each = of_it.map(|(_, reach)| reach.said());
    let first = each.next().unwrap_or_default();
    match each.all(|said| said == first) {
        true => first,
        false => "Some of these work directly on Redis only: the help of each says where it works."
            .into(),
    }
}

/// The table as a page for people.
pub(crate) fn markdown() -> String {
    let mut page = "# Where each verb works

<!-- Printed by `cargo xtask docs`; edit crates/seedfleet/src/cli/reach.rs instead. -->

A verb talks to the gateway that is named: by `--server` or `--context`, by `SEEDFLEET_SERVER`, or by the current context
(`seedfleet context`). Where none is named, and with `--direct`, it opens Redis with the configuration of this machine. A
verb that cannot go over the gateway is refused there with exit 2, and says why. Verbs that read or change a whole pool
(`queue`, `workers`, `audit`, `doubt`, `limits set|reset`) want a key of tenant `*` there.

| Verb | Gateway | Redis | |
| --- | --- | --- | --- |
"
    .to_owned();
    for (verb, reach) in TABLE {
        let line = match reach {
            Both => format!("| `{verb}` | yes | yes | |\n"),
            Reach::Redis { needs, instead } => {
                format!("| `{verb}` | no | yes | It needs {needs}. {}. |\n", upper(instead))
            }
            Machine => format!("| `{verb}` | – | – | On this machine, by its configuration. |\n"),
        };
        page.push_str(&line);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every verb without verbs below it, with its help.
    fn leaves(command: &Command, above: &str, into: &mut Vec<(String, Command)>) {
        for verb in command.get_subcommands() {
            let words = format!("{above}{}", verb.get_name());
            if verb.has_subcommands() {
                leaves(verb, &format!("{words} "), into);
            } else {
                into.push((words, verb.clone()));
            }
        }
    }

    #[test]
    fn every_verb_stands_in_the_table_and_says_in_its_help_where_it_works() {
        let mut verbs = Vec::new();
        leaves(&command(), "", &mut verbs);
        let words: Vec<&str> = verbs.iter().map(|(words, _)| words.as_str()).collect();
        let table: Vec<&str> = TABLE.iter().map(|(verb, _)| *verb).collect();
        assert_eq!(words, table, "the verbs there are, and those of the table");
        for (words, verb) in &mut verbs {
            let help = verb.render_long_help().to_string();
            let said = Reach::of(words).said();
            let blanks = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(blanks(&help).ends_with(&blanks(&said)), "{words}: {help}");
        }
        assert!(command().render_help().to_string().contains("docs/verbs.md"));
        assert_eq!(of_all("queue "), Both.said());
        assert!(of_all("").starts_with("Some of these"));
    }

    #[test]
    fn the_page_lists_the_table() {
        let page = include_str!("../../../../docs/verbs.md");
        assert!(page == markdown(), "docs/verbs.md is stale: cargo xtask docs");
    }

    #[test]
    fn the_words_of_a_verb_are_those_that_were_given() {
        let of = |line: &str| words(&command().get_matches_from(line.split(' ')));
        assert_eq!(of("seedfleet queue status"), "queue status");
        assert_eq!(of("seedfleet -q batch edit b --set priority=low"), "batch edit");
        assert_eq!(of("seedfleet workers"), "workers");
    }
}
