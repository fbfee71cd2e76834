//! The tree as the rules see it: files, code without its comments and texts, and the texts alone.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing we wrote.
const SKIPPED: [&str; 6] = ["target", ".git", ".seedfleet", ".venv", "mutants.out", "node_modules"];

/// One file, by its path from the top of the clone with `/` between names.
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

/// The top of the clone.
pub(super) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package stands one below the top").to_owned()
}

/// Every text file of the clone, sorted by path.
pub(super) fn files() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a readable folder").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            // In a linked work tree `.git` is a file.
            if SKIPPED.iter().any(|skipped| name == *skipped) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let below = path.strip_prefix(&root).expect("it was found below the top");
                files.push(File { path: below.to_string_lossy().into_owned(), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The Rust files among them.
pub(super) fn rust() -> Vec<File> {
    files().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

impl File {
    pub(super) fn sample(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The text with comments and the insides of string and character literals blanked; lines and
    /// columns stay where they are.
    pub(super) fn code(&self) -> String {
        split(&self.text).0
    }

    /// Each string literal as written between its quotes, with the number of its first line.
    pub(super) fn literals(&self) -> Vec<(usize, String)> {
        split(&self.text).1
    }

    /// For each line, whether it is compiled for tests only.
    pub(super) fn test_lines(&self) -> Vec<bool> {
        let whole = self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs");
        let code = self.code();
        let mut inside: Option<usize> = None;
        let mut pending = false;
        let mut answer = Vec::new();
        for line in code.lines() {
            let indent = line.len() - line.trim_start().len();
            pending |= line.trim_start().starts_with("#[cfg(test)]");
            if pending && inside.is_none() && line.trim_end().ends_with('{') {
                (inside, pending) = (Some(indent), false);
            } else if pending && line.trim_end().ends_with(';') {
                pending = false;
            }
            answer.push(whole || inside.is_some());
            if inside == Some(indent) && line.trim_start().starts_with('}') {
                inside = None;
            }
        }
        answer
    }
}

/// A little lexer: comments, strings (plain, raw, byte), characters as opposed to lifetimes.
fn split(text: &str) -> (String, Vec<(usize, String)>) {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut literals = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let (kept_front, length, kept_back) = match rest {
            ['/', '/', ..] => (0, find(rest, &['\n']).unwrap_or(rest.len()), 0),
            ['/', '*', ..] => (0, comment_length(rest), 0),
            ['r', ..] if !after_name(&chars, at) && raw_hashes(&rest[1..]).is_some() => {
                let hashes = raw_hashes(&rest[1..]).expect("just seen");
                let mut end = vec!['"'];
                end.resize(hashes + 1, '#');
                let open = hashes + 2;
                let inside = find(&rest[open..], &end).unwrap_or(rest.len() - open);
                (open, inside, end.len())
            }
            ['"', ..] => (1, escaped_length(&rest[1..], '"'), 1),
            ['\'', '\\', ..] => (1, escaped_length(&rest[1..], '\''), 1),
            ['\'', _, '\'', ..] => (1, 1, 1),
            _ => (1, 0, 0),
        };
        let inside = &rest[kept_front.min(rest.len())..(kept_front + length).min(rest.len())];
        if kept_back > 0 && rest[0] != '\'' {
            let line = code.matches('\n').count() + 1;
            literals.push((line, inside.iter().collect()));
        }
        code.extend(&rest[..kept_front.min(rest.len())]);
        code.extend(inside.iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        let back = (kept_front + length).min(rest.len());
        code.extend(&rest[back..(back + kept_back).min(rest.len())]);
        at += kept_front + length + kept_back;
    }
    (code, literals)
}

fn find(chars: &[char], what: &[char]) -> Option<usize> {
    chars.windows(what.len()).position(|window| window == what)
}

fn after_name(chars: &[char], at: usize) -> bool {
    // `br"…"` is a literal; `for"…"` does not occur in formatted code.
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') && chars[at - 1] != 'b'
}

/// How many `#` stand before the opening quote of a raw string; [`None`] when it is none.
fn raw_hashes(chars: &[char]) -> Option<usize> {
    let hashes = chars.iter().take_while(|c| **c == '#').count();
    (chars.get(hashes) == Some(&'"')).then_some(hashes)
}

fn escaped_length(chars: &[char], end: char) -> usize {
    let mut at = 0;
    while at < chars.len() && chars[at] != end {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at.min(chars.len())
}

fn comment_length(chars: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < chars.len() {
        match &chars[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    chars.len()
}

#[test]
fn the_lexer_tells_code_from_text() {
    let text = "let a = \"}{ \\\" sleep(\"; // sleep(\nlet c = '{'; let l: &'static str = r#\"a\"b\"#;\n/* { /* */ */ fn x() {}\nlet b = b\"x\\\\\"; f('\\'');";
    let file = File::sample("a.rs", text);
    let code = file.code();
    assert!(!code.contains("sleep"), "{code}");
    assert_eq!(code.matches('{').count(), 1, "{code}");
    assert!(code.contains("let l: &'static str = r#\"   \"#;"), "{code}");
    assert_eq!(code.lines().count(), text.lines().count());
    let expected = [(1, "}{ \\\" sleep("), (2, "a\"b"), (4, "x\\\\")];
    assert_eq!(file.literals(), expected.map(|(line, text)| (line, text.to_owned())));
}

#[test]
fn test_lines_are_known() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\nfn c() {}\n";
    let file = File::sample("crates/x/src/a.rs", text);
    assert_eq!(file.test_lines(), [false, false, true, true, true, true, false]);
    assert!(File::sample("crates/x/tests/it/a.rs", "x").test_lines()[0]);
    let declared = File::sample("crates/x/src/a.rs", "#[cfg(test)]\nmod tests;\nfn a() {\n}\n");
    assert_eq!(declared.test_lines(), [false; 4]);
}

#[test]
fn the_tree_is_read() {
    let files = files();
    assert!(files.iter().any(|file| file.path == "crates/sandbox/src/lib.rs"));
    assert!(files.iter().any(|file| file.path == "Cargo.toml"));
    assert!(!files.iter().any(|file| file.path.starts_with("target/")));
}
