//! Every variant without a broken promise, and every mutant caught.
#![expect(clippy::print_stdout, reason = "the counts are what one runs this by hand for")]

use job::mutant::Mutant;
use submit_model::{CAUGHT, VARIANTS, Variant, check, hunt};

/// What issue and design ask for.
const WORLDS_MIN: usize = 100_000;

fn holds(name: &str) {
    let variant = Variant::named(name).expect("a variant");
    let report = check(variant, 2);
    println!(
        "{name}: {} worlds, {} steps, {} verdicts of transition, {:?}",
        report.worlds, report.steps, report.questions, report.took
    );
    assert!(report.broken.is_empty(), "{name}: {:?}", report.broken);
    assert!(report.unseen.is_empty(), "{name}: never seen: {:?}", report.unseen);
    assert!(report.worlds >= variant.worlds_min, "{name}: only {} worlds", report.worlds);
}

#[test]
fn the_whole_protocol_with_resends() {
    holds("balanced");
}

#[test]
fn a_third_attempt() {
    holds("thrice");
}

#[test]
fn strict_under_a_list_that_lags_without_bound() {
    holds("strict");
}

#[test]
fn a_forgetful_redis_behind_the_second_fence() {
    holds("fence");
}

#[test]
fn the_record_is_lost_and_the_same_request_comes_again() {
    holds("repeated");
}

#[test]
fn neighbours_in_one_account() {
    holds("neighbours");
}

#[test]
fn together_the_variants_are_large() {
    assert!(VARIANTS.iter().map(|variant| variant.worlds_min).sum::<usize>() >= WORLDS_MIN);
}

#[test]
fn every_mutant_is_caught_by_the_promise_it_breaks() {
    let mut escaped = Vec::new();
    for catch in CAUGHT {
        let name = catch.mutant.name();
        let variant = Variant::named(catch.variant).expect("a variant");
        let report = hunt(variant, catch.mutant, catch.promise);
        let by = report.broken.iter().find(|(promise, _)| *promise == catch.promise);
        match by {
            Some((promise, steps)) => println!(
                "{name}: \"{promise}\" in {} after {} steps, {} worlds, {:?}",
                catch.variant,
                steps.len(),
                report.worlds,
                report.took
            ),
            None => escaped.push(format!("{name} in {}: {:?}", catch.variant, report.broken)),
        }
    }
    assert!(escaped.is_empty(), "{escaped:#?}");
    let missing = Mutant::ALL.iter().filter(|mutant| CAUGHT.iter().all(|c| c.mutant != **mutant));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&Mutant>::new(), "nobody hunts these");
}
