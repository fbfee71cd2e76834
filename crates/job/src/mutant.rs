//! Rules switched off one at a time, to show that the model and the fault campaign would notice.
//!
//! Each [`Mutant`] is one line of production code that does what it must not. Active only with the
//! cargo feature `mutants`, which the model and the end-to-end package switch on; in a production build
//! [`on`] is `false` at compile time and [`check_env`] refuses the variable. `SEEDFLEET_MUTANT` names
//! the one mutant of a process; a checker that runs several in one process calls `set`.

/// The variable that names the mutant of a process.
pub const ENV: &str = "SEEDFLEET_MUTANT";

macro_rules! mutants {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $broken:literal;)+) => {
        /// A rule of the submit protocol, switched off.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mutant {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mutant {
            /// Every mutant, in the order of a job's way.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name in the variable.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// What it does instead of the rule, for people.
            #[must_use]
            pub const fn broken(self) -> &'static str {
                match self { $(Self::$name => $broken),+ }
            }
        }
    };
}

mutants! {
    /// An attempt begins although one is in doubt (`transition/submit.rs`).
    BeginFromDoubt = "begin_from_doubt", "an attempt begins while another is in doubt";
    /// Attempt ids are made from a counter in the record, which a rollback repeats (`ids.rs`).
    CounterFence = "counter_fence", "attempt ids count, and a rollback repeats them";
    /// The gate's deadline runs from Begin's answer and not from before its question (`submitter`).
    DeadlineAfterBegin = "deadline_after_begin", "the send deadline runs from Begin's answer";
    /// The last byte leaves whenever it is its turn (`submitter`).
    GateRemoved = "gate_removed", "the last byte leaves after its deadline";
    /// The last intent is not asked whether the record knows it (`submitter`).
    ForgottenIntentIgnored = "forgotten_intent_ignored", "an intent the record does not know is passed over";
    /// Another attempt's intent counts as one's own (`submitter`).
    FenceTakenIgnored = "fence_taken_ignored", "an intent that another attempt holds counts as raised";
    /// A 5xx counts as a definite no (`provider`, `transition/submit.rs`).
    AmbiguousIsDefinite = "ambiguous_is_definite", "a 5xx counts as a refusal";
    /// No answer counts as nothing sent (`transition/submit.rs`).
    TimeOutMeansNotSent = "time_out_means_not_sent", "an unclear answer counts as not sent";
    /// A submitter that fell silent has sent nothing (`transition/submit.rs`).
    LeasePassedRequeues = "lease_passed_requeues", "a passed lease sends the job back to the queue";
    /// A report closes whatever attempt is open (`transition/submit.rs`).
    ReportsNotFenced = "reports_not_fenced", "a report speaks for whatever attempt is open";
    /// Any scan counts as evidence of absence (`settle.rs`).
    NoQuietHorizon = "no_quiet_horizon", "absence is believed before the quiet horizon";
    /// The horizon leaves no time for the provider's front door (`settle.rs`).
    NoFrontDoor = "no_front_door", "the horizon forgets the stay in the front door";
    /// The horizon leaves no time for the list's lag (`settle.rs`).
    NoListLag = "no_list_lag", "the horizon forgets the lag of the list";
    /// One empty scan is enough (`transition/lookup.rs`).
    OneScanProves = "one_scan_proves", "one empty scan proves absence";
    /// `strict` sends again like `balanced` (`transition/lookup.rs`).
    StrictResends = "strict_resends", "`strict` sends again";
    /// An attempt may draw the mark of an earlier one of its job (`record.rs`).
    MarkReused = "mark_reused", "an attempt carries the mark of an earlier one of its job";
    /// Whatever was made at the right time is ours (`settle.rs`).
    MarkIgnored = "mark_ignored", "a task is adopted without its mark";
    /// A mark counts whenever its task was made (`settle.rs`).
    WindowIgnored = "window_ignored", "a task is adopted whenever it was made";
    /// Tasks of other jobs are adopted too (`settle.rs`, the store's commit).
    OwnersIgnored = "owners_ignored", "a task that another job owns is adopted";
    /// A job in doubt waits for nobody (`transition/submit.rs`).
    DoubtWithoutTicket = "doubt_without_ticket", "a job comes to be in doubt without a ticket";
}

