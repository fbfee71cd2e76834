//! A server that knows the users of `deploy/redis/users.acl`, each program one of them.

use crate::users;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Name and password of a program's user; the kit itself is an operator.
#[must_use]
pub fn login(program: &str) -> (String, String) {
    let user = users::PROGRAMS.iter().find(|(of, _)| *of == program);
    let user = user.map_or_else(|| panic!("no user is made for {program}"), |(_, user)| *user);
    (users::name(user), format!("canary-redis-password-of-{user}"))
}

/// `url` with the login of a program.
pub(super) fn url(url: &str, program: &str) -> String {
    let (name, password) = login(program);
    url.replace("redis://", &format!("redis://{name}:{password}@"))
}

/// Writes the shipped file with a password for each user, and returns the server's arguments.
pub(super) fn arguments(dir: &Path) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the clone");
    let shipped = std::fs::read_to_string(root.join("deploy/redis/users.acl"));
    let mut text = shipped.expect("the shipped file");
    for (program, user) in users::PROGRAMS {
        let hash = Sha256::digest(login(program).1.as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        text = text.replace(&users::placeholder(user), &format!("#{hash}"));
    }
    // The sandbox asks its server without a name whether it runs, and nobody replicates here.
    let text = text.replace("~{seedfleet:", "~{e2e:");
    let text = text.replace("user default off", "user default on nopass ~* &* +@all");
    let text: Vec<&str> = text.lines().filter(|line| !line.contains("#SHA256")).collect();
    let file = dir.join("users.acl");
    std::fs::write(&file, text.join("\n") + "\n").expect("the folder is ours");
    vec!["--aclfile".to_owned(), file.display().to_string()]
}
