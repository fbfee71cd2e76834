//! What we ship may be shipped: licences by an allow list, sources from the registry alone.

use std::process::Command;

use super::metadata::{array, cargo_metadata, text};
use super::none;

const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The one registry; a git address or another registry is a decision, not an accident.
const REGISTRY: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

struct Dependency {
    name: String,
    licence: String,
    /// Empty for our own packages.
    source: String,
}

fn complaints(dependencies: &[Dependency]) -> Vec<String> {
    let mut complaints = Vec::new();
    for Dependency { name, licence, source } in dependencies {
        if !allowed(licence) {
            complaints.push(format!("{name}: licence {licence:?}"));
        }
        if !source.is_empty() && !REGISTRY.contains(&source.as_str()) {
            complaints.push(format!("{name}: comes from {source}"));
        }
    }
    complaints
}

/// Evaluates an SPDX expression: `OR` needs one side, `AND` both; `/` is an old `OR`. What cannot
/// be read is not allowed.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest) == Some(true) && rest.is_empty()
}

/// [`None`]: malformed.
fn either(rest: &mut &[&str]) -> Option<bool> {
    let mut verdict = both(rest)?;
    while let ["OR", after @ ..] = rest {
        *rest = after;
        verdict |= both(rest)?;
    }
    Some(verdict)
}

fn both(rest: &mut &[&str]) -> Option<bool> {
    let mut verdict = one(rest)?;
    while let ["AND", after @ ..] = rest {
        *rest = after;
        verdict &= one(rest)?;
    }
    Some(verdict)
}

fn one(rest: &mut &[&str]) -> Option<bool> {
    let (verdict, after) = match rest {
        ["(", after @ ..] => {
            *rest = after;
            let verdict = either(rest)?;
            let [")", after @ ..] = rest else { return None };
            (verdict, after)
        }
        [word, "WITH", exception, after @ ..] => {
            (ALLOWED.contains(&format!("{word} WITH {exception}").as_str()), after)
        }
        [word, after @ ..] => (ALLOWED.contains(word), after),
        [] => return None,
    };
    *rest = after;
    Some(verdict)
}

#[test]
fn every_dependency_may_be_shipped() {
    // Only what this platform builds: the rest was never downloaded.
    let version = Command::new("rustc").arg("-vV").output().expect("rustc runs").stdout;
    let version = String::from_utf8(version).expect("text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let metadata = cargo_metadata(&["--filter-platform", host]);
    let dependencies: Vec<Dependency> = array(&metadata["packages"])
        .map(|package| Dependency {
            name: text(&package["name"]),
            licence: text(&package["license"]),
            source: text(&package["source"]),
        })
        .collect();
    assert!(dependencies.len() > 100, "the whole graph was read: {}", dependencies.len());
    none("licences and sources", &complaints(&dependencies));
}

#[test]
fn a_bad_licence_or_source_is_seen() {
    for good in ["MIT", "MIT/Apache-2.0", "(GPL-3.0 OR MIT) AND Unicode-3.0", "A OR (MIT AND ISC)"]
    {
        assert!(allowed(good), "{good}");
    }
    let exception = "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT";
    assert!(allowed(exception));
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT OR", "(MIT", "MPL-2.0 WITH x", "MIT ISC"] {
        assert!(!allowed(bad), "{bad}");
    }
    let stray = Dependency {
        name: "stray".to_owned(),
        licence: "MIT".to_owned(),
        source: "git+https://example.com/stray".to_owned(),
    };
    assert_eq!(complaints(&[stray]), ["stray: comes from git+https://example.com/stray"]);
}
