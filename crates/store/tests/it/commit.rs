//! The one writer: every reply, every repeat, every rival.

use crate::ground::{
    FREE, Ground, LEASE, SUBMIT, accepted, attempt, cancel, connect, record, running, stored,
    succeeded, task, unclear,
};
use job::{Event, FoundVia, StateWord, Ticket, Verdict};
use sandbox::Options;
use std::time::{Duration, Instant};
use store::{
    Begun, CommitRequest, Committed, Held, Queue, Reported, Settings, Store, StoreError, Stored,
    Writer,
};

/// What the machine says to `event`, ready to be committed as often as a test likes.
struct Decided {
    before: Stored,
    life: job::Life,
    ticket: Ticket,
    effects: Vec<job::Effect>,
    note: Option<job::Note>,
}

fn decide(ground: &Ground, before: Stored, event: &Event) -> Decided {
    let verdict = job::transition(&before.record, event, before.now, &ground.policy);
    let Ok(Verdict::Write { life, ticket, effects, note }) = verdict else {
        panic!("{event:?} in {:?} is not written", before.record.life.state.word());
    };
    Decided { before, life: *life, ticket, effects, note }
}

impl Decided {
    fn request<'a>(&'a self, writer: Writer<'a>, token: &'a str) -> CommitRequest<'a> {
        CommitRequest {
            before: &self.before,
            life: &self.life,
            ticket: self.ticket,
            effects: &self.effects,
            note: self.note.as_ref(),
            writer,
            token,
            guard: None,
            decision: None,
            only: None,
        }
    }
}

async fn commit(ground: &Ground, decided: &Decided, writer: Writer<'_>, token: &str) -> Committed {
    ground.store.commit(&decided.request(writer, token)).await.expect("Redis answers")
}

async fn polled(ground: &Ground, name: &str) -> Held {
    ground.generating(record(), name).await;
    ground.claim(Queue::Poll, 1).await.remove(0)
}

#[tokio::test]
async fn a_repeated_commit_is_told_from_a_late_one() {
    let ground = Ground::new().await;
    let held = polled(&ground, "cgt-1").await;
    let decided = decide(&ground, held.stored.clone(), &succeeded("cgt-1"));
    let writer = Writer::Worker(&held.claim);
    let first = commit(&ground, &decided, writer, "one").await;
    let Committed::Ok { revision, .. } = first else { panic!("{first:?}") };
    assert_eq!(revision, held.stored.revision + 1);
    let after = ground.load(&held.claim.id).await;
    for _ in 0..2 {
        let again = commit(&ground, &decided, writer, "one").await;
        assert!(matches!(again, Committed::Already { revision: r, .. } if r == revision));
    }
    assert_eq!(commit(&ground, &decided, writer, "two").await, Committed::Fenced);
    let outside = commit(&ground, &decided, Writer::Outside, "two").await;
    assert_eq!(outside, Committed::Stale { revision });
    let now = ground.load(&held.claim.id).await;
    assert_eq!((now.record, now.revision), (after.record, after.revision));
    ground.sound().await;
}

#[tokio::test]
async fn a_commit_whose_reply_was_lost_ran_once() {
    let ground = Ground::new().await;
    let held = polled(&ground, "cgt-1").await;
    let settings = Settings {
        url: ground.redis.url(),
        response_timeout: Duration::from_millis(200),
        ..Settings::default()
    };
    // A busy machine may be slower than that patience while it connects.
    let mut connected = None;
    crate::ground::until("a connection in time", async || {
        connected = Store::connect(&settings, "main").await.ok();
        connected.is_some()
    })
    .await;
    let impatient = connected.expect("it was waited for");
    let decided = decide(&ground, held.stored.clone(), &succeeded("cgt-1"));
    let request = decided.request(Writer::Worker(&held.claim), "one");
    // The script is known, so that what is lost is the reply of the commit itself.
    ground.redis.pause().expect("stopped");
    let lost = impatient.commit(&request).await;
    ground.redis.resume().expect("continued");
    assert!(matches!(lost, Err(StoreError::Unreachable(_))), "{lost:?}");

    let deadline = Instant::now() + Duration::from_secs(20);
    let again = loop {
        match impatient.commit(&request).await {
            Ok(committed) => break committed,
            Err(error) => assert!(error.is_passing() && Instant::now() < deadline, "{error}"),
        }
    };
    assert!(matches!(again, Committed::Already { .. }), "{again:?}");
    let stored = ground.load(&held.claim.id).await;
    assert_eq!(stored.revision, held.stored.revision + 1);
    assert_eq!(ground.claim_once(Queue::Download, 9, LEASE).await.items.len(), 1);
    ground.sound().await;
}

