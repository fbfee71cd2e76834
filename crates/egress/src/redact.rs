//! Taking the secrets out of addresses before anybody reads them.
//!
//! Three parts of a URL are secrets here: user info, the query (a signed link *is* its query), and
//! the token of our callback path. Everything that is logged, stored or told goes through these.

const GONE: &str = "[redacted]";

/// The path under which the gateway hears the provider; the two segments after it are the attempt
/// and its token.
const CALLBACK_PATH: &str = "/cb/v1/";

/// The address without user info, query, fragment and callback token. Works on text that is not a
/// URL too (a bare path, a broken link), and then drops rather more than less.
#[must_use]
pub fn redact_url(url: &str) -> String {
    let (before, tail) = match url.find(['?', '#']) {
        Some(at) => (&url[..at], format!("?{GONE}")),
        None => (url, String::new()),
    };
    let (scheme, rest) = match before.find("://") {
        Some(at) => before.split_at(at + 3),
        None if before.trim_start().to_ascii_lowercase().starts_with("data:") => {
            return format!("data:{GONE}");
        }
        None => ("", before),
    };
    let path_at = if scheme.is_empty() { 0 } else { rest.find(['/', '\\']).unwrap_or(rest.len()) };
    let (authority, path) = rest.split_at(path_at);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    format!("{scheme}{host}{}{tail}", redact_callback_token(path))
}

/// Replaces every URL in a sentence by its [`redact_url`]. For texts written by others, such as a
/// provider's error message that repeats the link it could not fetch.
#[must_use]
pub fn redact_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = next_url(rest) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = from
            .find(|c: char| c.is_whitespace() || c.is_control() || "\"'`<>".contains(c))
            .unwrap_or(from.len());
        out.push_str(&redact_url(&from[..end]));
        rest = &from[end..];
    }
    out.push_str(rest);
    out
}

/// Where the next thing that reads like a URL, a data URL or a callback path begins.
fn next_url(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    ["http://", "https://", "data:image", "data:audio", "data:video", CALLBACK_PATH]
        .iter()
        .filter_map(|start| lower.find(start))
        .min()
}

fn redact_callback_token(path: &str) -> String {
    let Some(at) = path.find(CALLBACK_PATH) else {
        return path.to_owned();
    };
    let attempt_at = at + CALLBACK_PATH.len();
    match path[attempt_at..].find('/') {
        Some(slash) => format!("{}{GONE}", &path[..=attempt_at + slash]),
        None => path.to_owned(),
    }
}
