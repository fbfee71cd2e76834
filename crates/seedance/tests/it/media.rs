//! Inline media: believed only by their content (M17, M18, M19).

use seedance::{AudioFormat, ContentItem, ImageFormat, MediaSource};
use serde_json::Value;

use crate::bench::{accepted, data_url, image, item, png, refused, request, wav};

fn picture(declared: &str, bytes: &[u8]) -> Value {
    request(vec![item("image_url", &data_url(declared, bytes), "")])
}

fn sound(declared: &str, bytes: &[u8]) -> Value {
    request(vec![image("reference_image"), item("audio_url", &data_url(declared, bytes), "")])
}

fn tiff(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0\x02\0".to_vec();
    for (tag, value) in [(256_u16, width), (257, height)] {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(3_u16.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
        bytes.extend([0, 0]);
    }
    bytes.extend([0, 0, 0, 0]);
    bytes
}

pub fn heif(brand: &[u8; 4], width: u32, height: u32) -> Vec<u8> {
    let boxed = |kind: &[u8], body: &[u8]| -> Vec<u8> {
        let length = u32::try_from(8 + body.len()).expect("a small box");
        [&length.to_be_bytes()[..], kind, body].concat()
    };
    let size = [&[0; 4][..], &width.to_be_bytes(), &height.to_be_bytes()].concat();
    let properties = boxed(b"iprp", &boxed(b"ipco", &boxed(b"ispe", &size)));
    let meta = boxed(b"meta", &[&[0; 4][..], &properties].concat());
    [boxed(b"ftyp", &[&brand[..], &[0; 4], brand].concat()), meta].concat()
}

/// The beginnings of files of 640 × 480 pixels, one for each format the provider reads.
pub fn samples() -> Vec<(ImageFormat, Vec<u8>)> {
    let jpeg = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\
        \xFF\xC0\0\x11\x08\x01\xE0\x02\x80\x03\x01\x22\0\x02\x11\x01\x03\x11\x01";
    let webp = b"RIFF\x20\0\0\0WEBPVP8X\x0A\0\0\0\0\0\0\0\x7F\x02\0\xDF\x01\0\0\0";
    let bmp = [
        &b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"[..],
        &640_u32.to_le_bytes(),
        &480_u32.to_le_bytes(),
        &[1, 0, 24, 0, 0, 0, 0, 0],
    ]
    .concat();
    vec![
        (ImageFormat::Jpeg, jpeg.to_vec()),
        (ImageFormat::Png, png(640, 480)),
        (ImageFormat::Webp, webp.to_vec()),
        (ImageFormat::Bmp, bmp),
        (ImageFormat::Tiff, tiff(640, 480)),
        (ImageFormat::Gif, b"GIF89a\x80\x02\xE0\x01\0\0\0".to_vec()),
        (ImageFormat::Heic, heif(b"heic", 640, 480)),
        (ImageFormat::Heif, heif(b"mif1", 640, 480)),
    ]
}

#[test]
fn m17_inline_pictures_become_a_reference_by_hash() {
    let bytes = png(640, 480);
    let checked = accepted(&picture("image/png", &bytes));
    assert_eq!(checked.media.len(), 1);
    assert_eq!(checked.media[0].bytes, bytes);
    assert_eq!(checked.media[0].sha256_hex.len(), 64);
    let expected = MediaSource::Inline {
        sha256: checked.media[0].sha256_hex.clone(),
        mime: "image/png".into(),
        bytes: bytes.len() as u64,
    };
    assert_eq!(checked.request.content[0].source(), Some(&expected));
    let log_line = format!("{checked:?}");
    assert!(log_line.len() < 2_000, "no payload in debug output");
}

#[test]
fn m17_one_picture_used_twice_is_kept_once() {
    let url = data_url("image/png", &png(640, 480));
    let body = request(vec![
        item("image_url", &url, "first_frame"),
        item("image_url", &url, "last_frame"),
    ]);
    assert_eq!(accepted(&body).media.len(), 1);
}

#[test]
fn m17_every_format_is_known_by_its_content() {
    for (format, bytes) in samples() {
        let declared = format!("image/{}", format.word());
        let checked = accepted(&picture(&declared, &bytes));
        assert_eq!(checked.media[0].mime, declared);
        for (other, _) in samples() {
            let fits = other.admits(format);
            let answer = crate::bench::check(&picture(&format!("image/{}", other.word()), &bytes));
            assert_eq!(answer.is_ok(), fits, "{format:?} declared as {other:?}");
        }
    }
    let spelled = accepted(&picture("image/jpg", &samples()[0].1));
    assert_eq!(spelled.media[0].mime, "image/jpeg", "the wire gets the contract's word");
}

#[test]
fn m17_what_is_not_a_picture_is_refused() {
    let at = "/content/0/image_url/url";
    let avif = heif(b"avif", 640, 480);
    for (declared, bytes, code) in [
        ("image/png", &b"not a picture at all"[..], "media-unreadable"),
        ("image/png", &png(640, 480)[..20], "media-unreadable"),
        ("image/heif", &avif, "media-unreadable"),
        // A film in the same container.
        ("image/heif", &heif(b"isom", 640, 480), "media-unreadable"),
        ("image/jpeg", &png(640, 480), "media-format-mismatch"),
        ("image/PNG", &png(640, 480), "media-format"),
        ("image/svg+xml", b"<svg/>", "media-format"),
        ("audio/wav", &png(640, 480), "data-url-malformed"),
        ("image/png", b"", "data-url-malformed"),
    ] {
        assert_eq!(refused(&picture(declared, bytes)), [format!("{at} {code}")], "{declared}");
    }
    for url in [
        "data:image/png,AAAA",
        "data:image/png;base64,AA A=",
        "DATA:image/png;base64,AAAA",
        "data:image/png;base64,_-_-",
        "data:",
    ] {
        let body = request(vec![item("image_url", url, "")]);
        assert_eq!(refused(&body), [format!("{at} data-url-malformed")], "{url}");
    }
}

#[test]
fn m18_sides_and_shape_lie_in_the_limits() {
    let at = "/content/0/image_url/url";
    for (width, height, codes) in [
        (300, 300, &[][..]),
        (6_000, 6_000, &[]),
        (750, 300, &[]),
        (300, 750, &[]),
        (6_000, 2_400, &[]),
        (299, 300, &["image-side"]),
        (300, 299, &["image-side"]),
        (6_001, 6_000, &["image-side"]),
        (751, 300, &["image-ratio"]),
        (300, 751, &["image-ratio"]),
        (6_001, 300, &["image-side", "image-ratio"]),
        (0, 0, &["image-side"]),
        (u32::MAX, 1, &["image-side", "image-ratio"]),
    ] {
        let found = crate::bench::check(&picture("image/png", &png(width, height)));
        let found: Vec<String> = found
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|f| {
                assert_eq!(f.pointer, at);
                f.code
            })
            .collect();
        assert_eq!(found, codes, "{width}×{height}");
    }
}

