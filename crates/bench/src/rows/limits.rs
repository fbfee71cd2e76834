//! Submitters at one account's create rate: what arrives in any window, under everything that can go wrong, and how
//! much of the rate is used where nothing does.

use crate::figure::Figure;
use crate::order::Order;
use e2e::limits::{self, Fault, Verdict};
use std::time::Duration;

const LASTS: Duration = Duration::from_secs(130);
const TROUBLE_EVERY: Duration = Duration::from_secs(5);
const SUBMITTERS: [usize; 2] = [8, 64];
/// So many programs need shorter waits than life's, or a run would be over before they are.
const SCALE: u32 = 4;

/// Three runs of more than two minutes each.
#[must_use]
pub fn run(_order: &Order) -> Vec<Figure> {
    let mut figures = Vec::new();
    for submitters in SUBMITTERS {
        let fair = limits::measure(&order(submitters, Vec::new()));
        let used = fair.creates_ratio_in_turn.iter().map(|ratio| ratio * 100.0).collect();
        figures.push(
            Figure::new(
                format!("use of the create rate under backlog, {submitters} submitters"),
                "%",
                used,
            )
            .at_least(99.0)
            .noting("600 a minute, in five equal parts of two minutes; the spacing of instants allows 99.4 %"),
        );
        figures.push(over(
            &format!("calls above any limit in any window, {submitters} submitters"),
            &fair,
        ));
        figures.push(fullest(
            &format!("creates in the fullest minute, of 600, {submitters} submitters"),
            &fair,
        ));
    }
    let [_, many] = SUBMITTERS;
    let foul = limits::measure(&order(many, Fault::ALL.to_vec()));
    let name =
        format!("windows over a limit, {many} submitters, something goes wrong every five seconds");
    figures.push(over(&name, &foul).noting(
        "kills, freezes, Redis killed, restarted and wiped, in turn; `docs/evidence.md` has campaigns under far worse: none over a limit",
    ));
    figures.push(fullest("creates in the fullest minute of that run, of 600", &foul));
    figures
}

fn order(submitters: usize, faults: Vec<Fault>) -> limits::Order {
    let scale = if submitters > SUBMITTERS[0] { SCALE } else { 1 };
    let creates = limits::Order::creates();
    limits::Order { submitters, lasts: LASTS, scale, faults, every: TROUBLE_EVERY, ..creates }
}

fn over(name: &str, verdict: &Verdict) -> Figure {
    Figure::new(name, "", vec![verdict.over() as f64]).at_most(0.0)
}

fn fullest(name: &str, verdict: &Verdict) -> Figure {
    let minutes = verdict.windows.iter().filter(|window| window.call == "create");
    let most = minutes.map(|window| window.most).max().unwrap_or(0);
    Figure::new(name, "", vec![most as f64]).at_most(600.0)
}
