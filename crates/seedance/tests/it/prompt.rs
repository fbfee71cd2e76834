//! Settings in disguise (M5).

use serde_json::{Value, json};

use crate::bench::{accepted, check, refused, request};

fn prompt(text: &str) -> Value {
    request(vec![json!({"type": "text", "text": text})])
}

#[test]
fn m5_prompt_parameters_are_refused_with_the_field_to_use() {
    for (parameter, field) in [
        ("--rs 720p", Some("resolution")),
        ("--resolution 720p", Some("resolution")),
        ("--rt 16:9", Some("ratio")),
        ("--ratio 16:9", Some("ratio")),
        ("--dur 5", Some("duration")),
        ("--duration=5", Some("duration")),
        ("--DUR 5", Some("duration")),
        ("--seed 11", Some("seed")),
        ("--wm true", Some("watermark")),
        ("--watermark true", Some("watermark")),
        ("--cf false", None),
        ("--camerafixed true", None),
        ("--camera_fixed true", None),
        ("--fps 24", None),
        ("--frames 121", Some("duration")),
    ] {
        for text in [
            format!("a boat {parameter}"),
            format!("{parameter} a boat"),
            format!("a boat.{parameter}"),
            format!("船在水上{parameter}"),
        ] {
            let faults = check(&prompt(&text)).unwrap_err();
            assert_eq!(faults.len(), 1, "{text}");
            assert_eq!(faults[0].pointer, "/content/0/text");
            assert_eq!(faults[0].code, "prompt-parameter");
            if let Some(field) = field {
                assert!(faults[0].fix.contains(&format!("{field:?}")), "{}", faults[0].fix);
            }
        }
    }
}

#[test]
fn m5_every_parameter_of_a_prompt_is_named() {
    let faults = check(&prompt("a boat --rs 720p --junk --rt 16:9 --rs 480p")).unwrap_err();
    let named: Vec<_> =
        faults.iter().map(|fault| fault.message.split('"').nth(1).unwrap()).collect();
    assert_eq!(named, ["--rs", "--rt"], "each once, whatever stands between");
}

#[test]
fn dashes_that_are_prose_pass() {
    for text in ["a boat -- red -- sails", "a boat--seed of hope", "---seed", "well-dur", "— dur"]
    {
        assert!(accepted(&prompt(text)).warnings.is_empty(), "{text}");
    }
    let checked = accepted(&prompt("a boat --ar 16:9 --ar 1:1"));
    assert_eq!(checked.warnings.len(), 1);
    assert_eq!(checked.warnings[0].code, "prompt-looks-like-parameter");
}

#[test]
fn prompts_have_a_length() {
    for empty in ["", "  \n"] {
        assert_eq!(refused(&prompt(empty)), ["/content/0/text prompt-empty"]);
    }
    assert!(accepted(&prompt(&"word ".repeat(1_000))).warnings.is_empty());
    assert_eq!(accepted(&prompt(&"word ".repeat(1_001))).warnings[0].code, "prompt-long");
    assert_eq!(accepted(&prompt(&"船".repeat(501))).warnings[0].code, "prompt-long");
    assert_eq!(refused(&prompt(&"x".repeat(20_001))), ["/content/0/text prompt-too-long"]);
}
