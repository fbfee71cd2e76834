use super::*;
use crate::verbs::top::watcher::{Detail, JobLine};
use job::Timestamp;
use seedance::SlotClass;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Depth, Queue};
use survey::{
    AccountView, BudgetView, CapView, ClassView, ConfiguredView, FailureView, Flow, Glance,
    HeldSlot, LimitsView, QueuePauseView,
};

/// Three jobs; the numbers are those of the design's sketch, as far as it has them.
pub(in crate::verbs::top) fn look() -> Look {
    let now = Timestamp::parse_rfc3339("2026-11-27T22:14:03Z").expect("an instant");
    let jobs = (1..=3).map(|n| JobLine {
        id: id(n),
        state: "running",
        model: "seedance-2.0",
        tenant: "acme".into(),
        batch: "spring-ads".into(),
        custom_id: format!("row-{n}"),
        created: now - Duration::from_secs(60 * n),
        code: String::new(),
    });
    let failures = ["InputTextSensitive", "ProviderInternal"].map(|code| FailureView {
        code: code.into(),
        class: Some("content".into()),
        jobs: 1_604,
        open: 1_604,
        dismissed: 0,
        archived: 0,
        first: String::new(),
        last: String::new(),
        seen: (now - Duration::from_secs(300_000), now - Duration::from_secs(120)),
        paid: false,
        retryable: false,
        advice: "edit the prompt".into(),
        samples: Vec::new(),
    });
    let jobs = jobs.collect();
    Look {
        glance: glance(now),
        jobs,
        more: true,
        filter: Filter::all(),
        failures: failures.into(),
        open: None,
    }
}

pub(in crate::verbs::top) fn id(n: u64) -> JobId {
    JobId::parse(&format!("job_01JB2AAAAAAAAAAAAAAAAAAAA{n}")).expect("an id")
}

fn glance(now: Timestamp) -> Glance {
    let class = ClassView {
        class: "2.0",
        slots: 40,
        slots_used: 36,
        lookahead: 0,
        create_rpm: 600.0,
        stopped_until: None,
        stopped_by: None,
        configured: ConfiguredView { slots: 40, lookahead: 0, create_rpm: 600 },
        set: Vec::new(),
        slowed: Vec::new(),
    };
    let account = AccountView {
        account: "a".into(),
        stopped_until: None,
        stopped_by: None,
        held: Vec::new(),
        classes: vec![class],
        calls: Vec::new(),
    };
    let limits = LimitsView {
        pool: "prod".into(),
        simulated: false,
        limited_by: "The provider's concurrency limits: 40 of 40 slots of 2.0 are taken.".into(),
        causes: Vec::new(),
        counts: BTreeMap::from([("queued", 584_990), ("running", 36), ("failed", 1_976)]),
        budget: Some(BudgetView {
            today: CapView { max: Some("8000.000000".into()), spent: "5880.250000".into() },
            total: CapView { max: None, spent: "5880.250000".into() },
            held: 0,
            resets_at: String::new(),
        }),
        pauses: Vec::new(),
        accounts: vec![account],
        yours: None,
    };
    let slot = |n: u64| HeldSlot {
        class: SlotClass::V20,
        age: Duration::from_secs(n * 5),
        in_doubt: n == 35,
    };
    let submit = Queue::Submit(SlotClass::V20);
    let loaded = settings::Sources::default().load().expect("the defaults");
    Glance {
        now,
        limits,
        memory_bytes: 1 << 20,
        memory_ratio: Some(0.41),
        oldest: Some(Duration::from_secs(17 * 86_400)),
        link_left: Some(Duration::from_secs(82_260)),
        depths: vec![Depth { queue: submit, waiting: 584_990, due: 584_990, leased: 1 }],
        slots: (0..36).map(slot).collect(),
        wanted: survey::wanted(
            &[],
            &loaded.section("scaling").expect("section scaling"),
            &survey::Staff::default(),
        ),
        flow: Flow {
            in_per_s: 0.0,
            out_per_s: 0.28,
            creates: BTreeMap::from([(SlotClass::V20, 17)]),
            failed: vec![("InputTextSensitive".into(), 2), ("ProviderInternal".into(), 1)],
            behind: false,
        },
    }
}

pub(in crate::verbs::top) fn model() -> Model {
    let mut model = Model::new("prod", Route::Byteplus, Filter::all(), true);
    model.hear(News::Look(Box::new(look())));
    model
}

/// Presses each key of a text; `\n` is enter, `\x1b` escape.
pub(in crate::verbs::top) fn press(model: &mut Model, keys: &str) -> Option<Wish> {
    let mut wish = None;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            key => KeyCode::Char(key),
        };
        wish = model.press(KeyEvent::new(code, KeyModifiers::NONE));
    }
    wish
}

fn pause(scope: &'static str) -> QueuePauseView {
    let (by, reason) = ("ann".to_owned(), "a look".to_owned());
    QueuePauseView { scope, of: None, by, reason, at: String::new(), until: None }
}

#[test]
fn it_ends_when_it_is_asked_to_and_a_question_swallows_the_letter() {
    let mut model = model();
    assert_eq!(press(&mut model, "q"), Some(Wish::Quit));
    let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(model.press(control), Some(Wish::Break));
    assert_eq!(press(&mut model, "/q"), None, "it is a letter of the filter");
    assert_eq!(model.press(control), Some(Wish::Break), "out of a question too");
    let mut release = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
    release.kind = KeyEventKind::Release;
    assert_eq!(model.press(release), None);
}

