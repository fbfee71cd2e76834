//! From facts to causes.

use super::{CauseKind, CauseView, Others, Unlent, words};
use crate::limits::AccountView;
use crate::pauses::pauses_sentence;
use job::{StateWord, Timestamp};
use seedance::SlotClass;
use std::collections::BTreeMap;
use store::{Around, Depth, Freeze, FreezeKind, Pause, PauseScope, Queue, SILENT_AFTER, StopRow};

/// So many jobs in doubt are worth a word: fewer come and go.
const DOUBTS_MANY: u64 = 10;
/// So many videos that wait for their copy likewise.
const COPIES_MANY: u64 = 50;

/// What is known of a pool at one moment.
pub(crate) struct Scene {
    /// The server's clock.
    pub(crate) now: Timestamp,
    pub(crate) accounts: Vec<AccountView>,
    /// Accounts, and classes of accounts, that were stopped.
    pub(crate) stops: Vec<StopRow>,
    pub(crate) depths: Vec<Depth>,
    /// Why no ticket of due jobs is in hand, where none is.
    pub(crate) unlent: Unlent,
    pub(crate) freeze: Option<Freeze>,
    pub(crate) counts: BTreeMap<StateWord, u64>,
    /// Which cap of spending holds jobs, in a sentence.
    pub(crate) budget: Option<String>,
    /// What people paused that concerns whoever asks.
    pub(crate) pauses: Vec<Pause>,
    pub(crate) others: Others,
}

/// Everything that limits now, the strongest first; empty where nothing does.
pub(crate) fn causes(scene: &Scene) -> Vec<CauseView> {
    let judges = [frozen, paused, memory, roles, bucket, stopped, provider, doubts, room, delays];
    let mut found: Vec<CauseView> = judges.into_iter().flat_map(|judge| judge(scene)).collect();
    // What is left when nothing else explains why jobs wait: alone it says that all is as it should be.
    if !found.iter().any(|cause| cause.cause < CauseKind::TenantsRest) {
        found.extend(pace(scene));
    }
    found.sort_by_key(|cause| cause.cause);
    found
}

/// What limits, in one sentence; a pause is told whatever else does.
pub(crate) fn sentence(scene: &Scene, causes: &[CauseView]) -> String {
    let first = causes.first();
    let says =
        first.map_or("Nothing limits: no job waits to be bought.", |cause| cause.says.as_str());
    let told = first.is_some_and(|first| {
        matches!(first.cause, CauseKind::Paused | CauseKind::PartPaused) && scene.pauses.len() == 1
    });
    let pauses = pauses_sentence(&scene.pauses).filter(|_| !told);
    pauses.map_or_else(|| says.to_owned(), |pauses| format!("{says} {pauses}"))
}

impl Scene {
    fn count(&self, words: &[StateWord]) -> u64 {
        words.iter().filter_map(|word| self.counts.get(word)).sum()
    }

    /// Tickets of jobs that wait to be bought, those of them that are due, and those in hand.
    fn to_buy(&self) -> (u64, u64, u64) {
        let submit = self.depths.iter().filter(|depth| depth.queue.class().is_some());
        submit.fold((0, 0, 0), |(waiting, due, leased), depth| {
            (waiting + depth.waiting, due + depth.due, leased + depth.leased)
        })
    }

    /// Whether jobs wait to be bought or are being bought.
    fn buys(&self) -> bool {
        let (waiting, _, leased) = self.to_buy();
        waiting + leased > 0
    }

    /// Tasks that are looked at, and jobs in doubt that are looked for.
    fn watched(&self) -> u64 {
        self.count(&[StateWord::Running, StateWord::Overdue, StateWord::InDoubt])
    }

    /// Whom a part of the surroundings fails: role and what it met, each once.
    fn ill(&self, part: Around) -> Option<(&str, &str)> {
        let ill = self.others.ill.iter().find(|ill| ill.part == part)?;
        Some((ill.role.as_str(), ill.why.as_str()))
    }

    /// The stop of an account, or of its one class: in force, or passed and not answered well since, so that a single
    /// job asks. One that only ran out stays written until the next success and says nothing.
    fn stop_of(&self, account: &str, only: Option<SlotClass>) -> Option<&StopRow> {
        let of = |stop: &&StopRow| stop.account == account && stop.only == only;
        let holds = |stop: &&StopRow| stop.until > self.now || stop.in_row > 0;
        self.stops.iter().filter(of).find(holds)
    }
}

fn frozen(scene: &Scene) -> Vec<CauseView> {
    let of = |freeze: &Freeze| {
        let cause = match freeze.kind {
            FreezeKind::Rollback => CauseKind::FrozenAfterLoss,
            FreezeKind::Asked => CauseKind::Frozen,
        };
        let says = format!("Nothing is bought: the pool is frozen ({}).", freeze.why);
        CauseView::new(cause, says)
    };
    scene.freeze.iter().map(of).collect()
}

