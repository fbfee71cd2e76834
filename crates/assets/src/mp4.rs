//! Whether a stream of bytes is one whole MP4 file, decided while it passes.
//!
//! A cut-off download can look complete: it plays, and only its length gives it away
//! (provider-contract §8.3). The walker therefore follows the chain of boxes (ISO/IEC 14496-12
//! §4.2): every top-level box says its size, and the sizes must end exactly where the bytes end.
//! It opens one container, `moov`, to read the film's length from `mvhd`. It holds at most one
//! box header and the head of `mvhd`, whatever the file's size.

/// Seconds by which a film may differ from what was ordered: the provider rounds to whole frames.
const TOLERANCE_S: u64 = 1;
/// A box header without and with a 64-bit size.
const HEADER_BYTES: usize = 8;
const LARGE_HEADER_BYTES: usize = 16;
/// The head of `mvhd` up to and including the duration, in its longer version.
const MVHD_BYTES: usize = 32;

/// Why bytes are not one whole MP4 file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mp4Fault {
    /// Nothing came.
    #[error("the body is empty")]
    Empty,
    /// A web page, XML or JSON, as a storage host sends with an error.
    #[error("the body is text, not a video; it starts with `{head}`")]
    Text {
        /// The first bytes, escaped.
        head: String,
    },
    /// Some other file, or a file without its beginning.
    #[error("the first box is `{found}`, not `ftyp`")]
    NotFtyp {
        /// The type found, escaped.
        found: String,
    },
    /// A box whose header makes no sense.
    #[error("box `{kind}` at byte {at}: {why}")]
    BadBox {
        /// Box type, escaped.
        kind: String,
        /// Where its header begins.
        at: u64,
        /// The broken rule.
        why: &'static str,
    },
    /// The bytes end inside a box.
    #[error("cut off at byte {at}, inside box `{kind}`, {missing_bytes} bytes short")]
    Truncated {
        /// The box, escaped, or `header`.
        kind: String,
        /// Where the bytes end.
        at: u64,
        /// At least this many are missing.
        missing_bytes: u64,
    },
    /// A box every film has is not there.
    #[error("box `{0}` is missing")]
    NoBox(&'static str),
    /// The film says no length.
    #[error("the film does not say how long it is")]
    NoDuration,
    /// The film is whole but not what was ordered.
    #[error("the film lasts {found_ms} ms, {expected_s} s were ordered")]
    WrongDuration {
        /// What `mvhd` says.
        found_ms: u64,
        /// What the job ordered.
        expected_s: u32,
    },
}

/// What a whole file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mp4Facts {
    /// Length of the file.
    pub length_bytes: u64,
    /// Length of the film, if it says one.
    pub duration_ms: Option<u64>,
}

/// A four-letter box type.
type Kind = [u8; 4];

/// Follows the boxes of one file as its bytes come in.
#[derive(Debug, Clone)]
pub struct Mp4Walker {
    position: u64,
    at: At,
    moov: Moov,
    seen_first: bool,
    seen_mdat: bool,
    seen_trak: bool,
    film: Option<Film>,
    fault: Option<Mp4Fault>,
}

/// What the next byte belongs to.
#[derive(Debug, Clone)]
enum At {
    Header {
        buf: [u8; LARGE_HEADER_BYTES],
        have: usize,
        need: usize,
    },
    /// `left: None` means until the end of the file.
    Body {
        kind: Kind,
        left: Option<u64>,
        mvhd: Option<Mvhd>,
    },
}

impl At {
    const START: Self = Self::Header { buf: [0; LARGE_HEADER_BYTES], have: 0, need: HEADER_BYTES };
}

#[derive(Debug, Clone)]
struct Mvhd {
    buf: [u8; MVHD_BYTES],
    have: usize,
}

/// Whether the walker is inside `moov`; `end: None` means that it runs to the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moov {
    Before,
    Inside { end: Option<u64> },
    After,
}

#[derive(Debug, Clone, Copy)]
struct Film {
    timescale: u32,
    /// In units of the timescale; `None` when the file says "unknown".
    duration: Option<u64>,
}

impl Default for Mp4Walker {
    fn default() -> Self {
        Self::new()
    }
}

impl Mp4Walker {
    /// A walker before the first byte.
    #[must_use]
    pub fn new() -> Self {
        Self {
            position: 0,
            at: At::START,
            moov: Moov::Before,
            seen_first: false,
            seen_mdat: false,
            seen_trak: false,
            film: None,
            fault: None,
        }
    }

