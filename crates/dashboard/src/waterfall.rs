//! Where a job's time went: its timeline as bars under one another.

use crate::screens::job::Line;
use crate::wording::lasting;
use job::{StateWord, Timestamp};
use maud::{Markup, html};
use std::time::Duration;

/// A part of a job's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Wait,
    Submit,
    Doubt,
    ProviderQueue,
    Generate,
    Detect,
    Download,
    Webhook,
}

impl Phase {
    const ALL: [Self; 8] = [
        Self::Wait,
        Self::Submit,
        Self::Doubt,
        Self::ProviderQueue,
        Self::Generate,
        Self::Detect,
        Self::Download,
        Self::Webhook,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Wait => "Wait",
            Self::Submit => "Submit",
            Self::Doubt => "Doubt",
            Self::ProviderQueue => "Provider’s queue",
            Self::Generate => "Generate",
            Self::Detect => "Detect",
            Self::Download => "Download",
            Self::Webhook => "Webhook",
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Wait => "s-queued",
            Self::Submit => "s-submitting",
            Self::Doubt => "s-in_doubt",
            Self::ProviderQueue => "s-waits-there",
            Self::Generate => "s-running",
            Self::Detect => "s-overdue",
            Self::Download => "s-downloading",
            Self::Webhook => "s-succeeded",
        }
    }

    /// `None` for a job that is over.
    const fn of(word: StateWord, started: bool) -> Option<Self> {
        match word {
            StateWord::Held | StateWord::Queued => Some(Self::Wait),
            StateWord::Submitting => Some(Self::Submit),
            StateWord::InDoubt | StateWord::Parked => Some(Self::Doubt),
            StateWord::Running if started => Some(Self::Generate),
            StateWord::Running => Some(Self::ProviderQueue),
            StateWord::Overdue => Some(Self::Generate),
            StateWord::Downloading => Some(Self::Download),
            StateWord::Succeeded
            | StateWord::Failed
            | StateWord::Expired
            | StateWord::Cancelled
            | StateWord::Rejected
            | StateWord::NotUseful
            | StateWord::GivenUp
            | StateWord::OutputLost
            | StateWord::TimedOut => None,
        }
    }
}

/// Instants that the timeline does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beside {
    /// When the provider had made the film, by its own clock.
    pub made_at: Option<Timestamp>,
    /// When the caller's own webhook was told of the end; still open: now.
    pub told_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    phase: Phase,
    from: Timestamp,
    to: Timestamp,
}

/// From a timeline, newest first.
fn stretches(lines: &[Line], now: Timestamp) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut started = false;
    let ordered: Vec<&Line> = lines.iter().rev().collect();
    for (at, line) in ordered.iter().enumerate() {
        // The provider's own word that it has begun; another attempt begins anew.
        started = match line.to {
            StateWord::Submitting => false,
            _ => started || line.what.ends_with("says running"),
        };
        let Some(phase) = Phase::of(line.to, started) else { continue };
        let to = ordered.get(at + 1).map_or(now, |next| next.at);
        match stretches.last_mut() {
            Some(last) if last.phase == phase && last.to == line.at => last.to = to,
            Some(_) | None => stretches.push(Stretch { phase, from: line.at, to }),
        }
    }
    stretches
}

/// The same with the time between the film's making and our noticing, and with that until the caller was
/// told.
fn whole(lines: &[Line], now: Timestamp, beside: Beside) -> Vec<Stretch> {
    let mut stretches = stretches(lines, now);
    // The last stretch at the provider is the one that made the film.
    if let (Some(made_at), Some(at)) =
        (beside.made_at, stretches.iter().rposition(|s| s.phase == Phase::Generate))
        && (stretches[at].from..stretches[at].to).contains(&made_at)
    {
        let noticed = Stretch { phase: Phase::Detect, from: made_at, to: stretches[at].to };
        stretches[at].to = made_at;
        stretches.insert(at + 1, noticed);
    }
    if let (Some(told_at), Some(end)) = (beside.told_at, lines.first().map(|line| line.at))
        && told_at >= end
    {
        stretches.push(Stretch { phase: Phase::Webhook, from: end, to: told_at });
    }
    stretches
}

