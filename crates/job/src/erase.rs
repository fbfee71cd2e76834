//! What is left of a job whose content was erased.
//!
//! What stays is a bill: who, when, which model, how long, how many tokens, which task; and what would
//! identify a task that may still turn up. What goes is everything that shows what was asked for, by
//! whom, and what came of it.

use crate::attempt::OpenAttempt;
use crate::event::{By, StoredOutput};
use crate::record::{Life, Spec};
use crate::state::{End, State};
use crate::{ErasureId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Stands where a text was.
pub const ERASED: &str = "erased";

/// The mark of a job whose content is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// Who asked.
    pub by: By,
    /// Since when.
    pub at: Timestamp,
    /// The wish that it was part of; its receipt tells what was removed.
    pub erasure: ErasureId,
}

impl Spec {
    /// The same without what was asked for and for whom. Its fingerprint stays, so that an equal request
    /// is still known; model, size and kinds of media stay, since they are on the bill.
    #[must_use]
    pub fn without_content(&self) -> Self {
        Self {
            end_user: None,
            metadata: BTreeMap::new(),
            webhook: None,
            traceparent: None,
            output_prefix: None,
            consent_ref: None,
            erased: true,
            request: self.request.without_content(),
            ..self.clone()
        }
    }

    /// SHA-256 (hex) of every inline medium, each once.
    #[must_use]
    pub fn inline_media(&self) -> Vec<&str> {
        let sources = self.request.content.iter().filter_map(seedance::ContentItem::source);
        let mut media: Vec<&str> = sources
            .filter_map(|source| match source {
                seedance::MediaSource::Inline { sha256, .. } => Some(sha256.as_str()),
                seedance::MediaSource::Url(_) | seedance::MediaSource::Asset(_) => None,
            })
            .collect();
        media.sort_unstable();
        media.dedup();
        media
    }
}

impl Life {
    /// Takes out what shows the request or the output. Marks, ids, codes, numbers and instants stay.
    pub(crate) fn forget_content(&mut self) {
        self.payload = None;
        self.state.forget_content();
        let owned = self.state.task().is_some();
        for closed in &mut self.attempts {
            let settled = owned || closed.outcome.bought_nothing();
            closed.open.forget_content(settled);
            closed.outcome.forget_words();
        }
    }
}

impl OpenAttempt {
    /// A hash of the body confirms a guess. The identifier is what a list shows of the attempt: it goes
    /// when no task can turn up any more.
    fn forget_content(&mut self, settled: bool) {
        self.body_sha256.clear();
        if settled {
            self.safety_identifier = None;
        }
    }
}

impl crate::AttemptOutcome {
    fn forget_words(&mut self) {
        match self {
            Self::NotSent { reason } | Self::Abandoned { reason, .. } => ERASED.clone_into(reason),
            Self::Refused { .. } | Self::Accepted { .. } | Self::Absent => {}
        }
    }
}

impl State {
    fn forget_content(&mut self) {
        match self {
            Self::InDoubt { attempt, cause, .. } => {
                attempt.forget_content(false);
                ERASED.clone_into(&mut cause.detail);
            }
            Self::Submitting { attempt, .. } | Self::Parked { attempt, .. } => {
                attempt.forget_content(false);
            }
            Self::Finished { end, .. } => end.forget_content(),
            Self::Held { .. }
            | Self::Queued { .. }
            | Self::Generating { .. }
            | Self::Overdue { .. }
            | Self::Downloading { .. } => {}
        }
    }
}

