//! Whole films pass, everything else is refused by name, and nothing panics.

use crate::films::{boxed, film, ftyp, large_box, moov, mvhd, mvhd_long, noise, open_box};
use assets::{Mp4Facts, Mp4Fault, Mp4Walker};
use proptest::prelude::*;

fn judge_in(body: &[u8], piece: usize, expected_s: Option<u32>) -> Result<Mp4Facts, Mp4Fault> {
    let mut walker = Mp4Walker::new();
    for piece in body.chunks(piece.max(1)) {
        walker.feed(piece)?;
    }
    walker.finish(expected_s)
}

fn judge(body: &[u8], expected_s: Option<u32>) -> Result<Mp4Facts, Mp4Fault> {
    judge_in(body, usize::MAX, expected_s)
}

fn mdat() -> Vec<u8> {
    boxed(b"mdat", &noise(500))
}

fn whole_films() -> Vec<(&'static str, Vec<u8>)> {
    let head = moov(&mvhd(1000, 5000));
    vec![
        ("index first", film(5, 500)),
        ("index last", [ftyp(), mdat(), head.clone()].concat()),
        (
            "with padding",
            [ftyp(), boxed(b"free", &[]), mdat(), boxed(b"free", b"x"), head.clone()].concat(),
        ),
        ("64-bit mdat", [ftyp(), large_box(b"mdat", &noise(99)), head.clone()].concat()),
        ("open mdat last", [ftyp(), head.clone(), open_box(b"mdat", &noise(99))].concat()),
        ("long mvhd", [ftyp(), moov(&mvhd_long(90_000, 450_000)), mdat()].concat()),
        ("64-bit moov", {
            let inner = [mvhd(1000, 5000), boxed(b"trak", b"")].concat();
            [ftyp(), mdat(), large_box(b"moov", &inner)].concat()
        }),
        ("open moov last", {
            let inner = [mvhd(1000, 5000), boxed(b"trak", b"")].concat();
            [ftyp(), mdat(), open_box(b"moov", &inner)].concat()
        }),
        ("many mdat", [ftyp(), head, mdat(), mdat(), mdat()].concat()),
    ]
}

