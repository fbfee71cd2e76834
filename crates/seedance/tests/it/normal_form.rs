//! The normal form as it is stored and fingerprinted.

use seedance::{Request, Route, Rules, validate};
use serde_json::json;

use crate::bench::{accepted, audio, data_url, image, item, png, request, text, video};

#[test]
fn the_canonical_text_does_not_drift() {
    let mut body = request(vec![
        text(),
        image("reference_image"),
        item("image_url", &data_url("image/png", &png(640, 480)), "reference_image"),
        item("video_url", "asset://asset-1", ""),
        audio(),
    ]);
    body["priority"] = json!(3);
    let request = accepted(&body).request;
    insta::assert_snapshot!(serde_json::to_string(&request).unwrap());
    let text = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
}

#[test]
fn the_order_of_keys_means_nothing_and_the_order_of_media_does() {
    let one = json!({"model": "seedance-2.0", "ratio": "1:1", "content": [
        {"type": "video_url", "role": "reference_video", "video_url": {"url": "https://a.example/v"}},
    ]});
    let other = json!({"content": [
        {"video_url": {"url": "https://a.example/v"}, "type": "video_url"},
    ], "ratio": "1:1", "model": "dreamina-seedance-2-0-260128"});
    let canonical = |body| serde_json::to_string(&accepted(body).request).unwrap();
    assert_eq!(canonical(&one), canonical(&other));

    let there = request(vec![image("reference_image"), video()]);
    let back = request(vec![video(), image("reference_image")]);
    assert_ne!(canonical(&there), canonical(&back));
}

#[test]
fn routes_differ_by_their_model_id() {
    let body = request(vec![text()]);
    let of = |route| validate(route, &body, &Rules::default()).unwrap().request;
    assert_ne!(of(Route::Byteplus), of(Route::Volcengine));
}

#[test]
fn a_record_of_another_form_is_not_read() {
    let mut stored = serde_json::to_value(accepted(&request(vec![text()])).request).unwrap();
    stored["duration_s"] = json!(300);
    assert!(serde_json::from_value::<Request>(stored.clone()).is_err());
    stored["duration_s"] = json!(5);
    stored["surprise"] = json!(1);
    assert!(serde_json::from_value::<Request>(stored).is_err());
}
