//! Each requirement has a test, and each tag a requirement.

use e2e::pages::{all_proofs, requirements};
use e2e::requirements::{Proof, Requirements, faults, page, proofs};

use super::none;
use super::source::root;

const SAMPLE: &str = r#"
[[line]]
id = "M1"
text = "one"
[[line]]
id = "M2"
text = "two"
later = "the notifier issue"
[[line]]
id = "M3"
text = "three"
structural = true
"#;

/// A tag in pieces, so that this file carries none.
fn tagged(ids: &str, rest: &str) -> String {
    format!("// {}: {ids}\n{rest}", "covers")
}

#[test]
fn every_requirement_has_its_proof() {
    let requirements = requirements(&root()).expect("the lines can be read");
    let (found, mut complaints) = all_proofs(&root()).expect("the sources can be read");
    complaints.extend(faults(&requirements, &found, true));
    none("requirements", &complaints);
}

#[test]
fn the_lines_are_complete() {
    let lines = requirements(&root()).expect("the lines can be read").lines;
    let rows =
        |of: &str| lines.iter().filter(|line| line.id.starts_with(&format!("{of}/"))).count();
    for number in 1..=30 {
        let id = format!("M{number}");
        assert!(lines.iter().any(|line| line.id == id), "{id} is missing");
    }
    assert_eq!((rows("M7"), rows("M24")), (6, 6));
    assert_eq!(lines.len(), 42);
}

#[test]
fn tags_are_read() {
    let text = tagged("M1, M3", "/// Words.\n#[tokio::test]\nasync fn one() {}\n")
        + &tagged("M1", "fn no_test() {}\n");
    let (found, faults) = proofs("tests/it/jobs.rs", &text);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].test.as_str(), found[0].ids.len()), ("one", 2));
    assert_eq!(faults, ["tests/it/jobs.rs:5: this tag stands above no test"]);
}

#[test]
fn missing_proofs_and_unknown_lines_are_seen() {
    let requirements = Requirements::parse(SAMPLE).expect("a sample");
    let proof = |file: &str, ids: &[&str]| Proof {
        file: file.to_owned(),
        test: "a".to_owned(),
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    let unit_only =
        [proof("crates/job/src/retry.rs", &["M1"]), proof("tests/it/tidy/x.rs", &["M1"])];
    let complaints = faults(&requirements, &unit_only, true);
    assert_eq!(complaints.len(), 2, "M1 needs end-to-end, M3 anything here: {complaints:?}");
    assert!(faults(&requirements, &unit_only, false).is_empty());

    let whole = [proof("tests/it/jobs.rs", &["M1"]), proof("tests/it/tidy/x.rs", &["M3"])];
    assert!(faults(&requirements, &whole, true).is_empty());
    assert_eq!(faults(&requirements, &[proof("tests/it/jobs.rs", &["M99"])], false).len(), 1);

    let twice = Requirements::parse(&SAMPLE.replace("M2", "M1")).expect("a sample");
    assert_eq!(faults(&twice, &whole, false).len(), 1);
}

#[test]
fn the_page_shows_lines_and_tests() {
    let requirements = Requirements::parse(SAMPLE).expect("a sample");
    let text = tagged("M1", "#[test]\nfn pays_once() {}\n");
    let page = page(&requirements, &proofs("tests/it/jobs.rs", &text).0);
    assert!(page.contains("| M1 | one | **[pays_once](../tests/it/jobs.rs)** |"), "{page}");
    assert!(page.contains("| M2 | two | *later: the notifier issue* |"), "{page}");
    assert!(page.contains("| M3 | three | – |"), "{page}");
}
