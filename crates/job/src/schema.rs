//! Versions of a record's stored form: what this program reads, and what it may write.
//!
//! A fleet is upgraded program by program, so for a while two forms are known side by side. Every program reads
//! all forms up to its own and writes its own or the one before: whichever the fleet has agreed on, the version
//! *in force*, which a person raises once every live process reads the next one.

use std::fmt;

/// The newest form this program knows. It goes up with every change of [`Record`](crate::Record) that a program
/// before it would misread or lose; a new field that may be lost without harm is no such change.
pub const SCHEMA_VERSION: u32 = 1;

/// The variable by which a test makes a process one that knows this many forms more. What they look like is the
/// same; only their number is another. Without the cargo feature `schema-ahead`, which the end-to-end package
/// switches on, it is not read.
pub const AHEAD_ENV: &str = "SEEDFLEET_TEST_SCHEMA_AHEAD";

/// What a program can do. It reads every form from 1 to `newest`: records in the bucket outlive many versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The oldest form it writes.
    pub oldest_written: u32,
    /// The newest form it reads and writes.
    pub newest: u32,
}

impl Versions {
    /// Those of a program whose newest form this is: that one and the one before.
    #[must_use]
    pub const fn up_to(newest: u32) -> Self {
        let before = newest.saturating_sub(1);
        Self { oldest_written: if before == 0 { 1 } else { before }, newest }
    }

    /// Those of this program.
    #[must_use]
    pub fn own() -> Self {
        Self::up_to(SCHEMA_VERSION + ahead())
    }

    /// Whether it reads this form.
    #[must_use]
    pub const fn reads(self, version: u32) -> bool {
        version >= 1 && version <= self.newest
    }

    /// Whether it may work where this version is in force.
    ///
    /// # Errors
    ///
    /// Why not, with what to do.
    pub const fn fits(self, in_force: u32) -> Result<(), Misfit> {
        if in_force > self.newest {
            Err(Misfit::Behind { own: self, in_force })
        } else if in_force < self.oldest_written {
            Err(Misfit::Ahead { own: self, in_force })
        } else {
            Ok(())
        }
    }

    /// The version it writes where this one is in force, or was when it last heard.
    #[must_use]
    pub fn written_at(self, in_force: u32) -> u32 {
        in_force.clamp(self.oldest_written, self.newest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1..{}", self.newest)
    }
}

/// A program must not work in a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The fleet writes what it cannot read.
    #[error(
        "this program reads records up to version {newest}, and the fleet has finalized version {in_force}: there is no \
         way back to it. Start a newer version of it; `seedfleet schema status` tells which versions are at work",
        newest = .own.newest
    )]
    Behind {
        /// What the program can do.
        own: Versions,
        /// The version in force.
        in_force: u32,
    },
    /// The fleet does not write yet what it writes.
    #[error(
        "this program writes records of version {oldest} or {newest}, and the fleet still writes version {in_force}: a \
         version of the program was left out. Run every process with the version that reads up to {oldest}, then \
         `seedfleet schema finalize --reason <WHY>` of that version, then start this one",
        oldest = .own.oldest_written, newest = .own.newest
    )]
    Ahead {
        /// What the program can do.
        own: Versions,
        /// The version in force.
        in_force: u32,
    },
}

#[cfg(not(feature = "schema-ahead"))]
const fn ahead() -> u32 {
    0
}

#[cfg(feature = "schema-ahead")]
fn ahead() -> u32 {
    static AHEAD: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
        std::env::var(AHEAD_ENV).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    });
    *AHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_all_before_it_and_writes_its_own_form_or_the_one_before() {
        assert_eq!(Versions::own(), Versions::up_to(SCHEMA_VERSION), "nothing asks for more here");
        assert_eq!(Versions::up_to(1), Versions { oldest_written: 1, newest: 1 });
        let third = Versions::up_to(3);
        assert_eq!(third, Versions { oldest_written: 2, newest: 3 });
        assert_eq!([0, 1, 3, 4].map(|version| third.reads(version)), [false, true, true, false]);
        assert_eq!([1, 2, 3, 4].map(|version| third.written_at(version)), [2, 2, 3, 3]);
        assert_eq!(third.to_string(), "1..3");
    }

    #[test]
    fn it_works_only_where_it_reads_and_writes_what_is_in_force() {
        let third = Versions::up_to(3);
        assert_eq!((third.fits(2), third.fits(3)), (Ok(()), Ok(())));
        let behind = third.fits(4).expect_err("it cannot read 4").to_string();
        assert!(
            behind.contains("up to version 3") && behind.contains("finalized version 4"),
            "{behind}"
        );
        let ahead = third.fits(1).expect_err("it does not write 1").to_string();
        assert!(ahead.contains("still writes version 1") && ahead.contains("finalize"), "{ahead}");
    }
}