#[tokio::test]
async fn scripts_come_back_after_the_server_forgot_them() {
    let ground = Ground::new().await;
    let flush = || ground.redis.command(&["SCRIPT", "FLUSH"]).expect("flushed");
    flush();
    let record = ground.admit(record()).await;
    flush();
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    flush();
    let open = attempt(&record, 172_800);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    flush();
    assert_eq!(ground.store.renew(std::slice::from_ref(&held.claim), LEASE).await.expect("ok"), []);
    flush();
    ground.work(&held, &accepted(&open, "cgt-1")).await;
    flush();
    ground.store.hint(&open.id, None).await.expect("answers");
    flush();
    let poll = ground.claim(Queue::Poll, 1).await.remove(0);
    flush();
    ground.store.release(&poll.claim, Duration::ZERO).await.expect("answers");
    flush();
    let pace = store::Pace { interval_us: 1, horizon_us: 1, ..store::Pace::NONE };
    ground.store.grant("main", "list", 1, pace).await.expect("answers");
    // A restarted server has neither scripts nor connections.
    ground.redis.restart().expect("started");
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = ground.store.claim(&Queue::Poll, 1, LEASE).await {
        assert!(error.is_passing() && Instant::now() < deadline, "{error}");
    }
    ground.sound().await;
}

#[tokio::test]
async fn rivals_for_one_job_write_one_after_the_other() {
    let ground = Ground::new().await;
    let (job, open) = ground.generating(record(), "cgt-1").await;
    let calls = (0..12).map(|n| {
        let (store, policy) = (ground.store.clone(), ground.policy.clone());
        let (id, attempt) = (job.id.clone(), open.id.clone());
        tokio::spawn(async move {
            let stray = task(&format!("cgt-stray-{n}"));
            let event =
                Event::TaskFound { attempt, task: stray, via: FoundVia::Callback, said: None };
            store.report(&id, Writer::Outside, &event, &policy).await.expect("in the end")
        })
    });
    for answer in futures::future::join_all(calls).await {
        assert!(matches!(answer.expect("no panic"), Reported::Written { .. }));
    }
    let stored = ground.load(&job.id).await;
    assert_eq!(stored.record.life.strays.len(), 12);
    let alarms = ground.store.audit(100).await.expect("answers");
    assert_eq!(alarms.iter().filter(|line| line.alarm == "stray_task").count(), 12);
    ground.sound().await;
}

#[tokio::test]
async fn a_task_has_one_owner() {
    let ground = Ground::new().await;
    let (first, _) = ground.generating(record(), "cgt-shared").await;
    let second = ground.admit(record()).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let open = attempt(&second, 172_900);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    let before = ground.load(&second.id).await;
    let event = accepted(&open, "cgt-shared");
    for _ in 0..2 {
        let owned = ground.report(&second.id, Writer::Worker(&held.claim), &event).await;
        assert_eq!(owned, Reported::Owned { task: task("cgt-shared"), by: first.id.clone() });
    }
    assert_eq!(ground.load(&second.id).await.record, before.record, "nothing was written");
    let tasks = [task("cgt-shared"), task("cgt-nobody")];
    assert_eq!(ground.store.owners(&tasks).await.expect("answers"), [Some(first.id), None]);
    ground.sound().await;
}

