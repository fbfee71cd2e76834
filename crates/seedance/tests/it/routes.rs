//! Routes, models and how a name finds its model (M3).

use seedance::{
    ModelKey, Resolution, Route, Rules, SlotClass, Tier, links_die_at_unix_s, validate,
};
use serde_json::json;

use crate::bench::{accepted, refused, request, text, with};

#[test]
fn m3_an_alias_becomes_the_id_of_the_route() {
    for route in Route::ALL {
        for key in ModelKey::ALL {
            let body = json!({"model": key.alias(), "content": [text()]});
            let by_alias = validate(route, &body, &Rules::default()).unwrap().request;
            let body = json!({"model": key.wire_id(route), "content": [text()]});
            let by_id = validate(route, &body, &Rules::default()).unwrap().request;
            assert_eq!(by_alias, by_id, "two names for one model are one request");
            assert_eq!(by_alias.model, key);
            assert_eq!(by_alias.model_id, key.wire_id(route));
            assert!(by_alias.model_id.starts_with(route.model_prefix()));
        }
    }
}

#[test]
fn m3_routes_never_mix() {
    for route in Route::ALL {
        for key in ModelKey::ALL {
            let body = json!({"model": key.wire_id(route.other()), "content": [text()]});
            let faults = validate(route, &body, &Rules::default()).unwrap_err();
            assert_eq!(faults.len(), 1);
            assert_eq!(faults[0].code, "model-of-other-route");
            assert!(faults[0].fix.contains(key.wire_id(route)), "{}", faults[0].fix);
            assert!(faults[0].fix.contains(key.alias()), "{}", faults[0].fix);
        }
    }
    let retired = with("model", json!("doubao-seedance-1-0-pro-250528"));
    assert_eq!(refused(&retired), ["/model model-of-other-route"]);
}

#[test]
fn unknown_models_are_told_what_is_known() {
    for name in ["dreamina-seedance-2-5-260628", "seedance-1-5-pro-251215", "", "SEEDANCE-2.0"] {
        assert_eq!(refused(&with("model", json!(name))), ["/model model-unknown"], "{name}");
    }
    let body = with("model", json!("seedance-2.0-fats"));
    let faults = crate::bench::check(&body).unwrap_err();
    assert_eq!(faults[0].fix, "did you mean \"seedance-2.0-fast\"?");
    let allowed = faults[0].allowed.as_deref().unwrap();
    for key in ModelKey::ALL {
        assert!(allowed.contains(key.alias()) && allowed.contains(key.wire_id(Route::Byteplus)));
    }
    assert_eq!(
        refused(&with("model", json!("ep-20261122-abcde"))),
        ["/model endpoint-id-not-supported"]
    );
}

#[test]
fn the_quota_is_that_of_model_and_size() {
    for (model, resolution, class) in [
        (ModelKey::V20, Resolution::P1080, SlotClass::V20),
        (ModelKey::V20, Resolution::P4k, SlotClass::V20At4k),
        (ModelKey::V20Fast, Resolution::P720, SlotClass::V20Fast),
        (ModelKey::V20Mini, Resolution::P480, SlotClass::V20Mini),
    ] {
        assert_eq!(SlotClass::of(model, resolution), class);
        let mut body = request(vec![text()]);
        body["model"] = json!(model.alias());
        body["resolution"] = json!(resolution.word());
        assert_eq!(accepted(&body).request.slot_class(), class);
        assert_eq!(SlotClass::from_word(class.word()), Some(class));
        assert_eq!(serde_json::to_value(class).unwrap(), json!(class.word()));
    }
    assert_eq!(SlotClass::V20.default_quota(Tier::Enterprise).running, 10);
    assert_eq!(SlotClass::V20Mini.default_quota(Tier::Individual).create_per_minute, 180);
    assert_eq!(SlotClass::V20At4k.default_quota(Tier::Enterprise).running, 1);
}

#[test]
fn words_survive_a_round_trip() {
    for route in Route::ALL {
        assert_eq!(route.word().parse::<Route>().unwrap(), route);
        assert_eq!(serde_json::to_value(route).unwrap(), json!(route.word()));
        assert_eq!(links_die_at_unix_s(route.base_url()), None, "a base URL is no signed link");
    }
    for key in ModelKey::ALL {
        assert_eq!(serde_json::to_value(key).unwrap(), json!(key.word()));
    }
    assert!("BytePlus".parse::<Route>().is_err());
}
