//! Real files for simulated results: a small H.264 MP4 and a PNG, the same bytes each time they
//! are asked for, different for every task.
//!
//! Pictures are tiny and few, so a clip is made in well under a millisecond; the container still
//! tells the true duration and presentation size.

mod boxes;
mod jpeg;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use less_avc::LessEncoder;
use less_avc::ycbcr_image::{DataPlane, Planes, YCbCrImage};
use sha2::{Digest as _, Sha256};

use crate::doubts::LastFrame;
use crate::models::RATIOS;

/// Pictures per clip.
const FRAMES: usize = 4;
/// Different pictures per shape; clips with the same pictures still differ in a tagged box.
const SHADES: u8 = 16;
/// Coded sizes, in the order of [`RATIOS`].
const CODED: [(u32, u32); 6] = [(64, 36), (64, 48), (48, 48), (48, 64), (36, 64), (84, 36)];

/// What a task's files are made from.
#[derive(Clone, Debug)]
pub(crate) struct ClipSpec {
    /// Written into the files, which makes them unique.
    pub(crate) tag: String,
    pub(crate) ratio: &'static str,
    /// Presentation size in pixels.
    pub(crate) size: (u32, u32),
    pub(crate) duration_s: u32,
    /// Chooses the pictures and whether the index comes before the media data.
    pub(crate) seed: u64,
    /// The video is padded to at least this length.
    pub(crate) bytes_min: usize,
    /// The format of the last frame.
    pub(crate) last_frame: LastFrame,
}

/// A picture's H.264 parts, without start codes.
#[derive(Debug)]
struct Picture {
    parameters: boxes::Parameters,
    slice: Vec<u8>,
}

/// The video file.
pub(crate) fn video(spec: &ClipSpec) -> Bytes {
    let shape = RATIOS.iter().position(|ratio| *ratio == spec.ratio).unwrap_or(0);
    let pictures: Vec<Arc<Picture>> = (0..FRAMES)
        .map(|n| picture(shape, (spec.seed.wrapping_add(n as u64 * 5) % u64::from(SHADES)) as u8))
        .collect();
    let samples: Vec<&[u8]> = pictures.iter().map(|picture| picture.slice.as_slice()).collect();
    let movie = boxes::Movie {
        parameters: &pictures[0].parameters,
        coded: CODED[shape],
        presented: spec.size,
        duration_s: spec.duration_s,
        samples: &samples,
        tag: &spec.tag,
        index_first: spec.seed.is_multiple_of(2),
        bytes_min: spec.bytes_min,
    };
    Bytes::from(movie.write())
}

/// The last picture, same shape as the video; as a JPEG it is plain grey.
pub(crate) fn last_frame(spec: &ClipSpec) -> Bytes {
    let shape = RATIOS.iter().position(|ratio| *ratio == spec.ratio).unwrap_or(0);
    let (width, height) = CODED[shape];
    let shade = (spec.seed.wrapping_add((FRAMES as u64 - 1) * 5) % u64::from(SHADES)) as u8;
    if spec.last_frame == LastFrame::Jpeg {
        return Bytes::from(jpeg::grey(width, height, &spec.tag));
    }
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            pixels.extend_from_slice(&[luma(x, y, shade), shade * 16, 255 - shade * 16]);
        }
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .add_text_chunk("Comment".into(), spec.tag.clone())
        .expect("the tag is plain text and the header is not written yet");
    let mut writer = encoder.write_header().expect("writing to memory does not fail");
    writer.write_image_data(&pixels).expect("the pixels fill the picture exactly");
    writer.finish().expect("writing to memory does not fail");
    Bytes::from(file)
}

/// Lower-case hex of the SHA-256 of `bytes`.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn luma(x: u32, y: u32, shade: u8) -> u8 {
    // Kept within the range video uses; the moving stripe makes pictures of one clip differ.
    (16 + (x * 2 + y + u32::from(shade) * 11) % 220) as u8
}

/// Encoded pictures by shape and shade.
type Pictures = BTreeMap<(usize, u8), Arc<Picture>>;

/// Pictures are encoded once per shape and shade: at most 96 small ones live in the cache.
fn picture(shape: usize, shade: u8) -> Arc<Picture> {
    static CACHE: OnceLock<Mutex<Pictures>> = OnceLock::new();
    let cache = CACHE.get_or_init(Mutex::default);
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    cache.entry((shape, shade)).or_insert_with(|| Arc::new(encode(CODED[shape], shade))).clone()
}

fn encode((width, height): (u32, u32), shade: u8) -> Picture {
    let padded = |side: u32| side.div_ceil(16) * 16;
    let (columns, rows) = (padded(width), padded(height));
    let y_plane: Vec<u8> =
        (0..rows).flat_map(|y| (0..columns).map(move |x| luma(x, y, shade))).collect();
    let chroma = (columns / 2 * rows / 2) as usize;
    let (cb, cr) = (vec![64 + shade * 8; chroma], vec![192 - shade * 8; chroma]);
    let plane = |data, stride: u32| DataPlane {
        data,
        stride: stride as usize,
        bit_depth: less_avc::BitDepth::Depth8,
    };
    let image = YCbCrImage {
        planes: Planes::YCbCr((
            plane(y_plane.as_slice(), columns),
            plane(cb.as_slice(), columns / 2),
            plane(cr.as_slice(), columns / 2),
        )),
        width,
        height,
    };
    let (first, _encoder) = LessEncoder::new(&image).expect("the coded sizes are even");
    Picture {
        parameters: boxes::Parameters {
            sequence: first.sps.to_nal_unit(),
            picture: first.pps.to_nal_unit(),
        },
        slice: first.frame.to_nal_unit(),
    }
}
