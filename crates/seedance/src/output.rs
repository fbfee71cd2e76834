//! What a generation looks like: resolution, shape, length, and the frame sizes they lead to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The height class of the video (§2.1). There is no 2k.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Resolution {
    /// `480p`
    #[serde(rename = "480p")]
    P480,
    /// `720p`
    #[serde(rename = "720p")]
    P720,
    /// `1080p`
    #[serde(rename = "1080p")]
    P1080,
    /// `4k`, 10-bit HEVC
    #[serde(rename = "4k")]
    P4k,
}

impl Resolution {
    /// Every resolution, smallest first.
    pub const ALL: [Resolution; 4] =
        [Resolution::P480, Resolution::P720, Resolution::P1080, Resolution::P4k];

    /// The wire word, always lower case.
    pub const fn word(self) -> &'static str {
        match self {
            Resolution::P480 => "480p",
            Resolution::P720 => "720p",
            Resolution::P1080 => "1080p",
            Resolution::P4k => "4k",
        }
    }

    /// Reads a wire word, exactly as the contract writes it; upper case is only rumoured to work (§2.1).
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.word() == word)
    }

    /// The frame size at `ratio`, or `None` for [`Ratio::Adaptive`], where the model or the first
    /// frame decides (§2.3).
    pub fn frame_size(self, ratio: Ratio) -> Option<FrameSize> {
        // Columns as in `Ratio::SHAPES`; rows as in `Resolution::ALL`.
        const SIZES: [[(u32, u32); 6]; 4] = [
            [(864, 496), (752, 560), (640, 640), (560, 752), (496, 864), (992, 432)],
            [(1280, 720), (1112, 834), (960, 960), (834, 1112), (720, 1280), (1470, 630)],
            [(1920, 1080), (1664, 1248), (1440, 1440), (1248, 1664), (1080, 1920), (2206, 946)],
            [(3840, 2160), (3326, 2494), (2880, 2880), (2494, 3326), (2160, 3840), (4398, 1886)],
        ];
        let column = Ratio::SHAPES.into_iter().position(|shape| shape == ratio)?;
        let (width, height) = SIZES[self as usize][column];
        Some(FrameSize { width, height })
    }

    /// The size with most pixels this resolution can lead to, for reservations made before the
    /// shape is known.
    pub fn frame_size_max(self) -> FrameSize {
        self.frame_sizes()
            .max_by_key(|size| size.pixels())
            .expect("every resolution has a size for every shape")
    }

    /// The size with fewest pixels this resolution can lead to.
    pub fn frame_size_min(self) -> FrameSize {
        self.frame_sizes()
            .min_by_key(|size| size.pixels())
            .expect("every resolution has a size for every shape")
    }

    fn frame_sizes(self) -> impl Iterator<Item = FrameSize> {
        Ratio::SHAPES.into_iter().filter_map(move |ratio| self.frame_size(ratio))
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The shape of the video (§2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ratio {
    /// `16:9`
    #[serde(rename = "16:9")]
    R16x9,
    /// `4:3`
    #[serde(rename = "4:3")]
    R4x3,
    /// `1:1`
    #[serde(rename = "1:1")]
    R1x1,
    /// `3:4`
    #[serde(rename = "3:4")]
    R3x4,
    /// `9:16`
    #[serde(rename = "9:16")]
    R9x16,
    /// `21:9`
    #[serde(rename = "21:9")]
    R21x9,
    /// `adaptive`: the model or the input picture decides; the answer names the shape used
    #[serde(rename = "adaptive")]
    Adaptive,
}

impl Ratio {
    /// The shapes with a known size.
    pub const SHAPES: [Ratio; 6] =
        [Ratio::R16x9, Ratio::R4x3, Ratio::R1x1, Ratio::R3x4, Ratio::R9x16, Ratio::R21x9];

    /// Every legal value.
    pub const ALL: [Ratio; 7] = [
        Ratio::R16x9,
        Ratio::R4x3,
        Ratio::R1x1,
        Ratio::R3x4,
        Ratio::R9x16,
        Ratio::R21x9,
        Ratio::Adaptive,
    ];

    /// The wire word.
    pub const fn word(self) -> &'static str {
        match self {
            Ratio::R16x9 => "16:9",
            Ratio::R4x3 => "4:3",
            Ratio::R1x1 => "1:1",
            Ratio::R3x4 => "3:4",
            Ratio::R9x16 => "9:16",
            Ratio::R21x9 => "21:9",
            Ratio::Adaptive => "adaptive",
        }
    }

    /// Reads a wire word, exactly as the contract writes it.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.word() == word)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How long the video shall be. Written as one integer everywhere: seconds, or -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "i64", try_from = "i64")]
pub enum DurationChoice {
    /// Whole seconds.
    Seconds(u8),
    /// -1 on the wire: the model picks a length up to its maximum.
    ModelChooses,
}

impl From<DurationChoice> for i64 {
    fn from(choice: DurationChoice) -> i64 {
        match choice {
            DurationChoice::Seconds(s) => i64::from(s),
            DurationChoice::ModelChooses => -1,
        }
    }
}

impl TryFrom<i64> for DurationChoice {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, Self::Error> {
        match value {
            -1 => Ok(DurationChoice::ModelChooses),
            s => u8::try_from(s)
                .map(DurationChoice::Seconds)
                .map_err(|_| format!("{s} is neither -1 nor a number of seconds up to 255")),
        }
    }
}

/// Width and height of one frame, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FrameSize {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl FrameSize {
    /// Pixels in one frame.
    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }
}
