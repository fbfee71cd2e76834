//! Numbers and times as they stand in the picture.

use std::time::Duration;

/// `1,234,567`.
pub(super) fn grouped(n: u64) -> String {
    indicatif::HumanCount(n).to_string()
}

/// The two largest units: `12s`, `3m05s`, `22h51m`, `17d4h`.
pub(super) fn lasting(length: Duration) -> String {
    let s = length.as_secs();
    match s {
        0..=59 => format!("{s}s"),
        60..=3_599 => format!("{}m{:02}s", s / 60, s % 60),
        3_600..=86_399 => format!("{}h{:02}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d{}h", s / 86_400, s / 3_600 % 24),
    }
}

/// An amount as `survey` writes it, to the cent.
pub(super) fn money(amount: &str) -> String {
    let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
    let cents: String = part.chars().chain("00".chars()).take(2).collect();
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
    format!("{whole}.{cents}")
}

/// Lines of at most `width` letters, broken between words where there is one.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word = word;
        loop {
            let last = lines.len() - 1;
            let line = &mut lines[last];
            let (taken, blank) = (line.chars().count(), usize::from(!line.is_empty()));
            if taken + blank + word.chars().count() <= width {
                line.push_str(&" "[..blank]);
                line.push_str(word);
                break;
            }
            if line.is_empty() {
                // Longer than a line: what fits, and the rest below.
                let cut = word.char_indices().nth(width.max(1)).map_or(word.len(), |(at, _)| at);
                line.push_str(&word[..cut]);
                word = &word[cut..];
                if word.is_empty() {
                    break;
                }
            }
            lines.push(String::new());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_amounts_are_short() {
        let told = [0, 59, 65, 3_600, 82_260, 1_483_200].map(|s| lasting(Duration::from_secs(s)));
        assert_eq!(told, ["0s", "59s", "1m05s", "1h00m", "22h51m", "17d4h"]);
        let told = ["5880.129999", "0.000001", "12"].map(money);
        assert_eq!(told, ["5,880.12", "0.00", "12.00"]);
    }

    #[test]
    fn text_is_broken_between_words_and_never_wider_than_asked() {
        assert_eq!(wrapped("a bc def", 4), ["a bc", "def"]);
        assert_eq!(wrapped("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
        assert_eq!(wrapped("", 3), [""]);
        for width in 1..20 {
            let text = "LIMITED BY the provider’s concurrency: 3 of 3 slots of 2.0 are taken.";
            let lines = wrapped(text, width);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:?}");
            let all: String = lines.concat().split_whitespace().collect();
            assert_eq!(all, text.split_whitespace().collect::<String>(), "nothing is lost");
        }
    }
}
