//! The body on the wire.

use proptest::prelude::*;
use seedance::{Checked, Envelope, Route, Rules, validate};
use serde_json::{Value, json};

use crate::bench::{accepted, audio, data_url, image, item, png, request, text, video, wav};

fn envelope() -> Envelope {
    Envelope {
        callback_url: Some("https://cb.example.com/cb/v1/a/t".into()),
        execution_expires_after_s: 171_234,
        safety_identifier: Some("u-7f31".into()),
    }
}

fn render(checked: &Checked, envelope: &Envelope) -> Vec<u8> {
    let inline = |sha256: &str| {
        let found = checked.media.iter().find(|media| media.sha256_hex == sha256);
        found.map(|media| media.bytes.clone())
    };
    checked.request.wire_body(envelope, &inline).expect("all media are there")
}

#[test]
fn the_body_does_not_drift() {
    let checked = accepted(&request(vec![text(), image("reference_image"), video(), audio()]));
    let body = String::from_utf8(render(&checked, &envelope())).unwrap();
    insta::assert_snapshot!(body);
}

#[test]
fn a_bare_envelope_leaves_its_fields_out() {
    let checked = accepted(&request(vec![text()]));
    let bare = Envelope { callback_url: None, safety_identifier: None, ..envelope() };
    let body: Value = serde_json::from_slice(&render(&checked, &bare)).unwrap();
    let keys: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "model",
            "content",
            "return_last_frame",
            "execution_expires_after",
            "generate_audio",
            "resolution",
            "ratio",
            "duration",
            "watermark",
        ]
    );
    assert_eq!(body["return_last_frame"], json!(true));
    assert_eq!(body["execution_expires_after"], json!(171_234));
}

#[test]
fn the_switched_on_settings_are_sent() {
    let rules = Rules { allow_seed: true, allow_web_search: true, ..Rules::default() };
    let mut body = request(vec![text()]);
    body["seed"] = json!(7);
    body["tools"] = json!([{"type": "web_search"}]);
    body["duration"] = json!(-1);
    body["priority"] = json!(9);
    let checked = validate(Route::Volcengine, &body, &rules).unwrap();
    let sent: Value = serde_json::from_slice(&render(&checked, &envelope())).unwrap();
    for key in ["seed", "tools", "duration", "priority"] {
        assert_eq!(sent[key], body[key]);
    }
}

#[test]
fn missing_or_altered_media_are_never_sent() {
    let url = data_url("image/png", &png(640, 480));
    let checked = accepted(&request(vec![item("image_url", &url, "")]));
    let gone = checked.request.wire_body(&envelope(), &|_| None).unwrap_err();
    assert_eq!(gone.sha256, checked.media[0].sha256_hex);
    assert!(!gone.altered);
    let swapped = checked.request.wire_body(&envelope(), &|_| Some(png(641, 480))).unwrap_err();
    assert!(swapped.altered);
    let sent: Value = serde_json::from_slice(&render(&checked, &envelope())).unwrap();
    assert_eq!(sent["content"][0]["image_url"]["url"], json!(url));
    assert_eq!(sent["content"][0]["role"], json!("first_frame"));
}

fn picture_source() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}"
            .prop_map(|name| format!("https://media.example.com/{name}.png?s=%2F&t={name}")),
        "[A-Za-z0-9_-]{1,12}".prop_map(|id| format!("asset://{id}")),
        (300_u32..700, 300_u32..700).prop_map(|(w, h)| data_url("image/png", &png(w, h))),
    ]
}

fn content() -> impl Strategy<Value = Vec<Value>> {
    let prompt = "[^-\u{0}]{0,20}[a-z][^-\u{0}]{0,20}";
    let prompt = prompt.prop_map(|text: String| json!({"type": "text", "text": text}));
    let picture = |role| picture_source().prop_map(move |url| item("image_url", &url, role));
    let sound = prop_oneof![
        Just(audio()),
        (2_000_u32..5_000).prop_map(|ms| item("audio_url", &data_url("audio/wav", &wav(ms)), "")),
    ];
    let references = (
        prop::collection::vec(picture("reference_image"), 1..=9),
        0..=3_usize,
        prop::collection::vec(sound, 0..=3),
    )
        .prop_map(|(images, videos, sounds)| [images, vec![video(); videos], sounds].concat());
    let frames = (picture("first_frame"), picture("last_frame")).prop_map(|(a, b)| vec![b, a]);
    let media = prop_oneof![
        picture("").prop_map(|p| vec![p]),
        picture("first_frame").prop_map(|p| vec![p]),
        frames,
        references,
    ];
    prop_oneof![
        prompt.clone().prop_map(|p| vec![p]),
        (prompt, media, any::<bool>()).prop_map(|(prompt, media, first)| {
            if first { [vec![prompt], media].concat() } else { [media, vec![prompt]].concat() }
        }),
    ]
}

fn valid_body() -> impl Strategy<Value = Value> {
    let some = |words: &'static [&'static str]| {
        prop::option::of(prop::sample::select(words)).prop_map(|word| json!(word))
    };
    (
        some(&["seedance-2.0", "dreamina-seedance-2-0-260128"]),
        content(),
        some(&["480p", "720p", "1080p", "4k"]),
        some(&["16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "adaptive"]),
        prop_oneof![Just(json!(null)), Just(json!(-1)), (4..=15).prop_map(|s| json!(s))],
        prop::option::of(0..=9_u8),
        any::<Option<bool>>(),
        any::<Option<bool>>(),
        prop::option::of(-1..=i32::MAX),
    )
        .prop_map(
            |(model, content, resolution, ratio, duration, priority, sound, mark, seed)| {
                let model = if model.is_null() { json!("seedance-2.0") } else { model };
                json!({"model": model, "content": content, "resolution": resolution, "ratio": ratio,
                "duration": duration, "priority": priority, "generate_audio": sound,
                "watermark": mark, "seed": seed})
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_we_send_is_what_was_asked(body in valid_body()) {
        let rules = Rules { allow_seed: true, ..Rules::default() };
        let checked = validate(Route::Byteplus, &body, &rules)
            .map_err(|faults| TestCaseError::fail(format!("{faults:#?}")))?;
        let sent = render(&checked, &envelope());
        prop_assert_eq!(&sent, &render(&checked, &envelope()), "the same bytes every time");

        let mut sent: Value = serde_json::from_slice(&sent).unwrap();
        for key in ["callback_url", "execution_expires_after", "safety_identifier"] {
            sent.as_object_mut().unwrap().shift_remove(key);
        }
        let again = validate(Route::Byteplus, &sent, &rules)
            .map_err(|faults| TestCaseError::fail(format!("{faults:#?}")))?;
        prop_assert_eq!(&again.request, &checked.request);
        prop_assert_eq!(&again.media, &checked.media);

        let stored = serde_json::to_string(&checked.request).unwrap();
        prop_assert_eq!(serde_json::from_str::<seedance::Request>(&stored).unwrap(), checked.request);
    }
}
