//! Models, output sizes and billed tokens, as the contract tables them (`docs/provider.md` §2.2,
//! §2.3, §9).

use crate::options::Route;

/// One model of the 2.0 family.
#[derive(Debug)]
pub(crate) struct Model {
    /// Short key: `2.0`, `2.0-fast`, `2.0-mini`.
    pub(crate) key: &'static str,
    byteplus: &'static str,
    volcengine: &'static str,
    /// Resolutions the model can make.
    pub(crate) resolutions: &'static [&'static str],
    /// Whether task objects tell `generate_audio`; mini's do not.
    pub(crate) tells_audio: bool,
}

const MODELS: [Model; 3] = [
    Model {
        key: "2.0",
        byteplus: "dreamina-seedance-2-0-260128",
        volcengine: "doubao-seedance-2-0-260128",
        resolutions: &["480p", "720p", "1080p", "4k"],
        tells_audio: true,
    },
    Model {
        key: "2.0-fast",
        byteplus: "dreamina-seedance-2-0-fast-260128",
        volcengine: "doubao-seedance-2-0-fast-260128",
        resolutions: &["480p", "720p"],
        tells_audio: true,
    },
    Model {
        key: "2.0-mini",
        byteplus: "dreamina-seedance-2-0-mini-260615",
        volcengine: "doubao-seedance-2-0-mini-260615",
        resolutions: &["480p", "720p"],
        tells_audio: false,
    },
];

/// Models the provider has or had but this simulator does not play.
const NOT_PLAYED: [&str; 3] = ["seedance-2-5-", "seedance-1-5-", "seedance-1-0-"];

impl Model {
    /// The model a `model` value names on `route`.
    pub(crate) fn find(route: Route, name: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.name(route) == name)
    }

    /// The model behind a short key.
    pub(crate) fn of_key(key: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| model.key == key)
    }

    /// Whether `name` is a model of the provider that is not played here.
    pub(crate) fn is_known_elsewhere(name: &str) -> bool {
        NOT_PLAYED.iter().any(|part| name.contains(part))
    }

    /// The model id on `route`.
    pub(crate) fn name(&self, route: Route) -> &'static str {
        match route {
            Route::Byteplus => self.byteplus,
            Route::Volcengine => self.volcengine,
        }
    }
}

/// Ratios a request may name, beside `adaptive`; the columns of [`SIZES`].
pub(crate) const RATIOS: [&str; 6] = ["16:9", "4:3", "1:1", "3:4", "9:16", "21:9"];

const SIZES: [(&str, [(u32, u32); 6]); 4] = [
    ("480p", [(864, 496), (752, 560), (640, 640), (560, 752), (496, 864), (992, 432)]),
    ("720p", [(1280, 720), (1112, 834), (960, 960), (834, 1112), (720, 1280), (1470, 630)]),
    ("1080p", [(1920, 1080), (1664, 1248), (1440, 1440), (1248, 1664), (1080, 1920), (2206, 946)]),
    ("4k", [(3840, 2160), (3326, 2494), (2880, 2880), (2494, 3326), (2160, 3840), (4398, 1886)]),
];

/// Width and height in pixels of an output.
pub(crate) fn size(resolution: &str, ratio: &str) -> Option<(u32, u32)> {
    let column = RATIOS.iter().position(|known| *known == ratio)?;
    SIZES.iter().find(|(name, _)| *name == resolution).map(|(_, row)| row[column])
}

/// The ratio closest to a picture's shape.
pub(crate) fn nearest_ratio(width: u32, height: u32) -> &'static str {
    let shape = f64::from(width) / f64::from(height.max(1));
    let distance = |ratio: &str| {
        let (w, h) = ratio.split_once(':').unwrap_or(("1", "1"));
        let value = w.parse::<f64>().unwrap_or(1.0) / h.parse::<f64>().unwrap_or(1.0);
        (value / shape).ln().abs()
    };
    RATIOS
        .into_iter()
        .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        .expect("the table of ratios is not empty")
}

/// Tokens billed for `duration_s` seconds of output.
///
/// With a video among the references a minimum applies instead (§9); the simulator does not fetch
/// the input, so it bills that minimum.
pub(crate) fn tokens(
    resolution: &str,
    (width, height): (u32, u32),
    duration_s: u32,
    with_video: bool,
) -> u64 {
    let pixels = u64::from(width) * u64::from(height);
    let seconds = u64::from(duration_s);
    if !with_video {
        return pixels * (24 * seconds + 1) / 1024;
    }
    match resolution {
        "480p" | "720p" => pixels * 24 * (5 * seconds).div_ceil(3) / 1024,
        _ => pixels * 24 * seconds * 9 / 5 / 1024,
    }
}
