//! Where a job's files lie: a template filled from facts that never change.
//!
//! A folder is a pure function of the tenant, the job, its creation and its prefix, so whoever
//! repeats a step finds the same place without asking anyone.

use std::fmt::Write as _;

/// Placeholders a template may use.
const PLACEHOLDERS: [(&str, Piece); 5] = [
    ("tenant", Piece::Tenant),
    ("yyyy", Piece::Year),
    ("mm", Piece::Month),
    ("dd", Piece::Day),
    ("job_id", Piece::JobId),
];
/// First segments that other parts of the bucket own.
const RESERVED: [&str; 4] = ["media", "intents", "records", "_check"];
/// Bounds that keep the longest path far below the 1,024 bytes S3 allows.
const NAME_BYTES_MAX: usize = 128;
const PREFIX_BYTES_MAX: usize = 256;
const PREFIX_SEGMENTS_MAX: usize = 8;
const TEMPLATE_SEGMENTS_MAX: usize = 16;

/// Why a template, prefix or name does not become a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutFault {
    /// The template names something we cannot fill.
    #[error(
        "store.layout: unknown placeholder {{{found}}}; allowed: {{tenant}} {{yyyy}} {{mm}} {{dd}} {{job_id}}"
    )]
    UnknownPlaceholder {
        /// The name between the braces.
        found: String,
    },
    /// A brace without its partner.
    #[error("store.layout: a brace is not closed or not opened in `{segment}`")]
    UnbalancedBrace {
        /// The segment.
        segment: String,
    },
    /// Two jobs would share a folder.
    #[error("store.layout must contain {{job_id}}, or two jobs would share one folder")]
    NoJobId,
    /// The template is absolute.
    #[error("store.layout must not start with `/`: paths are relative to store.url")]
    Absolute,
    /// The template or the prefix is empty, too long or too deep.
    #[error("{what} is empty, too long or too deep: {why}")]
    Extent {
        /// `store.layout` or the prefix.
        what: &'static str,
        /// The bound.
        why: &'static str,
    },
    /// A name with characters that do not belong in a path.
    #[error("{what} `{name}` is not usable in a path: {why}")]
    BadName {
        /// Whose name.
        what: &'static str,
        /// The name, cut short.
        name: String,
        /// The rule.
        why: &'static str,
    },
    /// The folder would fall into a part of the bucket with another purpose.
    #[error(
        "a job's folder must not start with `{0}/`: that part of the bucket is the fleet's own"
    )]
    Reserved(String),
    /// A creation time no calendar knows.
    #[error("creation time {0} ms is outside the calendar")]
    BadDate(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Tenant,
    Year,
    Month,
    Day,
    JobId,
}

/// A parsed path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    segments: Vec<Vec<Piece>>,
}

/// The facts a folder is made from.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The job's tenant.
    pub tenant: &'a str,
    /// The job.
    pub job_id: &'a str,
    /// When the job was accepted, Unix milliseconds. Never "now": a repeat must find the same folder.
    pub created_at_ms: i64,
    /// The caller's `output.prefix`, if any.
    pub prefix: Option<&'a str>,
}

/// One job's folder, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Folder(String);

impl Layout {
    /// Reads a template such as `{tenant}/{yyyy}/{mm}/{dd}/{job_id}/`.
    ///
    /// # Errors
    ///
    /// [`LayoutFault`], naming what is allowed.
    pub fn parse(template: &str) -> Result<Self, LayoutFault> {
        if template.starts_with('/') {
            return Err(LayoutFault::Absolute);
        }
        let body = template.strip_suffix('/').unwrap_or(template);
        let parts: Vec<&str> = body.split('/').collect();
        if body.is_empty() || parts.len() > TEMPLATE_SEGMENTS_MAX || body.len() > PREFIX_BYTES_MAX {
            let why = "at most 16 segments and 256 characters";
            return Err(LayoutFault::Extent { what: "store.layout", why });
        }
        let segments = parts.into_iter().map(parse_segment).collect::<Result<Vec<_>, _>>()?;
        if !segments.iter().flatten().any(|piece| *piece == Piece::JobId) {
            return Err(LayoutFault::NoJobId);
        }
        if let Some([Piece::Text(first)]) = segments.first().map(Vec::as_slice) {
            refuse_reserved(first)?;
        }
        Ok(Self { segments })
    }

