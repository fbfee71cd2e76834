//! Fetching one link over many requests, without HTTP.

use assets::{Answer, Ask, BodyEnd, Fetch, Plan};
use proptest::prelude::*;

const TAG: &str = "\"v1\"";

fn ok(length_bytes: u64) -> Answer<'static> {
    Answer {
        status: 200,
        content_length_bytes: Some(length_bytes),
        etag: Some(TAG),
        ..Answer::default()
    }
}

fn part(range: &'static str) -> Answer<'static> {
    Answer { status: 206, content_range: Some(range), etag: Some(TAG), ..Answer::default() }
}

/// A fetch that has 40 of 100 bytes and has just asked for the rest.
fn halfway() -> Fetch {
    let mut fetch = Fetch::new(1_000, 20);
    fetch.ask().unwrap();
    assert_eq!(fetch.answer(&ok(100)), Plan::Start);
    assert!(fetch.received(40));
    assert_eq!(fetch.body_ended(false), BodyEnd::Short { missing_bytes: 60 });
    let ask = fetch.ask().unwrap();
    assert_eq!(ask, Ask::Rest { from_bytes: 40, etag: TAG.into() });
    fetch
}

#[test]
fn one_request_is_enough_on_a_good_day() {
    let mut fetch = Fetch::new(1_000, 20);
    assert_eq!(fetch.ask(), Some(Ask::Whole));
    assert_eq!(fetch.answer(&ok(100)), Plan::Start);
    assert!(fetch.received(60) && fetch.received(40));
    assert_eq!(fetch.body_ended(true), BodyEnd::Whole);
    assert_eq!((fetch.total_bytes(), fetch.etag()), (Some(100), Some(TAG)));
}

#[test]
fn a_broken_body_goes_on_where_it_stopped() {
    let mut fetch = halfway();
    assert_eq!(fetch.answer(&part("bytes 40-99/100")), Plan::Continue);
    assert!(fetch.received(60));
    assert_eq!(fetch.body_ended(true), BodyEnd::Whole);
    assert_eq!(fetch.tries(), 2);
}

#[test]
fn a_server_that_sends_all_again_starts_over() {
    let mut fetch = halfway();
    let changed = Answer { etag: Some("\"v2\""), ..ok(120) };
    assert_eq!(fetch.answer(&changed), Plan::Start);
    assert_eq!((fetch.have_bytes(), fetch.total_bytes()), (0, Some(120)));
}

#[test]
fn parts_that_do_not_fit_are_never_joined() {
    for misfit in [
        part("bytes 39-99/100"),
        part("bytes 41-99/100"),
        part("bytes 40-119/120"),
        part("bytes 99-40/100"),
        part("bytes 40-100/100"),
        part("nonsense"),
        Answer { content_range: None, ..part("") },
        Answer { etag: Some("\"v2\""), ..part("bytes 40-99/100") },
        Answer { content_length_bytes: Some(61), ..part("bytes 40-99/100") },
        Answer { content_length_bytes: Some(1), ..part("bytes 40-18446744073709551615/*") },
    ] {
        let mut fetch = halfway();
        let plan = fetch.answer(&misfit);
        assert!(matches!(plan, Plan::Restart { .. }), "{misfit:?}: {plan:?}");
        assert_eq!(fetch.ask(), Some(Ask::Whole), "{misfit:?}");
    }
}

#[test]
fn without_a_strong_validator_nothing_is_continued() {
    for etag in [None, Some("W/\"v1\""), Some(""), Some("v1")] {
        let mut fetch = Fetch::new(1_000, 20);
        fetch.ask().unwrap();
        fetch.answer(&Answer { etag, ..ok(100) });
        assert!(fetch.received(40));
        assert!(!fetch.can_continue());
        assert_eq!(fetch.ask(), Some(Ask::Whole), "{etag:?}");
        assert_eq!(fetch.have_bytes(), 0);
    }
}

#[test]
fn beyond_the_end_is_done_only_if_it_is_the_end() {
    let beyond = |range| Answer { status: 416, content_range: range, ..Answer::default() };
    assert_eq!(halfway().answer(&beyond(Some("bytes */40"))), Plan::Done);
    for range in [None, Some("bytes */100"), Some("bytes */*")] {
        let plan = halfway().answer(&beyond(range));
        assert!(matches!(plan, Plan::Restart { .. }), "{range:?}: {plan:?}");
    }
}

#[test]
fn other_answers_are_sorted_by_what_helps() {
    let plan = |status| halfway().answer(&Answer { status, ..Answer::default() });
    for status in [401, 403, 404, 410] {
        assert_eq!(plan(status), Plan::LinkDead { status });
    }
    for status in [408, 429, 500, 502, 503] {
        assert_eq!(plan(status), Plan::Later { status });
    }
    for status in [0, 100, 201, 204, 302, 304, 418] {
        assert!(matches!(plan(status), Plan::Unusable { .. }), "{status}");
    }
    let zipped = Answer { content_encoding: Some("gzip"), ..ok(100) };
    assert!(matches!(halfway().answer(&zipped), Plan::Unusable { .. }));
    let mut fresh = Fetch::new(1_000, 20);
    fresh.ask().unwrap();
    assert!(matches!(fresh.answer(&part("bytes 0-9/10")), Plan::Unusable { .. }));
}

#[test]
fn a_bad_moment_keeps_what_was_written() {
    let mut fetch = halfway();
    fetch.answer(&Answer { status: 503, ..Answer::default() });
    assert_eq!(fetch.ask(), Some(Ask::Rest { from_bytes: 40, etag: TAG.into() }));
}

#[test]
fn too_much_is_seen_before_and_while_it_comes() {
    let mut fetch = Fetch::new(1_000, 20);
    fetch.ask().unwrap();
    assert_eq!(fetch.answer(&ok(1_001)), Plan::TooBig { length_bytes: 1_001 });

    let mut fetch = Fetch::new(1_000, 20);
    fetch.ask().unwrap();
    fetch.answer(&Answer { content_length_bytes: None, ..ok(0) });
    assert!(fetch.received(1_000));
    assert!(!fetch.received(1));
    assert_eq!(fetch.body_ended(true), BodyEnd::TooLong);
}

#[test]
fn without_a_length_only_a_clean_end_counts() {
    let mut fetch = Fetch::new(1_000, 20);
    fetch.ask().unwrap();
    fetch.answer(&Answer { content_length_bytes: None, ..ok(0) });
    assert!(fetch.received(10));
    assert!(matches!(fetch.body_ended(false), BodyEnd::Short { .. }));
    assert_eq!(fetch.body_ended(true), BodyEnd::Whole);
}

#[test]
fn tries_run_out() {
    let mut fetch = Fetch::new(1_000, 3);
    assert!((0..3).all(|_| fetch.ask().is_some()));
    assert_eq!(fetch.ask(), None);
}

proptest! {
    /// Against a host that serves one of two versions of a file, cuts bodies anywhere and
    /// sometimes ignores ranges, the bytes kept are always one version's, whole.
    #[test]
    fn the_result_is_one_whole_version(turns in proptest::collection::vec((0_u64..120, any::<bool>(), any::<bool>()), 1..20)) {
        let versions = [("\"v0\"", vec![0_u8; 100]), ("\"v1\"", vec![1_u8; 80])];
        let mut fetch = Fetch::new(1_000, 20);
        let mut kept: Vec<u8> = Vec::new();
        for (cut, newer, ignores_range) in turns {
            let (etag, file) = &versions[usize::from(newer)];
            let Some(ask) = fetch.ask() else { break };
            let honoured = match &ask {
                Ask::Rest { from_bytes, etag: held } if !ignores_range && held == etag => {
                    Some(usize::try_from(*from_bytes).unwrap())
                }
                Ask::Rest { .. } | Ask::Whole => None,
            };
            let (first, status) = honoured.map_or((0, 200), |from| (from, 206));
            let range = format!("bytes {first}-{}/{}", file.len() - 1, file.len());
            let plan = fetch.answer(&Answer {
                status,
                content_length_bytes: Some((file.len() - first) as u64),
                content_range: (status == 206).then_some(range.as_str()),
                etag: Some(etag),
                content_encoding: None,
            });
            match plan {
                Plan::Start => kept.clear(),
                Plan::Continue => {}
                other => prop_assert!(false, "{other:?}"),
            }
            let body = &file[first..];
            let body = &body[..body.len().min(usize::try_from(cut).unwrap())];
            prop_assert!(fetch.received(body.len() as u64));
            kept.extend_from_slice(body);
            prop_assert_eq!(kept.len() as u64, fetch.have_bytes());
            if fetch.body_ended(true) == BodyEnd::Whole {
                prop_assert!(versions.iter().any(|(_, file)| *file == kept));
                return Ok(());
            }
        }
    }
}
