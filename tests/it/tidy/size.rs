//! Files and functions that a person can hold in mind.

use super::none;
use super::source::{File, files, rust};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

fn long_files(files: &[File]) -> Vec<String> {
    let code = files
        .iter()
        .filter(|file| [".rs", ".lua", ".py", ".sh"].iter().any(|end| file.path.ends_with(end)));
    let long = code.filter(|file| file.text.lines().count() > FILE_LINES_MAX);
    long.map(|file| format!("{}: {} lines", file.path, file.text.lines().count())).collect()
}

/// In formatted code a function ends at the first closing brace that stands as far in as its `fn`.
fn long_functions(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        let code = file.code();
        let lines: Vec<&str> = code.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let Some(name) = function(line) else { continue };
            let indent = line.len() - line.trim_start().len();
            let closing = format!("{}}}", " ".repeat(indent));
            let one_liner = line.contains('{') && line.trim_end().ends_with('}');
            let declared = line.trim_end().ends_with(';');
            if one_liner || declared {
                continue;
            }
            let end = lines[start..].iter().position(|line| line.trim_end() == closing);
            let length = end.map_or(1, |end| end + 1);
            if length > FUNCTION_LINES_MAX {
                complaints.push(format!("{}:{}: {name}: {length} lines", file.path, start + 1));
            }
        }
    }
    complaints
}

fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let words = ["pub", "pub(crate)", "pub(super)", "async", "const", "extern"];
    let plain = before.split_whitespace().all(|word| words.contains(&word));
    let name = after.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
    (plain && !name.is_empty()).then_some(name)
}

#[test]
fn files_are_short() {
    none("more than 500 lines", &long_files(&files()));
}

#[test]
fn functions_are_short() {
    none("more than 70 lines", &long_functions(&rust()));
}

#[test]
fn what_is_too_long_is_seen() {
    let body = "        let a = \"}\";\n".repeat(69);
    let long = format!("impl X {{\n    pub(crate) async fn long(\n    ) {{\n{body}    }}\n}}\n");
    let fits = long.replacen("        let a = \"}\";\n", "", 2);
    let complaints = long_functions(&[File::sample("a.rs", &long), File::sample("b.rs", &fits)]);
    assert_eq!(complaints, ["a.rs:2: long: 72 lines"]);
    assert_eq!(long_files(&[File::sample("a.rs", &"x\n".repeat(501))]).len(), 1);
    assert!(long_files(&[File::sample("a.rs", &"x\n".repeat(500))]).is_empty());
}
