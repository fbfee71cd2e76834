//! The page `docs/dashboard.md`.

use crate::shell::{KEYS, PREFIX, Screen};
use crate::viewer::Role;
use std::fmt::Write as _;

/// What there is to see, who may do what, and which keys lead where.
#[must_use]
pub fn markdown() -> String {
    let mut page = format!(
        "# The dashboard\n\n\
         <!-- Printed by `cargo xtask docs`; edit crates/dashboard/src/guide.rs instead. -->\n\n\
         The gateway serves it under `{PREFIX}` (`gateway.dashboard`). Log in with an API key: it is exchanged for a session that\n\
         lasts `gateway.session` and ends soon after the key is revoked. Every page works without scripts; where they run, it\n\
         follows what it shows. Nothing is asked of another site.\n\n\
         ## Screens\n\n\
         | Screen | Address | What is seen | Keys |\n| --- | --- | --- | --- |\n",
    );
    for screen in Screen::ALL {
        let (name, path, key) = (screen.name(), screen.path(), screen.key());
        let what = screen.meaning();
        let _ = writeln!(page, "| {name} | `{PREFIX}/{path}` | {what} | `g` `{key}` |");
    }
    page.push_str("\nMore keys: ");
    let keys: Vec<String> = KEYS.iter().map(|(key, what)| format!("`{key}` {what}")).collect();
    let _ = writeln!(page, "{}.", keys.join(", "));
    page.push_str(
        "\n## Who may do what\n\n\
         Each role may do what those above it may. A key for one tenant sees that tenant's jobs; one for `*` sees everybody's, and\n\
         the screens about the fleet itself.\n\n\
         | Role | Scopes of the key | May |\n| --- | --- | --- |\n",
    );
    for role in Role::ALL {
        let _ = writeln!(page, "| {} | {} | {} |", role.word(), role.scopes(), role.meaning());
    }
    page.push_str(
        "\nWhatever changes a job, a batch or a pool asks for a reason, which stands in the audit. A verb on many jobs counts them\n\
         first, becomes an operation and goes on by itself, also when the page is closed or a gateway is killed.\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_screen_and_role_is_told() {
        let page = markdown();
        for screen in Screen::ALL {
            assert!(page.contains(&format!("`{PREFIX}/{}`", screen.path())), "{page}");
        }
        for role in Role::ALL {
            assert!(page.contains(&format!("| {} |", role.word())), "{page}");
        }
    }
}