    /// Takes the next bytes, in order and in pieces of any size.
    ///
    /// # Errors
    ///
    /// [`Mp4Fault`] as soon as no continuation could make the file whole; the same one from then on.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Mp4Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        while !bytes.is_empty() {
            let used = self.step(bytes).inspect_err(|fault| self.fault = Some(fault.clone()))?;
            bytes = &bytes[used..];
        }
        Ok(())
    }

    /// Judges the file now that all bytes have come. `expected_s` is what the job ordered, in whole
    /// seconds; `None` asks for structure only.
    ///
    /// # Errors
    ///
    /// [`Mp4Fault`]: [`Mp4Fault::WrongDuration`] means the file itself is whole.
    pub fn finish(mut self, expected_s: Option<u32>) -> Result<Mp4Facts, Mp4Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.position == 0 {
            return Err(Mp4Fault::Empty);
        }
        match &self.at {
            At::Header { have: 0, .. } | At::Body { left: None, .. } => {}
            At::Header { have, need, .. } => {
                return Err(self.cut_off("header".to_owned(), (need - have) as u64));
            }
            At::Body { kind, left: Some(left), .. } => {
                return Err(self.cut_off(escape(kind), *left));
            }
        }
        match self.moov {
            Moov::Inside { end: Some(end) } => {
                return Err(self.cut_off("moov".to_owned(), end - self.position));
            }
            Moov::Inside { end: None } => self.leave_moov()?,
            Moov::Before => return Err(Mp4Fault::NoBox("moov")),
            Moov::After => {}
        }
        if !self.seen_mdat {
            return Err(Mp4Fault::NoBox("mdat"));
        }
        let film = self.film.ok_or(Mp4Fault::NoBox("mvhd"))?;
        let duration_ms = film.check(expected_s)?;
        Ok(Mp4Facts { length_bytes: self.position, duration_ms })
    }

    /// Consumes some of `bytes` (never none of them) and says how many.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Mp4Fault> {
        match &mut self.at {
            At::Header { buf, have, need } => {
                let take = bytes.len().min(*need - *have);
                buf[*have..*have + take].copy_from_slice(&bytes[..take]);
                *have += take;
                self.position += take as u64;
                if have == need {
                    let (buf, have) = (*buf, *have);
                    self.header(&buf, have)?;
                }
                Ok(take)
            }
            At::Body { left, mvhd, .. } => {
                let take = left.map_or(bytes.len(), |left| {
                    bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))
                });
                if let Some(mvhd) = mvhd {
                    mvhd.take(&bytes[..take]);
                }
                if let Some(left) = left {
                    *left -= take as u64;
                }
                self.position += take as u64;
                self.close_ended()?;
                Ok(take)
            }
        }
    }

    /// Reads a header of `have` bytes that has just become complete.
    fn header(&mut self, buf: &[u8; LARGE_HEADER_BYTES], have: usize) -> Result<(), Mp4Fault> {
        let kind: Kind = [buf[4], buf[5], buf[6], buf[7]];
        let at = self.position - have as u64;
        let bad = |why| Mp4Fault::BadBox { kind: escape(&kind), at, why };
        self.check_first(buf, kind)?;

        let size = u64::from(u32::from_be_bytes([buf[0], buf[1], buf[2], buf[3]]));
        let body = match (size, have) {
            (0, _) => None,
            (1, HEADER_BYTES) => {
                self.at = At::Header { buf: *buf, have, need: LARGE_HEADER_BYTES };
                return Ok(());
            }
            (1, _) => {
                let mut large = [0; 8];
                large.copy_from_slice(&buf[8..]);
                let body = u64::from_be_bytes(large).checked_sub(LARGE_HEADER_BYTES as u64);
                Some(body.ok_or_else(|| bad("its 64-bit size is smaller than its header"))?)
            }
            (_, _) => {
                let body = size.checked_sub(HEADER_BYTES as u64);
                Some(body.ok_or_else(|| bad("its size is smaller than its header"))?)
            }
        };
        let end = match body {
            Some(body) => {
                Some(self.position.checked_add(body).ok_or_else(|| bad("its size overflows"))?)
            }
            None => None,
        };
        if !kind.iter().all(|b| matches!(b, 0x20..=0x7e | 0xa9)) {
            return Err(bad("its type is not four printable letters"));
        }
        match self.moov {
            Moov::Inside { end: moov_end } => self.enter_inner(kind, at, end, moov_end)?,
            Moov::Before | Moov::After => self.enter_top(kind, at, end)?,
        }
        self.close_ended()
    }

    /// The first box tells a film from an error page.
    fn check_first(&mut self, buf: &[u8], kind: Kind) -> Result<(), Mp4Fault> {
        if self.seen_first {
            return Ok(());
        }
        self.seen_first = true;
        if kind == *b"ftyp" {
            return Ok(());
        }
        let text = buf[..HEADER_BYTES].trim_ascii_start();
        if matches!(text.first(), Some(b'<' | b'{' | b'[')) {
            return Err(Mp4Fault::Text { head: escape(&buf[..HEADER_BYTES]) });
        }
        Err(Mp4Fault::NotFtyp { found: escape(&kind) })
    }

    fn enter_top(&mut self, kind: Kind, at: u64, end: Option<u64>) -> Result<(), Mp4Fault> {
        let bad = |why| Mp4Fault::BadBox { kind: escape(&kind), at, why };
        match &kind {
            b"moov" if self.moov == Moov::After => return Err(bad("there are two of it")),
            b"moov" => {
                self.moov = Moov::Inside { end };
                self.at = At::START;
                return Ok(());
            }
            b"ftyp" if end.is_none_or(|end| end - self.position < 8) => {
                return Err(bad("it is too small to name a brand"));
            }
            b"mdat" => self.seen_mdat = true,
            _ => {}
        }
        let left = end.map(|end| end - self.position);
        self.at = At::Body { kind, left, mvhd: None };
        Ok(())
    }

    fn enter_inner(
        &mut self,
        kind: Kind,
        at: u64,
        end: Option<u64>,
        moov_end: Option<u64>,
    ) -> Result<(), Mp4Fault> {
        let bad = |why| Mp4Fault::BadBox { kind: escape(&kind), at, why };
        let end = end.ok_or_else(|| bad("only a top-level box may run to the end of the file"))?;
        if moov_end.is_some_and(|moov_end| end > moov_end) {
            return Err(bad("it reaches beyond moov"));
        }
        self.seen_trak |= kind == *b"trak";
        let is_first_mvhd = kind == *b"mvhd" && self.film.is_none();
        let mvhd = is_first_mvhd.then_some(Mvhd { buf: [0; MVHD_BYTES], have: 0 });
        self.at = At::Body { kind, left: Some(end - self.position), mvhd };
        Ok(())
    }

    /// Closes what ends exactly here: a box, and `moov` with its last child.
    fn close_ended(&mut self) -> Result<(), Mp4Fault> {
        if let At::Body { left: Some(0), mvhd, .. } = &self.at {
            if let Some(mvhd) = mvhd {
                self.film = Some(mvhd.read(self.position)?);
            }
            self.at = At::START;
        }
        if let (Moov::Inside { end: Some(end) }, At::Header { have: 0, .. }) = (self.moov, &self.at)
        {
            match end - self.position {
                0 => self.leave_moov()?,
                rest if rest < HEADER_BYTES as u64 => {
                    return Err(Mp4Fault::BadBox {
                        kind: "moov".to_owned(),
                        at: self.position,
                        why: "the bytes left in it are too few for a box",
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn leave_moov(&mut self) -> Result<(), Mp4Fault> {
        self.moov = Moov::After;
        if self.film.is_none() {
            return Err(Mp4Fault::NoBox("mvhd"));
        }
        if !self.seen_trak {
            return Err(Mp4Fault::NoBox("trak"));
        }
        Ok(())
    }

    fn cut_off(&self, kind: String, missing_bytes: u64) -> Mp4Fault {
        if !self.seen_first {
            // Fewer bytes than one header: nothing was recognised yet.
            return Mp4Fault::Truncated {
                kind: "header".to_owned(),
                at: self.position,
                missing_bytes,
            };
        }
        Mp4Fault::Truncated { kind, at: self.position, missing_bytes }
    }
}

impl Mvhd {
    fn take(&mut self, bytes: &[u8]) {
        let take = bytes.len().min(MVHD_BYTES - self.have);
        self.buf[self.have..self.have + take].copy_from_slice(&bytes[..take]);
        self.have += take;
    }

    /// Version 0 has 32-bit times (timescale at 12, duration at 16), version 1 64-bit ones (at 20
    /// and 24). All bits set means that the duration is unknown.
    fn read(&self, end: u64) -> Result<Film, Mp4Fault> {
        let bad = |why| Mp4Fault::BadBox { kind: "mvhd".to_owned(), at: end, why };
        let word = |at: usize| {
            u32::from_be_bytes([self.buf[at], self.buf[at + 1], self.buf[at + 2], self.buf[at + 3]])
        };
        let (timescale, duration) = match self.buf[0] {
            0 if self.have >= 20 => {
                (word(12), Some(word(16)).filter(|d| *d != u32::MAX).map(u64::from))
            }
            1 if self.have >= 32 => {
                let long = u64::from(word(24)) << 32 | u64::from(word(28));
                (word(20), Some(long).filter(|d| *d != u64::MAX))
            }
            0 | 1 => return Err(bad("it is too small to say a duration")),
            _ => return Err(bad("its version is neither 0 nor 1")),
        };
        if timescale == 0 {
            return Err(bad("its timescale is zero"));
        }
        Ok(Film { timescale, duration })
    }
}

impl Film {
    fn check(self, expected_s: Option<u32>) -> Result<Option<u64>, Mp4Fault> {
        let scale = u128::from(self.timescale);
        let duration_ms = self
            .duration
            .map(|duration| u64::try_from(u128::from(duration) * 1000 / scale).unwrap_or(u64::MAX));
        if let Some(expected_s) = expected_s {
            let (duration, found_ms) =
                self.duration.zip(duration_ms).ok_or(Mp4Fault::NoDuration)?;
            let off = u128::from(duration).abs_diff(u128::from(expected_s) * scale);
            if off > u128::from(TOLERANCE_S) * scale {
                return Err(Mp4Fault::WrongDuration { found_ms, expected_s });
            }
        }
        Ok(duration_ms)
    }
}

/// A few foreign bytes as harmless text.
fn escape(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
