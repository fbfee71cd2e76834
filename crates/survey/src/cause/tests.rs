//! Each cause from its facts, and which of two comes first.

use super::look::FailingHook;
use super::{CauseKind, Others, Scene, Unlent, causes, sentence};
use crate::force::{ClassView, ConfiguredView};
use crate::limits::AccountView;
use job::{StateWord, Timestamp};
use seedance::SlotClass;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{
    Around, BEAT_EVERY, Depth, Freeze, FreezeKind, Ill, Pause, PauseScope, Queue, SILENT_AFTER,
    StopRow,
};

const NOW_S: i64 = 1_000;

const fn at(s: i64) -> Timestamp {
    Timestamp::from_unix_s(s)
}

fn account(name: &str, used: u64) -> AccountView {
    let class = ClassView {
        class: "2.0",
        slots: 3,
        slots_used: used,
        lookahead: 2,
        create_rpm: 60.0,
        stopped_until: None,
        stopped_by: None,
        configured: ConfiguredView { slots: 3, lookahead: 2, create_rpm: 60 },
        set: Vec::new(),
        slowed: Vec::new(),
    };
    AccountView {
        account: name.into(),
        stopped_until: None,
        stopped_by: None,
        held: Vec::new(),
        classes: vec![class],
        calls: Vec::new(),
    }
}

/// One account with so many slots used; all roles at work.
fn scene(used: u64, due: u64, leased: u64) -> Scene {
    let roles = ["submitter", "poller", "downloader", "notifier"];
    let roles = roles.map(|role| (role.to_owned(), BEAT_EVERY));
    Scene {
        now: at(NOW_S),
        accounts: vec![account("a", used)],
        stops: Vec::new(),
        depths: vec![Depth { queue: Queue::Submit(SlotClass::V20), waiting: due, due, leased }],
        unlent: Unlent::default(),
        freeze: None,
        counts: BTreeMap::new(),
        budget: None,
        pauses: Vec::new(),
        others: Others { roles: roles.into(), ..Others::default() },
    }
}

fn said(scene: &Scene) -> String {
    sentence(scene, &causes(scene))
}

fn kinds(scene: &Scene) -> Vec<CauseKind> {
    causes(scene).iter().map(|cause| cause.cause).collect()
}

#[track_caller]
fn says(scene: &Scene, first: CauseKind, words: &str) {
    let (kinds, said) = (kinds(scene), said(scene));
    assert_eq!(kinds.first(), Some(&first), "{said}");
    assert!(said.contains(words), "{said}");
}

fn stop(class: &str, code: &str, only: Option<SlotClass>) -> StopRow {
    StopRow {
        account: "a".into(),
        only,
        until: at(NOW_S + 60),
        class: class.into(),
        code: code.into(),
        in_row: 1,
        probe: None,
    }
}

fn ill(part: Around, role: &str, why: &str) -> Ill {
    Ill { role: role.into(), pool: "main".into(), part, why: why.into() }
}

fn pause(scope: PauseScope) -> Pause {
    let (by, reason) = (job::By::named("ann"), "a look".to_owned());
    Pause { scope, by, reason, at: at(0), until: None }
}

fn freeze(kind: FreezeKind) -> Freeze {
    Freeze { since: at(0), kind, why: "maintenance".into(), by: "ann".into(), seen: 0 }
}

#[test]
fn nothing_is_said_as_well() {
    let idle = scene(3, 0, 0);
    assert!(causes(&idle).is_empty());
    assert_eq!(said(&idle), "Nothing limits: no job waits to be bought.");
}

