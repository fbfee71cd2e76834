//! The content array and the modes (M15, M16, M19, M20).

use seedance::{ContentItem, ImageRole, MediaSource, Mode};
use serde_json::{Value, json};

use crate::bench::{accepted, audio, check, image, item, refused, request, text, video};

fn images(count: usize) -> Vec<Value> {
    (0..count).map(|_| image("reference_image")).collect()
}

fn mode(content: Vec<Value>) -> Mode {
    accepted(&request(content)).request.mode()
}

#[test]
fn m15_the_content_array_decides_the_mode() {
    assert_eq!(mode(vec![text()]), Mode::Text);
    assert_eq!(mode(vec![image("")]), Mode::FirstFrame);
    assert_eq!(mode(vec![text(), image("first_frame")]), Mode::FirstFrame);
    assert_eq!(mode(vec![image("first_frame"), image("last_frame"), text()]), Mode::FirstAndLast);
    assert_eq!(mode(vec![image("last_frame"), image("first_frame")]), Mode::FirstAndLast);
    assert_eq!(mode(vec![image("reference_image")]), Mode::References);
    assert_eq!(mode(vec![text(), image("reference_image"), video(), audio()]), Mode::References);
    assert_eq!(mode(vec![video()]), Mode::References);
}

#[test]
fn m15_frames_never_mix_with_references() {
    for reference in [image("reference_image"), video(), audio()] {
        let body = request(vec![text(), image("first_frame"), reference]);
        assert_eq!(refused(&body), ["/content/1/role frames-with-references"]);
    }
    let body = request(vec![image("first_frame"), image("last_frame"), video()]);
    assert_eq!(
        refused(&body),
        ["/content/0/role frames-with-references", "/content/1/role frames-with-references",]
    );
}

#[test]
fn m16_a_first_frame_is_one_picture_with_the_role_or_none() {
    let given = accepted(&request(vec![image("first_frame")])).request;
    let left_out = accepted(&request(vec![image("")])).request;
    assert_eq!(given, left_out, "two ways to say one thing");
    assert!(matches!(given.content[..], [ContentItem::Image { role: ImageRole::FirstFrame, .. }]));
    let body = request(vec![image("first_frame"), image("first_frame")]);
    assert_eq!(refused(&body), ["/content/1/role first-frame-repeated"]);
}

#[test]
fn m16_first_and_last_need_both_roles() {
    let body = request(vec![image(""), image("")]);
    assert_eq!(refused(&body), ["/content/0/role role-missing", "/content/1/role role-missing"]);
    let body = request(vec![image("first_frame"), image("")]);
    assert_eq!(refused(&body), ["/content/1/role role-missing"]);
    let body = request(vec![image(""), image("last_frame")]);
    assert_eq!(refused(&body), ["/content/0/role role-missing"]);
    assert_eq!(refused(&request(vec![image("last_frame")])), ["/content/0/role last-frame-alone"]);
    let body = request(vec![image("first_frame"), image("last_frame"), image("last_frame")]);
    assert_eq!(refused(&body), ["/content/2/role last-frame-repeated"]);
    let body = request(vec![image(""), audio()]);
    assert_eq!(refused(&body), ["/content/0/role role-missing"], "not a frame beside sound");
}

#[test]
fn m17_pictures_come_by_address_asset_or_inline() {
    for (url, source) in [
        ("https://a.example/b.png?x=1", MediaSource::Url("https://a.example/b.png?x=1".into())),
        ("asset://asset-20260301-abcde", MediaSource::Asset("asset-20260301-abcde".into())),
    ] {
        let request = accepted(&request(vec![item("image_url", url, "")])).request;
        assert_eq!(request.content[0].source(), Some(&source));
    }
    for (url, code) in [
        ("", "url-invalid"),
        ("a.png", "url-invalid"),
        ("https://", "url-invalid"),
        ("https://exa mple.com/a.png", "url-invalid"),
        ("ftp://media.example.com/a.png", "url-scheme"),
        ("file:///etc/passwd", "url-scheme"),
        ("asset://", "asset-id-invalid"),
        ("asset://a/b", "asset-id-invalid"),
    ] {
        let body = request(vec![item("image_url", url, "")]);
        assert_eq!(refused(&body), [format!("/content/0/image_url/url {code}")], "{url}");
    }
    let long = format!("https://a.example/{}", "x".repeat(9_000));
    assert_eq!(refused(&request(vec![item("image_url", &long, "")])).len(), 1);
    let plain = accepted(&request(vec![item("image_url", "http://a.example/b.png", "")]));
    assert_eq!(plain.warnings[0].code, "plain-http");
}

