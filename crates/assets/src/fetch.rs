//! How one link is fetched to its end, over as many requests as it takes. Pure: no HTTP, no clock.
//!
//! The downloader asks [`Fetch::ask`] what to request, shows the answer's head to
//! [`Fetch::answer`], counts bytes with [`Fetch::received`] and closes each body with
//! [`Fetch::body_ended`]. Bytes of two versions of a file are never joined: a request goes on from
//! the middle only under `If-Range` with a strong validator, and anything that does not fit starts
//! over (RFC 9110 §13.1.5, §14).

/// What to request next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Everything, without a `Range` header.
    Whole,
    /// The rest: `Range: bytes=<from_bytes>-` under `If-Range: <etag>`.
    Rest {
        /// Bytes already written.
        from_bytes: u64,
        /// The strong validator they belong to, quotes included.
        etag: String,
    },
}

/// The head of an answer, as far as it matters here. Header values as they came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// `Content-Length`.
    pub content_length_bytes: Option<u64>,
    /// `Content-Range`.
    pub content_range: Option<&'a str>,
    /// `ETag`.
    pub etag: Option<&'a str>,
    /// `Content-Encoding`.
    pub content_encoding: Option<&'a str>,
}

/// What to do with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Write this body from the first byte. Whatever was written before is thrown away first.
    Start,
    /// Append this body.
    Continue,
    /// Drop this body and the bytes written before, and ask again from the first byte.
    Restart {
        /// What did not fit.
        why: &'static str,
    },
    /// All bytes are here already. Drop this body and finish.
    Done,
    /// The file is larger than allowed. Stop and park the job.
    TooBig {
        /// The announced length.
        length_bytes: u64,
    },
    /// The link is dead or was never good: ask the provider for a fresh one.
    LinkDead {
        /// HTTP status.
        status: u16,
    },
    /// The host has a bad moment: ask again later, keeping what was written.
    Later {
        /// HTTP status.
        status: u16,
    },
    /// An answer no file host gives. Counts as a failed try.
    Unusable {
        /// HTTP status.
        status: u16,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// How a body ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyEnd {
    /// The announced length is reached, or the host announced none and closed properly.
    Whole,
    /// The connection ended early: ask again, going on where it stopped.
    Short {
        /// Bytes still to come.
        missing_bytes: u64,
    },
    /// More came than was announced, or more than allowed. Nothing of it can be trusted.
    TooLong,
}

/// The state of fetching one link.
#[derive(Debug, Clone)]
pub struct Fetch {
    have_bytes: u64,
    total_bytes: Option<u64>,
    etag: Option<String>,
    tries: u32,
    tries_max: u32,
    length_bytes_max: u64,
    /// Requests in a row that brought too little.
    fruitless: u32,
    growth_bytes: u64,
    requests_max: u32,
    had_bytes: u64,
}

impl Fetch {
    /// A link not yet asked. The provider allows at most 100 downloads of one link
    /// (provider-contract §8.2); `tries_max` keeps a safe distance (20 by default elsewhere).
    #[must_use]
    pub fn new(length_bytes_max: u64, tries_max: u32) -> Self {
        Self {
            have_bytes: 0,
            total_bytes: None,
            etag: None,
            tries: 0,
            tries_max,
            length_bytes_max,
            fruitless: 0,
            growth_bytes: u64::MAX,
            requests_max: tries_max,
            had_bytes: 0,
        }
    }

    /// Only requests that brought less than `growth_bytes` spend tries, in a row; with all others up
    /// to `requests_max`. A large file over a line that breaks now and then arrives in one piece work,
    /// where starting over would never end.
    #[must_use]
    pub fn while_it_grows(mut self, growth_bytes: u64, requests_max: u32) -> Self {
        self.growth_bytes = growth_bytes;
        self.requests_max = requests_max.max(self.tries_max);
        self
    }

    /// What to request next; `None` when the tries are used up. Each call spends one try.
    pub fn ask(&mut self) -> Option<Ask> {
        if self.fruitless >= self.tries_max || self.tries >= self.requests_max {
            return None;
        }
        self.tries += 1;
        self.fruitless += 1;
        // Without a strong validator nobody can say that the rest belongs to the same file.
        let ask = match &self.etag {
            Some(etag) if self.have_bytes > 0 => {
                Ask::Rest { from_bytes: self.have_bytes, etag: etag.clone() }
            }
            Some(_) | None => {
                self.forget();
                Ask::Whole
            }
        };
        self.had_bytes = self.have_bytes;
        Some(ask)
    }

    /// Whether a new body would be appended to what is written. When false, the next body starts
    /// from the first byte and earlier bytes are worthless.
    #[must_use]
    pub fn can_continue(&self) -> bool {
        self.have_bytes > 0 && self.etag.is_some()
    }

    /// Requests made so far.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Requests in a row, this one included, that have brought too little so far.
    #[must_use]
    pub fn fruitless(&self) -> u32 {
        self.fruitless
    }

    /// Bytes written so far.
    #[must_use]
    pub fn have_bytes(&self) -> u64 {
        self.have_bytes
    }