#[tokio::test]
async fn a_remark_from_outside_brings_a_leased_ticket_back_at_once() {
    let ground = Ground::new().await;
    let held = polled(&ground, "cgt-1").await;
    ground.report(&held.claim.id, Writer::Outside, &cancel()).await;
    assert_eq!(ground.claim_once(Queue::Poll, 1, LEASE).await.items, [], "one holder at a time");
    // The holder's own wish is a pause; the remark is stronger.
    ground.store.release(&held.claim, Duration::from_secs(3_600)).await.expect("answers");
    let again = ground.claim(Queue::Poll, 1).await.remove(0);
    assert!(again.stored.record.life.cancel.is_some());
    // Once only.
    ground.store.release(&again.claim, Duration::from_secs(3_600)).await.expect("answers");
    assert_eq!(ground.claim_once(Queue::Poll, 1, LEASE).await.items, []);
    ground.sound().await;
}

#[tokio::test]
async fn a_nudge_outlives_the_holders_commit() {
    let mut ground = Ground::new().await;
    let held = polled(&ground, "cgt-1").await;
    ground.policy.poll.steady = Duration::from_secs(3_600);
    ground.policy.poll.max = Duration::from_secs(3_600);
    ground.policy.poll.first = Duration::from_secs(3_600);
    ground.report(&held.claim.id, Writer::Outside, &cancel()).await;
    // The worker decided without knowing: its commit is stale, decided again, and comes back now.
    ground.work(&held, &running("cgt-1")).await;
    let again = ground.claim(Queue::Poll, 1).await.remove(0);
    // And once only: from here on the pause is the machine's.
    ground.work(&again, &running("cgt-1")).await;
    assert_eq!(ground.claim_once(Queue::Poll, 1, LEASE).await.items, []);
    ground.sound().await;
}

#[tokio::test]
async fn a_look_that_finds_nothing_new_moves_the_ticket_and_nothing_else() {
    let mut ground = Ground::new().await;
    let held = polled(&ground, "cgt-1").await;
    let hour = Duration::from_secs(3_600);
    (ground.policy.poll.first, ground.policy.poll.steady) = (hour, hour);
    ground.policy.poll.max = hour;
    // The first one has the provider's word to tell.
    let told = ground.work(&held, &running("cgt-1")).await;
    let id = told.record.id.clone();
    let again = async || {
        let now = ground.store.now().await.expect("answers");
        ground.store.hasten_looks(&[(id.clone(), now)]).await.expect("answers");
        ground.claim(Queue::Poll, 1).await.remove(0)
    };
    let look = async |held: &Held| {
        let (seen, event) = (held.stored.clone(), running("cgt-1"));
        ground.store.report_seen(seen, &held.claim, &event, &ground.policy).await.expect("answers")
    };
    let waits = async || {
        let now = ground.store.now().await.expect("answers");
        ground.store.looks_after(now, 10).await.expect("answers") == std::slice::from_ref(&id)
    };

    let held = again().await;
    assert!(matches!(look(&held).await, Reported::Written { .. }));
    assert!(waits().await, "for the round after this one");
    assert_eq!(ground.load(&id).await.revision, told.revision, "the record is as it was");
    assert_eq!(look(&held).await, Reported::Fenced, "the ticket is spent");

    // What somebody wrote meanwhile is seen at once, although the look was decided without it.
    let held = again().await;
    ground.report(&id, Writer::Outside, &cancel()).await;
    assert!(matches!(look(&held).await, Reported::Written { .. }));
    let held = ground.claim(Queue::Poll, 1).await.remove(0);
    assert!(held.stored.record.life.cancel.is_some());
    look(&held).await;
    assert!(ground.load(&id).await.record.life.cancel.is_none(), "too late, it runs");
    assert!(waits().await, "for the round after this one");
    ground.sound().await;
}