/// Pauses that hold up work. One of a tenant is one of many in its queues: it is told, but nobody can say what waits
/// for it.
fn paused(scene: &Scene) -> Vec<CauseView> {
    let waits = |class: SlotClass| {
        scene.depths.iter().any(|of| of.queue == Queue::Submit(class) && of.waiting > 0)
    };
    let judged = scene.pauses.iter().filter_map(|pause| {
        let holds = match &pause.scope {
            PauseScope::Submit => {
                let says = format!("Nothing is bought: paused {}.", pause.words());
                return Some(CauseView::new(CauseKind::Paused, says));
            }
            PauseScope::Poll => scene.count(&[StateWord::Running, StateWord::Overdue]) > 0,
            PauseScope::Download => scene.count(&[StateWord::Downloading]) > 0,
            PauseScope::Model(class) => waits(*class),
            PauseScope::Tenant(_) => false,
        };
        let part = || CauseView::new(CauseKind::PartPaused, format!("Paused: {}.", pause.words()));
        holds.then(part)
    });
    judged.collect()
}

fn memory(scene: &Scene) -> Vec<CauseView> {
    let says = scene.others.memory_past.map(|(used, stop)| {
        format!("Redis's memory: {used} % is used, and from {stop} % on no new job is taken in.")
    });
    says.map(|says| CauseView::new(CauseKind::RedisFull, says)).into_iter().collect()
}

/// Roles of which no process is at work, though there is work for it; in the order of a job's way. Whether one is at
/// work is told by its beats alone: that none has a ticket in hand may mean that none can go on.
fn roles(scene: &Scene) -> Vec<CauseView> {
    let (waiting, _, leased) = scene.to_buy();
    let notify = scene.depths.iter().find(|depth| depth.queue == Queue::Notify);
    let work = [
        ("submitter", waiting + leased),
        ("poller", scene.watched()),
        ("downloader", scene.count(&[StateWord::Downloading])),
        ("notifier", notify.map_or(0, |depth| depth.waiting + depth.leased)),
    ];
    // A Redis that is nearly full may have taken no beat.
    let full = scene.others.memory_past.is_some();
    let told = work.into_iter().filter(|(_, n)| *n > 0).filter_map(|(role, n)| {
        let silent = scene.others.roles.get(role).copied();
        if silent.is_some_and(|silent| full || silent < SILENT_AFTER) {
            return None;
        }
        let cause =
            if role == "notifier" { CauseKind::NotifierMissing } else { CauseKind::RoleMissing };
        Some(CauseView::new(cause, words::missing(role, n, silent)))
    });
    told.collect()
}

fn bucket(scene: &Scene) -> Vec<CauseView> {
    let ill = scene.ill(Around::Bucket);
    let ill = ill.filter(|_| scene.buys() || scene.count(&[StateWord::Downloading]) > 0);
    let told =
        ill.map(|(role, why)| CauseView::new(CauseKind::BucketIll, words::bucket(role, why)));
    told.into_iter().collect()
}

/// Accounts that the provider refuses. The strongest word where none is left; a hint where others go on.
fn stopped(scene: &Scene) -> Vec<CauseView> {
    let whole: Vec<&StopRow> =
        scene.accounts.iter().filter_map(|account| scene.stop_of(&account.account, None)).collect();
    if let (Some(first), true) = (whole.first(), whole.len() == scene.accounts.len()) {
        if !scene.buys() {
            return Vec::new();
        }
        let (cause, says) = words::stop(first, scene.now);
        return vec![CauseView::new(cause, says)];
    }
    let some = whole.iter().map(|stop| {
        let (_, says) = words::stop(stop, scene.now);
        CauseView::new(CauseKind::AccountStopped, format!("{says} Others of the pool go on."))
    });
    some.chain(SlotClass::ALL.into_iter().filter_map(|class| throttled(scene, class))).collect()
}

/// A class that waits and that no account takes.
fn throttled(scene: &Scene, class: SlotClass) -> Option<CauseView> {
    scene.depths.iter().find(|of| of.queue == Queue::Submit(class) && of.waiting > 0)?;
    let mut own = None;
    for account in &scene.accounts {
        let stop = scene.stop_of(&account.account, Some(class));
        stop.or_else(|| scene.stop_of(&account.account, None))?;
        own = own.or(stop);
    }
    let says = words::throttled(class, own?, scene.now);
    Some(CauseView::new(CauseKind::Throttled, says))
}

