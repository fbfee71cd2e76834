//! Finished files: signed links, ranges, faults of the object host, and the bytes themselves.

use reqwest::Method;
use serde_json::{Value, json};
use simulator::{Limits, Options};

use crate::bench::Bench;

struct Fetched {
    status: u16,
    headers: reqwest::header::HeaderMap,
    bytes: reqwest::Result<Vec<u8>>,
}

impl Fetched {
    fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes.as_ref().unwrap()).into_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn fetch(bench: &Bench, url: &str, headers: &[(&str, &str)]) -> Fetched {
    let mut request = bench.http.request(Method::GET, url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    Fetched {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        bytes: response.bytes().await.map(|bytes| bytes.to_vec()),
    }
}

async fn finished(bench: &Bench) -> (String, String) {
    let done = bench.finished(json!({"return_last_frame": true, "duration": 7})).await;
    let link = |key: &str| done["content"][key].as_str().unwrap().to_owned();
    (link("video_url"), link("last_frame_url"))
}

#[tokio::test]
async fn files_are_what_the_ledger_says() {
    let bench = Bench::start().await;
    let (video_url, frame_url) = finished(&bench).await;
    for part in [
        "X-Tos-Algorithm=",
        "X-Tos-Credential=",
        "X-Tos-Date=",
        "X-Tos-Expires=86400",
        "X-Tos-Signature=",
        "X-Tos-SignedHeaders=host",
    ] {
        assert!(video_url.contains(part), "{video_url} lacks {part}");
    }
    let billed = bench.events("billed").await.remove(0);
    let video = fetch(&bench, &video_url, &[]).await;
    let frame = fetch(&bench, &frame_url, &[]).await;
    assert_eq!((video.status, video.header("content-type")), (200, "video/mp4"));
    assert_eq!((frame.status, frame.header("content-type")), (200, "image/png"));
    assert_eq!(json!(sha256(video.bytes.as_ref().unwrap())), billed["video_sha256"]);
    assert_eq!(json!(sha256(frame.bytes.as_ref().unwrap())), billed["last_frame_sha256"]);
    assert_eq!(json!(video.bytes.as_ref().unwrap().len()), billed["video_bytes"]);
    assert!(video.bytes.as_ref().unwrap().len() < 120 << 10);
    let (other, _) = finished(&bench).await;
    let other = fetch(&bench, &other, &[]).await.bytes.unwrap();
    assert_ne!(&other, video.bytes.as_ref().unwrap(), "no two tasks share a file");
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}

#[tokio::test]
async fn ranges_are_honoured_as_the_store_does() {
    let bench = Bench::start().await;
    let (url, _) = finished(&bench).await;
    let all = fetch(&bench, &url, &[]).await;
    assert_eq!(all.header("accept-ranges"), "bytes");
    let (etag, whole) = (all.header("etag").to_owned(), all.bytes.unwrap());
    let length = whole.len();
    for (range, expected) in [
        ("bytes=0-0", &whole[..1]),
        ("bytes=100-199", &whole[100..200]),
        ("bytes=100-", &whole[100..]),
        ("bytes=-10", &whole[length - 10..]),
        ("bytes=10-99999999", &whole[10..]),
    ] {
        let part = fetch(&bench, &url, &[("range", range)]).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.bytes.as_deref().unwrap(), expected, "{range}");
        let from = length - whole[expected.as_ptr() as usize - whole.as_ptr() as usize..].len();
        let content_range = format!("bytes {from}-{}/{length}", from + expected.len() - 1);
        assert_eq!(part.headers["content-range"], content_range.as_str(), "{range}");
    }
    let beyond = fetch(&bench, &url, &[("range", "bytes=99999999-")]).await;
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{length}"));
    let same = fetch(&bench, &url, &[("range", "bytes=5-"), ("if-range", &etag)]).await;
    assert_eq!(same.status, 206);
    let changed = fetch(&bench, &url, &[("range", "bytes=5-"), ("if-range", "\"other\"")]).await;
    assert_eq!((changed.status, changed.bytes.unwrap().len()), (200, length));
}

#[tokio::test]
async fn only_the_link_opens_the_file() {
    let bench = Bench::start().await;
    let (url, frame_url) = finished(&bench).await;
    let (path, query) = url.split_once('?').unwrap();
    let (frame_path, _) = frame_url.split_once('?').unwrap();
    let flipped = url.replace("X-Tos-Expires=86400", "X-Tos-Expires=99999");
    for wrong in [path.to_owned(), flipped, format!("{frame_path}?{query}")] {
        let answer = fetch(&bench, &wrong, &[]).await;
        assert_eq!(answer.status, 403, "{wrong}");
        assert!(answer.text().contains("<Code>SignatureDoesNotMatch</Code>"), "{}", answer.text());
    }
    let head = bench.http.head(&url).send().await.unwrap();
    assert_eq!(head.status(), 403, "the link was signed for GET");
}

