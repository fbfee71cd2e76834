//! One record in every state and one event of every kind: the ground that the printed pages and
//! the table tests walk.

use crate::event::{
    By, DoubtCause, Event, FoundVia, Links, Look, Refusal, ResendLeave, StoredOutput, TaskReport,
    Trouble,
};
use crate::record::{Record, Source, Spec};
use crate::state::{Cause, End, Filing, HeldWhy, Looks, ParkWhy, State, Step};
use crate::{
    Adoption, AttemptId, CapOf, CapSpan, DoubtPolicy, DownloadPolicy, ErasureId, Facts,
    Fingerprint, JobId, OpenAttempt, Policy, PollPolicy, SettlePolicy, SpendCap, SubmitPolicy,
    TaskId, TaskRef, Timestamp,
};
use seedance::{Class, Route};
use std::collections::BTreeMap;
use std::time::Duration;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The shipped numbers.
pub(crate) fn policy(doubt: DoubtPolicy) -> Policy {
    Policy {
        submit: SubmitPolicy {
            tries_max: 3,
            send_deadline: s(20),
            retry_first: s(2),
            retry_max: s(60),
            account_probe_first: s(30),
            account_probe_max: s(900),
        },
        settle: SettlePolicy {
            front_door_max: s(60),
            list_lag_max: s(30),
            scan_gap: s(15),
            look_first: s(2),
            look_max: s(60),
            blind_max: s(86_400),
            resend_max: 1,
            parked_look: s(3600),
            records_kept: s(7 * 86_400),
        },
        poll: PollPolicy {
            first: s(5),
            steady: s(15),
            max: s(60),
            jitter_ratio: 0.1,
            deadline: s(48 * 3600),
            overdue_look: s(1800),
            not_found_grace: s(120),
        },
        download: DownloadPolicy {
            tries_max: 20,
            retry_first: s(2),
            retry_max: s(300),
            link_life: s(86_400),
        },
        delivery_max: s(10),
        doubt,
    }
}

/// The instant at which the samples were accepted.
pub(crate) const BIRTH: Timestamp = Timestamp::from_unix_ms(1_790_000_000_000);

/// Soon after, past our limit, and past the provider's memory.
pub(crate) fn instants() -> [Timestamp; 3] {
    [BIRTH + s(300), BIRTH + s(49 * 3600), BIRTH + s(8 * 86_400)]
}

fn attempt_id(last: char) -> AttemptId {
    AttemptId::parse(&format!("att_01ARZ3NDEKTSV4RRFFQ69G5FA{last}")).expect("a well-formed id")
}

fn task_id(text: &str) -> TaskId {
    TaskId::parse(text).expect("a well-formed id")
}

pub(crate) fn open_attempt(last: char) -> OpenAttempt {
    OpenAttempt {
        id: attempt_id(last),
        number: 1,
        nonce_s: 172_123,
        begun_at: BIRTH,
        send_by: BIRTH + s(20),
        renderer: 1,
        body_sha256: "00".repeat(32),
        safety_identifier: None,
        intent: Some(1),
        facts: Facts {
            route: Route::Byteplus,
            create_url: "https://example.test/tasks".into(),
            retrieve_url: "https://example.test/tasks".into(),
            model_id: "dreamina-seedance-2-0-260128".into(),
            account: "main".into(),
            class: seedance::SlotClass::V20,
            price_version: "2026-10-01".into(),
        },
    }
}

pub(crate) fn task_ref() -> TaskRef {
    let open = open_attempt('A');
    TaskRef {
        id: task_id("cgt-1"),
        attempt: open.id,
        known_at: BIRTH + s(1),
        expires_at: BIRTH + s(172_123),
        facts: open.facts,
    }
}

fn links() -> Links {
    Links {
        video: "https://x.volces.com/v.mp4".into(),
        last_frame: None,
        die_at: BIRTH + s(86_400),
    }
}

fn output() -> StoredOutput {
    StoredOutput {
        manifest: "m/manifest.json".into(),
        video: "m/a/output.mp4".into(),
        video_sha256: "11".repeat(32),
        video_bytes: 9,
        last_frame: None,
        tokens: Some(108_900),
    }
}

fn cause() -> Cause {
    Cause {
        code: "OutputVideoSensitiveContentDetected".into(),
        class: Class::Output,
        message: "no".into(),
        task_existed: true,
    }
}

fn request() -> seedance::Request {
    let body = serde_json::json!({
        "model": "seedance-2.0",
        "content": [{"type": "text", "text": "a lighthouse at dusk"}],
    });
    seedance::validate(Route::Byteplus, &body, &seedance::Rules::default())
        .expect("the sample request is valid")
        .request
}

