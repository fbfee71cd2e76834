//! The fault report as people and programs see it: all faults at once (M2, M25).

use seedance::{Fault, Route, Rules, validate};
use serde_json::json;

use crate::bench::{check, text};

#[test]
fn m25_all_faults_are_told_at_once() {
    let body = json!({
        "model": "doubao-seedance-2-0-260128",
        "content": [
            {"type": "text", "text": "a boat --rs 720p"},
            {"type": "image_url", "image_url": {"url": "https://media.example.com/a.png"}, "role": "first_frame"},
            {"type": "audio_url", "audio_url": {"url": "ftp://media.example.com/a.mp3"}},
        ],
        "duration": "5",
        "resoluton": "720p",
        "callback_url": "https://example.com/cb",
        "watermark": 1,
        "frames": 57,
    });
    let faults = check(&body).unwrap_err();
    insta::assert_json_snapshot!(faults);
}

#[test]
fn m25_a_fault_reads_as_one_line() {
    let body = json!({"model": "seedance-2.0", "content": [text()], "duration": 3});
    let lines: Vec<String> = check(&body).unwrap_err().iter().map(Fault::to_string).collect();
    assert_eq!(
        lines,
        ["/duration: the model does not make videos of 3 s [duration-not-supported] \
         allowed: whole seconds from 4 to 15, or -1; \
         fix: choose a length in range, or -1 to let the model choose"]
    );
}

#[test]
fn a_report_has_an_end() {
    let mut body = json!({"model": "seedance-2.0", "content": [text()]});
    for n in 0..250 {
        body[format!("x{n}")] = json!(1);
    }
    let faults = check(&body).unwrap_err();
    assert_eq!(faults.len(), 101);
    assert_eq!(faults[100].code, "more-faults");
    assert_eq!(faults[100].message, "150 more faults are not listed");
}

#[test]
fn messages_carry_no_payload() {
    let secret = "X-Tos-Signature=5ec7e7";
    let body = json!({"model": "x".repeat(5_000), "content": [
        {"type": "image_url", "image_url": {"url": format!("ftp://a.example/b?{secret}")}},
        {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{}", "A".repeat(90_000))}},
        {"type": "y".repeat(5_000)},
    ], "z".repeat(5_000): 1});
    for route in Route::ALL {
        for fault in validate(route, &body, &Rules::default()).unwrap_err() {
            let line = fault.message.clone() + &fault.fix + fault.allowed.as_deref().unwrap_or("");
            assert!(!line.contains("5ec7e7"), "{fault}");
            assert!(line.len() < 1_000, "{} characters", line.len());
        }
    }
}

#[test]
fn a_fault_survives_a_round_trip() {
    let fault = Fault::new("/a", "b", "c", "d").allowing("e");
    let text = serde_json::to_string(&fault).unwrap();
    assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
}
