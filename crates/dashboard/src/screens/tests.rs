//! Screens as text: what they offer to whom, and that words from outside stay words.

use super::job::{Again, Beside, Job, Line};
use super::jobs::{Bulk, Confirm, Jobs};
use super::review::Review;
use super::{audit, batches, doubt, failures, fleet, limits, operations, webhooks};
use crate::bottleneck::{Facts, Sentence};
use crate::{Backlog, Role, Throughput, Viewer};
use job::{Fingerprint, JobId, Record, StateWord, Timestamp};
use seedance::Route;
use serde_json::{Value, json};
use std::time::Duration;

const HOSTILE: &str = "<script>alert(1)</script>\" onfocus=\"alert(2)";

fn viewer(role: Role) -> Viewer {
    Viewer {
        name: "ann".into(),
        tenant: None,
        simulated: None,
        role,
        in_doubt: 0,
        csrf: "token-7".into(),
    }
}

fn id() -> JobId {
    JobId::parse("job_01M8C685CS1ARX0YYEEGFP2N1T").unwrap()
}

fn at(s: i64) -> Timestamp {
    Timestamp::from_unix_s(1_795_705_542 + s)
}

/// A job in this state, with words of a stranger wherever a caller may write some.
fn record(state: &Value) -> Record {
    let body = json!({"model": "seedance-2.0", "content": [{"type": "text", "text": HOSTILE}]});
    let valid = seedance::validate(Route::Byteplus, &body, &seedance::Rules::default());
    let request = valid.expect("a valid request").request;
    let spec = json!({
        "schema": 1, "created_at": at(0).unix_ms(), "tenant": HOSTILE, "pool": "main", "take": 1,
        "batch": HOSTILE, "custom_id": HOSTILE, "metadata": {HOSTILE: HOSTILE}, "source": "api",
        "consent_ref": HOSTILE, "estimate_tokens": 108_900,
        "fingerprint": Fingerprint::of(Route::Byteplus, &request, None, 1), "request": request,
    });
    let life = json!({"state": state, "updated_at": at(1).unix_ms()});
    Record::from_parts(id(), &spec.to_string(), &life.to_string()).expect("a record")
}

fn queued() -> Record {
    record(&json!({"state": "queued", "tries": 0}))
}

fn stored() -> Record {
    let output = json!({"manifest": "m", "video": "v.mp4", "video_sha256": "11".repeat(32),
        "video_bytes": 19_249, "last_frame": "f.png", "tokens": 108_900});
    record(&json!({"state": "finished", "end": {"end": "stored", "output": output},
        "filing": "filed", "at": at(20).unix_ms()}))
}

fn of_job(record: &Record, viewer: &Viewer) -> String {
    let timeline = [Line {
        at: at(0),
        from: StateWord::Queued,
        to: StateWord::Queued,
        what: HOSTILE.into(),
        by: HOSTILE.into(),
    }];
    Job {
        viewer,
        notice: None,
        now: at(60),
        record,
        timeline: &timeline,
        beside: Beside { made_at: Some(at(5)), told_at: Some(at(30)) },
        cost: Some(HOSTILE.into()),
        payload: Some(HOSTILE.into()),
        advice: Some(HOSTILE.into()),
        again: Again::No,
    }
    .page()
}

fn of_jobs(items: &[Record], filter: &str, fault: Option<String>, viewer: &Viewer) -> String {
    let next = Some(HOSTILE.to_owned());
    Jobs { viewer, notice: None, now: at(60), filter, fault, items, next, later: false }.page()
}

fn of_review(viewer: &Viewer) -> String {
    let held = record(&json!({"state": "held", "why": "review"}));
    let items = [(held, Some(HOSTILE.to_owned()))];
    Review { viewer, notice: None, now: at(60), items: &items, more: false, fault: Some(HOSTILE) }
        .page()
}

fn of_doubt(viewer: &Viewer, settled_from: Timestamp) -> String {
    let row = doubt::Row {
        id: id(),
        state: StateWord::Parked,
        since: at(0),
        account: HOSTILE.into(),
        seen: HOSTILE.into(),
        why: Some(HOSTILE.into()),
    };
    doubt::Doubt {
        viewer,
        now: at(60),
        row: &row,
        evidence: &[(HOSTILE.into(), HOSTILE.into())],
        settled_from,
        cost: None,
        tasks: vec![HOSTILE.into()],
        grounds: HOSTILE.into(),
        fault: Some(HOSTILE.into()),
    }
    .page()
}

