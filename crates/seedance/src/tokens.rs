//! What a generation is billed for, before it is made (§9).

use crate::{FrameSize, Request, Resolution};

const FRAMES_PER_SECOND: u64 = 24;

/// Length of video input we reserve for. The request knows its references by address only, and all
/// of them together may last this long.
const VIDEO_INPUT_MAX_S: u8 = 15;

/// Tokens of one generation of `duration_s` seconds.
///
/// Without video input this is what the provider has been seen to report, to the token: one frame
/// more than the seconds hold. With video input of `video_input_s` seconds it is the documented
/// formula, raised to the least the 2.0 family is charged for such requests.
pub fn tokens(
    resolution: Resolution,
    size: FrameSize,
    duration_s: u8,
    video_input_s: Option<u8>,
) -> u64 {
    let pixels = size.pixels();
    let output_s = u64::from(duration_s);
    match video_input_s {
        None => pixels * (FRAMES_PER_SECOND * output_s + 1) / 1024,
        Some(input_s) => {
            let formula = pixels * FRAMES_PER_SECOND * (u64::from(input_s) + output_s) / 1024;
            formula.max(least_with_video(resolution, pixels, output_s))
        }
    }
}

/// Small sizes are charged for five thirds of the output in whole seconds, large ones for 1.8 times
/// the output. Inferred from price lists (§9), so a reservation, not a promise.
fn least_with_video(resolution: Resolution, pixels: u64, output_s: u64) -> u64 {
    match resolution {
        Resolution::P480 | Resolution::P720 => {
            pixels * FRAMES_PER_SECOND * (5 * output_s).div_ceil(3) / 1024
        }
        Resolution::P1080 | Resolution::P4k => {
            pixels * FRAMES_PER_SECOND * 9 * output_s / (5 * 1024)
        }
    }
}

/// The most tokens this request can be billed: what a budget sets aside.
///
/// Exact when size and length are given and no video goes in. Otherwise the largest frame of the
/// resolution, the model's longest video and the longest video input are assumed.
pub fn estimate_tokens(request: &Request) -> u64 {
    let size = request.output_size().unwrap_or_else(|| request.resolution.frame_size_max());
    let video_input_s = request.has_video_input().then_some(VIDEO_INPUT_MAX_S);
    tokens(request.resolution, size, request.duration_max_s(), video_input_s)
}

/// The fewest tokens this request can be billed if a video comes of it: the other end of the range that
/// [`estimate_tokens`] closes.
///
/// Where the model chooses, the smallest frame of the resolution and the model's shortest video are assumed, and of video
/// input the least the 2.0 family is charged for. Nothing is billed for a task that fails.
pub fn least_tokens(request: &Request) -> u64 {
    let size = request.output_size().unwrap_or_else(|| request.resolution.frame_size_min());
    let video_input_s = request.has_video_input().then_some(0);
    tokens(request.resolution, size, request.duration_min_s(), video_input_s)
}