#[test]
fn m18_bytes_lie_in_the_limits() {
    let mut bytes = png(640, 480);
    bytes.resize(29_999_999, 0);
    assert_eq!(accepted(&picture("image/png", &bytes)).media[0].bytes.len(), 29_999_999);
    bytes.push(0);
    assert_eq!(
        refused(&picture("image/png", &bytes)),
        ["/content/0/image_url/url media-too-large"]
    );
    let mut mp3 = b"ID3".to_vec();
    mp3.resize(15_000_000, 0);
    assert_eq!(accepted(&sound("audio/mp3", &mp3)).media.len(), 1);
    mp3.push(0);
    assert_eq!(refused(&sound("audio/mp3", &mp3)), ["/content/1/audio_url/url media-too-large"]);
}

#[test]
fn the_whole_body_has_a_limit() {
    let mut bytes = png(640, 480);
    bytes.resize(20_000_000, 0);
    let pictures = |count: u8| -> Value {
        let one = |n: u8| {
            let mut bytes = bytes.clone();
            bytes.push(n);
            item("image_url", &data_url("image/png", &bytes), "reference_image")
        };
        request((0..count).map(one).collect())
    };
    assert_eq!(accepted(&pictures(2)).media.len(), 2);
    assert_eq!(refused(&pictures(3)), [" body-too-large"], "three times 26.7 MB encoded");
}

