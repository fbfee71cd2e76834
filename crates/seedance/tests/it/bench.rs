//! The workbench: requests and media to test with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seedance::{Checked, Fault, Route, Rules, validate};
use serde_json::{Value, json};

/// A prompt item.
pub fn text() -> Value {
    json!({"type": "text", "text": "a paper boat crosses a puddle"})
}

/// A picture by address, with a role unless it is empty.
pub fn image(role: &str) -> Value {
    item("image_url", "https://media.example.com/a.png", role)
}

/// A reference video by address.
pub fn video() -> Value {
    item("video_url", "https://media.example.com/a.mp4", "reference_video")
}

/// A reference sound by address.
pub fn audio() -> Value {
    item("audio_url", "https://media.example.com/a.mp3", "reference_audio")
}

/// Any media item.
pub fn item(kind: &str, url: &str, role: &str) -> Value {
    let mut item = json!({"type": kind, kind: {"url": url}});
    if !role.is_empty() {
        item["role"] = json!(role);
    }
    item
}

/// A request for 2.0 with this content.
pub fn request(content: Vec<Value>) -> Value {
    json!({"model": "seedance-2.0", "content": content})
}

/// A text request with one more field.
pub fn with(key: &str, value: Value) -> Value {
    let mut body = request(vec![text()]);
    body[key] = value;
    body
}

pub fn check(body: &Value) -> Result<Checked, Vec<Fault>> {
    validate(Route::Byteplus, body, &Rules::default())
}

pub fn accepted(body: &Value) -> Checked {
    check(body).unwrap_or_else(|faults| panic!("refused: {faults:#?}\n{body}"))
}

/// The faults as `pointer code`, in the order of the report.
pub fn refused(body: &Value) -> Vec<String> {
    let faults = check(body).expect_err("should have been refused");
    faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.code)).collect()
}

pub fn data_url(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(bytes))
}

/// As much of a PNG as it takes to know its size.
pub fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// A silent WAV with eight thousand bytes per second.
pub fn wav(length_ms: u32) -> Vec<u8> {
    let data_bytes = length_ms * 8;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data_bytes).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16_u32.to_le_bytes());
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(8_000_u32.to_le_bytes());
    bytes.extend(8_000_u32.to_le_bytes());
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(8_u16.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(data_bytes.to_le_bytes());
    bytes.resize(bytes.len() + data_bytes as usize, 128);
    bytes
}
