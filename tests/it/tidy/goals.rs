//! The page of goals names tests that are there.

use super::none;
use super::source::{File, root, rust};
use std::collections::BTreeSet;

/// Names behind the word `test` in backticks.
fn named(page: &str) -> BTreeSet<&str> {
    page.split("test `").skip(1).filter_map(|rest| rest.split('`').next()).collect()
}

fn missing(page: &str, files: &[File]) -> Vec<String> {
    let is_there = |name: &&str| {
        let head = format!("fn {name}()");
        files.iter().any(|file| file.text.contains(&head))
    };
    let absent = named(page).into_iter().filter(|name| !is_there(name));
    absent.map(|name| format!("docs/goals.md: no test is called `{name}`")).collect()
}

#[test]
fn goals_name_tests_that_are_there() {
    let page = std::fs::read_to_string(root().join("docs/goals.md")).expect("the page");
    assert!(named(&page).len() > 15, "the page is read");
    none("goals", &missing(&page, &rust()));
}

#[test]
fn a_test_that_is_gone_is_seen() {
    assert_eq!(missing("shown by test `nobody_wrote_this_one`", &rust()).len(), 1);
    assert!(missing("shown by test `goals_name_tests_that_are_there`", &rust()).is_empty());
}