#[test]
fn whole_films_pass_however_they_are_cut() {
    for (name, body) in whole_films() {
        for piece in [1, 2, 3, 7, 8, 9, 16, 64, usize::MAX] {
            let facts = judge_in(&body, piece, Some(5)).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(facts.length_bytes, body.len() as u64);
            assert_eq!(facts.duration_ms, Some(5_000), "{name}");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    for (name, body) in whole_films() {
        // Only a final box without a size cannot tell its own end; the length check covers it.
        let open_from = if name == "open mdat last" { body.len() - 99 } else { body.len() };
        for length in 0..open_from {
            let answer = judge(&body[..length], Some(5));
            // A film cut between two whole boxes is whole if it lost only repeated pictures.
            if name == "many mdat" && [508, 1016].contains(&(body.len() - length)) {
                continue;
            }
            let fault = answer.expect_err(&format!("{name} cut at {length}"));
            assert!(
                matches!(fault, Mp4Fault::Empty | Mp4Fault::Truncated { .. } | Mp4Fault::NoBox(_)),
                "{name} cut at {length}: {fault:?}"
            );
        }
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    for (name, body) in whole_films() {
        if name.starts_with("open") {
            continue;
        }
        for tail in [&b"\0"[..], b"trailing garbage of some length", &[0xff; 16]] {
            let body = [&body, tail].concat();
            judge(&body, Some(5)).expect_err(name);
        }
    }
}

#[test]
fn error_pages_are_told_from_films() {
    for page in [
        "<!DOCTYPE html><html></html>",
        "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
        "{\"error\":{\"code\":\"NotFound\"}}",
        "\n\n  <html>",
    ] {
        let answer = judge(page.as_bytes(), None);
        assert!(matches!(answer, Err(Mp4Fault::Text { .. })), "{page}: {answer:?}");
    }
    assert_eq!(judge(b"", None), Err(Mp4Fault::Empty));
    assert!(matches!(judge(&mdat(), None), Err(Mp4Fault::NotFtyp { .. })));
    assert!(matches!(judge(b"\x1a\x45\xdf\xa3webm....", None), Err(Mp4Fault::NotFtyp { .. })));
    assert!(matches!(judge(&noise(64), None), Err(Mp4Fault::NotFtyp { .. })));
}

#[test]
fn missing_boxes_are_named() {
    let answer = judge(&[ftyp(), mdat()].concat(), None);
    assert_eq!(answer, Err(Mp4Fault::NoBox("moov")));
    let answer = judge(&[ftyp(), moov(&mvhd(1000, 5000))].concat(), None);
    assert_eq!(answer, Err(Mp4Fault::NoBox("mdat")));
    let answer = judge(&[ftyp(), boxed(b"moov", &boxed(b"trak", b"")), mdat()].concat(), None);
    assert_eq!(answer, Err(Mp4Fault::NoBox("mvhd")));
    let answer = judge(&[ftyp(), boxed(b"moov", &mvhd(1000, 5000)), mdat()].concat(), None);
    assert_eq!(answer, Err(Mp4Fault::NoBox("trak")));
    let answer = judge(&[ftyp(), boxed(b"moov", b""), mdat()].concat(), None);
    assert_eq!(answer, Err(Mp4Fault::NoBox("mvhd")));
}

#[test]
fn headers_that_make_no_sense_are_named() {
    let head = moov(&mvhd(1000, 5000));
    let bad = |parts: &[&[u8]]| match judge(&parts.concat(), None) {
        Err(Mp4Fault::BadBox { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let small = [&7_u32.to_be_bytes()[..], b"free"].concat();
    assert!(bad(&[&ftyp(), &small]).contains("smaller than its header"));
    let small = [&1_u32.to_be_bytes()[..], b"free", &15_u64.to_be_bytes()[..]].concat();
    assert!(bad(&[&ftyp(), &small]).contains("64-bit"));
    let huge = [&1_u32.to_be_bytes()[..], b"free", &u64::MAX.to_be_bytes()[..]].concat();
    assert!(bad(&[&ftyp(), &huge]).contains("overflows"));
    assert!(bad(&[&ftyp(), &head, &head]).contains("two of it"));
    assert!(bad(&[&ftyp(), &boxed(b"\0\0\0\0", b"")]).contains("printable"));
    assert!(bad(&[&boxed(b"ftyp", b"isom")]).contains("brand"));
    let wide = [&200_u32.to_be_bytes()[..], b"trak"].concat();
    assert!(bad(&[&ftyp(), &boxed(b"moov", &wide)]).contains("beyond moov"));
    assert!(bad(&[&ftyp(), &boxed(b"moov", &open_box(b"trak", b""))]).contains("top-level"));
    let loose = [mvhd(1, 5), boxed(b"trak", b""), vec![0; 3]].concat();
    assert!(bad(&[&ftyp(), &boxed(b"moov", &loose)]).contains("too few"));
    assert!(bad(&[&ftyp(), &moov(&mvhd(0, 5000)), &mdat()]).contains("timescale"));
    assert!(bad(&[&ftyp(), &moov(&boxed(b"mvhd", &[0; 19]))]).contains("too small"));
    assert!(bad(&[&ftyp(), &moov(&boxed(b"mvhd", &[2; 100]))]).contains("version"));
}

#[test]
fn the_ordered_length_is_met_within_one_second() {
    let lasting = |duration| [ftyp(), moov(&mvhd(1000, duration)), mdat()].concat();
    for good in [4_000, 5_000, 5_042, 6_000] {
        judge(&lasting(good), Some(5)).unwrap();
    }
    for (off, found_ms) in [(3_999, 3_999), (6_001, 6_001), (0, 0)] {
        let wrong = Mp4Fault::WrongDuration { found_ms, expected_s: 5 };
        assert_eq!(judge(&lasting(off), Some(5)), Err(wrong));
        judge(&lasting(off), None).unwrap();
    }
    let silent = lasting(u32::MAX);
    assert_eq!(judge(&silent, Some(5)), Err(Mp4Fault::NoDuration));
    assert_eq!(judge(&silent, None).unwrap().duration_ms, None);
}

#[test]
fn a_fault_stays() {
    let mut walker = Mp4Walker::new();
    let fault = walker.feed(b"<html>  ").unwrap_err();
    assert_eq!(walker.feed(&film(5, 10)), Err(fault.clone()));
    assert_eq!(walker.finish(None), Err(fault));
}

proptest! {
    #[test]
    fn noise_is_refused(body in proptest::collection::vec(any::<u8>(), 0..2_000), piece in 1_usize..64) {
        prop_assume!(body.get(4..8) != Some(b"ftyp"));
        prop_assert!(judge_in(&body, piece, None).is_err());
    }

    /// Noise behind a good beginning exercises every header rule.
    #[test]
    fn noise_behind_ftyp_never_panics(tail in proptest::collection::vec(any::<u8>(), 0..400), piece in 1_usize..64) {
        let body = [ftyp(), tail].concat();
        prop_assert_eq!(judge_in(&body, piece, Some(5)).is_ok(), judge(&body, Some(5)).is_ok());
    }

    /// One changed byte in the structure never makes the walker disagree with itself about pieces.
    #[test]
    fn a_changed_byte_is_judged_the_same_in_pieces(at in 0_usize..300, to in any::<u8>(), piece in 1_usize..40) {
        let mut body = film(5, 40);
        let at = at % body.len();
        body[at] = to;
        prop_assert_eq!(judge_in(&body, piece, Some(5)), judge(&body, Some(5)));
    }

    #[test]
    fn random_boxes_never_panic(boxes in proptest::collection::vec(
        (prop::sample::select(vec![*b"ftyp", *b"moov", *b"mdat", *b"mvhd", *b"trak", *b"free"]), 0_u32..40, 0_usize..40), 0..12)
    ) {
        let body: Vec<u8> = boxes.iter()
            .flat_map(|(kind, size, filler)| [&size.to_be_bytes()[..], kind, &vec![0; *filler]].concat())
            .collect();
        let _ = judge_in(&[ftyp(), body].concat(), 5, Some(5));
    }
}