    /// The file's length, once a host announced it.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// The validator of the file being fetched.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// Decides by the head of an answer.
    pub fn answer(&mut self, answer: &Answer<'_>) -> Plan {
        let status = answer.status;
        let encoded = answer.content_encoding.is_some_and(|e| !e.eq_ignore_ascii_case("identity"));
        match status {
            200 | 206 if encoded => {
                Plan::Unusable { status, why: "the body is encoded although identity was asked" }
            }
            200 => self.whole_body(answer),
            206 => self.part_body(answer),
            416 => self.beyond_the_end(answer),
            408 | 425 | 429 | 500..=599 => Plan::Later { status },
            // Storage hosts answer 403 once a signed link has expired (provider-contract §8.3).
            400 | 401 | 403 | 404 | 410 => Plan::LinkDead { status },
            _ => Plan::Unusable { status, why: "not an answer of a file host" },
        }
    }

    /// Counts bytes of the current body, before they are written. False when they pass what was
    /// announced or allowed: stop reading and report [`BodyEnd::TooLong`].
    #[must_use]
    pub fn received(&mut self, bytes: u64) -> bool {
        self.have_bytes = self.have_bytes.saturating_add(bytes);
        self.have_bytes <= self.total_bytes.unwrap_or(self.length_bytes_max)
    }

    /// Judges a body that has ended. `clean` is whether the transport saw a proper end.
    #[must_use]
    pub fn body_ended(&mut self, clean: bool) -> BodyEnd {
        // Kept only where the next request can go on from it.
        let grown_bytes = self.have_bytes.saturating_sub(self.had_bytes);
        if self.can_continue() && grown_bytes >= self.growth_bytes {
            self.fruitless = 0;
        }
        match self.total_bytes {
            Some(total) if self.have_bytes == total => BodyEnd::Whole,
            Some(total) if self.have_bytes < total => {
                BodyEnd::Short { missing_bytes: total - self.have_bytes }
            }
            Some(_) => BodyEnd::TooLong,
            None if self.have_bytes > self.length_bytes_max => BodyEnd::TooLong,
            None if clean => BodyEnd::Whole,
            None => BodyEnd::Short { missing_bytes: 1 },
        }
    }

    fn whole_body(&mut self, answer: &Answer<'_>) -> Plan {
        self.forget();
        if let Some(length_bytes) = answer.content_length_bytes {
            if length_bytes > self.length_bytes_max {
                return Plan::TooBig { length_bytes };
            }
            self.total_bytes = Some(length_bytes);
        }
        self.etag = answer.etag.filter(|etag| is_strong(etag)).map(str::to_owned);
        Plan::Start
    }

    fn part_body(&mut self, answer: &Answer<'_>) -> Plan {
        if !self.can_continue() {
            let why = "a part came although the whole was asked";
            return Plan::Unusable { status: answer.status, why };
        }
        let Some((first, last, total)) = answer.content_range.and_then(parse_content_range) else {
            return self.restart("the part does not say where it belongs");
        };
        if first != self.have_bytes {
            return self.restart("the part begins elsewhere");
        }
        if answer.etag.is_some() && answer.etag != self.etag.as_deref() {
            return self.restart("the file has changed");
        }
        if answer
            .content_length_bytes
            .is_some_and(|length| Some(length) != (last - first).checked_add(1))
        {
            return self.restart("the part's length contradicts its range");
        }
        match (self.total_bytes, total) {
            (Some(known), Some(said)) if known != said => {
                return self.restart("the file's length has changed");
            }
            (_, Some(said)) if said > self.length_bytes_max => {
                return Plan::TooBig { length_bytes: said };
            }
            (known, said) => self.total_bytes = known.or(said),
        }
        Plan::Continue
    }

    fn beyond_the_end(&mut self, answer: &Answer<'_>) -> Plan {
        let length = answer.content_range.and_then(|range| {
            digits(range.trim().strip_prefix("bytes")?.trim_start().strip_prefix("*/")?)
        });
        let same = answer.etag.is_none() || answer.etag == self.etag.as_deref();
        if self.can_continue() && same && length == Some(self.have_bytes) {
            self.total_bytes = length;
            return Plan::Done;
        }
        self.restart("nothing lies where we wanted to go on")
    }

    fn restart(&mut self, why: &'static str) -> Plan {
        self.forget();
        Plan::Restart { why }
    }

    fn forget(&mut self) {
        self.have_bytes = 0;
        self.had_bytes = 0;
        self.total_bytes = None;
        self.etag = None;
    }
}

/// A weak validator allows two different byte sequences (RFC 9110 §8.8.1).
fn is_strong(etag: &str) -> bool {
    etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"')
}

/// `bytes 5-9/10` → (5, 9, Some(10)); `*` as the length → None.
fn parse_content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (digits(first)?, digits(last)?);
    let total = match total.trim() {
        "*" => None,
        total => Some(digits(total)?),
    };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, last, total))
}

/// Digits alone: the parser of Rust's own numbers would take a sign as well.
fn digits(text: &str) -> Option<u64> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