/// The variable asks for something this binary cannot do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MutantError {
    /// Built for production.
    #[error(
        "{ENV} is set, but this binary was built without mutants; unset it, or build with the feature `job/mutants`"
    )]
    NotBuiltIn,
    /// A name without a mutant.
    #[error("{ENV}: there is no mutant `{name}`; known are {known}", known = known())]
    Unknown {
        /// The name given.
        name: String,
    },
}

fn known() -> String {
    Mutant::ALL.iter().map(|mutant| mutant.name()).collect::<Vec<_>>().join(", ")
}

/// Whether this process runs with that rule switched off; never in a production build.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline]
pub const fn on(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use switch::{on, set};

/// Checks the variable once, at the start of a process, and tells which mutant it runs as.
///
/// # Errors
///
/// [`MutantError`], with the cure.
pub fn check_env() -> Result<Option<Mutant>, MutantError> {
    check(std::env::var(ENV).ok().as_deref())
}

/// An empty value counts as unset.
fn check(value: Option<&str>) -> Result<Option<Mutant>, MutantError> {
    let Some(name) = value.filter(|name| !name.is_empty()) else { return Ok(None) };
    if cfg!(not(feature = "mutants")) {
        return Err(MutantError::NotBuiltIn);
    }
    match Mutant::ALL.iter().find(|mutant| mutant.name() == name) {
        Some(mutant) => Ok(Some(*mutant)),
        None => Err(MutantError::Unknown { name: name.to_owned() }),
    }
}

#[cfg(feature = "mutants")]
mod switch {
    use super::{ENV, Mutant};
    use std::sync::atomic::{AtomicU8, Ordering};

    /// The variable has not been read yet.
    const UNREAD: u8 = u8::MAX;
    /// No mutant.
    const NONE: u8 = u8::MAX - 1;

    /// The one mutant of this process, as its place in the enum.
    static CURRENT: AtomicU8 = AtomicU8::new(UNREAD);

    /// Whether this process runs with that rule switched off.
    #[must_use]
    #[inline]
    pub fn on(mutant: Mutant) -> bool {
        match CURRENT.load(Ordering::Relaxed) {
            UNREAD => read() == mutant as u8,
            current => current == mutant as u8,
        }
    }

    /// Switches one rule off for the whole process, or none.
    pub fn set(mutant: Option<Mutant>) {
        CURRENT.store(mutant.map_or(NONE, |mutant| mutant as u8), Ordering::SeqCst);
    }

    #[cold]
    fn read() -> u8 {
        // A process that was not checked at its start ignores a name it does not know.
        let named = std::env::var(ENV).ok();
        let mutant = Mutant::ALL.iter().find(|mutant| Some(mutant.name()) == named.as_deref());
        let value = mutant.map_or(NONE, |mutant| *mutant as u8);
        // Whoever called `set` in between has the last word.
        match CURRENT.compare_exchange(UNREAD, value, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => value,
            Err(set) => set,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_refused_unless_it_can_be_obeyed() {
        assert_eq!(check(None), Ok(None));
        assert_eq!(check(Some("")), Ok(None));
        let known = check(Some(Mutant::NoListLag.name()));
        let unknown = check(Some("no_lunch"));
        if cfg!(feature = "mutants") {
            assert_eq!(known, Ok(Some(Mutant::NoListLag)));
            let told = unknown.expect_err("no such mutant").to_string();
            assert!(told.contains("`no_lunch`") && told.contains("no_list_lag"), "{told}");
        } else {
            assert_eq!(known, Err(MutantError::NotBuiltIn));
            assert_eq!(unknown, Err(MutantError::NotBuiltIn));
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = Mutant::ALL.iter().map(|m| m.name()).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
    }

    #[test]
    fn without_being_asked_every_rule_holds() {
        assert!(Mutant::ALL.iter().all(|mutant| !on(*mutant)));
    }
}
