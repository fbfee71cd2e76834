//! The validator's own words for what is wrong. Each has its advice in `config/error-codes.toml`.

macro_rules! codes {
    ($list:ident: $($name:ident = $word:literal),+ $(,)?) => {
        $(pub(super) const $name: &str = $word;)+
        /// Every code of this kind, for docs, metrics and tests.
        pub const $list: &[&str] = &[$($word),+];
    };
}

codes! { FAULT_CODES:
    BODY_NOT_OBJECT = "body-not-object",
    BODY_TOO_LARGE = "body-too-large",
    MORE_FAULTS = "more-faults",
    UNKNOWN_FIELD = "unknown-field",
    MISSING_FIELD = "missing-field",
    WRONG_TYPE = "wrong-type",
    NOT_AN_INTEGER = "not-an-integer",
    OUT_OF_RANGE = "out-of-range",
    VALUE_NOT_ALLOWED = "value-not-allowed",
    FIELD_OWNED = "field-owned-by-fleet",
    FIELD_NOT_SUPPORTED = "field-not-supported",
    MODEL_UNKNOWN = "model-unknown",
    MODEL_OF_OTHER_ROUTE = "model-of-other-route",
    ENDPOINT_ID = "endpoint-id-not-supported",
    RESOLUTION = "resolution-not-supported",
    DURATION = "duration-not-supported",
    SEED = "seed-not-supported",
    WEB_SEARCH_OFF = "web-search-off",
    WEB_SEARCH_WITH_MEDIA = "web-search-with-media",
    PROMPT_PARAMETER = "prompt-parameter",
    PROMPT_EMPTY = "prompt-empty",
    PROMPT_REPEATED = "prompt-repeated",
    PROMPT_TOO_LONG = "prompt-too-long",
    CONTENT_EMPTY = "content-empty",
    CONTENT_TOO_LONG = "content-too-long",
    CONTENT_TYPE = "content-type-unknown",
    ROLE_UNKNOWN = "role-unknown",
    ROLE_MISSING = "role-missing",
    FRAMES_WITH_REFERENCES = "frames-with-references",
    FIRST_FRAME_REPEATED = "first-frame-repeated",
    LAST_FRAME_REPEATED = "last-frame-repeated",
    LAST_FRAME_ALONE = "last-frame-alone",
    TOO_MANY_IMAGES = "too-many-images",
    TOO_MANY_VIDEOS = "too-many-videos",
    TOO_MANY_AUDIOS = "too-many-audios",
    AUDIO_ALONE = "audio-alone",
    URL_INVALID = "url-invalid",
    URL_SCHEME = "url-scheme",
    ASSET_ID = "asset-id-invalid",
    VIDEO_INLINE = "video-inline",
    DATA_URL = "data-url-malformed",
    MEDIA_FORMAT = "media-format",
    MEDIA_MISMATCH = "media-format-mismatch",
    MEDIA_TOO_LARGE = "media-too-large",
    MEDIA_UNREADABLE = "media-unreadable",
    MEDIA_UNREACHABLE = "media-unreachable",
    IMAGE_SIDE = "image-side",
    IMAGE_RATIO = "image-ratio",
    AUDIO_LENGTH = "audio-length",
    AUDIO_TOTAL = "audio-total-length",
}

codes! { WARNING_CODES:
    MANY_REFERENCES = "many-references",
    PROMPT_LONG = "prompt-long",
    PROMPT_LOOKS_LIKE_PARAMETER = "prompt-looks-like-parameter",
    PLAIN_HTTP = "plain-http",
    MEDIA_NOT_CHECKED = "media-not-checked",
}