/// What clients asked since, without what scripts did.
fn asked(ground: &Ground) -> String {
    let log = ground.redis.command(&["SLOWLOG", "GET", "100"]).expect("a log");
    let entries = log.split("\n\n").filter(|entry| !entry.contains("?:0"));
    entries.collect::<Vec<_>>().join("\n\n")
}

fn listen(ground: &Ground) {
    for command in
        [["CONFIG", "SET", "slowlog-log-slower-than", "0"].as_slice(), &["SLOWLOG", "RESET"]]
    {
        ground.redis.command(command).expect("it agrees");
    }
}

#[tokio::test]
async fn a_report_on_the_claimed_record_asks_for_nothing_but_the_commit() {
    let ground = Ground::new().await;
    let held = polled(&ground, "cgt-1").await;
    let (store, policy) = (&ground.store, &ground.policy);
    listen(&ground);
    let seen = held.stored.clone();
    let told = store.report_seen(seen, &held.claim, &running("cgt-1"), policy).await;
    assert!(matches!(told, Ok(Reported::Written { .. })), "{told:?}");
    let asked = asked(&ground);
    assert!(asked.contains("EVALSHA"), "{asked}");
    assert!(!asked.contains("HMGET") && !asked.contains("TIME"), "{asked}");
    ground.sound().await;
}

#[tokio::test]
async fn a_report_on_an_outdated_record_is_decided_again() {
    let ground = Ground::new().await;
    let held = polled(&ground, "cgt-1").await;
    ground.report(&held.claim.id, Writer::Outside, &cancel()).await;
    let (store, policy) = (&ground.store, &ground.policy);
    let seen = held.stored.clone();
    let told = store.report_seen(seen.clone(), &held.claim, &running("cgt-1"), policy).await;
    let Ok(Reported::Written { stored, .. }) = told else { panic!("{told:?}") };
    assert_eq!(stored.revision, held.stored.revision + 2, "on what stood there by then");
    // The ticket is spent, and nothing that was seen before makes it good again.
    let late = store.report_seen(seen, &held.claim, &running("cgt-1"), policy).await;
    assert!(matches!(late, Ok(Reported::Fenced)), "{late:?}");
    // No news is believed of the record itself only.
    let again = ground.claim(Queue::Poll, 1).await.remove(0);
    listen(&ground);
    let seen = again.stored.clone();
    let nothing = store.report_seen(seen, &again.claim, &Event::StepLeft, policy).await;
    assert!(matches!(nothing, Ok(Reported::Ignored { .. })), "{nothing:?}");
    assert!(asked(&ground).contains("HMGET"));
    ground.sound().await;
}

#[tokio::test]
async fn what_could_allow_another_create_is_decided_on_fresh_truth() {
    let ground = Ground::new().await;
    ground.doubtful().await;
    let held = ground.claim(Queue::Settle, 1).await.remove(0);
    let attempt = held.stored.record.life.state.open_attempt().expect("in doubt").id.clone();
    let look = Event::Looked { attempt, look: job::Look::Inconclusive };
    listen(&ground);
    let seen = held.stored.clone();
    let told = ground.store.report_seen(seen, &held.claim, &look, &ground.policy).await;
    assert!(matches!(told, Ok(Reported::Written { .. })), "{told:?}");
    let asked = asked(&ground);
    assert!(asked.contains("HMGET") && asked.contains("TIME"), "{asked}");
    ground.sound().await;
}

