//! The scalar fields (M2, M25).

use seedance::{DurationChoice, Ratio, Resolution, Route, Rules, validate, validate_beside};
use serde_json::{Value, json};

use crate::bench::{accepted, check, image, refused, request, text, with};

#[test]
fn defaults_are_filled_in_so_that_equal_requests_are_equal() {
    let short = accepted(&request(vec![text()])).request;
    let mut said = request(vec![text()]);
    for (key, value) in [
        ("resolution", json!("720p")),
        ("ratio", json!("adaptive")),
        ("duration", json!(5)),
        ("generate_audio", json!(true)),
        ("watermark", json!(false)),
        ("priority", json!(0)),
        ("return_last_frame", json!(true)),
        ("tools", json!([])),
    ] {
        said[key] = value;
    }
    assert_eq!(accepted(&said).request, short);
    assert_eq!(short.resolution, Resolution::P720);
    assert_eq!(short.ratio, Ratio::Adaptive);
    assert_eq!(short.duration_s, DurationChoice::Seconds(5));
}

#[test]
fn null_is_absent_at_every_depth() {
    let plain = json!({"model": "seedance-2.0", "content": [
        {"type": "text", "text": "a boat"},
        {"type": "image_url", "image_url": {"url": "https://media.example.com/a.png"}},
    ]});
    let nulls = json!({"model": "seedance-2.0", "content": [
        {"type": "text", "text": "a boat", "role": null, "image_url": null},
        {"type": "image_url", "role": null, "text": null,
         "image_url": {"url": "https://media.example.com/a.png", "detail": null}},
    ], "callback_url": null, "return_last_frame": null, "service_tier": null,
       "execution_expires_after": null, "generate_audio": null, "draft": null, "camera_fixed": null,
       "watermark": null, "seed": null, "resolution": null, "ratio": null, "duration": null,
       "frames": null, "tools": null, "safety_identifier": null, "priority": null,
       "no_such_key": null});
    assert_eq!(accepted(&nulls), accepted(&plain));

    let rules = Rules { allow_web_search: true, ..Rules::default() };
    let tool = with("tools", json!([{"type": "web_search", "limit": null}]));
    assert!(validate(Route::Volcengine, &tool, &rules).unwrap().request.web_search);
    assert_eq!(refused(&with("model", Value::Null)), ["/model missing-field"]);
    assert_eq!(refused(&with("content", Value::Null)), ["/content missing-field"]);
}

#[test]
fn fields_of_the_fleet_are_refused_with_the_cure() {
    for (key, value, cure) in [
        ("callback_url", json!("https://example.com/cb"), "webhook"),
        ("execution_expires_after", json!(7200), "useful_until"),
        ("service_tier", json!("default"), "leave it out"),
        ("safety_identifier", json!("u-1"), "end_user"),
        ("return_last_frame", json!(false), "leave it out"),
    ] {
        let faults = check(&with(key, value)).unwrap_err();
        assert_eq!(faults.len(), 1, "{key}");
        assert_eq!(faults[0].pointer, format!("/{key}"));
        assert_eq!(faults[0].code, "field-owned-by-fleet");
        assert!(faults[0].fix.contains(cure), "{}", faults[0].fix);
    }
}

#[test]
fn fields_of_other_models_are_refused() {
    for key in [
        "frames",
        "camera_fixed",
        "draft",
        "output_format",
        "omni_reference_task_type",
        "subdivision_level",
        "file_format",
        "optimize_prompt",
        "reasoning_effort",
        "human_face_mode",
    ] {
        let expected = format!("/{key} field-not-supported");
        assert_eq!(refused(&with(key, json!(false))), [expected], "whatever the value");
    }
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    let faults = check(&with("resolutoin", json!("720p"))).unwrap_err();
    assert_eq!(faults[0].code, "unknown-field");
    assert_eq!(faults[0].fix, "did you mean \"resolution\"?");
    let faults = check(&with("zzzz", json!(1))).unwrap_err();
    assert_eq!(faults[0].fix, "take it out");
    let faults = check(&with("a/b~c", json!(1))).unwrap_err();
    assert_eq!(faults[0].pointer, "/a~1b~0c");
}

#[test]
fn numbers_are_integers() {
    for value in [json!(5.0), json!("5"), json!(true), json!([5]), json!(1e300)] {
        assert_eq!(refused(&with("duration", value.clone())), ["/duration not-an-integer"]);
        assert_eq!(refused(&with("priority", value)), ["/priority not-an-integer"]);
    }
}

#[test]
fn duration_lies_in_the_models_range() {
    for seconds in 4..=15 {
        let request = accepted(&with("duration", json!(seconds))).request;
        assert_eq!(i64::from(request.duration_max_s()), seconds);
    }
    let free = accepted(&with("duration", json!(-1))).request;
    assert_eq!(free.duration_s, DurationChoice::ModelChooses);
    assert_eq!(free.duration_max_s(), 15);
    for seconds in [i64::MIN, -2, 0, 3, 16, 256, 261, i64::MAX] {
        let body = with("duration", json!(seconds));
        assert_eq!(refused(&body), ["/duration duration-not-supported"], "{seconds}");
    }
    assert_eq!(refused(&with("duration", json!(u64::MAX))).len(), 1);
}

