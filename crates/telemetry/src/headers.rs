//! The file of headers that go with what is sent: it holds the key to the receiver.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// No file of headers is this long; a wrong path often names something that is.
const BYTES_MAX: u64 = 64 * 1024;

/// Why a file of headers cannot be used. Tells the path and the line, never what stands there.
#[derive(Debug, thiserror::Error)]
#[error("telemetry.otlp_headers_file: {}: {problem}; allowed is one `Name: value` a line", path.display())]
pub struct BadHeaders {
    path: PathBuf,
    problem: String,
}

/// Reads them. Empty lines and those that begin with `#` are left out.
pub(crate) fn read(path: &Path) -> Result<HashMap<String, String>, BadHeaders> {
    let bad = |problem: String| BadHeaders { path: path.to_path_buf(), problem };
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Err(error) => return Err(bad(format!("cannot read the file: {error}"))),
        Ok(bytes) if bytes as u64 > BYTES_MAX => {
            return Err(bad(format!("the file is longer than {BYTES_MAX} bytes")));
        }
        Ok(_) => {}
    }
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let mut headers = HashMap::new();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) =
            parsed(line).ok_or_else(|| bad(format!("line {number} is no header")))?;
        if headers.insert(name, value).is_some() {
            return Err(bad(format!("line {number} says a header a second time")));
        }
    }
    Ok(headers)
}

fn parsed(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let (name, value) = (name.trim(), value.trim());
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let visible = |b: u8| matches!(b, b' '..=b'~');
    let good = !name.is_empty() && name.bytes().all(token) && value.bytes().all(visible);
    good.then(|| (name.to_ascii_lowercase(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_header_or_is_refused() {
        let good = parsed("Authorization:  Bearer a:b ").expect("good");
        assert_eq!(good, ("authorization".to_owned(), "Bearer a:b".to_owned()));
        for bad in ["", "no colon", ": value", "na me: v", "name: v\u{e9}", "name: a\u{7f}"] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_missing_file_is_told_by_its_path() {
        let told = read(Path::new("/nowhere/headers")).expect_err("missing").to_string();
        assert!(told.contains("/nowhere/headers") && told.contains("otlp_headers_file"), "{told}");
    }
}