#[test]
fn m19_references_are_counted_by_kind() {
    let full: Vec<Value> =
        images(9).into_iter().chain(vec![video(); 3]).chain(vec![audio(); 3]).collect();
    let checked = accepted(&request(full));
    assert_eq!(checked.warnings.len(), 1);
    assert_eq!(checked.warnings[0].code, "many-references", "fifteen pass, with a word");
    assert!(
        accepted(&request(images(9).into_iter().chain(vec![video(); 3]).collect()))
            .warnings
            .is_empty()
    );

    assert_eq!(refused(&request(images(10))), ["/content too-many-images"]);
    assert_eq!(refused(&request(vec![video(); 4])), ["/content too-many-videos"]);
    let sounds = [vec![video()], vec![audio(); 4]].concat();
    assert_eq!(refused(&request(sounds)), ["/content too-many-audios"]);
    let all = [images(10), vec![video(); 4], vec![audio(); 4]].concat();
    assert_eq!(refused(&request(all)).len(), 3, "each kind has its own fault");
}

#[test]
fn m19_a_video_is_never_inline() {
    let body = request(vec![item("video_url", "data:video/mp4;base64,AAAA", "")]);
    assert_eq!(refused(&body), ["/content/0/video_url/url video-inline"]);
}

#[test]
fn m20_audio_is_never_alone() {
    for content in [vec![audio()], vec![text(), audio()], vec![audio(), audio()]] {
        let codes = refused(&request(content));
        assert_eq!(codes.len(), 1);
        assert!(codes[0].ends_with(" audio-alone"), "{codes:?}");
    }
    for with_sound in [vec![audio(), image("reference_image")], vec![audio(), video()]] {
        assert_eq!(mode(with_sound), Mode::References);
    }
}

#[test]
fn roles_fit_their_kind() {
    let body = request(vec![item("image_url", "https://a.example/b", "first-frame")]);
    let faults = check(&body).unwrap_err();
    assert_eq!(faults[0].code, "role-unknown");
    assert_eq!(faults[0].fix, "did you mean \"first_frame\"?");
    for (kind, role) in [
        ("image_url", "reference_video"),
        ("video_url", "first_frame"),
        ("video_url", "reference_image"),
        ("audio_url", "reference_video"),
    ] {
        let codes = refused(&request(vec![
            image("reference_image"),
            item(kind, "https://a.example/b", role),
        ]));
        assert!(codes.contains(&"/content/1/role role-unknown".to_owned()), "{codes:?}");
    }
    let mut odd = image("reference_image");
    odd["role"] = json!(3);
    assert_eq!(refused(&request(vec![odd])), ["/content/0/role role-unknown"]);
}

#[test]
fn items_must_have_their_form() {
    for (item, expected) in [
        (json!("a prompt"), "/content/0 wrong-type"),
        (json!(null), "/content/0 wrong-type"),
        (json!({"text": "x"}), "/content/0/type missing-field"),
        (json!({"type": 1}), "/content/0/type wrong-type"),
        (json!({"type": "smell_url"}), "/content/0/type content-type-unknown"),
        (
            json!({"type": "draft_task", "draft_task": {"id": "cgt-1"}}),
            "/content/0/type content-type-unknown",
        ),
        (json!({"type": "text"}), "/content/0/text missing-field"),
        (json!({"type": "text", "text": ["x"]}), "/content/0/text wrong-type"),
        (json!({"type": "text", "text": "x", "role": "user"}), "/content/0/role unknown-field"),
        (json!({"type": "image_url"}), "/content/0/image_url missing-field"),
        (
            json!({"type": "image_url", "image_url": "https://a.example/b"}),
            "/content/0/image_url wrong-type",
        ),
        (json!({"type": "image_url", "image_url": {}}), "/content/0/image_url/url missing-field"),
        (
            json!({"type": "image_url", "image_url": {"url": 1}}),
            "/content/0/image_url/url wrong-type",
        ),
        (
            json!({"type": "image_url", "image_url": {"url": "https://a.example/b", "id": 1}}),
            "/content/0/image_url/id unknown-field",
        ),
        (
            json!({"type": "image_url", "image_url": {"url": "https://a.example/b"}, "rol": "x"}),
            "/content/0/rol unknown-field",
        ),
    ] {
        assert_eq!(refused(&request(vec![item.clone()])), [expected], "{item}");
    }
}

#[test]
fn the_list_must_have_its_form() {
    assert_eq!(refused(&request(vec![])), ["/content content-empty"]);
    assert_eq!(refused(&json!({"model": "seedance-2.0"})), ["/content missing-field"]);
    let body = json!({"model": "seedance-2.0", "content": "a prompt"});
    assert_eq!(refused(&body), ["/content wrong-type"]);
    assert_eq!(refused(&request(vec![text(), text()])), ["/content/1 prompt-repeated"]);
    assert_eq!(refused(&request(images(65))), ["/content content-too-long"]);
}