impl End {
    fn forget_content(&mut self) {
        match self {
            Self::Stored { output } => {
                *output = StoredOutput::gone(output.video_bytes, output.tokens);
            }
            Self::Failed { cause } => ERASED.clone_into(&mut cause.message),
            Self::Rejected { reason, .. }
            | Self::GivenUp { reason, .. }
            | Self::OutputLost { reason } => ERASED.clone_into(reason),
            Self::Expired { .. } | Self::Cancelled { .. } | Self::NotUseful | Self::TimedOut => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::{erased_by, events, instants, policy, record, records};
    use crate::{DoubtPolicy, Event, Filing, Record, StateWord, Step, Ticket, Verdict, transition};

    /// A record in which every text that could quote the request does.
    fn quoting(mut job: Record) -> Record {
        let text = serde_json::to_string(&job.life).expect("json");
        let said = ["words", "no answer in 30 s", "old", "link died", "\"no\""];
        let text = said.iter().fold(text, |text, word| {
            let canary = if word.starts_with('"') { "\"canary\"" } else { "canary" };
            text.replace(word, canary)
        });
        job.life = serde_json::from_str(&text).expect("still a life");
        job
    }

    fn asked(job: &Record) -> Verdict {
        let policy = policy(DoubtPolicy::Balanced);
        transition(job, &erased_by(), instants()[0], &policy).expect("no contradiction")
    }

    #[test]
    fn whatever_ended_can_be_erased_and_keeps_its_bill() {
        let ended = records().into_iter().filter(|job| job.life.erased.is_none());
        for job in ended.filter(|job| job.life.state.step().is_none()) {
            let job = quoting(job);
            let Verdict::Write { life, .. } = asked(&job) else { panic!("{job:?}") };
            let text = serde_json::to_string(&life).expect("json");
            assert!(!text.contains("canary"), "{text}");
            assert!(!text.contains("output.mp4") && !text.contains(&"11".repeat(32)), "{text}");
            assert_eq!(life.tasks().collect::<Vec<_>>(), job.life.tasks().collect::<Vec<_>>());
            if let State::Finished { end: End::Stored { output }, .. } = &life.state {
                assert_eq!((output.tokens, output.video_bytes), (Some(108_900), 9));
                assert!(!output.is_here());
            }
        }
    }

    #[test]
    fn what_is_on_its_way_is_waited_for() {
        for job in records().into_iter().filter(|job| job.life.erased.is_none()) {
            let on_its_way = matches!(
                job.life.state,
                State::Submitting { .. }
                    | State::Downloading { .. }
                    | State::Finished { filing: Filing::Pending, .. }
            );
            let verdict = asked(&job);
            assert_eq!(matches!(verdict, Verdict::Ignore { .. }), on_its_way, "{verdict:?}");
        }
    }

    /// The promise of the second fence: what identifies a task outlives the content.
    #[test]
    fn a_doubt_keeps_its_marks_and_is_never_sent_again() {
        let doubts = records().into_iter().filter(|job| job.life.state.open_attempt().is_some());
        let whole = doubts.filter(|job| job.life.erased.is_none());
        for job in whole.filter(|job| job.life.state.word() != StateWord::Submitting) {
            let Verdict::Write { life, .. } = asked(&job) else { panic!("{job:?}") };
            let (was, is) = (job.life.state.open_attempt(), life.state.open_attempt());
            let marks = |attempt: Option<&OpenAttempt>| {
                attempt.map(|a| (a.id.clone(), a.nonce_s, a.facts.clone(), a.begun_at))
            };
            assert_eq!(marks(was), marks(is));
            let erased = Record { life: *life, ..job };
            for event in events() {
                for now in instants() {
                    let policy = policy(DoubtPolicy::Balanced);
                    let Ok(Verdict::Write { life, .. }) = transition(&erased, &event, now, &policy)
                    else {
                        continue;
                    };
                    assert_ne!(life.state.word(), StateWord::Queued, "{event:?}");
                    assert_ne!(life.state.word(), StateWord::Submitting, "{event:?}");
                    assert!(life.payload.is_none() && life.erased.is_some(), "{event:?}");
                }
            }
        }
    }

    #[test]
    fn a_late_success_is_billed_and_not_fetched() {
        let policy = policy(DoubtPolicy::Balanced);
        let running = records()
            .into_iter()
            .find(|job| job.life.erased.is_some() && job.life.state.word() == StateWord::Running);
        let job = running.expect("an erased job with a task");
        let payload = r#"{"id":"cgt-1","status":"succeeded","usage":{"completion_tokens":77},
            "content":{"video_url":"https://x.volces.com/canary.mp4"}}"#;
        let links = crate::Links {
            video: "https://x.volces.com/canary.mp4".into(),
            last_frame: None,
            die_at: instants()[2],
        };
        let report = crate::TaskReport::Succeeded { links, payload: payload.into() };
        let task = job.life.state.task().expect("a task").id.clone();
        let event = Event::TaskSeen { task, report };
        let Ok(Verdict::Write { life, ticket, .. }) =
            transition(&job, &event, instants()[0], &policy)
        else {
            panic!("it must end")
        };
        assert_eq!(ticket, Ticket::Gone);
        assert!(!serde_json::to_string(&life).expect("json").contains("canary"));
        let State::Finished { end: End::Stored { output }, .. } = &life.state else {
            panic!("{life:?}")
        };
        assert_eq!((output.tokens, output.is_here()), (Some(77), false));
    }

    #[test]
    fn a_running_job_is_looked_at_at_once() {
        let job = record(State::Queued { tries: 0 });
        let Verdict::Write { life, .. } = asked(&job) else { panic!("a queued job ends") };
        assert_eq!(life.state.word(), StateWord::Cancelled);
        let running = records().into_iter().find(|job| job.life.state.word() == StateWord::Running);
        let Verdict::Write { ticket, life, .. } = asked(&running.expect("one runs")) else {
            panic!("a running job is marked")
        };
        assert!(matches!(ticket, Ticket::Due(Step::Poll, _)) && life.cancel.is_some());
    }

    #[test]
    fn a_spec_without_content_still_has_its_price() {
        let spec = record(State::Queued { tries: 0 }).spec;
        let mut full = Spec { end_user: Some("canary".into()), ..spec };
        full.metadata.insert("canary".into(), "canary".into());
        let bare = full.without_content();
        let text = serde_json::to_string(&bare).expect("json");
        assert!(!text.contains("canary") && !text.contains("lighthouse"), "{text}");
        assert_eq!(bare.fingerprint, full.fingerprint);
        assert_eq!(bare.request.slot_class(), full.request.slot_class());
        assert_eq!(bare.request.mode(), full.request.mode());
    }
}