#[test]
fn a_filter_is_the_grammar_of_all_others_and_its_fault_is_shown_while_it_is_mended() {
    let mut model = model();
    assert_eq!(press(&mut model, "/stat=failed\n"), None);
    let Some(Dialog::Filter(line)) = &model.dialog else { panic!("{model:?}") };
    assert!(line.fault.as_ref().is_some_and(|fault| fault.contains("state")), "{line:?}");
    let clear = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
    assert_eq!(model.press(clear), None);
    let wish = press(&mut model, "state=failed age<1h\n");
    let filter = Filter::parse("state=failed age<1h").expect("a filter");
    assert_eq!(wish, Some(Wish::Order(Order::List(filter.clone()))));
    assert_eq!((&model.filter, &model.dialog), (&filter, &None));
    // It is there to be changed, and goes with escape.
    press(&mut model, "/");
    let there = Some(Dialog::Filter(Line::of(filter.to_string())));
    assert_eq!(model.dialog, there);
    assert_eq!(press(&mut model, "\x1b"), None, "the question goes first");
    assert_eq!(press(&mut model, "\x1b"), Some(Wish::Order(Order::List(Filter::all()))));
    assert_eq!(press(&mut model, "\x1b"), None);
}

#[test]
fn a_step_is_paused_with_a_reason_and_let_go_on_with_one() {
    let mut model = model();
    assert_eq!(press(&mut model, "p\n"), None);
    assert_eq!(press(&mut model, " \n"), None, "a blank is no reason");
    let Some(Dialog::Reason { line, .. }) = &model.dialog else { panic!("{model:?}") };
    assert!(line.fault.is_some());
    let paused = press(&mut model, "incident 7\n");
    let reason = "incident 7".to_owned();
    assert_eq!(paused, Some(Wish::Order(Order::Pause(PauseScope::Submit, reason))));
    let mut look = look();
    // One tenant's pause is not that of the step.
    let tenant = QueuePauseView { of: Some("acme".into()), ..pause("tenant") };
    look.glance.limits.pauses = vec![pause("poll"), tenant];
    model.hear(News::Look(Box::new(look)));
    let again = press(&mut model, "pj\nover\n");
    let over = "over".to_owned();
    assert_eq!(again, Some(Wish::Order(Order::Resume(PauseScope::Poll, over.clone()))));
    let download = press(&mut model, "pk\nover\n");
    assert_eq!(download, Some(Wish::Order(Order::Pause(PauseScope::Download, over))));
    for way_out in ["p\x1b", "p\nx\x1b", "pq"] {
        assert_eq!(press(&mut model, way_out), None);
        assert_eq!(model.dialog, None);
    }
}

#[test]
fn the_mark_stays_with_its_job_while_others_come_in_above() {
    let mut model = model();
    press(&mut model, "j");
    assert_eq!(model.at, 1);
    let mut more = look();
    let newer = JobLine { id: id(9), ..more.jobs[0].clone() };
    more.jobs.insert(0, newer);
    model.hear(News::Look(Box::new(more.clone())));
    assert_eq!(model.at, 2);
    assert_eq!(press(&mut model, "\n"), Some(Wish::Order(Order::Open(Some(id(2))))));
    assert_eq!(press(&mut model, "\x1b"), Some(Wish::Order(Order::Open(None))));
    assert_eq!((&model.pane, model.at), (&Pane::Jobs, 2), "the list is as it was left");
    press(&mut model, "g");
    more.jobs.truncate(1);
    model.hear(News::Look(Box::new(more.clone())));
    press(&mut model, "jjj");
    assert_eq!(model.at, 0, "there is no other line");
    more.jobs.clear();
    model.hear(News::Look(Box::new(more)));
    assert_eq!(press(&mut model, "\n"), None, "nothing to open");
}

#[test]
fn a_group_of_failures_leads_to_its_jobs() {
    let mut model = model();
    assert_eq!(press(&mut model, "f"), None);
    assert_eq!(model.pane, Pane::Failures);
    let filter = Filter::all().code("ProviderInternal");
    assert_eq!(press(&mut model, "j\n"), Some(Wish::Order(Order::List(filter.clone()))));
    assert_eq!((&model.pane, &model.filter), (&Pane::Jobs, &filter));
    press(&mut model, "ff");
    assert_eq!(model.pane, Pane::Jobs);
}

#[test]
fn a_job_is_scrolled_to_its_last_line_and_no_further() {
    let mut model = model();
    press(&mut model, "\n");
    let mut look = look();
    let line = ["+0.0 s", "queued", "accepted", "outside"].map(str::to_owned);
    let facts = vec![("job".to_owned(), id(1).to_string())];
    look.open = Some(Detail { id: id(1), facts, timeline: vec![line.clone(), line] });
    model.hear(News::Look(Box::new(look)));
    press(&mut model, "jjjjj");
    assert_eq!(model.pane, Pane::Job { id: id(1), from: 2 });
}

#[test]
fn what_is_old_says_so_until_it_is_new_again() {
    let mut model = model();
    model.hear(News::Trouble("Redis is away".into()));
    assert!(model.look.is_some(), "the last look stays");
    model.hear(News::Said("paused".into()));
    assert_eq!(model.said.as_deref(), Some("paused"));
    model.hear(News::Look(Box::new(look())));
    assert_eq!(model.trouble, None);
    press(&mut model, "j");
    assert_eq!(model.said, None, "it was read");
}
