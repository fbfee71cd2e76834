//! Pages in `docs/` that the code prints equal what it prints.

use e2e::pages::PAGES;

use super::none;
use super::source::root;

#[test]
fn generated_pages_are_fresh() {
    let stale: Vec<String> = PAGES.iter().filter_map(|page| page.staleness(&root())).collect();
    none("generated pages", &stale);
}

#[test]
fn a_stale_page_is_seen_and_mended() {
    let clone = tempfile::tempdir().expect("temporary folder");
    for dir in ["crates", "deploy/redis", "docs", "tests"] {
        std::fs::create_dir_all(clone.path().join(dir)).expect("a folder");
    }
    let lines = root().join("docs/requirements.toml");
    std::fs::copy(lines, clone.path().join("docs/requirements.toml")).expect("a copy");
    for page in &PAGES {
        let path = page.path;
        assert!(page.staleness(clone.path()).is_some(), "{path} is not even there");
        assert!(page.refresh(clone.path()).expect("it can be written"));
        assert_eq!(page.staleness(clone.path()), None);
        assert!(!page.refresh(clone.path()).expect("nothing to do"));

        let file = clone.path().join(path);
        let text = std::fs::read_to_string(&file).expect("a page");
        assert!(text.starts_with(['#', '<', '{', 'u']), "{path} begins like a page");
        std::fs::write(&file, text + "drift").expect("it is writable");
        assert!(page.staleness(clone.path()).is_some(), "{path} has drifted");
    }
}
