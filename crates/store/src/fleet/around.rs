//! What a process has around it that it does not own, and may find ill.

/// A part of a process's surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Around {
    /// Where results and intents lie.
    Bucket,
    /// The provider, as far as it takes creates.
    Creates,
    /// The provider, as far as it tells of tasks.
    Reads,
    /// The hosts that outputs are fetched from.
    Links,
}

impl Around {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bucket, Self::Creates, Self::Reads, Self::Links];

    /// The word in a process's entry.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Creates => "creates",
            Self::Reads => "reads",
            Self::Links => "links",
        }
    }

    /// Reads the word; none for one of a newer program.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.word() == word)
    }
}

/// A part of its surroundings that a process finds ill: where it met it last, it had no success since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ill {
    /// The process's role.
    pub role: String,
    /// In which pool it met it.
    pub pool: String,
    /// Which part.
    pub part: Around,
    /// Why, in words for people.
    pub why: String,
}
