//! Screens as text: what they offer to whom, and that words from outside stay words.

use super::job::{Again, Job, Line};
use super::jobs::{Bulk, Confirm, Jobs};
use super::review::Review;
use super::{batches, doubt, failures, fleet};
use crate::bottleneck::Facts;
use crate::{Role, Throughput, Viewer};
use job::{Fingerprint, JobId, Record, StateWord, Timestamp};
use seedance::Route;
use serde_json::{Value, json};
use std::time::Duration;

const HOSTILE: &str = "<script>alert(1)</script>\" onfocus=\"alert(2)";

fn viewer(role: Role) -> Viewer {
    Viewer { name: "ann".into(), tenant: None, simulated: None, role, csrf: "token-7".into() }
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

#[test]
fn words_from_outside_stay_words_on_every_screen() {
    let ann = viewer(Role::Operator);
    let group = failures::Group {
        code: HOSTILE.into(),
        class: HOSTILE.into(),
        jobs: 2,
        last: None,
        advice: HOSTILE.into(),
        samples: vec![failures::Sample {
            id: id(),
            prompt: HOSTILE.into(),
            message: HOSTILE.into(),
        }],
    };
    let row = batches::Row { tenant: HOSTILE.into(), name: HOSTILE.into(), counts: vec![] };
    let pages = [
        of_job(&queued(), &ann),
        of_job(&stored(), &ann),
        of_jobs(&[queued()], HOSTILE, None, &ann),
        of_jobs(&[], HOSTILE, Some(HOSTILE.into()), &ann),
        of_review(&ann),
        of_doubt(&ann, at(0)),
        failures::Failures { viewer: &ann, now: at(60), groups: &[group], partial: true }.page(),
        batches::Batches { viewer: &ann, now: at(60), rows: &[row], more: true }.page(),
    ];
    for page in pages {
        assert!(page.contains("&lt;script&gt;"), "the words are told: {page}");
        for mark in ["<script>alert", "\" onfocus=\""] {
            assert!(!page.contains(mark), "{mark}: {page}");
        }
    }
}

#[test]
fn only_who_may_act_is_offered_deeds() {
    let (eve, ann) = (viewer(Role::Viewer), viewer(Role::Operator));
    let posts = |page: &str| page.matches("method=\"post\"").count();
    let pages = |who: &Viewer| {
        [
            of_job(&queued(), who),
            of_jobs(&[queued()], "", None, who),
            of_review(who),
            of_doubt(who, at(0)),
        ]
    };
    assert_eq!(pages(&eve).map(|page| posts(&page)), [1; 4], "one form, to log out");
    assert_eq!(pages(&ann).map(|page| posts(&page)), [2, 2, 2, 4]);
    for page in pages(&ann) {
        let tokens = page.matches("name=\"csrf\" value=\"token-7\"").count();
        assert_eq!(tokens, posts(&page), "every form carries the token");
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
    assert!(!page.contains("data-live"), "nothing changes any more");
    assert!(of_job(&queued(), &viewer(Role::Viewer)).contains("data-live=\"/ui/live\""));
}

#[test]
fn a_bulk_deed_counts_first_and_asks_why() {
    let ann = viewer(Role::Operator);
    let confirm = |counts| Confirm {
        viewer: &ann,
        bulk: Bulk::Cancel,
        filter: "batch=b",
        matching: 1_204,
        more: true,
        counts,
        fault: None,
    };
    let page = confirm(vec![(StateWord::Queued, 1_200)]).page();
    for part in ["At least", "1,204 jobs fit", "Cancel 1,200", "name=\"reason\"", "required"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(confirm(vec![]).page().contains("Nothing to do."));
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
        facts,
        cells: vec![],
        spent: None,
        tightest: None,
        alarms: vec![],
    };
    let whole = page(Some(Facts::default())).page();
    assert!(
        whole.contains("Nothing: no job waits") && whole.contains("nothing is billed"),
        "{whole}"
    );
    let own = page(None).page();
    assert!(!own.contains("What limits us now") && own.contains("Jobs by state"));
}
