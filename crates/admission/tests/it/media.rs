//! Inline media lie in the bucket, under their hash, before the record that names them.

use crate::documents::{data_url, picture, png, showing};
use crate::house::{House, api, told};
use admission::Intake;
use assets::sha256_hex;
use std::path::PathBuf;

// covers: M17
#[tokio::test(flavor = "multi_thread")]
async fn a_data_url_becomes_a_file_and_never_a_value_in_redis() {
    let house = House::open().await;
    let bytes = png();
    let url = data_url("image/png", &bytes);
    let hash = sha256_hex(&bytes);
    let document = showing("a boat", &[picture(&url), picture(&url)]);
    let intake = Intake { tenant: "acme".into(), ..api(document.clone()) };
    let admitted = house.door().admit(intake).await.expect("it is sound");

    assert_eq!(house.files(), [PathBuf::from(format!("media/acme/{hash}"))]);
    let kept = house.assets.get_media("acme", &hash).await.expect("it is there");
    assert_eq!(kept, bytes);

    let everything = house.everything();
    assert!(everything.contains(&hash), "the record names the medium");
    assert!(everything.contains(admitted.id.as_str()), "the look saw the record");
    let middle = &url[url.len() / 2..url.len() / 2 + 40];
    assert!(!everything.contains(middle) && !everything.contains("base64"), "no bytes in Redis");
    assert!(everything.len() < bytes.len(), "{} bytes in Redis", everything.len());

    // The same picture of another tenant is that tenant's file.
    house.door().admit(api(document)).await.expect("it is sound");
    assert_eq!(house.files().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_does_not_answer_leaves_no_job_behind() {
    let house = House::open().await;
    std::fs::write(house.bucket().join("media"), "in the way").expect("written");
    let with_media = || api(showing("a boat", &[picture(&data_url("image/png", &png()))]));
    let refusal = house.door().admit(with_media()).await.expect_err("the bucket cannot write");
    assert_eq!(refusal.code(), "intake-unavailable");
    assert!(refusal.is_retryable());
    assert_eq!(house.ask(&["DBSIZE"]), "0");

    std::fs::remove_file(house.bucket().join("media")).expect("removed");
    house.door().admit(with_media()).await.expect("the same request again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_medium_beyond_the_buckets_bound_is_told_as_a_fault() {
    let small = assets::Settings { small_object_bytes_max: 1_024, ..assets::Settings::default() };
    let house = House::with(&[], small).await;
    let document = showing("a boat", &[picture(&data_url("image/png", &png()))]);
    assert_eq!(told(house.door().admit(api(document)).await), ["/content media-too-large"]);
    assert!(house.is_empty());
}
