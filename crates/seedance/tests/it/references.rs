//! Files that a request refers to, judged by their first bytes.

use seedance::{FAULT_CODES, FileFacts, FileFormat, MediaKind, Reached, reference_faults};

use crate::bench::{png, wav};
use crate::media::{heif, samples};

const AT: &str = "/content/0/image_url/url";

fn codes(kind: MediaKind, reached: &Reached) -> Vec<String> {
    let faults = reference_faults(AT, kind, reached);
    for fault in &faults {
        assert_eq!(fault.pointer, AT);
        assert!(FAULT_CODES.contains(&fault.code.as_str()), "{fault:?}");
        assert!(!fault.message.is_empty() && !fault.fix.is_empty(), "{fault:?}");
    }
    faults.into_iter().map(|fault| fault.code).collect()
}

fn file(head: &[u8], bytes: u64) -> Reached {
    Reached::File(FileFacts::read(head, Some(bytes)))
}

fn boxed(kind: &[u8; 4], brand: &[u8; 4]) -> Vec<u8> {
    [&[0, 0, 0, 16][..], kind, brand, &[0; 52]].concat()
}

#[test]
fn every_format_is_known_by_its_beginning() {
    for (format, bytes) in samples() {
        let facts = FileFacts::read(&bytes, Some(5_000_000));
        let Some(FileFormat::Image(found)) = facts.format else { panic!("{format:?}: {facts:?}") };
        assert!(format.admits(found), "{format:?}: {facts:?}");
        assert_eq!(facts.pixels, Some((640, 480)), "{format:?}");
        assert_eq!(codes(MediaKind::Image, &Reached::File(facts)), [""; 0]);
        for other in [MediaKind::Video, MediaKind::Audio] {
            assert_eq!(codes(other, &Reached::File(facts)), ["media-format"], "{format:?}");
        }
    }
    for film in [boxed(b"ftyp", b"isom"), boxed(b"ftyp", b"qt  "), boxed(b"moov", b"\0\0\0l")] {
        assert_eq!(codes(MediaKind::Video, &file(&film, 199_000_000)), [""; 0]);
        assert_eq!(codes(MediaKind::Image, &file(&film, 1_000)), ["media-format"]);
    }
    let mp3 = [&b"ID3"[..], &[0; 61]].concat();
    assert_eq!(codes(MediaKind::Audio, &file(&mp3, 1_000_000)), [""; 0]);
}

#[test]
fn what_is_none_of_the_formats_is_told() {
    let page = "\n <!DOCTYPE html><html><body>please log in</body></html>".repeat(2);
    for (bytes, word) in [
        (page.as_bytes(), "a web page"),
        (&b"\x1a\x45\xdf\xa3 a film in another container than those"[..], "no video"),
        (b"no", "no video"),
    ] {
        let reached = file(bytes, bytes.len() as u64);
        assert_eq!(codes(MediaKind::Video, &reached), ["media-format"]);
        let fault = &reference_faults(AT, MediaKind::Video, &reached)[0];
        assert!(fault.message.contains(word), "{fault:?}");
        assert_eq!(fault.allowed.as_deref(), Some("mp4, mov"));
    }
    assert_eq!(codes(MediaKind::Image, &file(&heif(b"avif", 640, 480), 900)), ["media-format"]);
    assert_eq!(codes(MediaKind::Image, &file(b"", 0)), ["media-unreadable"]);
}

