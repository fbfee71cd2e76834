//! What stands where: top-level places, crate roots, names of modules.

use super::metadata::{Package, packages};
use super::none;
use super::source::{File, root, rust};

/// Names that refuse nothing and so attract everything.
const NAMELESS: [&str; 9] =
    ["common", "helper", "helpers", "misc", "shared", "types", "util", "utils", "utilities"];

const TOP: [&str; 18] = [
    ".cargo/config.toml",
    ".ci/run",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "config/default.toml",
    "crates",
    "deploy",
    "docs/requirements.md",
    "justfile",
    "rustfmt.toml",
    "tests",
];

fn nameless_modules(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let names = file.path.trim_end_matches(".rs").split('/');
        let inline = file.code();
        let inline = inline.lines().filter_map(|line| {
            let line = line.trim_start();
            let line =
                line.strip_prefix("pub ").or(line.strip_prefix("pub(crate) ")).unwrap_or(line);
            line.strip_prefix("mod ")?.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
        });
        for name in names.chain(inline).filter(|name| NAMELESS.contains(name)) {
            complaints.push(format!("{}: {name} says nothing: name the noun it serves", file.path));
        }
    }
    complaints
}

/// Files that no module names: they are never compiled, and their tests never run.
fn unnamed_files(roots: &[String], files: &[File]) -> Vec<String> {
    let named = |parent: &str, name: &str| {
        let code = files.iter().find(|file| file.path == parent).map(File::code);
        let says = |line: &str| line.trim().trim_end_matches(';').ends_with(&format!("mod {name}"));
        code.is_some_and(|code| code.lines().any(|line| line.ends_with(';') && says(line)))
    };
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| !roots.contains(&file.path)) {
        let Some((dir, name)) = file.path.trim_end_matches(".rs").rsplit_once('/') else {
            continue;
        };
        // Cargo finds it by its name; of a package outside this workspace it is not among the roots.
        if matches!(name, "main" | "lib") {
            continue;
        }
        let (dir, name) =
            if name == "mod" { dir.rsplit_once('/').unwrap_or(("", dir)) } else { (dir, name) };
        let parents = ["main", "lib", "mod"].map(|root| format!("{dir}/{root}.rs"));
        let beside = format!("{dir}.rs");
        if !parents.iter().chain([&beside]).any(|parent| named(parent, name)) {
            complaints
                .push(format!("{}: no module names it, so nothing of it is compiled", file.path));
        }
    }
    complaints
}

/// Crate roots that do not forbid unsafe code in their own words, or do not say what they are.
fn loose_roots(packages: &[Package], files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for path in packages.iter().flat_map(|package| &package.roots) {
        let Some(file) = files.iter().find(|file| file.path == *path) else {
            complaints.push(format!("{path}: not there"));
            continue;
        };
        if !file.code().contains("#![forbid(unsafe_code)]") {
            complaints.push(format!("{path}: no #![forbid(unsafe_code)]"));
        }
        if !file.text.starts_with("//!") {
            complaints.push(format!("{path}: no head that says what it is"));
        }
    }
    complaints
}

fn unlike_folders(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages {
        let Package { name, dir, .. } = package;
        let expected = if name == "e2e" { "tests".to_owned() } else { format!("crates/{name}") };
        if *dir != expected {
            complaints.push(format!("{name} stands in {dir}, not in {expected}"));
        }
        if package.description.is_empty() {
            complaints.push(format!("{name}: no description in its manifest"));
        }
    }
    complaints
}

/// Recipes without a help line, or with more than one line of their own.
fn loose_recipes(justfile: &str) -> Vec<String> {
    let lines: Vec<&str> = justfile.lines().collect();
    let mut complaints = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let own = !line.starts_with([' ', '\t', '#']) && !line.contains(":=");
        let Some((head, _)) = line.split_once(':').filter(|_| own) else { continue };
        let name = head.split_whitespace().next().unwrap_or_default();
        if at == 0 || !lines[at - 1].starts_with("# ") {
            complaints.push(format!("justfile: {name} has no help line"));
        }
        let body = lines[at + 1..].iter().take_while(|line| line.starts_with([' ', '\t']));
        if body.count() != 1 {
            complaints.push(format!("justfile: {name} does more than delegate"));
        }
    }
    complaints
}