#[tokio::test]
async fn an_outside_move_to_another_step_fences_the_holder() {
    let ground = Ground::new().await;
    let record = ground.admit(record()).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let open = attempt(&record, 172_800);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    ground.work(&held, &unclear(&open)).await;
    let settle = ground.claim(Queue::Settle, 1).await.remove(0);
    let found = Event::TaskFound {
        attempt: open.id.clone(),
        task: task("cgt-1"),
        via: FoundVia::Callback,
        said: None,
    };
    ground.report(&record.id, Writer::Outside, &found).await;
    let look = Event::Looked { attempt: open.id, look: job::Look::Inconclusive };
    let reported = ground.report(&record.id, Writer::Worker(&settle.claim), &look).await;
    assert!(matches!(reported, Reported::Ignored { .. }), "{reported:?}");
    let poll = ground.claim(Queue::Poll, 1).await.remove(0);
    assert_eq!(poll.stored.record.life.state.word(), StateWord::Running);
    assert_eq!(ground.claim_once(Queue::Settle, 9, LEASE).await.items, []);
    ground.sound().await;
}

#[tokio::test]
async fn what_an_attempt_bought_is_written_even_by_a_fenced_reporter() {
    let ground = Ground::new().await;
    let record = ground.admit(record()).await;
    let held = ground.claim_once(SUBMIT, 1, Duration::ZERO).await.items.remove(0);
    let open = attempt(&record, 172_800);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    let second = ground.claim(SUBMIT, 1).await.remove(0);
    assert!(second.reclaimed);
    ground.work(&second, &Event::SubmitLeasePassed).await;
    let late =
        ground.report(&record.id, Writer::Worker(&held.claim), &accepted(&open, "cgt-1")).await;
    assert!(matches!(late, Reported::Written { .. }), "{late:?}");
    assert_eq!(ground.load(&record.id).await.record.life.state.word(), StateWord::Running);
    ground.sound().await;
}

#[tokio::test]
async fn late_news_hands_back_or_drops_the_reporters_ticket() {
    let ground = Ground::new().await;
    let record = ground.admit(record()).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let event = Event::SubmitLeasePassed;
    let ignored = ground.report(&record.id, Writer::Worker(&held.claim), &event).await;
    assert!(matches!(ignored, Reported::Ignored { .. }));
    let again = ground.claim(SUBMIT, 1).await.remove(0);
    assert_eq!(again.claim.id, record.id, "a queued job may go at once");
    ground.report(&record.id, Writer::Outside, &cancel()).await;
    let gone = ground.report(&record.id, Writer::Worker(&again.claim), &event).await;
    assert!(matches!(gone, Reported::Ignored { .. }));
    assert_eq!(ground.claim_once(SUBMIT, 9, LEASE).await.items, []);
    ground.sound().await;
}

#[tokio::test]
async fn a_job_that_does_not_exist_is_gone_and_so_is_its_ticket() {
    let ground = Ground::new().await;
    let held = polled(&ground, "cgt-1").await;
    let decided = decide(&ground, held.stored.clone(), &running("cgt-1"));
    let keys = ground.store.keys();
    ground.redis.command(&["DEL", &keys.job(&held.claim.id)]).expect("deleted");
    let writer = Writer::Worker(&held.claim);
    assert_eq!(commit(&ground, &decided, writer, "t").await, Committed::Gone);
    assert_eq!(ground.report(&held.claim.id, writer, &running("cgt-1")).await, Reported::Gone);
    let depths = ground.store.depths().await.expect("answers");
    assert!(depths.iter().all(|d| (d.waiting, d.leased) == (0, 0)), "{depths:?}");
    let drifts = ground.store.recount().await.expect("answers").drifts;
    assert!(drifts.iter().any(|d| d.kind == store::DriftKind::Index), "{drifts:?}");
}