#[test]
fn sizes_and_lengths_lie_in_the_limits() {
    let picture = |width, height| png(width, height);
    for (head, bytes, kind, expected) in [
        (picture(300, 750), 29_999_999, MediaKind::Image, &[][..]),
        (picture(640, 480), 30_000_000, MediaKind::Image, &["media-too-large"]),
        (picture(299, 300), 1_000, MediaKind::Image, &["image-side"]),
        (picture(6_001, 300), 1_000, MediaKind::Image, &["image-side", "image-ratio"]),
        (picture(751, 300), 31_000_000, MediaKind::Image, &["media-too-large", "image-ratio"]),
        (boxed(b"ftyp", b"isom"), 200_000_000, MediaKind::Video, &[]),
        (boxed(b"ftyp", b"isom"), 200_000_001, MediaKind::Video, &["media-too-large"]),
        (wav(2_000), 16_044, MediaKind::Audio, &[]),
        (wav(15_000)[..64].to_vec(), 120_044, MediaKind::Audio, &[]),
        (wav(15_001)[..64].to_vec(), 120_052, MediaKind::Audio, &["audio-length"]),
        (wav(1_999), 16_036, MediaKind::Audio, &["audio-length"]),
        (wav(2_000)[..64].to_vec(), 15_000_001, MediaKind::Audio, &["media-too-large"]),
    ] {
        assert_eq!(codes(kind, &file(&head, bytes)), expected, "{bytes} bytes of {kind:?}");
    }
}

#[test]
fn what_the_beginning_does_not_tell_is_a_doubt_and_no_fault() {
    let cut = &png(640, 480)[..20];
    let open = FileFacts::read(cut, Some(5_000));
    assert!(!open.is_settled(), "more of it could tell");
    assert!(open.doubt().is_some_and(|why| why.contains("first 20 bytes")), "{open:?}");
    assert_eq!(codes(MediaKind::Image, &Reached::File(open)), [""; 0]);
    let unsized_ = FileFacts::read(cut, None);
    assert!(unsized_.doubt().is_some());
    let whole = FileFacts::read(cut, Some(20));
    assert_eq!(whole.doubt(), None);
    assert_eq!(codes(MediaKind::Image, &Reached::File(whole)), ["media-unreadable"]);
    assert!(FileFacts::read(&png(640, 480), None).is_settled());
    // All pictures of a container must have been seen, and there is an end to looking.
    let mut container = heif(b"heic", 640, 480);
    assert!(!FileFacts::read(&container, None).is_settled());
    container.resize(FileFacts::HEAD_BYTES_MAX, 0);
    assert!(FileFacts::read(&container, None).is_settled());
}

#[test]
fn who_gives_no_file_is_told_with_what_to_do() {
    for status in [401, 403, 404, 410, 204, 304] {
        let reached = Reached::Status(status);
        assert_eq!(codes(MediaKind::Image, &reached), ["media-unreachable"]);
        let fault = &reference_faults(AT, MediaKind::Image, &reached)[0];
        assert!(fault.message.contains(&status.to_string()), "{fault:?}");
    }
    assert_eq!(codes(MediaKind::Video, &Reached::NotPublic), ["media-unreachable"]);
    assert_eq!(MediaKind::ALL.map(MediaKind::word), ["image_url", "video_url", "audio_url"]);
}

#[test]
fn fuzz_reference_head() {
    let words = [
        "\u{89}PNG\r\n\u{1a}\n",
        "IHDR",
        "GIF89a",
        "RIFF",
        "WEBPVP8X",
        "WAVEfmt ",
        "data",
        "ftyp",
        "heic",
        "mif1",
        "meta",
        "iprp",
        "ipco",
        "ispe",
        "II*\0",
        "MM\0*",
        "BM",
        "ID3",
        "<!doctype html",
    ];
    fuzz::run("reference_head", &words, |head| {
        let (facts, whole) =
            (FileFacts::read(head, None), FileFacts::read(head, Some(head.len() as u64)));
        assert_eq!((facts.format, facts.pixels), (whole.format, whole.pixels));
        assert!(facts.pixels.is_none() || matches!(facts.format, Some(FileFormat::Image(_))));
        let mut told = Vec::new();
        for kind in MediaKind::ALL {
            let mut faults = codes(kind, &Reached::File(whole));
            faults.dedup();
            told.push(faults.join("+"));
            // A file is taken as one kind at most.
            let takes = MediaKind::ALL.into_iter().filter(|kind| {
                !codes(*kind, &Reached::File(facts)).contains(&"media-format".to_owned())
            });
            assert!(takes.count() <= 1, "{facts:?}");
        }
        told.join(" ")
    });
}
