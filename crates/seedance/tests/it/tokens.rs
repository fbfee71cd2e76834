//! The token formula (§9).

use seedance::{Ratio, Resolution, estimate_tokens, least_tokens, tokens};
use serde_json::json;

use crate::bench::{accepted, image, request, text, video};

#[test]
fn the_published_figures_come_out_to_the_token() {
    for (resolution, seconds, expected) in [
        (Resolution::P480, 4, 40_594),
        (Resolution::P720, 4, 87_300),
        (Resolution::P720, 5, 108_900),
        (Resolution::P720, 15, 324_900),
        (Resolution::P4k, 5, 980_100),
    ] {
        let size = resolution.frame_size(Ratio::R16x9).unwrap();
        assert_eq!(tokens(resolution, size, seconds, None), expected);
        let mut body = request(vec![text()]);
        body["resolution"] = json!(resolution.word());
        body["ratio"] = json!("16:9");
        body["duration"] = json!(seconds);
        assert_eq!(estimate_tokens(&accepted(&body).request), expected);
    }
}

#[test]
fn video_input_has_a_least_charge() {
    let size = Resolution::P720.frame_size(Ratio::R16x9).unwrap();
    let second = size.pixels() * 24 / 1024;
    for (output_s, charged_s) in [(4, 7), (5, 9), (6, 10), (7, 12), (8, 14), (9, 15)] {
        assert_eq!(tokens(Resolution::P720, size, output_s, Some(2)), charged_s * second);
    }
    assert_eq!(tokens(Resolution::P720, size, 5, Some(2)), 194_400, "the published least");
    assert_eq!(tokens(Resolution::P720, size, 5, Some(10)), 15 * second, "the formula beyond it");
    let large = Resolution::P1080.frame_size(Ratio::R16x9).unwrap();
    let output = large.pixels() * 24 * 5 / 1024;
    assert_eq!(tokens(Resolution::P1080, large, 5, Some(2)), output * 9 / 5);
}

#[test]
fn what_is_not_known_is_reserved_at_its_largest() {
    let mut body = request(vec![text()]);
    let adaptive = estimate_tokens(&accepted(&body).request);
    for ratio in Ratio::SHAPES {
        body["ratio"] = json!(ratio.word());
        assert!(estimate_tokens(&accepted(&body).request) <= adaptive, "{ratio}");
    }
    body["ratio"] = json!("16:9");
    body["duration"] = json!(15);
    let longest = estimate_tokens(&accepted(&body).request);
    body["duration"] = json!(-1);
    assert_eq!(estimate_tokens(&accepted(&body).request), longest);

    let mut with_video = request(vec![video(), image("reference_image")]);
    with_video["ratio"] = json!("16:9");
    assert_eq!(estimate_tokens(&accepted(&with_video).request), 20 * 21_600, "15 s in, 5 s out");
}

#[test]
fn the_least_is_the_estimate_where_the_caller_chose_all_and_less_where_the_model_does() {
    let of = |changes: &[(&str, serde_json::Value)]| {
        let mut body = request(vec![text()]);
        body["resolution"] = json!("480p");
        body["ratio"] = json!("16:9");
        body["duration"] = json!(5);
        for (field, value) in changes {
            body[*field] = value.clone();
        }
        let request = accepted(&body).request;
        (least_tokens(&request), estimate_tokens(&request))
    };
    let (least, most) = of(&[]);
    assert_eq!(least, most);
    let square = of(&[("ratio", json!("1:1"))]);
    let adaptive = of(&[("ratio", json!("adaptive"))]);
    assert_eq!(adaptive.0, square.0, "no shape has fewer pixels");
    assert!(adaptive.0 < least && adaptive.1 >= most, "{adaptive:?}");
    let chosen = of(&[("duration", json!(-1))]);
    assert_eq!(chosen, (of(&[("duration", json!(4))]).0, of(&[("duration", json!(15))]).1));
    let mut with_video = request(vec![video(), image("reference_image")]);
    with_video["ratio"] = json!("16:9");
    let with_video = accepted(&with_video).request;
    assert!(least_tokens(&with_video) < estimate_tokens(&with_video), "2 s in, or 15");
}