fn batch() -> batches::Row {
    batches::Row {
        name: HOSTILE.into(),
        tenant: HOSTILE.into(),
        word: "running",
        counts: vec![(StateWord::Queued, 3), (StateWord::Succeeded, 1)],
        rejects: 0,
        created_at: at(0),
        spent: Some(HOSTILE.into()),
    }
}

fn of_batch(row: &batches::Row, operations: &[operations::Operation], viewer: &Viewer) -> String {
    let failure =
        batches::Failure { code: HOSTILE.into(), jobs: 1, paid: false, advice: HOSTILE.into() };
    let pause = batches::Pause { by: HOSTILE.into(), reason: HOSTILE.into(), at: at(0) };
    batches::Batch {
        viewer,
        notice: None,
        now: at(60),
        row,
        eta: Some("about 5.0 min (4.0 min to 6.0 min)".into()),
        took: None,
        each: Some(HOSTILE.into()),
        paused: (row.word == "paused").then_some(pause),
        budget: Some("Budget: spent USD 1.00 of USD 2.00 today.".to_owned()),
        failures: &[failure],
        operations,
        posters: &[id()],
    }
    .page()
}

fn endpoint() -> webhooks::Row {
    webhooks::Row {
        id: "whe_1".into(),
        tenant: HOSTILE.into(),
        url: HOSTILE.into(),
        description: HOSTILE.into(),
        types: vec![HOSTILE.into()],
        off: None,
        waiting: 2,
        trouble: Some(HOSTILE.into()),
        next_at: Some(at(90)),
    }
}

fn of_endpoint(row: &webhooks::Row, viewer: &Viewer) -> String {
    let delivery = webhooks::Delivery {
        id: HOSTILE.into(),
        at: at(0),
        kind: HOSTILE.into(),
        job: Some(id()),
        result: HOSTILE.into(),
        status: 500,
        took: Duration::from_millis(12),
        attempt: 1,
        why: HOSTILE.into(),
        replayed: true,
    };
    webhooks::Endpoint { viewer, notice: None, now: at(60), row, deliveries: &[delivery] }.page()
}

fn of_limits(frozen: Option<limits::Frozen>, viewer: &Viewer) -> String {
    let pool = limits::Pool { name: HOSTILE.into(), route: "byteplus", simulated: true, frozen };
    let (notice, now) = (None, at(60));
    let row = limits::Row {
        pool: HOSTILE.into(),
        account: HOSTILE.into(),
        class: "2.0".into(),
        used: 1,
        limit: 2,
        configured: 3,
        create_rpm: 42.5,
        configured_rpm: 600,
    };
    let (rows, lowered) = (&[row], &[HOSTILE.to_owned()]);
    limits::Limits { viewer, notice, now, pools: &[pool], rows, lowered, stops: &[] }.page()
}

#[test]
fn words_from_outside_stay_words_on_every_screen() {
    let ann = viewer(Role::Operator);
    let group = failures::Group {
        code: HOSTILE.into(),
        class: Some(HOSTILE.into()),
        jobs: 2,
        first: at(0),
        last: at(1),
        paid: true,
        retryable: true,
        advice: HOSTILE.into(),
        samples: vec![failures::Sample {
            id: id(),
            prompt: HOSTILE.into(),
            message: HOSTILE.into(),
        }],
    };
    let operation = operations::Operation {
        verb: "cancel",
        filter: HOSTILE.into(),
        by: HOSTILE.into(),
        reason: HOSTILE.into(),
        at: at(0),
        ended: None,
        failed: Some(HOSTILE.into()),
        changed: 1,
        left: 0,
    };
    let pages = [
        of_job(&queued(), &ann),
        of_job(&stored(), &ann),
        of_jobs(&[queued()], HOSTILE, None, &ann),
        of_jobs(&[], HOSTILE, Some(HOSTILE.into()), &ann),
        of_review(&ann),
        of_doubt(&ann, at(0)),
        failures::Failures { viewer: &ann, now: at(60), groups: &[group], whole: 9 }.page(),
        batches::Batches { viewer: &ann, now: at(60), rows: &[batch()], skipped: 0, next: None }
            .page(),
        of_batch(&batch(), std::slice::from_ref(&operation), &ann),
        of_endpoint(&endpoint(), &ann),
        audit::Audit { viewer: &ann, now: at(60), operations: &[operation], lines: &[] }.page(),
        of_limits(None, &ann),
    ];
    for page in pages {
        assert!(page.contains("&lt;script&gt;"), "the words are told: {page}");
        for mark in ["<script>alert", "\" onfocus=\""] {
            assert!(!page.contains(mark), "{mark}: {page}");
        }
    }
}