#[allow(clippy::cast_precision_loss)]
pub(crate) fn chart(lines: &[Line], now: Timestamp, beside: Beside) -> Markup {
    let stretches = whole(lines, now, beside);
    let (Some(from), Some(to)) =
        (stretches.first().map(|s| s.from), stretches.iter().map(|s| s.to).max())
    else {
        return html! { p class="dim" { "There is no timeline." } };
    };
    let whole = to.since(from).max(Duration::from_millis(1));
    let percent = |d: Duration| 100.0 * d.as_secs_f64() / whole.as_secs_f64();
    html! {
        table class="waterfall" {
            caption class="hidden" { "Where the time went" }
            thead class="hidden" { tr { th scope="col" { "Phase" } th scope="col" { "When" } th scope="col" { "How long" } } }
            tbody {
                @for phase in Phase::ALL {
                    @let of: Vec<&Stretch> = stretches.iter().filter(|s| s.phase == phase).collect();
                    @if !of.is_empty() {
                        tr {
                            th scope="row" { (phase.name()) }
                            td class="span" {
                                svg width="100%" height="12" aria-hidden="true" {
                                    rect class="track" width="100%" height="12" {}
                                    @for stretch in &of {
                                        rect class=(phase.class()) height="12"
                                            x=(format!("{:.3}%", percent(stretch.from.since(from)).min(99.4)))
                                            width=(format!("{:.3}%", percent(stretch.to.since(stretch.from)).max(0.6))) {}
                                    }
                                }
                            }
                            td class="num" { (lasting(of.iter().map(|s| s.to.since(s.from)).sum())) }
                        }
                    }
                }
            }
            tfoot { tr { th scope="row" { "Together" } td {} td class="num" { (lasting(whole)) } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Beside = Beside { made_at: None, told_at: None };

    fn line(at_s: i64, from: StateWord, to: StateWord, what: &str) -> Line {
        Line { at: Timestamp::from_unix_s(at_s), from, to, what: what.into(), by: "x".into() }
    }

    fn lines() -> Vec<Line> {
        use StateWord::{Downloading, Queued, Running, Submitting, Succeeded};
        let mut lines = vec![
            line(0, Queued, Queued, "accepted"),
            line(10, Queued, Submitting, "attempt 1 begun"),
            line(12, Submitting, Running, "accepted as cgt-1"),
            line(20, Running, Running, "provider says running"),
            line(80, Running, Downloading, "succeeded at the provider"),
            line(82, Downloading, Succeeded, "stored"),
        ];
        lines.reverse();
        lines
    }

    #[test]
    fn the_time_is_told_apart_by_phase() {
        let now = Timestamp::from_unix_s(500);
        let told: Vec<(Phase, u64)> = stretches(&lines(), now)
            .iter()
            .map(|s| (s.phase, s.to.since(s.from).as_secs()))
            .collect();
        use Phase::{Download, Generate, ProviderQueue, Submit, Wait};
        let expected = [(Wait, 10), (Submit, 2), (ProviderQueue, 8), (Generate, 60), (Download, 2)];
        assert_eq!(told, expected);
    }

    #[test]
    fn an_open_phase_lasts_until_now_and_a_second_attempt_begins_anew() {
        use StateWord::{InDoubt, Queued, Submitting};
        let mut lines = vec![
            line(0, Queued, Submitting, "attempt 1 begun"),
            line(5, Submitting, InDoubt, "unclear"),
            line(65, InDoubt, Queued, "proven absent"),
            line(70, Queued, Submitting, "attempt 2 begun"),
        ];
        lines.reverse();
        let told = stretches(&lines, Timestamp::from_unix_s(100));
        assert_eq!(
            told.last().map(|s| (s.phase, s.to)),
            Some((Phase::Submit, Timestamp::from_unix_s(100)))
        );
        let page = chart(&lines, Timestamp::from_unix_s(100), NOTHING).into_string();
        assert!(page.contains("1 m 40 s"), "{page}");
        assert!(page.contains("35 s"), "both attempts: {page}");
    }

    #[test]
    fn noticing_and_telling_are_told_apart_where_they_are_known() {
        let at = Timestamp::from_unix_s;
        let told = |made_s, told_s| {
            let beside = Beside { made_at: Some(at(made_s)), told_at: Some(at(told_s)) };
            let stretches = whole(&lines(), at(82), beside);
            let lasts = |s: &Stretch| (s.phase, s.to.since(s.from).as_secs());
            stretches.iter().skip(3).map(lasts).collect::<Vec<_>>()
        };
        use Phase::{Detect, Download, Generate, Webhook};
        assert_eq!(told(75, 85), [(Generate, 55), (Detect, 5), (Download, 2), (Webhook, 3)]);
        // A clock that disagrees with ours says nothing.
        assert_eq!(told(90, 81), [(Generate, 60), (Download, 2)]);
    }

    #[test]
    fn no_timeline_is_said() {
        assert!(chart(&[], Timestamp::default(), NOTHING).into_string().contains("no timeline"));
    }
}
