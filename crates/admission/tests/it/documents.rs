//! Documents and media to knock with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A prompt alone.
pub fn text(prompt: &str) -> Value {
    json!({"model": "seedance-2.0", "content": [{"type": "text", "text": prompt}]})
}

/// A prompt with one more field at the top.
pub fn with(prompt: &str, key: &str, value: Value) -> Value {
    let mut document = text(prompt);
    document[key] = value;
    document
}

/// A prompt with media behind it.
pub fn showing(prompt: &str, media: &[Value]) -> Value {
    let mut document = text(prompt);
    document["content"].as_array_mut().expect("it is a list").extend_from_slice(media);
    document
}

/// A reference picture.
pub fn picture(url: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": url}, "role": "reference_image"})
}

/// A reference video.
pub fn video(url: &str) -> Value {
    json!({"type": "video_url", "video_url": {"url": url}, "role": "reference_video"})
}

/// A reference sound.
pub fn sound(url: &str) -> Value {
    json!({"type": "audio_url", "audio_url": {"url": url}, "role": "reference_audio"})
}

pub fn data_url(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(bytes))
}

/// As much of a 640 × 480 PNG as it takes to know its size, and a body that is easy to recognise.
pub fn png() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(640_u32.to_be_bytes());
    bytes.extend(480_u32.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend((0..6_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()));
    bytes
}

/// Three silent seconds of WAV.
pub fn wav() -> Vec<u8> {
    let data_bytes = 24_000_u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data_bytes).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16_u32.to_le_bytes());
    bytes.extend([1, 0, 1, 0]);
    bytes.extend(8_000_u32.to_le_bytes());
    bytes.extend(8_000_u32.to_le_bytes());
    bytes.extend([1, 0, 8, 0]);
    bytes.extend(b"data");
    bytes.extend(data_bytes.to_le_bytes());
    bytes.resize(bytes.len() + data_bytes as usize, 0x80);
    bytes
}