#[test]
fn room_and_pace() {
    says(&scene(3, 5, 1), CauseKind::SlotsFull, "3 of 3 slots of 2.0");
    says(&scene(1, 5, 0), CauseKind::CreateRate, "slots are free, and jobs wait for their instant");
    says(&scene(1, 5, 2), CauseKind::CreateRate, "The rate of creates limits: slots are free");
    let mut lowered = scene(1, 5, 2);
    lowered.accounts[0].classes[0].slots = 1;
    let words = "1 of 1 slots of 2.0 are taken, and 3 are configured";
    says(&lowered, CauseKind::LimitSet, words);
    let mut later = scene(1, 5, 0);
    later.depths[0].due = 0;
    says(&later, CauseKind::Waiting, "5 jobs wait for the end of a pause");
    let mut held = scene(0, 0, 0);
    held.counts.insert(StateWord::Held, 4);
    says(&held, CauseKind::Held, "4 held jobs");
    held.budget = Some("Budget: 4 jobs are held.".into());
    says(&held, CauseKind::Budget, "Budget: 4 jobs");
    assert_eq!(kinds(&held), [CauseKind::Budget], "they wait for that and for nobody");
}

#[test]
fn a_pause_is_told_whatever_else_limits() {
    let mut held = scene(0, 0, 0);
    held.budget = Some("Budget: 4 jobs are held.".into());
    held.pauses = vec![pause(PauseScope::Poll)];
    let words = "Budget: 4 jobs are held. Paused: polls by ann until it is resumed (a look).";
    assert_eq!(said(&held), words, "nothing runs that polls would be for");
    held.counts.insert(StateWord::Running, 1);
    says(&held, CauseKind::PartPaused, "Paused: polls by ann until it is resumed (a look).");
    assert_eq!(said(&held).matches("polls").count(), 1);
    held.pauses = vec![pause(PauseScope::Submit)];
    says(&held, CauseKind::Paused, "Nothing is bought: paused all creates by ann");
    let mut model = scene(0, 2, 0);
    model.pauses = vec![pause(PauseScope::Model(SlotClass::V20))];
    assert_eq!(kinds(&model)[0], CauseKind::PartPaused);
    model.pauses = vec![pause(PauseScope::Tenant("acme".into()))];
    says(&model, CauseKind::CreateRate, "Paused: creates of tenant acme by ann");
    model.unlent.resting = 2;
    says(&model, CauseKind::TenantsRest, "2 jobs are due, and their tenants are paused or have");
    model.depths[0].leased = 1;
    assert_eq!(kinds(&model), [CauseKind::CreateRate], "somebody else's is in hand");
}

#[test]
fn a_role_without_a_process_is_missed_where_it_has_work() {
    let mut alone = scene(0, 2, 0);
    alone.others.roles.clear();
    says(&alone, CauseKind::RoleMissing, "No submitter runs: 2 jobs wait to be bought.");
    alone.counts.insert(StateWord::Running, 1);
    alone.counts.insert(StateWord::Downloading, 3);
    let told: Vec<String> = causes(&alone).into_iter().map(|cause| cause.says).collect();
    assert_eq!(
        told,
        [
            "No submitter runs: 2 jobs wait to be bought.",
            "No poller runs: 1 job is at the provider or in doubt, and nobody looks.",
            "No downloader runs: 3 videos wait to be copied before links die.",
        ]
    );
    let mut idle = scene(0, 0, 0);
    idle.others.roles.clear();
    assert!(causes(&idle).is_empty(), "nobody is missed");
    idle.depths = vec![Depth { queue: Queue::Notify, waiting: 1, due: 1, leased: 0 }];
    says(&idle, CauseKind::NotifierMissing, "No notifier runs: 1 endpoint waits to be told.");
}

