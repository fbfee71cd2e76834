//! The files that pages ask for, inside the program: nothing is fetched from elsewhere, nothing is
//! built by other tools. An address carries the file's hash, so a browser may keep it for ever.

use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// Hex digits of the hash in an address.
const TAG_DIGITS: usize = 12;

/// One file.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// As the sources call it.
    pub name: &'static str,
    /// Media type.
    pub content_type: &'static str,
    /// The whole content.
    pub bytes: &'static [u8],
}

const JS: &str = "text/javascript; charset=utf-8";

/// Everything that is served.
pub const ALL: [File; 4] = [
    File {
        name: "dash.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../static/dash.css"),
    },
    File { name: "dash.js", content_type: JS, bytes: include_bytes!("../static/dash.js") },
    File { name: "htmx.min.js", content_type: JS, bytes: include_bytes!("../static/htmx.min.js") },
    File {
        name: "icon.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../static/icon.svg"),
    },
];

static TAGS: LazyLock<[String; ALL.len()]> = LazyLock::new(|| ALL.map(|file| tag(file.bytes)));

fn tag(bytes: &[u8]) -> String {
    let mut digits = hex::encode(Sha256::digest(bytes));
    digits.truncate(TAG_DIGITS);
    digits
}

/// Where pages find a file: `static/<hash>/<name>` below the prefix.
///
/// # Panics
///
/// There is no such file: a page of this crate asks for one that is not listed.
#[must_use]
pub fn address(name: &str) -> String {
    let at = ALL.iter().position(|file| file.name == name);
    let at = at.unwrap_or_else(|| panic!("no file is called {name}"));
    format!("{}/static/{}/{name}", crate::PREFIX, TAGS[at])
}

/// The file at an address; `None` also where only the hash is another one, so that nobody keeps new
/// content under an old address.
#[must_use]
pub fn find(tag: &str, name: &str) -> Option<&'static File> {
    let at = ALL.iter().position(|file| file.name == name)?;
    (TAGS[at] == tag).then(|| &ALL[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was taken over from elsewhere, byte for byte: htmx.org 2.0.11 as npm has it.
    const VENDORED: [(&str, &[u8], &str); 2] = [
        (
            "htmx.min.js",
            include_bytes!("../static/htmx.min.js"),
            "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
        ),
        (
            "htmx.LICENSE",
            include_bytes!("../static/htmx.LICENSE"),
            "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
        ),
    ];

    #[test]
    fn vendored_files_are_what_their_authors_published() {
        for (name, bytes, pinned) in VENDORED {
            assert_eq!(hex::encode(Sha256::digest(bytes)), pinned, "{name}");
        }
    }

    #[test]
    fn an_address_leads_to_its_file_and_an_old_one_nowhere() {
        for file in ALL {
            let address = address(file.name);
            let mut parts = address.rsplit('/');
            let (name, tag) = (parts.next().unwrap(), parts.next().unwrap());
            assert_eq!(find(tag, name).map(|found| found.name), Some(file.name));
            assert!(find("000000000000", name).is_none());
        }
        assert!(find("x", "../Cargo.toml").is_none());
    }

    #[test]
    fn nothing_of_ours_asks_another_site_or_needs_inline_code() {
        for file in ALL.iter().filter(|file| file.name != "htmx.min.js") {
            let text = std::str::from_utf8(file.bytes).unwrap().replace("http://www.w3.org/", "");
            for word in ["http:", "https:", "@import", "eval(", "innerHTML"] {
                assert!(!text.contains(word), "{}: {word}", file.name);
            }
        }
    }
}