#[tokio::test]
async fn credentials_are_refused_and_counted() {
    let bench = Bench::start().await;
    let (url, _) = finished(&bench).await;
    let answer = fetch(&bench, &url, &[("authorization", "Bearer sim-key")]).await;
    assert_eq!(answer.status, 400);
    assert_eq!(bench.stats().await["media"]["authorization_seen"], 1);
    assert_eq!(fetch(&bench, &url, &[]).await.status, 200);
    assert_eq!(bench.stats().await["media"]["authorization_seen"], 1);
}

#[tokio::test]
async fn links_die_after_a_day_and_say_so_in_the_stores_shape() {
    let bench = Bench::start().await;
    let (url, _) = finished(&bench).await;
    bench.advance(86_000).await;
    assert_eq!(fetch(&bench, &url, &[]).await.status, 200);
    bench.advance(500).await;
    let answer = fetch(&bench, &url, &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (403, "application/xml"));
    assert!(answer.text().contains("Request has expired"), "{}", answer.text());
    assert!(serde_json::from_str::<Value>(&answer.text()).is_err(), "not the API's shape");
}

#[tokio::test]
async fn one_link_can_be_used_so_often() {
    let limits = Limits { downloads: Some(2), ..Limits::unlimited() };
    let bench = Bench::with(Options { limits, ..Options::default() }).await;
    let (url, _) = finished(&bench).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(fetch(&bench, &url, &[]).await.status);
    }
    assert_eq!(statuses, [200, 200, 403]);
}

#[tokio::test]
async fn the_object_host_fails_in_every_way() {
    let bench = Bench::start().await;
    let (url, _) = finished(&bench).await;
    let whole = fetch(&bench, &url, &[]).await.bytes.unwrap();
    let once = async |rule: Value| {
        let mut rule = rule;
        rule["times"] = json!(1);
        bench.set("faults", json!({"media": [rule]})).await;
    };

    once(json!({"kind": "expired"})).await;
    assert_eq!(fetch(&bench, &url, &[]).await.status, 403);
    for kind in ["truncated", "reset", "wrong_length"] {
        once(json!({"kind": kind})).await;
        let cut = fetch(&bench, &url, &[]).await;
        assert_eq!(cut.status, 200, "{kind}");
        assert!(cut.bytes.is_err(), "{kind} must not look complete");
    }
    once(json!({"kind": "short_file"})).await;
    let short = fetch(&bench, &url, &[]).await;
    assert_eq!(short.header("content-length"), (whole.len() / 2).to_string());
    assert_eq!(short.bytes.unwrap(), &whole[..whole.len() / 2], "looks complete, is not");
    once(json!({"kind": "corrupt"})).await;
    let corrupt = fetch(&bench, &url, &[]).await.bytes.unwrap();
    assert_eq!(corrupt.len(), whole.len());
    assert_ne!(corrupt, whole);
    once(json!({"kind": "ignore_range"})).await;
    let ignored = fetch(&bench, &url, &[("range", "bytes=10-")]).await;
    assert_eq!((ignored.status, ignored.bytes.unwrap()), (200, whole.clone()));
    once(json!({"kind": "redirect", "url": "http://127.0.0.1:9/x"})).await;
    let elsewhere = fetch(&bench, &url, &[]).await;
    assert_eq!((elsewhere.status, elsewhere.header("location")), (302, "http://127.0.0.1:9/x"));
    once(json!({"kind": "answer", "status": 503})).await;
    assert_eq!(fetch(&bench, &url, &[]).await.status, 503);
    once(json!({"kind": "slow", "bytes_per_s": 200_000})).await;
    assert_eq!(fetch(&bench, &url, &[]).await.bytes.unwrap(), whole, "slow but whole");
    bench.set("faults", json!({"media": [{"kind": "etag_changes", "times": 2}]})).await;
    let etag = |fetched: &Fetched| fetched.header("etag").to_owned();
    let (one, two) = (fetch(&bench, &url, &[]).await, fetch(&bench, &url, &[]).await);
    assert_ne!(etag(&one), etag(&two));
    once(json!({"kind": "answer", "status": 500, "match": {"file": "png"}})).await;
    assert_eq!(fetch(&bench, &url, &[]).await.status, 200, "the rule is for the last frame");
}

/// A box of an MP4 file.
struct Part<'a> {
    name: &'a [u8],
    body: &'a [u8],
    /// Where the body starts within the slice that was walked.
    at: usize,
}

