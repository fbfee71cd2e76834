//! Why a person did something: it stays in the audit.

/// Longest reason, characters.
pub const REASON_CHARS_MAX: usize = 500;

/// The reason as it is kept, if it says something and fits: so many characters on one line.
#[must_use]
pub fn reason(text: &str) -> Option<&str> {
    let text = text.trim();
    let fits = (1..=REASON_CHARS_MAX).contains(&text.chars().count());
    (fits && !text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something_on_one_line() {
        assert_eq!(reason(" less "), Some("less"));
        assert_eq!(reason(&"é".repeat(REASON_CHARS_MAX)).map(str::len), Some(2 * REASON_CHARS_MAX));
        for bad in ["", " ", "a\nb", &"a".repeat(REASON_CHARS_MAX + 1)] {
            assert_eq!(reason(bad), None, "{bad:?}");
        }
    }
}