#[test]
fn resolution_and_ratio_come_from_the_models_table() {
    for model in ["seedance-2.0-fast", "seedance-2.0-mini"] {
        for word in ["1080p", "4k"] {
            let mut body = with("resolution", json!(word));
            body["model"] = json!(model);
            assert_eq!(refused(&body), ["/resolution resolution-not-supported"]);
        }
    }
    for word in ["2k", "720P", "720", ""] {
        assert_eq!(refused(&with("resolution", json!(word))), ["/resolution value-not-allowed"]);
    }
    for word in ["16x9", "2:1", "Adaptive"] {
        assert_eq!(refused(&with("ratio", json!(word))), ["/ratio value-not-allowed"]);
    }
    assert_eq!(refused(&with("ratio", json!(1))), ["/ratio wrong-type"]);
    for ratio in Ratio::ALL {
        assert_eq!(accepted(&with("ratio", json!(ratio.word()))).request.ratio, ratio);
    }
}

#[test]
fn priority_and_flags_are_checked() {
    for priority in 0..=9 {
        let request = accepted(&with("priority", json!(priority))).request;
        assert_eq!(request.priority, priority);
    }
    for priority in [json!(-1), json!(10), json!(u64::MAX)] {
        assert_eq!(refused(&with("priority", priority)), ["/priority out-of-range"]);
    }
    for key in ["watermark", "generate_audio", "return_last_frame"] {
        for value in [json!("true"), json!(1), json!({})] {
            assert_eq!(refused(&with(key, value)), [format!("/{key} wrong-type")]);
        }
    }
}

#[test]
fn a_seed_passes_only_where_the_rules_say_so() {
    assert_eq!(refused(&with("seed", json!(7))), ["/seed seed-not-supported"]);
    let rules = Rules { allow_seed: true, ..Rules::default() };
    let seed = |value: Value| validate(Route::Byteplus, &with("seed", value), &rules);
    assert_eq!(seed(json!(7)).unwrap().request.seed, Some(7));
    assert_eq!(seed(json!(2_147_483_647)).unwrap().request.seed, Some(2_147_483_647));
    assert_eq!(seed(json!(-1)).unwrap().request.seed, None, "a random seed is no seed");
    for wrong in [json!(-2), json!(2_147_483_648_u64), json!(u64::MAX)] {
        assert_eq!(seed(wrong).unwrap_err()[0].code, "out-of-range");
    }
    assert_eq!(seed(json!(7.0)).unwrap_err()[0].code, "not-an-integer");
}

#[test]
fn web_search_needs_the_rule_and_a_bare_prompt() {
    let search = json!([{"type": "web_search"}]);
    assert_eq!(refused(&with("tools", search.clone())), ["/tools web-search-off"]);
    let rules = Rules { allow_web_search: true, ..Rules::default() };
    let on = validate(Route::Volcengine, &with("tools", search.clone()), &rules).unwrap();
    assert!(on.request.web_search);
    let mut with_image = request(vec![text(), image("")]);
    with_image["tools"] = search;
    let faults = validate(Route::Volcengine, &with_image, &rules).unwrap_err();
    assert_eq!(faults[0].code, "web-search-with-media");
    for wrong in [
        json!([{"type": "browser"}]),
        json!([{"type": "web_search"}, {"type": "web_search"}]),
        json!([{"type": "web_search", "limit": 3}]),
        json!(["web_search"]),
    ] {
        assert_eq!(refused(&with("tools", wrong)), ["/tools value-not-allowed"]);
    }
    assert_eq!(refused(&with("tools", json!({}))), ["/tools wrong-type"]);
}

#[test]
fn the_body_must_be_an_object() {
    for body in [json!([]), json!("x"), json!(null), json!(3)] {
        assert_eq!(refused(&body), [" body-not-object"]);
    }
}

#[test]
fn rules_refuse_unknown_settings() {
    assert_eq!(serde_json::from_value::<Rules>(json!({})).unwrap(), Rules::default());
    assert!(serde_json::from_value::<Rules>(json!({"allow_sed": true})).is_err());
}

#[test]
fn keys_that_stand_beside_the_body_are_offered_for_slips() {
    let body = with("custom_idd", json!("r1"));
    let faults = |beside: &[&str]| {
        validate_beside(Route::Byteplus, &body, &Rules::default(), beside).expect_err("unknown")
    };
    assert_eq!(faults(&[])[0].fix, "take it out");
    let offered = &faults(&["custom_id"])[0];
    assert_eq!(offered.fix, "did you mean \"custom_id\"?");
    assert!(
        offered
            .allowed
            .as_ref()
            .is_some_and(|a| a.starts_with("model, ") && a.ends_with("custom_id"))
    );
}
