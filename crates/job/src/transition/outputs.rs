//! Outputs that were paid for: how long, and on whose word, they are waited for.

use super::tests::{applied, policies};
use crate::docs::{instants, records};
use crate::{Event, Record, State, StateWord, Step, Ticket, Verdict, transition};

/// Twenty tries used to be over in an hour; an outage of the host may last longer, the link does.
#[test]
fn a_link_that_lives_is_not_given_up() {
    let policy = &policies()[0];
    let word = StateWord::Downloading;
    let mut job = records().into_iter().find(|r| r.life.state.word() == word).unwrap();
    let State::Downloading { task, links, .. } = job.life.state.clone() else { panic!() };
    let mut now = instants()[0];
    loop {
        let State::Downloading { tries, .. } = job.life.state else { panic!("left downloading") };
        if tries >= policy.download.tries_max {
            break;
        }
        assert!(now < links.die_at, "try {tries} came after the link's death");
        let event = Event::DownloadTroubled { task: task.id.clone(), reason: "reset".into() };
        let verdict = transition(&job, &event, now, policy).unwrap();
        let Verdict::Write { ticket: Ticket::Due(_, at), .. } = &verdict else { panic!() };
        now = *at;
        job = applied(&job, &verdict);
    }
    assert!(now >= links.die_at, "the last try is spent when the link dies, not before");
}

/// Hours of an ill bucket cost no fetch of the link, and the job is there when it is well again.
#[test]
fn an_ill_bucket_uses_up_nothing() {
    let policy = &policies()[0];
    let word = StateWord::Downloading;
    let mut job = records().into_iter().find(|r| r.life.state.word() == word).unwrap();
    let task = job.life.state.task().unwrap().id.clone();
    let mut now = instants()[0];
    for _ in 0..100 {
        let event = Event::BucketTroubled { task: task.clone(), reason: "503".into() };
        let verdict = transition(&job, &event, now, policy).unwrap();
        let Verdict::Write { ticket: Ticket::Due(Step::Download, at), .. } = &verdict else {
            panic!("{verdict:?}")
        };
        // Spread by up to a tenth.
        assert!(at.since(now) <= policy.download.retry_max.mul_f64(1.11), "{:?}", at.since(now));
        now = *at;
        job = applied(&job, &verdict);
        assert!(matches!(job.life.state, State::Downloading { tries: 0, .. }));
    }
}

/// A bucket may be ill for longer than a link lives, and a link may be refused for a while: only the
/// provider's own word, given three times in a row, gives a paid video up.
#[test]
fn links_are_renewed_as_often_as_the_provider_gives_any() {
    let policy = &policies()[0];
    let word = StateWord::Downloading;
    let mut job = records().into_iter().find(|r| r.life.state.word() == word).unwrap();
    let State::Downloading { task, links, .. } = job.life.state.clone() else { panic!() };
    let mut now = instants()[0];
    let mut died = |job: &Record, fresh: Option<crate::Links>| {
        let event = Event::LinkDied { task: task.id.clone(), fresh, reason: "403".into() };
        let verdict = transition(job, &event, now, policy).unwrap();
        let pause = match &verdict {
            Verdict::Write { ticket: Ticket::Due(Step::Download, at), .. } => Some(at.since(now)),
            _ => None,
        };
        now = now + pause.unwrap_or_default();
        (applied(job, &verdict), pause)
    };
    for turn in 0..50 {
        let mut fresh = links.clone();
        fresh.video = format!("https://b.volces.com/v.mp4?turn={turn}");
        fresh.die_at = links.die_at + std::time::Duration::from_secs(86_400 * turn);
        let (after, pause) = died(&job, Some(fresh.clone()));
        let State::Downloading { links: kept, tries: 0, dead_reads: 0, renewed: true, .. } =
            &after.life.state
        else {
            panic!("{:?}", after.life.state)
        };
        assert_eq!(*kept, fresh);
        // At once the first time, never in a loop.
        assert_eq!(pause.is_some_and(|pause| pause.is_zero()), turn == 0);
        // Two reads without a link in between are forgotten with the next one.
        let (once, _) = died(&after, None);
        job = died(&once, None).0;
        assert!(matches!(job.life.state, State::Downloading { dead_reads: 2, .. }));
    }
    assert_eq!(died(&job, None).0.life.state.word(), StateWord::OutputLost);
}
