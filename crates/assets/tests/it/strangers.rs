//! Whatever a file host sends: the film walker and the heads of its answers under changed inputs.

use assets::{Answer, Ask, BodyEnd, Fetch, Mp4Walker, Plan};

/// Bytes that a made-up transfer may bring.
const LENGTH_MAX: u64 = 1_000;
const TRIES_MAX: u32 = 20;

fn walk(body: &[u8], piece: usize) -> Result<assets::Mp4Facts, assets::Mp4Fault> {
    let mut walker = Mp4Walker::new();
    for piece in body.chunks(piece.max(1)) {
        walker.feed(piece)?;
    }
    walker.finish(None)
}

/// Top-level boxes of a body, read in one go; `None` unless they cover it exactly.
fn boxes(mut body: &[u8]) -> Option<Vec<[u8; 4]>> {
    let mut kinds = Vec::new();
    while !body.is_empty() {
        let word = |at: usize| Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?));
        let kind = body.get(4..8)?.try_into().ok()?;
        let size = match word(0)? {
            0 => body.len() as u64,
            1 => u64::from(word(8)?) << 32 | u64::from(word(12)?),
            size => u64::from(size),
        };
        let size = usize::try_from(size).ok().filter(|size| (8..=body.len()).contains(size))?;
        kinds.push(kind);
        body = &body[size..];
    }
    Some(kinds)
}

#[test]
fn fuzz_mp4() {
    let words = ["ftyp", "moov", "mdat", "mvhd", "free", "\0\0\0\x08", "\0\0\0\x01", "\0\0\0\0"];
    fuzz::run("mp4", &words, |body| {
        let at_once = walk(body, usize::MAX);
        for piece in [1, 3, 8, 1 + body.len() / 2] {
            let pieces = walk(body, piece);
            assert_eq!(pieces.is_ok(), at_once.is_ok(), "cut every {piece}: {pieces:?}");
        }
        match at_once {
            Ok(facts) => {
                assert_eq!(facts.length_bytes, body.len() as u64);
                let kinds = boxes(body).expect("an accepted film is boxes from end to end");
                assert_eq!(kinds.first(), Some(b"ftyp"));
                assert!(kinds.contains(b"moov") && kinds.contains(b"mdat"), "{kinds:?}");
                format!("a film of {} boxes", kinds.len().min(9))
            }
            Err(fault) => {
                let text = fault.to_string();
                assert!(!text.is_empty() && text.len() < 300, "{text}");
                // The kind of fault, without its numbers and names.
                format!("{fault:?}").split([' ', '{', '(']).next().unwrap_or_default().to_owned()
            }
        }
    });
}

/// A line of the made-up transfer: `status|length|range|etag|encoding|bytes of the body`.
struct Line<'a> {
    answer: Answer<'a>,
    body_bytes: u64,
}

fn line(text: &str) -> Option<Line<'_>> {
    let parts: Vec<&str> = text.split('|').collect();
    let [status, length, range, etag, encoding, body] = parts.as_slice() else { return None };
    Some(Line {
        answer: Answer {
            status: status.parse().ok()?,
            content_length_bytes: length.parse().ok(),
            content_range: Some(*range).filter(|part| !part.is_empty()),
            etag: Some(*etag).filter(|part| !part.is_empty()),
            content_encoding: Some(*encoding).filter(|part| !part.is_empty()),
        },
        body_bytes: body.parse().ok()?,
    })
}

/// Where a part begins and what it claims, by the letter of RFC 9110 §14.4.
fn range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let digits = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    let (span, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let total = if total == "*" { None } else { Some(digits(total)?) };
    Some((digits(first)?, digits(last)?, total))
}

/// What lies in the bucket while a transfer goes on, kept by the simplest means.
#[derive(Default)]
struct Written {
    bytes: u64,
    etag: Option<String>,
}

#[test]
fn fuzz_range_headers() {
    let words = [
        "206|",
        "200|",
        "416|",
        "bytes ",
        "bytes 0-0/1",
        "*/",
        "|\"e1\"|",
        "W/",
        "gzip",
        "+",
        "\n",
    ];
    fuzz::run("range_headers", &words, |input| {
        let text = String::from_utf8_lossy(input);
        let mut fetch = Fetch::new(LENGTH_MAX, TRIES_MAX);
        let mut written = Written::default();
        let mut way = String::new();
        for line in text.lines().filter_map(line) {
            let Some(ask) = fetch.ask() else { break };
            if let Ask::Rest { from_bytes, etag } = &ask {
                assert_eq!(*from_bytes, written.bytes, "goes on where it stopped");
                assert_eq!(Some(etag), written.etag.as_ref(), "under the tag of what is there");
                assert!(*from_bytes > 0 && etag.starts_with('"'), "{etag}");
            }
            let plan = fetch.answer(&line.answer);
            way.push(format!("{plan:?}").chars().next().unwrap_or('?'));
            if !step(&plan, &ask, &line, &mut fetch, &mut written) {
                break;
            }
        }
        assert!(fetch.tries() <= TRIES_MAX);
        // How it ended tells one transfer from another well enough.
        way.split_off(way.len().saturating_sub(4))
    });
}

/// Follows one answer; false when the transfer is over.
fn step(plan: &Plan, ask: &Ask, line: &Line<'_>, fetch: &mut Fetch, written: &mut Written) -> bool {
    let said = line.answer.content_range.and_then(range);
    match plan {
        Plan::Start => {
            *written = Written { bytes: 0, etag: fetch.etag().map(str::to_owned) };
        }
        Plan::Continue => {
            let (first, last, total) = said.expect("a part says where it belongs");
            assert!(matches!(ask, Ask::Rest { .. }), "nobody asked for a part");
            assert_eq!(first, written.bytes, "two pieces overlap or leave a gap");
            assert!(last >= first && total.is_none_or(|total| last < total));
            let tag = line.answer.etag;
            assert!(tag.is_none() || tag == written.etag.as_deref(), "two files joined");
        }
        Plan::Done => {
            assert_eq!(fetch.total_bytes(), Some(written.bytes));
            return false;
        }
        Plan::TooBig { length_bytes } => {
            assert!(*length_bytes > LENGTH_MAX);
            return false;
        }
        Plan::LinkDead { .. } => return false,
        Plan::Restart { .. } => {
            *written = Written::default();
            return true;
        }
        Plan::Later { .. } | Plan::Unusable { .. } => return true,
    }
    if !fetch.received(line.body_bytes) {
        assert_eq!(fetch.body_ended(true), BodyEnd::TooLong);
        return false;
    }
    written.bytes += line.body_bytes;
    assert_eq!(written.bytes, fetch.have_bytes());
    assert!(written.bytes <= LENGTH_MAX);
    match fetch.body_ended(true) {
        BodyEnd::Whole => {
            assert!(fetch.total_bytes().is_none_or(|total| total == written.bytes));
            false
        }
        BodyEnd::Short { missing_bytes } => {
            assert_eq!(fetch.total_bytes(), Some(written.bytes + missing_bytes));
            true
        }
        BodyEnd::TooLong => false,
    }
}