#[test]
fn only_beats_tell_whether_a_role_is_at_work() {
    let mut silent = scene(1, 5, 0);
    let heard = |silent: &mut Scene, role: &str, ago: Duration| {
        silent.others.roles.insert(role.into(), ago);
    };
    heard(&mut silent, "submitter", SILENT_AFTER - Duration::from_millis(1));
    assert_eq!(kinds(&silent), [CauseKind::CreateRate], "no ticket in hand says nothing");
    silent.unlent.next = Some(at(NOW_S + 1));
    assert!(said(&silent).ends_with("wait for their instant."), "it is near");
    silent.unlent.next = Some(at(NOW_S + 63));
    assert!(said(&silent).ends_with("instant, the first of which is 63 s away at the soonest."));
    heard(&mut silent, "submitter", SILENT_AFTER + Duration::from_millis(5_900));
    heard(&mut silent, "downloader", SILENT_AFTER);
    let words =
        "No submitter runs: the last one has been silent for 20 s, and 5 jobs wait to be bought.";
    says(&silent, CauseKind::RoleMissing, words);
    assert_eq!(kinds(&silent), [CauseKind::RoleMissing], "no video waits for a downloader");
    silent.depths[0].leased = 2;
    says(&silent, CauseKind::RoleMissing, "silent for 20 s, and 7 jobs wait");
    silent.others.memory_past = Some((101, 80));
    assert_eq!(kinds(&silent), [CauseKind::RedisFull], "it takes no beat");
}

#[test]
fn an_account_is_stopped_until_a_create_is_taken() {
    let mut stopped = scene(0, 5, 0);
    stopped.stops = vec![stop("auth", "AuthenticationError", None)];
    says(&stopped, CauseKind::KeyRefused, "refuses the key of account a (AuthenticationError)");
    stopped.stops = vec![stop("account", "AccountOverdueError", None)];
    says(
        &stopped,
        CauseKind::AccountRefused,
        "for its balance or its rights (AccountOverdueError)",
    );
    stopped.stops = vec![stop("server", "unreachable", None)];
    says(&stopped, CauseKind::ProviderUnreachable, "cannot be reached (unreachable)");
    stopped.stops[0].until = at(NOW_S - 1);
    says(&stopped, CauseKind::ProviderUnreachable, "until a job that asks now is taken");
    stopped.stops[0].in_row = 0;
    assert_eq!(kinds(&stopped), [CauseKind::CreateRate], "it ran out, and others went well");
    stopped.stops = vec![stop("pause", "QuotaExceeded", None)];
    says(&stopped, CauseKind::Throttled, "asks account a to wait (QuotaExceeded)");
    stopped.stops = vec![stop("rate", "RateLimit", Some(SlotClass::V20))];
    says(
        &stopped,
        CauseKind::Throttled,
        "refuses creates of 2.0 for their rate or number (RateLimit)",
    );
    stopped.stops = vec![stop("rate", "RateLimit", Some(SlotClass::V20Fast))];
    assert_eq!(kinds(&stopped), [CauseKind::CreateRate], "another class waits");

    stopped.accounts.push(account("b", 0));
    stopped.stops = vec![stop("auth", "AuthenticationError", None)];
    assert_eq!(kinds(&stopped), [CauseKind::CreateRate, CauseKind::AccountStopped]);
    assert!(causes(&stopped)[1].says.ends_with("Others of the pool go on."));
    let mut idle = scene(0, 0, 0);
    idle.stops = vec![stop("auth", "AuthenticationError", None)];
    assert!(causes(&idle).is_empty(), "no job waits for it");
}

#[test]
fn what_processes_find_ill_is_told_where_it_holds_up_work() {
    let mut ills = scene(0, 5, 1);
    ills.others.ill = vec![ill(Around::Bucket, "submitter", "no permission")];
    let words = "The bucket fails the submitter: nothing is bought without the intent that lies there \
                 (no permission).";
    says(&ills, CauseKind::BucketIll, words);
    ills.others.ill = vec![ill(Around::Creates, "submitter", "http-500")];
    let words = "The provider fails: creates end without an answer that counts (http-500).";
    says(&ills, CauseKind::ProviderFails, words);
    ills.counts.insert(StateWord::Running, 1);
    ills.others.ill.push(ill(Around::Reads, "poller", ""));
    says(&ills, CauseKind::ProviderFails, "(http-500), and tasks cannot be read.");

    let mut idle = scene(0, 0, 0);
    idle.others.ill = Around::ALL.map(|part| ill(part, "downloader", "x")).into();
    assert!(causes(&idle).is_empty(), "nothing waits for it");
    idle.counts.insert(StateWord::Downloading, 1);
    assert_eq!(kinds(&idle), [CauseKind::BucketIll, CauseKind::LinksFail]);
}

