//! Servers that know the users of `deploy/redis/`, each program one of them.

use crate::users;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Name and password of a program's user, or of a server's; the kit itself is an operator.
#[must_use]
pub fn login(who: &str) -> (String, String) {
    let program = users::PROGRAMS.into_iter().find(|(of, _)| *of == who).map(|(_, user)| user);
    let mut others = users::SERVERS.into_iter().chain(users::AT_SENTINELS).map(|(user, _)| user);
    let user = program.or_else(|| others.find(|user| *user == who));
    let user = user.unwrap_or_else(|| panic!("no user is made for {who}"));
    (users::name(user), password(user))
}

fn password(user: &str) -> String {
    format!("canary-redis-password-of-{user}")
}

/// `url` with the login of a program.
pub(super) fn url(url: &str, program: &str) -> String {
    let (name, password) = login(program);
    let (scheme, place) = url.split_once("://").expect("an address");
    format!("{scheme}://{name}:{password}@{place}")
}

/// Writes a shipped file with a password for each user, and returns where. What stands in its first line is what
/// the sandbox may do, which asks its servers without a name: `rights`.
fn written(dir: &Path, shipped: &str, rights: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the clone");
    let text = std::fs::read_to_string(root.join("deploy/redis").join(shipped));
    let mut text = text.expect("the shipped file").replace("~{seedfleet:", "~{e2e:");
    let programs = users::PROGRAMS.into_iter().map(|(_, user)| user);
    let others = users::SERVERS.into_iter().chain(users::AT_SENTINELS).map(|(user, _)| user);
    for user in programs.chain(others) {
        let hash = Sha256::digest(password(user).as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        text = text.replace(&users::placeholder(user), &format!("#{hash}"));
    }
    let nobody = "user default off";
    assert!(text.starts_with(nobody), "{shipped} lets strangers in");
    let file = dir.join(shipped);
    let text = text.replace(nobody, &format!("user default on nopass {rights}"));
    std::fs::write(&file, text).expect("the folder is ours");
    file
}

/// The arguments of a server with the shipped users. Whoever forgets to log in can do nothing that programs, replicas
/// and Sentinels do all the time.
pub(super) fn arguments(dir: &Path) -> Vec<String> {
    let file = written(dir, "users.acl", "~* &* +@all -evalsha -psync -subscribe");
    vec!["--aclfile".to_owned(), file.display().to_string()]
}

/// The same for a Sentinel, as lines of its configuration.
pub(super) fn sentinel_lines(dir: &Path, primary: &str) -> Vec<String> {
    let rights = "~* &* +@all -publish -sentinel|master -sentinel|is-master-down-by-addr";
    let file = written(dir, "sentinels.acl", rights);
    let (name, password) = login("sentinel");
    vec![
        format!("aclfile {}", file.display()),
        format!("sentinel sentinel-user {name}"),
        format!("sentinel sentinel-pass {password}"),
        format!("sentinel auth-user {primary} {name}"),
        format!("sentinel auth-pass {primary} {password}"),
    ]
}