    /// Fills the template. A prefix goes directly after the tenant's segment, so that rights given
    /// per tenant keep holding, or first when the template names no tenant.
    ///
    /// # Errors
    ///
    /// [`LayoutFault`] for a name, prefix or date that must not become a path.
    pub fn folder(&self, place: &Place<'_>) -> Result<Folder, LayoutFault> {
        check_name("tenant", place.tenant)?;
        check_name("job id", place.job_id)?;
        let prefix = place.prefix.map(check_prefix).transpose()?.unwrap_or_default();
        let date = jiff::Timestamp::from_millisecond(place.created_at_ms)
            .map_err(|_| LayoutFault::BadDate(place.created_at_ms))?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date();
        if date.year() < 0 {
            return Err(LayoutFault::BadDate(place.created_at_ms));
        }

        let tenant_at = self.segments.iter().position(|s| s.contains(&Piece::Tenant));
        let prefix_at = tenant_at.map_or(0, |at| at + 1);
        let mut path = String::with_capacity(128);
        for (at, segment) in self.segments.iter().enumerate() {
            if at == prefix_at {
                push_all(&mut path, prefix);
            }
            for piece in segment {
                let written = match piece {
                    Piece::Text(text) => path.write_str(text),
                    Piece::Tenant => path.write_str(place.tenant),
                    Piece::Year => write!(path, "{:04}", date.year()),
                    Piece::Month => write!(path, "{:02}", date.month()),
                    Piece::Day => write!(path, "{:02}", date.day()),
                    Piece::JobId => path.write_str(place.job_id),
                };
                written.expect("writing to a String cannot fail");
            }
            path.push('/');
        }
        if prefix_at == self.segments.len() {
            push_all(&mut path, prefix);
        }
        path.pop();
        refuse_reserved(path.split('/').next().unwrap_or_default())?;
        Ok(Folder(path))
    }
}

impl Folder {
    /// The folder in which a manifest of ours lies; `None` for a path that is no manifest's.
    #[must_use]
    pub fn of_manifest(path: &str) -> Option<Self> {
        let folder = path.strip_suffix("/manifest.json")?;
        folder.contains('/').then(|| Self(folder.to_owned()))
    }

    /// The folder as a path relative to the bucket, without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one object that makes a result real.
    #[must_use]
    pub fn manifest_path(&self) -> String {
        format!("{}/manifest.json", self.0)
    }

    /// The provider's payload of a task that left no video.
    #[must_use]
    pub fn task_path(&self) -> String {
        format!("{}/task.json", self.0)
    }

    /// A file of one download attempt.
    ///
    /// # Errors
    ///
    /// [`LayoutFault::BadName`] if the attempt id is not a plain name.
    pub fn attempt_path(&self, attempt_id: &str, file: &str) -> Result<String, LayoutFault> {
        check_name("download attempt id", attempt_id)?;
        Ok(format!("{}/{attempt_id}/{file}", self.0))
    }

    /// Whether `path` lies inside this folder.
    pub(crate) fn contains(&self, path: &str) -> bool {
        path.strip_prefix(self.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl std::fmt::Display for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks a caller's `output.prefix` and takes off its trailing slash. Admission calls this before
/// a job is stored, so that no paid video is left without a place to go.
///
/// # Errors
///
/// [`LayoutFault::BadName`] or [`LayoutFault::Extent`].
pub fn check_prefix(prefix: &str) -> Result<&str, LayoutFault> {
    let body = prefix.strip_suffix('/').unwrap_or(prefix);
    if body.is_empty() && prefix.is_empty() {
        return Ok(body);
    }
    if body.len() > PREFIX_BYTES_MAX || body.split('/').count() > PREFIX_SEGMENTS_MAX {
        let why = "at most 8 segments and 256 characters";
        return Err(LayoutFault::Extent { what: "output prefix", why });
    }
    for segment in body.split('/') {
        check_name("output prefix segment", segment)?;
    }
    Ok(body)
}

/// A name that is safe as one path segment on every backend and file system we know.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), LayoutFault> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'=');
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "it is longer than 128 characters"
    } else if name.bytes().all(|b| b == b'.') {
        "it consists of dots"
    } else if !name.bytes().all(plain) {
        "allowed are letters, digits and . _ - ="
    } else {
        return Ok(());
    };
    Err(LayoutFault::BadName { what, name: name.chars().take(80).collect(), why })
}

fn push_all(path: &mut String, prefix: &str) {
    if !prefix.is_empty() {
        path.push_str(prefix);
        path.push('/');
    }
}

fn refuse_reserved(first: &str) -> Result<(), LayoutFault> {
    if RESERVED.contains(&first) {
        return Err(LayoutFault::Reserved(first.to_owned()));
    }
    Ok(())
}

fn parse_segment(segment: &str) -> Result<Vec<Piece>, LayoutFault> {
    let unbalanced = || LayoutFault::UnbalancedBrace { segment: segment.to_owned() };
    let mut pieces = Vec::new();
    let mut rest = segment;
    while let Some(open) = rest.find('{') {
        push_text(&mut pieces, &rest[..open], segment)?;
        let (name, after) = rest[open + 1..].split_once('}').ok_or_else(unbalanced)?;
        let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
        let (_, piece) =
            known.ok_or_else(|| LayoutFault::UnknownPlaceholder { found: name.to_owned() })?;
        pieces.push(piece.clone());
        rest = after;
    }
    push_text(&mut pieces, rest, segment)?;
    if pieces.is_empty() {
        check_name("store.layout segment", segment)?;
    }
    // Dots alone climb or vanish; dots beside a placeholder are a name.
    if let [Piece::Text(only)] = pieces.as_slice() {
        check_name("store.layout segment", only)?;
    }
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, segment: &str) -> Result<(), LayoutFault> {
    if text.is_empty() {
        return Ok(());
    }
    if text.contains('}') {
        return Err(LayoutFault::UnbalancedBrace { segment: segment.to_owned() });
    }
    if !text.bytes().all(|b| b == b'.') {
        check_name("store.layout text", text)?;
    }
    pieces.push(Piece::Text(text.to_owned()));
    Ok(())
}