pub(crate) fn record(state: State) -> Record {
    let request = request();
    let fingerprint = Fingerprint::of(Route::Byteplus, &request, None, 1);
    let spec = Spec {
        useful_until: Some(BIRTH + s(3600)),
        estimate_tokens: 108_900,
        ..Spec::plain("default", "main", Source::Api, fingerprint, request)
    };
    let id = JobId::parse("job_01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("a well-formed id");
    let mut record = Record::begin(id, spec, state, BIRTH);
    if let Some(task) = record.life.state.task().cloned() {
        let outcome = crate::AttemptOutcome::Accepted { task: task.id };
        record.life.close(open_attempt('A'), outcome, BIRTH + s(1));
    }
    record
}

/// A job whose output is due; `dead_reads` 2 is the last but one before it is lost.
fn downloading(renewed: bool, dead_reads: u32) -> State {
    let (task, links) = (task_ref(), links());
    let (tries, bucket_troubles, since) = (0, 0, BIRTH + s(150));
    State::Downloading { task, links, tries, bucket_troubles, renewed, dead_reads, since }
}

fn cap() -> SpendCap {
    let (of, span) = (CapOf::Tenant, CapSpan::Day);
    SpendCap { of, span, max_micros: 2_000_000, spent_micros: 1_500_000 }
}

/// Every state before a task is seen at work, and the one after our limit.
fn waiting_states() -> Vec<State> {
    let attempt = || open_attempt('A');
    let looks = Looks { count: 3, empty_after_horizon: 1, last_empty_at: Some(BIRTH + s(130)) };
    let cause_of_doubt =
        || DoubtCause { kind: "timeout".into(), detail: "no answer in 30 s".into() };
    vec![
        State::Held { why: HeldWhy::Review },
        State::Held { why: HeldWhy::Budget { tries: 1, cap: cap() } },
        State::Held { why: HeldWhy::Paused { tries: 2 } },
        State::Queued { tries: 0 },
        State::Queued { tries: 2 },
        State::Submitting { attempt: attempt(), tries: 0 },
        State::Submitting { attempt: attempt(), tries: 2 },
        State::InDoubt {
            attempt: attempt(),
            cause: cause_of_doubt(),
            since: BIRTH + s(30),
            looks,
            tries: 0,
        },
        State::Parked {
            attempt: attempt(),
            why: ParkWhy::NoTaskStrict,
            since: BIRTH + s(200),
            looks,
        },
        State::Overdue { task: task_ref(), watch_until: BIRTH + s(7 * 86_400), slot_held: true },
    ]
}

/// A record in every state, and in every way of being finished.
pub(crate) fn records() -> Vec<Record> {
    let finished = |end, task, filing| State::Finished { end, task, filing, at: BIRTH + s(200) };
    let by = || By::named("operator");
    let mut states = waiting_states();
    for troubles in [0, 4] {
        states.push(State::Generating {
            task: task_ref(),
            seen: "queued".into(),
            checks: 1,
            troubles,
            odd: troubles,
            give_up_at: BIRTH + s(48 * 3600),
        });
    }
    states.extend([downloading(false, 0), downloading(true, 2)]);
    let task = || Some(task_ref());
    states.extend([
        finished(End::Stored { output: output() }, task(), Filing::Filed),
        finished(End::Failed { cause: cause() }, task(), Filing::Pending),
        finished(End::Failed { cause: cause() }, None, Filing::Nothing),
        finished(End::Expired { retryable: true }, task(), Filing::Filed),
        finished(End::Cancelled { by: by() }, None, Filing::Nothing),
        finished(End::Rejected { by: by(), reason: "no".into() }, None, Filing::Nothing),
        finished(End::NotUseful, None, Filing::Nothing),
        finished(End::GivenUp { by: by(), reason: "old".into() }, None, Filing::Nothing),
        finished(End::OutputLost { reason: "link died".into() }, task(), Filing::Filed),
        finished(End::TimedOut, task(), Filing::Nothing),
    ]);
    let mut records: Vec<Record> = states.into_iter().map(record).collect();
    // A job that was given up after its attempt was closed still knows the attempt.
    for record in &mut records {
        if matches!(record.life.state, State::Finished { end: End::GivenUp { .. }, .. }) {
            let outcome =
                crate::AttemptOutcome::Abandoned { by: "operator".into(), reason: "old".into() };
            record.life.close(open_attempt('A'), outcome, BIRTH + s(190));
        }
    }
    records.push(adopted());
    records.extend(erased_records());
    records
}

/// The wish that every sample is erased by.
pub(crate) fn erased_by() -> Event {
    let erasure = ErasureId::parse("era_01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("a well-formed id");
    Event::EraseAsked { by: By::named("operator"), erasure }
}

/// Jobs whose content is gone while a task of theirs may still turn up, or has.
fn erased_records() -> Vec<Record> {
    let whole: Vec<Record> = waiting_states().into_iter().map(record).chain([adopted()]).collect();
    let policy = policy(DoubtPolicy::Balanced);
    let erased = whole.into_iter().filter_map(|job| {
        match crate::transition(&job, &erased_by(), instants()[0], &policy) {
            Ok(crate::Verdict::Write { life, .. }) => Some(Record { life: *life, ..job }),
            Ok(crate::Verdict::Ignore { .. }) | Err(_) => None,
        }
    });
    erased.collect()
}

/// A task that was bought elsewhere.
pub(crate) fn adopted() -> Record {
    let TaskRef { id: task, attempt, facts, .. } = task_ref();
    let adoption = Adoption {
        tenant: "default".into(),
        pool: "main".into(),
        task,
        facts,
        request: request().without_content(),
        made_by: None,
        custom_id: None,
        metadata: BTreeMap::new(),
        output_prefix: None,
    };
    let adoption = Adoption {
        request: seedance::Request { content: Vec::new(), ..adoption.request },
        ..adoption
    };
    let id = JobId::parse("job_01ARZ3NDEKTSV4RRFFQ69G5FAW").expect("a well-formed id");
    adoption.record(id, attempt, BIRTH, s(48 * 3600))
}

/// A refused create and a troubled read of every class.
fn answers_of_every_class() -> Vec<Event> {
    let mut events = Vec::new();
    for class in Class::ALL {
        let refusal = Refusal {
            class,
            code: "SomeCode".into(),
            message: "words".into(),
            not_before: None,
            stops_in_row: 0,
        };
        events.push(Event::AttemptRefused { attempt: attempt_id('A'), refusal });
        let trouble = Trouble { class, code: "SomeCode".into(), not_before: None };
        events.push(Event::PollTroubled { task: task_id("cgt-1"), trouble });
    }
    events
}

fn in_progress(word: &str, unknown: bool) -> TaskReport {
    TaskReport::InProgress { word: word.into(), unknown, outlook: crate::Outlook::default() }
}

/// What makes a job wait, and what lets it go on.
fn waits() -> [Event; 4] {
    let by = || By::named("operator");
    [
        Event::PauseAsked { by: by(), reason: "look first".into() },
        Event::ResumeAsked { by: by() },
        Event::BudgetReached { cap: cap() },
        Event::BudgetFreed,
    ]
}

/// One event of every kind, and the kinds that branch in every branch.
pub(crate) fn events() -> Vec<Event> {
    let attempt = || attempt_id('A');
    let task = || task_id("cgt-1");
    let by = || By::named("operator");
    let seen = |report| Event::TaskSeen { task: task_id("cgt-1"), report };
    let payload = || "{}".to_owned();
    let mut events = vec![
        Event::Approved { by: by() },
        Event::ReviewRejected { by: by(), reason: "no".into() },
        Event::SubmitBegan { attempt: open_attempt('B') },
        Event::UsefulnessPassed,
        Event::IntentForgotten { attempt: open_attempt('Z'), instead_of: None },
        Event::IntentForgotten { attempt: open_attempt('Z'), instead_of: Some(attempt()) },
        Event::AttemptAccepted { attempt: attempt(), task: task() },
        Event::AttemptUnclear {
            attempt: attempt(),
            cause: DoubtCause { kind: "timeout".into(), detail: String::new() },
        },
        Event::SubmitLeasePassed,
        Event::Looked {
            attempt: attempt(),
            look: Look::Nothing { scan_began_at: BIRTH + s(290), leave: ResendLeave::Granted },
        },
        Event::Looked { attempt: attempt(), look: Look::Inconclusive },
        Event::Looked {
            attempt: attempt(),
            look: Look::Several { tasks: vec![task_id("cgt-1"), task_id("cgt-2")] },
        },
        seen(in_progress("running", false)),
        seen(in_progress("paused", true)),
        seen(TaskReport::Succeeded { links: links(), payload: payload() }),
        seen(TaskReport::SucceededWithoutVideo { payload: payload() }),
        seen(TaskReport::Failed { cause: cause(), payload: payload() }),
        seen(TaskReport::Expired { payload: payload() }),
        seen(TaskReport::Cancelled { payload: payload() }),
        Event::TaskMissing { task: task() },
        Event::OutputStored { task: task(), output: output() },
        Event::DownloadTroubled { task: task(), reason: "cut".into() },
        Event::BucketTroubled { task: task(), reason: "503".into() },
        Event::LinkDied { task: task(), fresh: Some(links()), reason: "403".into() },
        Event::LinkDied { task: task(), fresh: None, reason: "403".into() },
        Event::PayloadFiled,
        Event::StepLeft,
        Event::FilingTroubled,
        Event::CancelAsked { by: by() },
        Event::CancelDone { task: task() },
        Event::CancelTooLate { task: task() },
        Event::ResendOrdered { by: by(), reason: "seen in the console: none".into() },
        Event::GaveUp { by: by(), reason: "old".into() },
        Event::Dismissed { by: by(), reason: "known".into() },
        erased_by(),
    ];
    for via in [FoundVia::Callback, FoundVia::List, FoundVia::Operator] {
        events.push(Event::TaskFound { attempt: attempt(), task: task(), via, said: None });
    }
    for stops_in_row in [0, 3] {
        let reason = "connection refused".to_owned();
        events.push(Event::AttemptNotSent {
            attempt: attempt(),
            reason,
            unreachable: true,
            stops_in_row,
        });
    }
    events.extend(waits());
    events.extend(answers_of_every_class());
    let broke = |step| Event::StepBroke { step, reason: "panic".into() };
    events.extend(Step::ALL.into_iter().map(broke));
    events
}