#[test]
fn everybody_is_offered_what_their_role_may_do() {
    let posts = |page: &str| page.matches("method=\"post\"").count();
    let pages = |who: &Viewer| {
        [
            of_job(&queued(), who),
            of_jobs(&[queued()], "state=queued", None, who),
            of_doubt(who, at(0)),
            of_batch(&batch(), &[], who),
            of_endpoint(&endpoint(), who),
            of_review(who),
            of_limits(None, who),
        ]
    };
    let of = |role| pages(&viewer(role)).map(|page| posts(&page));
    assert_eq!(of(Role::Viewer), [1; 7], "one form, to log out");
    assert_eq!(of(Role::Reviewer), [1, 1, 1, 1, 1, 2, 1]);
    assert_eq!(of(Role::Operator), [2, 2, 4, 3, 4, 2, 1]);
    assert_eq!(of(Role::Admin), [2, 2, 4, 3, 4, 2, 2]);
    for page in pages(&viewer(Role::Admin)) {
        let tokens = page.matches("name=\"csrf\" value=\"token-7\"").count();
        assert_eq!(tokens, posts(&page), "every form carries the token");
    }
}

#[test]
fn a_batch_is_paused_or_resumed_and_one_that_is_over_is_left_alone() {
    let ann = viewer(Role::Operator);
    let running = of_batch(&batch(), &[], &ann);
    for part in ["25.0 %", "1 of 4 jobs", "To go: about 5.0 min", "/pause?tenant", "/cancel?tenant"]
    {
        assert!(running.contains(part), "{part}: {running}");
    }
    let paused = of_batch(&batches::Row { word: "paused", ..batch() }, &[], &ann);
    assert!(paused.contains("/resume?tenant") && !paused.contains("/pause?tenant"), "{paused}");
    assert!(paused.contains("Paused by"));
    let counts = vec![(StateWord::Succeeded, 4)];
    let over = batches::Row { word: "completed", counts, ..batch() };
    let over = of_batch(&over, &[], &ann);
    assert!(!over.contains("/cancel?tenant") && !over.contains("data-live"), "{over}");
    assert!(!over.contains("Rows refused"), "{over}");
    let word = "completed_with_failures";
    let none = batches::Row { word, counts: Vec::new(), rejects: 1_200, ..batch() };
    let none = of_batch(&none, &[], &ann);
    assert!(none.contains("Rows refused") && none.contains("1,200"), "{none}");
    assert!(none.contains("0 of 0 jobs") && !none.contains("/cancel?tenant"), "{none}");
}

#[test]
fn only_a_freeze_that_a_person_wanted_is_ended_by_a_click() {
    let ann = viewer(Role::Admin);
    let frozen = |asked| {
        let frozen = limits::Frozen { since: at(0), why: "look".into(), by: "eve".into(), asked };
        of_limits(Some(frozen), &ann)
    };
    assert!(of_limits(None, &ann).contains("/freeze\""));
    assert!(frozen(true).contains("/thaw\"") && !frozen(true).contains("/freeze\""));
    assert!(!frozen(false).contains("/thaw\"") && frozen(false).contains("--after-restore"));
}

#[test]
fn a_job_that_failed_can_be_run_again_by_who_accepts_the_charge() {
    let ann = viewer(Role::Operator);
    let page = |again| {
        let record = stored();
        let (notice, now) = (None, at(60));
        let beside = Beside { made_at: None, told_at: None };
        let (cost, payload, advice) = (None, None, None);
        let timeline = &[];
        let viewer = &ann;
        Job { viewer, notice, now, record: &record, timeline, beside, cost, payload, advice, again }
            .page()
    };
    assert!(!page(Again::No).contains("/retry\""));
    let cost = Some("about USD 0.50".to_owned());
    let again = page(Again::Possible { cost, paid_again: true });
    for part in ["/retry\"", "about USD 0.50", "may have been paid already", "accept_charge"] {
        assert!(again.contains(part), "{part}: {again}");
    }
}