fn provider(scene: &Scene) -> Vec<CauseView> {
    let wants = scene.buys() || scene.watched() > 0;
    let creates = scene.ill(Around::Creates).filter(|_| wants).map(|(_, why)| why);
    let reads = scene.ill(Around::Reads).filter(|_| scene.watched() > 0).map(|(_, why)| why);
    let told = words::provider(creates, reads);
    told.map(|says| CauseView::new(CauseKind::ProviderFails, says)).into_iter().collect()
}

fn doubts(scene: &Scene) -> Vec<CauseView> {
    let (doubts, parked) = (scene.count(&[StateWord::InDoubt]), scene.count(&[StateWord::Parked]));
    let many = (doubts >= DOUBTS_MANY).then(|| {
        let says = format!(
            "{doubts} jobs are in doubt: whether they were bought is looked for, and until it is found they keep \
             their slots."
        );
        CauseView::new(CauseKind::InDoubt, says)
    });
    let parked = (parked > 0).then(|| {
        let says = format!(
            "Parked for a person: {parked} jobs of which nobody knows whether they were bought."
        );
        CauseView::new(CauseKind::Parked, says)
    });
    many.into_iter().chain(parked).collect()
}

/// Slots and money.
fn room(scene: &Scene) -> Vec<CauseView> {
    let mut found = Vec::new();
    for depth in scene.depths.iter().filter(|depth| depth.waiting > 0) {
        let Some(class) = depth.queue.class() else { continue };
        let of_class = scene.accounts.iter().flat_map(|account| &account.classes);
        let of_class = of_class.filter(|view| view.class == class.word());
        let (slots, configured, used) = of_class.fold((0, 0, 0), |(slots, most, used), view| {
            let configured = most + u64::from(view.configured.slots);
            (slots + u64::from(view.slots), configured, used + view.slots_used)
        });
        let class = class.word();
        if used >= configured {
            let says = format!(
                "The provider's concurrency limits: {used} of {slots} slots of {class} are taken."
            );
            found.push(CauseView::new(CauseKind::SlotsFull, says));
        } else if used >= slots {
            let says = format!(
                "A limit that a person has set: {used} of {slots} slots of {class} are taken, and {configured} are configured."
            );
            found.push(CauseView::new(CauseKind::LimitSet, says));
        }
    }
    found.extend(scene.budget.iter().map(|says| CauseView::new(CauseKind::Budget, says.clone())));
    found
}

/// Why jobs wait that nothing holds up, or that wait for a person.
fn pace(scene: &Scene) -> Option<CauseView> {
    let held = scene.count(&[StateWord::Held]);
    let (waiting, due, leased) = scene.to_buy();
    if waiting + leased == 0 {
        let says =
            || format!("{held} held jobs wait for a person; nothing else waits to be bought.");
        return (held > 0).then(|| CauseView::new(CauseKind::Held, says()));
    }
    let slowed = scene.accounts.iter().flat_map(|account| &account.classes);
    let slowed = slowed.flat_map(|class| &class.slowed).any(|slowed| slowed.away.is_none());
    let (cause, says) = match (due, leased) {
        (0, 0) => (
            CauseKind::Waiting,
            format!("{waiting} jobs wait for the end of a pause after a refusal."),
        ),
        (_, 0) if scene.unlent.resting >= due => (
            CauseKind::TenantsRest,
            format!(
                "{due} jobs are due, and their tenants are paused or have in flight what they may have."
            ),
        ),
        // That none is in hand says nothing about submitters: none is lent before an account has an instant for it.
        (_, _) => {
            let lowered = if slowed { ", lowered after refusals" } else { "" };
            let first = words::first_instant(scene.unlent.next, scene.now);
            let says = format!(
                "The rate of creates limits{lowered}: slots are free, and jobs wait for their instant{first}."
            );
            (CauseKind::CreateRate, says)
        }
    };
    Some(CauseView::new(cause, says))
}

/// What makes news late and holds up no create.
fn delays(scene: &Scene) -> Vec<CauseView> {
    let downloads = scene.count(&[StateWord::Downloading]);
    let links = scene.ill(Around::Links).filter(|_| downloads > 0);
    let links = links.map(|(_, why)| CauseView::new(CauseKind::LinksFail, words::links(why)));
    let download = scene.depths.iter().find(|depth| depth.queue == Queue::Download);
    let due = download.map(|depth| depth.due).filter(|due| *due > COPIES_MANY);
    let copies = due.map(|due| {
        CauseView::new(
            CauseKind::CopiesWait,
            format!("Downloads: {due} videos wait for their copy."),
        )
    });
    let hooks = words::hooks(&scene.others.hooks);
    let hooks = hooks.map(|says| CauseView::new(CauseKind::WebhooksFail, says));
    let silent = words::silent(&scene.others.silent);
    let silent = silent.map(|says| CauseView::new(CauseKind::CallbacksSilent, says));
    links.into_iter().chain(copies).chain(hooks).chain(silent).collect()
}