// covers: M30
#[test]
fn the_top_level_is_complete() {
    let missing = TOP.into_iter().filter(|place| !root().join(place).exists());
    none("top level", &missing.map(|place| format!("{place} is missing")).collect::<Vec<_>>());
}

// covers: M27, M29
#[test]
fn the_named_packages_do_the_work() {
    let packages = packages();
    let uses = |outside: &str| {
        packages.iter().any(|package| {
            package.floor.is_some() && package.normal.iter().any(|name| name == outside)
        })
    };
    let named = ["apalis", "redis", "tokio", "reqwest", "serde", "serde_json", "object_store"];
    let named = named.into_iter().chain(["governor", "opentelemetry", "config"]);
    none("packages", &named.filter(|name| !uses(name)).map(str::to_owned).collect::<Vec<_>>());
    let workers = ["submitter", "poller", "downloader"];
    let program = |name: &str| {
        packages.iter().any(|package| {
            package.name == name && package.roots.contains(&format!("crates/{name}/src/main.rs"))
        })
    };
    none(
        "programs",
        &workers.into_iter().filter(|name| !program(name)).map(str::to_owned).collect::<Vec<_>>(),
    );
}

#[test]
fn modules_have_names_that_refuse_something() {
    none("names", &nameless_modules(&rust()));
}

#[test]
fn every_file_is_named_by_a_module() {
    let roots: Vec<String> = packages().into_iter().flat_map(|package| package.roots).collect();
    none("unnamed files", &unnamed_files(&roots, &rust()));
    let files = [
        ("a/src/lib.rs", "mod told;\npub(crate) mod folder;\n// mod lost;\n"),
        ("a/src/told.rs", ""),
        ("a/src/lost.rs", ""),
        ("a/src/folder/mod.rs", "mod inner;\n"),
        ("a/src/folder/inner.rs", ""),
        ("a/src/folder/stray.rs", ""),
    ];
    let files = files.map(|(path, text)| File::sample(path, text));
    let lost = unnamed_files(&["a/src/lib.rs".to_owned()], &files);
    let of: Vec<_> =
        lost.iter().filter_map(|said| said.split_once(':')).map(|(path, _)| path).collect();
    assert_eq!(of, ["a/src/lost.rs", "a/src/folder/stray.rs"]);
}

#[test]
fn crate_roots_forbid_unsafe_code_and_say_what_they_are() {
    none("roots", &loose_roots(&packages(), &rust()));
}

#[test]
fn folders_are_called_like_their_packages() {
    none("folders", &unlike_folders(&packages()));
}

#[test]
fn recipes_have_a_help_line_and_only_delegate() {
    let justfile = std::fs::read_to_string(root().join("justfile")).expect("a justfile");
    none("justfile", &loose_recipes(&justfile));
}

#[test]
fn bad_recipes_are_seen() {
    let bad = "x := 'y'\n# Says what\ngood *args:\n    cargo test {{args}}\n\nbare:\n    cargo a\n    cargo b\n";
    assert_eq!(
        loose_recipes(bad),
        ["justfile: bare has no help line", "justfile: bare does more than delegate"]
    );
}

#[test]
fn bad_layouts_are_seen() {
    let bad = [
        File::sample("crates/x/src/util.rs", ""),
        File::sample("crates/x/src/lib.rs", "// no head\npub(crate) mod helpers;\nmod utility;\n"),
        File::sample("crates/x/src/common/a.rs", "// mod types {"),
    ];
    assert_eq!(nameless_modules(&bad).len(), 3);
    let package = Package {
        name: "x".to_owned(),
        dir: "crates/y".to_owned(),
        description: String::new(),
        floor: Some(1),
        normal: Vec::new(),
        roots: vec!["crates/x/src/lib.rs".to_owned(), "crates/x/src/main.rs".to_owned()],
    };
    assert_eq!(loose_roots(std::slice::from_ref(&package), &bad).len(), 3);
    assert_eq!(unlike_folders(&[package]).len(), 2);
}
