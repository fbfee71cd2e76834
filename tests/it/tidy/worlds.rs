//! The campaign's worlds against the simulator's list of open questions: no answer is left out.

use super::none;
use super::source::root;

const SIMULATOR: &str = "crates/simulator/src/doubts.rs";
const CAMPAIGN: &str = "crates/xtask/src/campaign.rs";

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// As serde writes a variant.
fn snake(name: &str) -> String {
    let mut word = String::new();
    for (at, c) in name.char_indices() {
        if c.is_uppercase() && at > 0 {
            word.push('_');
        }
        word.extend(c.to_lowercase());
    }
    word
}

/// `type, answers` of every `Name { First, Other }` of the simulator's list.
fn answers(source: &str) -> Vec<(&str, Vec<&str>)> {
    let lines = source.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(" { ")?;
        let words: Vec<&str> = rest.strip_suffix(" }")?.split(", ").collect();
        let is_name = |word: &str| word.chars().all(char::is_alphanumeric) && !word.is_empty();
        (is_name(name) && words.iter().all(|word| is_name(word))).then_some((name, words))
    });
    lines.collect()
}

/// The question that has answers of this type.
fn question<'a>(source: &'a str, kind: &str) -> Option<&'a str> {
    let ending = format!(": {kind},");
    source.lines().find_map(|line| line.trim().strip_suffix(&ending)?.strip_prefix("pub "))
}

#[test]
fn a_question_and_its_answers_are_read() {
    let source = "answers! {\n    Nonce { Echoed, NotInList }\n}\n    pub nonce: Nonce,\n";
    assert_eq!(answers(source), [("Nonce", vec!["Echoed", "NotInList"])]);
    assert_eq!(question(source, "Nonce"), Some("nonce"));
    assert_eq!((snake("NotInList"), snake("Any2xx")), ("not_in_list".into(), "any2xx".into()));
}

#[test]
fn the_campaign_plays_every_answer_to_an_open_question() {
    let (simulator, campaign) = (read(SIMULATOR), read(CAMPAIGN));
    let kinds = answers(&simulator);
    assert!(kinds.len() > 12, "{SIMULATOR} is written otherwise: {kinds:?}");
    let mut missing = Vec::new();
    for (kind, words) in kinds {
        let Some(name) = question(&simulator, kind) else {
            missing.push(format!("{SIMULATOR}: no question has answers of {kind}"));
            continue;
        };
        // The first is the likely one, which every other run plays.
        for word in &words[1..] {
            let pair = format!("{name}={}", snake(word));
            let ends = [',', '"'].iter().any(|end| campaign.contains(&format!("{pair}{end}")));
            if !ends {
                missing.push(format!("{CAMPAIGN}: no world plays {pair}"));
            }
        }
    }
    none("answers", &missing);
}