#[test]
fn doubts_are_told_when_they_are_many_and_parked_jobs_always() {
    let mut doubts = scene(0, 0, 0);
    doubts.counts.insert(StateWord::InDoubt, 9);
    assert!(causes(&doubts).is_empty(), "a few come and go");
    doubts.counts.insert(StateWord::InDoubt, 10);
    says(&doubts, CauseKind::InDoubt, "10 jobs are in doubt");
    doubts.counts = BTreeMap::from([(StateWord::Parked, 2)]);
    says(&doubts, CauseKind::Parked, "Parked for a person: 2 jobs");
}

#[test]
fn what_only_makes_news_late_comes_last() {
    let mut late = scene(3, 5, 1);
    let hook = |id: &str| FailingHook {
        id: id.into(),
        tenant: "acme".into(),
        why: "HTTP 500".into(),
        waiting: 7,
    };
    late.others.hooks = vec![hook("whe_1"), hook("whe_2")];
    late.others.silent = vec!["a".into()];
    late.depths.push(Depth { queue: Queue::Download, waiting: 51, due: 51, leased: 8 });
    assert_eq!(
        kinds(&late),
        [
            CauseKind::SlotsFull,
            CauseKind::CopiesWait,
            CauseKind::WebhooksFail,
            CauseKind::CallbacksSilent
        ]
    );
    let told = causes(&late).remove(2).says;
    assert_eq!(
        told,
        "Webhooks: endpoint whe_1 of tenant acme does not take what it is told (HTTP 500); 7 events wait, and 1 \
         more like it."
    );
}

/// A scene in which nearly everything is wrong, from the strongest to the weakest: each is told before those below.
#[test]
fn the_strongest_is_told_first() {
    let mut all = scene(3, 5, 0);
    all.freeze = Some(freeze(FreezeKind::Rollback));
    all.pauses = vec![pause(PauseScope::Submit)];
    all.others.memory_past = Some((85, 80));
    all.others.roles.clear();
    all.others.ill =
        vec![ill(Around::Bucket, "submitter", "x"), ill(Around::Creates, "submitter", "http-500")];
    all.stops = vec![stop("auth", "AuthenticationError", None)];
    all.counts.insert(StateWord::InDoubt, 12);
    all.budget = Some("Budget: 4 jobs are held.".into());
    all.others.silent = vec!["a".into()];
    let expected = [
        CauseKind::FrozenAfterLoss,
        CauseKind::Paused,
        CauseKind::RedisFull,
        CauseKind::RoleMissing,
        CauseKind::RoleMissing,
        CauseKind::BucketIll,
        CauseKind::KeyRefused,
        CauseKind::ProviderFails,
        CauseKind::InDoubt,
        CauseKind::SlotsFull,
        CauseKind::Budget,
        CauseKind::CallbacksSilent,
    ];
    assert_eq!(kinds(&all), expected);
    all.freeze = Some(freeze(FreezeKind::Asked));
    says(&all, CauseKind::Frozen, "Nothing is bought: the pool is frozen (maintenance).");
    assert!(CauseKind::ALL.is_sorted() && CauseKind::ALL.iter().any(|kind| !kind.is_grave()));
}

#[test]
fn memory_is_told_from_the_share_on_at_which_the_door_closes() {
    assert_eq!(super::look::past(0.79, 0.8), None);
    assert_eq!(super::look::past(0.85, 0.8), Some((85, 80)));
    let mut full = scene(0, 0, 0);
    full.others.memory_past = super::look::past(1.2, 0.8);
    says(&full, CauseKind::RedisFull, "120 % is used, and from 80 % on no new job is taken in.");
}