#[tokio::test]
async fn a_whole_life_leaves_nothing_behind_but_its_record() {
    let ground = Ground::new().await;
    let (record, open) = ground.generating(record(), "cgt-1").await;
    let poll = ground.claim(Queue::Poll, 1).await.remove(0);
    ground.work(&poll, &succeeded("cgt-1")).await;
    let download = ground.claim(Queue::Download, 1).await.remove(0);
    ground.work(&download, &stored("cgt-1")).await;
    ground.sound().await;
    assert!(ground.store.slots().await.expect("answers").is_empty());
    let depths = ground.store.depths().await.expect("answers");
    assert!(depths.iter().all(|d| (d.waiting, d.leased) == (0, 0)), "{depths:?}");
    let key = ground.store.keys().attempt(&open.id);
    let left_ms: i64 = ground.redis.command(&["PTTL", &key]).expect("answers").parse().expect("ms");
    assert!(left_ms > 8 * 86_400_000, "the attempt is remembered for 9 days: {left_ms}");
    let lines = ground.store.timeline(&record.id).await.expect("answers");
    let words: Vec<StateWord> = lines.iter().rev().map(|line| line.to).collect();
    use StateWord::{Downloading, Queued, Running, Submitting, Succeeded};
    assert_eq!(words, [Queued, Submitting, Running, Downloading, Succeeded]);
    assert!(lines[0].by.starts_with("download#"), "{lines:?}");
}

#[tokio::test]
async fn a_full_server_refuses_with_its_cause_and_leaves_no_half() {
    let ground = Ground::on(Options {
        extra_args: vec!["--maxmemory".into(), "8mb".into()],
        ..Options::default()
    })
    .await;
    let held = polled(&ground, "cgt-1").await;
    let before = ground.load(&held.claim.id).await;
    ground.redis.command(&["CONFIG", "SET", "maxmemory", "1mb"]).expect("set");
    let writer = Writer::Worker(&held.claim);
    let event = succeeded("cgt-1");
    let full = ground.store.report(&held.claim.id, writer, &event, &ground.policy).await;
    let error = full.expect_err("no memory").to_string();
    assert!(error.contains("OOM") && error.contains("maxmemory"), "{error}");
    assert_eq!(ground.load(&held.claim.id).await.revision, before.revision);
    ground.sound().await;
    ground.redis.command(&["CONFIG", "SET", "maxmemory", "0"]).expect("set");
    ground.work(&held, &event).await;
    ground.sound().await;
}

#[tokio::test]
async fn errors_say_what_to_do_and_hold_no_password() {
    let ground = Ground::new().await;
    ground.redis.command(&["CONFIG", "SET", "requirepass", "hunter2"]).expect("set");
    let at = |auth: &str| Settings {
        url: ground.redis.url().replace("redis://", &format!("redis://{auth}")),
        ..Settings::default()
    };
    let wrong = Store::connect(&at(":swordfish@"), "main").await.expect_err("wrong password");
    assert!(matches!(wrong, StoreError::Refused { .. }), "{wrong:?}");
    assert!(!format!("{wrong:?} {wrong}").contains("swordfish"));
    Store::connect(&at(":hunter2@"), "main").await.expect("right password");

    let unreadable = Settings { url: "http://me:swordfish@x".into(), ..Settings::default() };
    let error = Store::connect(&unreadable, "main").await.expect_err("no such scheme");
    assert!(!format!("{error:?} {error}").contains("swordfish"));
    let nobody = Settings {
        url: format!("redis://:swordfish@127.0.0.1:{}/", sandbox::ports::free()),
        ..Settings::default()
    };
    let error = Store::connect(&nobody, "main").await.expect_err("nobody listens");
    assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("swordfish"));
}

#[tokio::test]
async fn two_pools_on_one_server_do_not_meet() {
    let ground = Ground::new().await;
    let settings = Settings { url: ground.redis.url(), ..Settings::default() };
    let other = Store::connect(&settings, "other").await.expect("connects");
    ground.admit(record()).await;
    assert_eq!(other.counts().await.expect("answers").len(), 0);
    assert_eq!(other.claim(&SUBMIT, 9, LEASE).await.expect("answers").items, []);
    assert_eq!(connect(&ground.redis).await.counts().await.expect("answers").len(), 1);
}