#[test]
fn m19_sounds_have_a_length() {
    for (length_ms, legal) in
        [(1_999, false), (2_000, true), (15_000, true), (15_001, false), (0, false)]
    {
        let answer = crate::bench::check(&sound("audio/wav", &wav(length_ms)));
        assert_eq!(answer.is_ok(), legal, "{length_ms} ms");
    }
    let part = data_url("audio/wav", &wav(7_501));
    let body = request(vec![
        image("reference_image"),
        item("audio_url", &part, ""),
        item("audio_url", &part, ""),
    ]);
    assert_eq!(refused(&body), ["/content audio-total-length"]);
}

#[test]
fn sounds_are_known_by_their_content() {
    let frame = [0xFF, 0xFB, 0x90, 0x44, 0, 0, 0, 0];
    for bytes in [&frame[..], b"ID3\x04\0\0\0\0\0\0"] {
        assert_eq!(AudioFormat::sniff(bytes), Some(AudioFormat::Mp3));
        assert_eq!(accepted(&sound("audio/mpeg", bytes)).media[0].mime, "audio/mp3");
    }
    for bytes in [&[0xFF, 0xD8, 0xFF][..], &[0xFF, 0xF1, 0x50, 0x80], b"OggS", b"", &[0xFF]] {
        assert_eq!(AudioFormat::sniff(bytes), None);
    }
    let at = "/content/1/audio_url/url";
    let mismatch = sound("audio/mp3", &wav(3_000));
    assert_eq!(refused(&mismatch), [format!("{at} media-format-mismatch")]);
    assert_eq!(refused(&sound("audio/ogg", b"OggS")), [format!("{at} media-format")]);
    assert_eq!(refused(&sound("audio/wav", b"OggS")), [format!("{at} media-unreadable")]);
}

#[test]
fn a_streamed_wav_is_measured_by_what_is_there() {
    for written_length in [0_u32, u32::MAX, 999_999] {
        let mut bytes = wav(3_000);
        bytes[40..44].copy_from_slice(&written_length.to_le_bytes());
        accepted(&sound("audio/wav", &bytes));
        bytes.truncate(44 + 8_000);
        let codes = refused(&sound("audio/wav", &bytes));
        assert_eq!(codes, ["/content/1/audio_url/url audio-length"], "one second is left");
    }
    let mut headless = wav(3_000);
    headless[12..16].copy_from_slice(b"junk");
    accepted(&sound("audio/wav", &headless));
}

#[test]
fn one_bad_picture_does_not_hide_the_others() {
    let body = request(vec![
        item("image_url", &data_url("image/png", &png(10, 10)), "reference_image"),
        item("image_url", "ftp://a.example/b", "reference_image"),
        item("image_url", &data_url("image/png", &png(640, 480)), "portrait"),
    ]);
    assert_eq!(
        refused(&body),
        [
            "/content/0/image_url/url image-side",
            "/content/1/image_url/url url-scheme",
            "/content/2/role role-unknown",
        ]
    );
    let good = accepted(&request(vec![image("reference_image")]));
    assert!(matches!(good.request.content[0], ContentItem::Image { .. }));
}

mod any_bytes {
    use proptest::prelude::*;
    use seedance::{AudioFormat, ImageFormat};

    use super::{picture, samples, sound};

    proptest! {
        #[test]
        fn never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), which in 0..8_usize) {
            let _ = ImageFormat::sniff(&bytes);
            let _ = AudioFormat::sniff(&bytes);
            // Junk behind a true beginning reaches the parsers that matter.
            let (format, beginning) = &samples()[which];
            for keep in [4, 12, beginning.len()] {
                let mut file = beginning[..keep.min(beginning.len())].to_vec();
                file.extend(&bytes);
                let _ = crate::bench::check(&picture(&format!("image/{}", format.word()), &file));
            }
            let wav = [b"RIFF\0\0\0\0WAVE", &bytes[..]].concat();
            let _ = crate::bench::check(&sound("audio/wav", &wav));
        }
    }
}
