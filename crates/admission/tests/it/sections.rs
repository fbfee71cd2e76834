//! The door's keys as the shipped configuration has them, and as an operator changes them.

use admission::{Review, Settings};
use settings::Sources;

#[test]
fn the_shipped_configuration_is_the_default() {
    let loaded = Sources::default().load().expect("loads");
    assert_eq!(Settings::from_loaded(&loaded).expect("fits"), Settings::default());
    let redis: store::Settings = loaded.section("redis").expect("the store reads it too");
    assert!((redis.intake_stop_ratio - 0.80).abs() < f64::EPSILON);
}

#[test]
fn every_key_of_the_door_can_be_said() {
    let loaded = Sources::default()
        .set("review.require", "any_image_or_video")
        .set("tenants.acme.review", "off")
        .set("tenants.acme.pool", "main")
        .set("tenants.quiet.pool", "main")
        .set("redis.intake_stop_ratio", "0.5")
        .load()
        .expect("loads");
    let settings = Settings::from_loaded(&loaded).expect("fits");
    assert_eq!(settings.review_of("acme"), Review::Off);
    assert_eq!(settings.review_of("quiet"), Review::AnyImageOrVideo);
    assert_eq!(settings.review_of("unnamed"), Review::AnyImageOrVideo);
    assert_eq!((settings.pool_of("acme"), settings.pool_of("quiet")), (Some("main"), Some("main")));
    assert!((settings.intake_stop_ratio - 0.5).abs() < f64::EPSILON);
    for word in ["off", "marked", "any_image_or_video", "always"] {
        let loaded = Sources::default().set("review.require", word).load().expect("loads");
        Settings::from_loaded(&loaded).expect(word);
    }
}