#[test]
fn a_doubt_that_may_still_be_answered_is_only_adopted() {
    let page = of_doubt(&viewer(Role::Operator), at(600));
    assert!(
        page.contains("/adopt\"") && !page.contains("/resend\"") && !page.contains("/give-up\"")
    );
    assert!(page.contains("a task may still show up"));
}

#[test]
fn a_stored_job_shows_its_film_and_stands_still() {
    let page = of_job(&stored(), &viewer(Role::Viewer));
    assert!(page.contains("poster=\"/ui/jobs/job_01M8C685CS1ARX0YYEEGFP2N1T/poster\""), "{page}");
    assert!(page.contains("108,900 billed") && page.contains("19.2 kB"));
    // A page that was followed takes its place by this part.
    assert!(
        page.contains("id=\"live\"") && !page.contains("data-live"),
        "nothing changes any more"
    );
    let followed = format!("data-live=\"/ui/live?job={}\"", id());
    assert!(of_job(&queued(), &viewer(Role::Viewer)).contains(&followed));
}

#[test]
fn a_bulk_deed_counts_first_and_asks_why() {
    let ann = viewer(Role::Operator);
    let confirm = |counts, more| Confirm {
        viewer: &ann,
        bulk: Bulk::Cancel,
        filter: "batch=b",
        matching: 1_204,
        more,
        counts,
        charge: None,
        fault: None,
    };
    let page = confirm(vec![(StateWord::Queued, 1_200)], false).page();
    for part in ["1,204 jobs fit", "Cancel 1,200", "name=\"reason\"", "required"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let page = confirm(vec![(StateWord::Queued, 1_200)], true).page();
    assert!(page.contains("At least") && page.contains("Cancel all"), "not all were counted");
    assert!(confirm(vec![], false).page().contains("Nothing to do"));
    let charge = Some(("about USD 4.20".to_owned(), 3));
    let page =
        Confirm { bulk: Bulk::Retry, charge, ..confirm(vec![(StateWord::Failed, 9)], false) };
    let page = page.page();
    for part in ["Run again 9", "about USD 4.20", "3 of the old ones", "accept_charge"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn the_fleet_says_what_limits_it_and_a_tenant_sees_its_own_part() {
    let ann = viewer(Role::Viewer);
    let throughput = Throughput {
        from: at(0),
        step: Duration::from_secs(60),
        accepted: vec![2],
        finished: vec![1],
    };
    let page = |facts| fleet::Fleet {
        viewer: &ann,
        notice: None,
        now: at(60),
        simulated: true,
        counts: vec![(StateWord::Queued, 3), (StateWord::Parked, 1)],
        throughput: throughput.clone(),
        backlog: Backlog {
            from: at(0),
            step: Duration::from_secs(60),
            stages: [vec![2], vec![0], vec![1], vec![3]],
        },
        facts,
        cells: vec![],
        spent: None,
        budget: Some(fleet::Budget { text: "USD 20.00".into(), taken: 5, most: 20 }),
        tightest: None,
        alarms: vec![],
    };
    let limit = Sentence {
        text: "No poller runs: 3 jobs are at the provider.".into(),
        next: Some(("seedfleet schema status", "docs/runbooks/role-missing.md")),
        grave: true,
    };
    let also = vec!["Callbacks are silent.".to_owned()];
    let whole = page(Some(Facts { limit, also, ..Facts::default() })).page();
    for part in [
        "class=\"limit grave\"",
        "<strong>No poller runs: 3 jobs are at the provider.</strong>",
        "next: <code>seedfleet schema status</code>, docs/runbooks/role-missing.md",
        "Also: Callbacks are silent.",
        "nothing is billed",
    ] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
    assert!(whole.contains("25.0 %") && whole.contains("of USD 20.00"), "{whole}");
    let own = page(None).page();
    assert!(!own.contains("What limits us now") && own.contains("Jobs by state"));
}