/// Splits `bytes` into boxes; panics unless they tile it exactly.
fn boxes(bytes: &[u8]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let size = number(&bytes[at..]) as usize;
        assert!(size >= 8 && at + size <= bytes.len(), "box of {size} bytes at {at}");
        let (name, body) = (&bytes[at + 4..at + 8], &bytes[at + 8..at + size]);
        parts.push(Part { name, body, at: at + 8 });
        at += size;
    }
    parts
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

fn find<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> &'a [u8] {
    path.iter().fold(bytes, |bytes, name| {
        let part = boxes(bytes).into_iter().find(|part| part.name == name.as_slice());
        part.unwrap_or_else(|| panic!("no {:?}", String::from_utf8_lossy(*name))).body
    })
}

#[tokio::test]
async fn videos_are_well_formed_mp4s() {
    let bench = Bench::start().await;
    let mut orders = std::collections::BTreeSet::new();
    for (n, ratio) in
        ["16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "16:9", "16:9"].iter().enumerate()
    {
        let duration = 4 + n as u32;
        let done = bench.finished(json!({"ratio": ratio, "duration": duration})).await;
        let url = done["content"]["video_url"].as_str().unwrap();
        let file = fetch(&bench, url, &[]).await.bytes.unwrap();
        let parts = boxes(&file);
        let names: Vec<String> =
            parts.iter().map(|part| String::from_utf8_lossy(part.name).into_owned()).collect();
        assert_eq!(names[0], "ftyp");
        let mut rest = names[1..].to_vec();
        rest.sort();
        assert_eq!(rest, ["free", "mdat", "moov"], "{names:?}");
        orders.insert(names);

        let mvhd = find(&file, &[b"moov", b"mvhd"]);
        assert_eq!(number(&mvhd[16..]), duration * number(&mvhd[12..]), "duration in mvhd");
        let tkhd = find(&file, &[b"moov", b"trak", b"tkhd"]);
        let (width, height) = (number(&tkhd[76..]) >> 16, number(&tkhd[80..]) >> 16);
        let size = crate::bench::fixture("sizes")
            .into_iter()
            .find(|row| row["resolution"] == "720p" && row["ratio"] == *ratio)
            .unwrap();
        assert_eq!((json!(width), json!(height)), (size["width"].clone(), size["height"].clone()));

        let table = find(&file, &[b"moov", b"trak", b"mdia", b"minf", b"stbl"]);
        let sizes = find(table, &[b"stsz"]);
        let count = number(&sizes[8..]) as usize;
        let sizes: Vec<usize> = (0..count).map(|n| number(&sizes[12 + 4 * n..]) as usize).collect();
        let times = find(table, &[b"stts"]);
        let ticks: u32 = (0..number(&times[4..]) as usize)
            .map(|n| number(&times[8 + 8 * n..]) * number(&times[12 + 8 * n..]))
            .sum();
        assert_eq!(ticks, number(&mvhd[16..]), "the pictures last as long as the movie");
        let media = parts.iter().find(|part| part.name == b"mdat").unwrap();
        assert_eq!(sizes.iter().sum::<usize>(), media.body.len());
        let mut at = number(&find(table, &[b"stco"])[8..]) as usize;
        assert_eq!(at, media.at, "the chunk starts where the media data does");
        for size in sizes {
            assert_eq!(number(&file[at..]) as usize, size - 4, "one unit fills one sample");
            assert_eq!(file[at + 4] & 0x1f, 5, "each picture stands alone");
            at += size;
        }
        let entry = &find(table, &[b"stsd"])[8..];
        let avc = find(entry, &[b"avc1"]);
        let settings = find(&avc[78..], &[b"avcC"]);
        assert_eq!((settings[0], settings[8] & 0x1f), (1, 7), "a sequence parameter set");
    }
    assert_eq!(orders.len(), 2, "the index comes first in some files and last in others");
}

#[tokio::test]
async fn clips_can_be_made_larger() {
    let options =
        Options { limits: Limits::unlimited(), clip_bytes_min: 300_000, ..Options::default() };
    let bench = Bench::with(options).await;
    let (url, _) = finished(&bench).await;
    let file = fetch(&bench, &url, &[]).await.bytes.unwrap();
    assert_eq!(file.len(), 300_000);
    assert_eq!(boxes(&file).len(), 4);
}

#[tokio::test]
async fn last_frames_are_readable_pictures() {
    let bench = Bench::start().await;
    let (_, url) = finished(&bench).await;
    let file = fetch(&bench, &url, &[]).await.bytes.unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.width, frame.height), (64, 36));
}
