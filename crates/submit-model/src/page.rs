//! The page `docs/model.md`.

use crate::promises::{ONE_CREATE, ONE_OWNER, PROMISES, RIGHT_ADOPTION, SETTLED, TICKET};
use crate::variants::VARIANTS;
use job::mutant::Mutant;
use std::fmt::Write as _;

/// Where a mutant is caught, and by what.
#[derive(Debug, Clone, Copy)]
pub struct Catch {
    /// The rule switched off.
    pub mutant: Mutant,
    /// The variant in which it shows.
    pub variant: &'static str,
    /// The promise it breaks.
    pub promise: &'static str,
}

const fn caught(mutant: Mutant, variant: &'static str, promise: &'static str) -> Catch {
    Catch { mutant, variant, promise }
}

/// Every mutant, and how it is caught; a test plays each of them.
pub const CAUGHT: &[Catch] = &[
    caught(Mutant::BeginFromDoubt, "balanced", ONE_CREATE),
    caught(Mutant::CounterFence, "fence", ONE_CREATE),
    caught(Mutant::DeadlineAfterBegin, "balanced", ONE_CREATE),
    caught(Mutant::GateRemoved, "balanced", ONE_CREATE),
    caught(Mutant::ForgottenIntentIgnored, "fence", ONE_CREATE),
    caught(Mutant::ForgottenIntentIgnored, "repeated", ONE_CREATE),
    caught(Mutant::FenceTakenIgnored, "fence", ONE_CREATE),
    caught(Mutant::AmbiguousIsDefinite, "balanced", ONE_CREATE),
    caught(Mutant::TimeOutMeansNotSent, "balanced", ONE_CREATE),
    caught(Mutant::LeasePassedRequeues, "balanced", ONE_CREATE),
    caught(Mutant::ReportsNotFenced, "thrice", ONE_CREATE),
    caught(Mutant::NoQuietHorizon, "balanced", ONE_CREATE),
    caught(Mutant::NoFrontDoor, "balanced", ONE_CREATE),
    caught(Mutant::NoListLag, "balanced", ONE_CREATE),
    caught(Mutant::OneScanProves, "balanced", ONE_CREATE),
    caught(Mutant::OneScanProves, "balanced", SETTLED),
    caught(Mutant::StrictResends, "strict", ONE_CREATE),
    caught(Mutant::MarkReused, "strict", RIGHT_ADOPTION),
    caught(Mutant::MarkIgnored, "balanced", RIGHT_ADOPTION),
    caught(Mutant::WindowIgnored, "balanced", RIGHT_ADOPTION),
    caught(Mutant::OwnersIgnored, "neighbours", ONE_OWNER),
    caught(Mutant::DoubtWithoutTicket, "balanced", TICKET),
];

const HEAD: &str = "# The submit protocol, checked in every order

<!-- Printed by `cargo xtask docs`; edit crates/submit-model/src/page.rs instead. -->

`crates/submit-model` walks every order in which the submit protocol can unfold, with `stateright`. Each
change of a record is a verdict of the production `job::transition` on a real record, event and policy; the
match of lost tasks, the fence's questions, the draw of ids and marks and the gate's deadline are production
functions too. Played by hand is the world: two submitters, duplicate delivery, passed leases, a Redis that
saves when it likes and falls once, the bucket of intents, a provider that delays, loses and misreports,
callbacks, scans that are slow or miss a row.

Repeat it: `cargo nextest run -p submit-model --no-capture` prints the counts and the times.

## Promises

Asked in every world.

| Promise | Means |
| --- | --- |
";

const VARIANTS_HEAD: &str = "
That interesting moments are reached (adopted from a list, by a callback, sent again after absence, forgotten
intents met, a lost job brought back) is asked of each variant as well: a model in which nothing happens
proves nothing.

## Worlds

No promise is broken in any of them.

| Variant | Worlds | Different worlds, at least | Misfortunes |
| --- | --- | --- | --- |
";

const MUTANTS_HEAD: &str = "
A *silence* is a worker that dies or outlives its lease; a *loss* is a request, an answer or a reply that is
lost, or an answer that misleads; a *fall* brings Redis back with an earlier state; a *shift* hides one row from
one scan; an *order* is a person's decision to send again.

## Mutants

Each is one line of production code that does what it must not, behind the cargo feature `job/mutants` and
chosen by `SEEDFLEET_MUTANT`. A production build has none and refuses the variable. The model catches all:

| Mutant | What it does | Caught in | By the promise |
| --- | --- | --- | --- |
";

const LIMITS: &str = "
## What it does not show

The submitter's and the poller's steps are played after their code and not by it: when they ask, and in which
order. So `gate_removed` and the commit's half of `owners_ignored` are switched in the model as well.

Scripts, sockets and clocks: that the store's scripts write a verdict whole, that the last byte stays behind its
gate, and that a clock tells the time, is shown by the store's tests, the create client's tests and the fault
campaign (`docs/evidence.md`). The freeze after a rollback is left out: what is safe without it is safe with it.
Where Redis forgets, marks count as never drawn twice, which there is a matter of chance (1 in 86,400 for each
pair of attempts in one window).
";

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(HEAD);
    for (name, about) in PROMISES {
        let _ = writeln!(page, "| {name} | {about} |");
    }
    page.push_str(VARIANTS_HEAD);
    for variant in VARIANTS {
        let about = variant.about;
        let misfortunes = variant.misfortunes();
        let _ = writeln!(
            page,
            "| {} | {about} | {} | {misfortunes} |",
            variant.name, variant.worlds_min
        );
    }
    page.push_str(MUTANTS_HEAD);
    for Catch { mutant, variant, promise } in CAUGHT {
        let _ =
            writeln!(page, "| `{}` | {} | {variant} | {promise} |", mutant.name(), mutant.broken());
    }
    page.push_str(LIMITS);
    page
}
