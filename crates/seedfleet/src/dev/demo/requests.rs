//! Varied, valid requests: every mode, every model, many shapes; the same seed makes the same file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const SUBJECTS: [&str; 8] = [
    "a paper boat crosses a puddle",
    "a lighthouse keeper winds an old clock",
    "two foxes race through fresh snow",
    "a street musician packs up at dawn",
    "steam rises from a bowl of noodles",
    "a kite breaks loose above the harbour",
    "a glassblower turns a glowing bulb",
    "rain runs down a tram window at night",
];
const MANNERS: [&str; 6] = [
    "slow push-in, soft morning light",
    "hand-held, close, shallow focus",
    "one long take from above",
    "wide and still, drifting clouds",
    "low angle, backlit, dust in the air",
    "tracking shot at walking pace",
];
const RATIOS: [&str; 6] = ["16:9", "9:16", "1:1", "4:3", "3:4", "21:9"];
const MODELS: [&str; 3] = ["seedance-2.0", "seedance-2.0-fast", "seedance-2.0-mini"];

/// The `n`-th request, from 1. Which mode it has depends on `n` alone, so that a few rows already show
/// them all; the seed chooses the rest.
pub(super) fn request(n: u32, seed: u64) -> Value {
    let mut draw = Draw(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(n));
    let model = MODELS[(n % 3) as usize];
    let resolutions: &[&str] =
        if model == MODELS[0] { &["480p", "720p", "1080p"] } else { &["480p", "720p"] };
    let text = format!("{}, {}, shot {n}", draw.of(&SUBJECTS), draw.of(&MANNERS));
    let mut content = vec![json!({"type": "text", "text": text})];
    content.extend(media(n, model, &mut draw));
    let mut body = json!({
        "custom_id": format!("demo-{n:04}"),
        "model": model,
        "content": content,
        "resolution": draw.of(resolutions),
        "ratio": draw.of(&RATIOS),
        "duration": 4 + draw.below(9),
        "metadata": {"series": format!("s{}", 1 + n % 7)},
    });
    match n % 5 {
        1 => body["priority"] = json!("high"),
        3 => body["generate_audio"] = json!(false),
        4 => body["watermark"] = json!(true),
        _ => {}
    }
    body
}

/// What stands beside the prompt.
fn media(n: u32, model: &str, draw: &mut Draw) -> Vec<Value> {
    let address = |name: &str| format!("https://media.example.com/demo/{n}/{name}");
    match n % 10 {
        2 | 7 => vec![picture(&inline(draw), "first_frame")],
        3 => vec![picture(&address("first.jpg"), "first_frame")],
        4 => vec![
            picture(&address("first.png"), "first_frame"),
            picture(&address("last.png"), "last_frame"),
        ],
        5 => vec![picture(&inline(draw), "first_frame"), picture(&inline(draw), "last_frame")],
        6 => vec![
            picture(&address("hero.png"), "reference_image"),
            picture(&address("place.png"), "reference_image"),
        ],
        // The route publishes no price for mini with a video among its references.
        8 if model == MODELS[2] => vec![
            picture(&address("hero.png"), "reference_image"),
            item("audio_url", &address("beat.mp3"), "reference_audio"),
        ],
        8 => vec![
            picture(&address("hero.png"), "reference_image"),
            item("video_url", &address("move.mp4"), "reference_video"),
            item("audio_url", &address("beat.mp3"), "reference_audio"),
        ],
        _ => Vec::new(),
    }
}

fn picture(url: &str, role: &str) -> Value {
    item("image_url", url, role)
}

fn item(kind: &str, url: &str, role: &str) -> Value {
    json!({"type": kind, kind: {"url": url}, "role": role})
}

/// A picture of two colours as a data URL.
fn inline(draw: &mut Draw) -> String {
    format!("data:image/bmp;base64,{}", STANDARD.encode(bitmap(320, 320, draw)))
}

/// A bitmap with one bit per pixel: a whole picture of 13 KB without a codec.
fn bitmap(width: u32, height: u32, draw: &mut Draw) -> Vec<u8> {
    const HEAD_BYTES: u32 = 14 + 40 + 8;
    let row_bytes = width.div_ceil(32) * 4;
    let mut bytes = b"BM".to_vec();
    bytes.extend((HEAD_BYTES + row_bytes * height).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(HEAD_BYTES.to_le_bytes());
    bytes.extend(40_u32.to_le_bytes());
    bytes.extend(width.to_le_bytes());
    bytes.extend(height.to_le_bytes());
    // One plane of one bit, no compression; the rest may stay zero but for the two colours.
    bytes.extend([1, 0, 1, 0]);
    bytes.extend([0; 24]);
    for _ in 0..2 {
        let [blue, green, red, ..] = draw.next().to_le_bytes();
        bytes.extend([blue, green, red, 0]);
    }
    let stripe = u8::try_from(draw.below(255) + 1).unwrap_or(1);
    for row in 0..height {
        let shade = if row / 16 % 2 == 0 { stripe } else { !stripe };
        bytes.resize(bytes.len() + row_bytes as usize, shade);
    }
    bytes
}

/// A small generator of draws: good enough for variety, the same everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedance::{Day, Mode, PriceTable, Route, Rules, SlotClass};
    use std::collections::BTreeSet;

    fn checked(n: u32) -> seedance::Checked {
        let mut body = request(n, 7);
        let fields = body.as_object_mut().unwrap();
        for ours in ["custom_id", "metadata"] {
            fields.remove(ours);
        }
        if fields.get("priority").is_some_and(Value::is_string) {
            fields.remove("priority");
        }
        seedance::validate(Route::Byteplus, &body, &Rules::default())
            .unwrap_or_else(|faults| panic!("{n}: {faults:#?}"))
    }

    #[test]
    fn all_are_valid_and_priced_and_no_two_are_equal() {
        let mut seen = BTreeSet::new();
        for n in 1..=200 {
            let request = checked(n).request;
            assert!(seen.insert(serde_json::to_string(&request).unwrap()), "{n}");
            let day = Day::from_unix_s(1_795_000_000);
            let cost = PriceTable::builtin().cost(Route::Byteplus, &request, 1, day);
            assert!(cost.is_ok(), "{n}: {cost:?}");
        }
    }

    #[test]
    fn ten_rows_show_every_mode_and_every_class_of_the_demo() {
        let requests: Vec<_> = (1..=10).map(|n| checked(n).request).collect();
        let modes: BTreeSet<Mode> = requests.iter().map(seedance::Request::mode).collect();
        assert_eq!(modes.len(), 4);
        let classes: BTreeSet<SlotClass> = requests.iter().map(|r| r.slot_class()).collect();
        assert_eq!(classes.len(), 3);
    }

    #[test]
    fn the_same_seed_makes_the_same_request() {
        assert_eq!(request(7, 1), request(7, 1));
        assert_ne!(request(7, 1), request(7, 2));
    }
}
