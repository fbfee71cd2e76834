//! M21: nothing is bought before a person approved what the setting says a person must approve.

use crate::documents::{picture, showing, text, with};
use crate::house::{House, api, told};
use admission::{How, Intake, Review, ReviewSettings, Settings, TenantSettings};
use job::{By, Event, Policy, Source, State, StateWord};
use serde_json::{Value, json};
use settings::Sources;
use std::collections::BTreeMap;
use store::Writer;

fn gate(require: Review) -> Settings {
    Settings {
        review: ReviewSettings { require, ..ReviewSettings::default() },
        ..Settings::default()
    }
}

fn policy() -> Policy {
    let loaded = Sources::default().load().expect("the shipped configuration");
    Policy {
        submit: loaded.section("submit").expect("fits"),
        settle: loaded.section("settle").expect("fits"),
        poll: loaded.section("poll").expect("fits"),
        download: loaded.section("download").expect("fits"),
        delivery_max: std::time::Duration::from_secs(10),
        doubt: job::DoubtPolicy::Strict,
    }
}

/// Kinds of documents, and for each the settings (off, marked, any image or video, always) under
/// which it must wait.
fn kinds(nth: &str) -> [(Value, [bool; 4]); 5] {
    let image = picture("https://media.example.com/a.png");
    let people = json!({"people": true, "consent_ref": "folder 7"});
    let mut shown = showing(&format!("{nth} dancer"), std::slice::from_ref(&image));
    shown.as_object_mut().expect("an object").extend(people.as_object().expect("one").clone());
    [
        (text(&format!("{nth} boat")), [false, false, false, true]),
        (with(&format!("{nth} marked boat"), "review", json!(true)), [false, true, true, true]),
        (showing(&format!("{nth} picture"), &[image]), [false, false, true, true]),
        (shown, [false, true, true, true]),
        (with(&format!("{nth} plain"), "review", json!(false)), [false, false, false, true]),
    ]
}

// covers: M21
#[tokio::test(flavor = "multi_thread")]
async fn no_way_in_leads_past_the_gate() {
    let house = House::open().await;
    let (mut queued, mut held) = (Vec::new(), Vec::new());
    for source in [Source::Api, Source::Import, Source::Cli] {
        for (setting, require) in Review::ALL.into_iter().enumerate() {
            let door = house.door_by(gate(require));
            for (document, waits) in kinds(&format!("{source:?} {require:?}")) {
                let batch = (source == Source::Import).then(|| "b1".to_owned());
                let said = document.to_string();
                let intake = Intake { batch, ..Intake::new(document, source) };
                let admitted = door.admit(intake).await.expect("it is sound");
                assert_eq!(admitted.how, How::Created);
                let record = house.record(&admitted.id).await;
                assert_eq!(Some(record.life.state.word()), admitted.state);
                assert_eq!(record.spec.source, source);
                if waits[setting] {
                    assert!(matches!(record.life.state, State::Held { .. }), "{require:?} {said}");
                    held.push(admitted.id);
                } else {
                    assert_eq!(admitted.state, Some(StateWord::Queued), "{require:?} {said}");
                    queued.push(admitted.id);
                }
            }
        }
    }
    queued.sort();
    held.sort();
    assert_eq!((queued.len(), held.len()), (3 * 10, 3 * 10), "the table is as meant");
    assert_eq!(house.claim_all().await, queued, "a submitter sees no job that waits");
    let approved = Event::Approved { by: By::named("reviewer") };
    for id in &held {
        house.store.report(id, Writer::Outside, &approved, &policy()).await.expect("written");
    }
    assert_eq!(house.claim_all().await, held, "approval, and only that, makes them due");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_may_have_a_gate_of_its_own() {
    let house = House::open().await;
    let own = |review| TenantSettings { review: Some(review), ..TenantSettings::default() };
    let tenants = BTreeMap::from([
        ("careful".to_owned(), own(Review::Always)),
        ("trusted".to_owned(), own(Review::Off)),
        ("silent".to_owned(), TenantSettings::default()),
    ]);
    let door = house.door_by(Settings { tenants, ..gate(Review::AnyImageOrVideo) });
    let image = showing("a picture", &[picture("https://media.example.com/a.png")]);
    for (tenant, document, state) in [
        ("careful", text("a boat"), StateWord::Held),
        ("trusted", image.clone(), StateWord::Queued),
        ("silent", image.clone(), StateWord::Held),
        ("silent", text("a boat"), StateWord::Queued),
        ("unnamed", image, StateWord::Held),
    ] {
        let intake = Intake { tenant: tenant.to_owned(), ..api(document) };
        let admitted = door.admit(intake).await.expect("it is sound");
        assert_eq!(admitted.state, Some(state), "{tenant}");
    }
}

// covers: M21
#[tokio::test(flavor = "multi_thread")]
async fn people_are_not_shown_without_a_named_consent() {
    let house = House::open().await;
    for require in Review::ALL {
        for source in [Source::Api, Source::Import, Source::Cli] {
            for consent in [Value::Null, json!("")] {
                let mut document = with("a dancer", "people", json!(true));
                document["consent_ref"] = consent.clone();
                let answer =
                    house.door_by(gate(require)).admit(Intake::new(document, source)).await;
                let code = if consent.is_null() { "consent-missing" } else { "out-of-range" };
                assert_eq!(told(answer), [format!("/consent_ref {code}")]);
            }
        }
    }
    assert!(house.is_empty());

    let mut document = with("a dancer", "people", json!(true));
    document["consent_ref"] = json!("folder 7, sheet 3");
    let admitted = house.door().admit(api(document)).await.expect("consent is named");
    let spec = house.record(&admitted.id).await.spec;
    assert!(spec.people);
    assert_eq!(spec.consent_ref.as_deref(), Some("folder 7, sheet 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_nobody_heeds_is_told() {
    let house = House::open().await;
    let marked = || api(with("a boat", "review", json!(true)));
    let codes = |warnings: Vec<seedance::Warning>| -> Vec<String> {
        warnings.into_iter().map(|warning| warning.code).collect()
    };
    let admitted = house.door().admit(marked()).await.expect("it is sound");
    assert_eq!(codes(admitted.warnings), ["review-mark-without-effect"]);
    let now = house.store.now().await.expect("Redis answers");
    let heeded = house.door_by(gate(Review::Marked)).check(&marked(), now).expect("it is sound");
    assert_eq!(codes(heeded.warnings), [""; 0]);
    assert!(heeded.held.is_some());
}
