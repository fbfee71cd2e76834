//! Permits: the read calls wait for theirs here, and creates bring an instant that Begin reserved.

use crate::brake::{self, Refused};
use crate::gate::{Gate, Tally};
use crate::permit::{Moment, Permit, Reserved, Stale};
use crate::place::{self, Place};
use crate::rest::Rest;
use crate::settings::{Settings, UnderWay, create_pace, read_pace};
use job::{PoolSettings, Timestamp};
use seedance::{Brake, Call, SlotClass};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::{CallRow, Grant, Pace, Slowed, Store};

/// Pause after Redis did not answer; permits fail closed meanwhile.
const REDIS_PAUSE: Duration = Duration::from_millis(200);
/// Longest sleep before the fleet's slots are asked about again.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Least sleep, so that a busy limit is not asked in a spin.
const WAIT_MIN: Duration = Duration::from_millis(2);

/// Longest hold that is waited for; of a longer one the caller is told, who has better to do than to
/// keep a lease meanwhile.
const HOLD_WAIT_MAX: Duration = Duration::from_secs(2);

/// Why there is no right to a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPermit {
    /// The account or the call kind has no line here: the account is not in this process's
    /// configuration, or the call is a create.
    #[error("account `{account}` is not in the configuration: put it back")]
    Unconfigured {
        /// Which account.
        account: String,
    },
    /// The provider asked for a pause.
    #[error("no {call} on account `{account}` for another {}s: the provider asked for a pause", .rest.as_secs())]
    Held {
        /// Which account.
        account: String,
        /// Which kind.
        call: Call,
        /// What is left of it.
        rest: Duration,
    },
}

struct Line {
    row: CallRow,
    pace: Pace,
    gate: Gate,
    // What this process was told last; Redis holds what everybody was.
    rest: Mutex<Rest>,
}

impl Line {
    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Creates of one class on one account.
struct Creates {
    tally: Arc<Tally>,
    /// Where they are counted: the window.
    counted: Option<Duration>,
}

/// Permits for one pool. Cheap to clone.
#[derive(Clone)]
pub struct Limiter {
    store: Store,
    settings: Settings,
    route: &'static str,
    lines: Arc<BTreeMap<(String, &'static str), Line>>,
    creates: Arc<BTreeMap<(String, SlotClass), Creates>>,
    /// Tasks an account is fed ahead, where creates are made.
    lookahead: u32,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("route", &self.route).finish_non_exhaustive()
    }
}

impl Limiter {
    /// A limiter for the accounts of one pool.
    #[must_use]
    pub fn new(
        store: Store,
        pool: &PoolSettings,
        settings: &Settings,
        under_way: UnderWay,
    ) -> Self {
        let (mut lines, mut creates) = (BTreeMap::new(), BTreeMap::new());
        for (name, account) in &pool.accounts {
            for class in SlotClass::ALL {
                let rpm = account.class_limits(class).create_rpm;
                let counted = create_pace(rpm, settings, under_way).counted;
                let counted = counted.map(|counted| Duration::from_micros(counted.window_us));
                let tally = Arc::new(Tally::new(settings.use_within));
                creates.insert((name.clone(), class), Creates { tally, counted });
            }
            let limits = [
                (CallRow::Retrieve, account.retrieve_qps()),
                (CallRow::List, account.list_qps()),
                (CallRow::Delete, account.delete_qps()),
            ];
            for (row, qps) in limits {
                let pace = read_pace(qps, settings, under_way);
                let gate = Gate::new(Duration::from_micros(pace.interval_us));
                let line = Line { row, pace, gate, rest: Mutex::default() };
                lines.insert((name.clone(), row.call().word()), line);
            }
        }
        let route = pool.route.word();
        let (lines, creates) = (Arc::new(lines), Arc::new(creates));
        Self { store, settings: *settings, route, lines, creates, lookahead: 0 }
    }

    /// The same for whoever makes creates: accounts are fed so many tasks ahead, as configured.
    #[must_use]
    pub fn for_creates(self, lookahead: u32) -> Self {
        Self { lookahead, ..self }
    }

    fn line(&self, account: &str, call: Call) -> Option<&Line> {
        self.lines.get(&(account.to_owned(), call.word()))
    }

    /// Waits for the right to one call.
    ///
    /// Bounded by the caller: drop the future to stop waiting.
    ///
    /// # Errors
    ///
    /// [`NoPermit`]: there is no such line, or it is held for longer than is worth waiting for.
    pub async fn permit(&self, account: &str, call: Call) -> Result<Permit, NoPermit> {
        let Some(line) = self.line(account, call) else {
            return Err(NoPermit::Unconfigured { account: account.to_owned() });
        };
        let began = Instant::now();
        loop {
            line.gate.pass().await;
            let asked = Instant::now();
            match self.store.grant(account, call.word(), 1, line.pace).await {
                Ok(Grant::Granted { first_in, first_us, .. }) => {
                    let (answered, within) = (Instant::now(), self.settings.use_within);
                    // Given back wherever it does not become a call.
                    let (of, closes) =
                        ((&self.store, account, line.row), asked + first_in + within);
                    let counted = line.pace.counted;
                    let place =
                        counted.map(|counted| Place::of_read(of, counted, first_us, closes));
                    match Permit::at_slot(account, call, asked, answered, first_in, within).await {
                        Ok(permit) => {
                            let left = line.rest().left(Instant::now());
                            // Told off while this one waited for its instant, or Redis could not be
                            // told: it is lost.
                            match left {
                                Some(rest) if rest > HOLD_WAIT_MAX => {
                                    let account = account.to_owned();
                                    return Err(NoPermit::Held { account, call, rest });
                                }
                                Some(rest) => {
                                    tokio::time::sleep(rest).await;
                                    continue;
                                }
                                None => {}
                            }
                            telemetry::metrics().limiter_wait.record(began.elapsed(), [self.route]);
                            return Ok(permit.told_to(self).counted(place));
                        }
                        Err(stale) => tracing::debug!(%stale, account, call = call.word()),
                    }
                }
                Ok(Grant::Wait { held: rest, .. }) if rest > HOLD_WAIT_MAX => {
                    return Err(NoPermit::Held { account: account.to_owned(), call, rest });
                }
                Ok(Grant::Wait { after, .. }) => {
                    tokio::time::sleep(after.clamp(WAIT_MIN, WAIT_MAX)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, account, "no permits while Redis does not answer");
                    tokio::time::sleep(REDIS_PAUSE).await;
                }
            }
        }
    }

    /// The right to one create at an instant that the store has reserved for it. It is not waited for
    /// here: the call's last byte does, so that its connection stands when the instant comes.
    ///
    /// # Errors
    ///
    /// [`Stale`] when the slot is over already, as it is for an account that this process does not know.
    pub fn create(
        &self,
        account: &str,
        class: SlotClass,
        reserved: &Reserved,
    ) -> Result<Permit, Stale> {
        let Some(of) = self.creates.get(&(account.to_owned(), class)) else {
            return Err(Stale { late: Duration::ZERO });
        };
        let moment = Moment::of(reserved, self.settings.use_within, Arc::clone(&of.tally));
        match moment.late() {
            Some(late) => Err(Stale { late }),
            None => Ok(Permit::for_create(account.to_owned(), moment).of_class(class, self)),
        }
    }

    /// The create of this attempt was answered, or nothing of it ever left: where creates are counted, it counts
    /// for a window more, or no more at all. Not told where it may be on its way still.
    pub async fn create_done(&self, account: &str, class: SlotClass, attempt: &str, left: bool) {
        let of = self.creates.get(&(account.to_owned(), class));
        if let Some(window) = of.and_then(|of| of.counted) {
            let counts_for = if left { window } else { Duration::ZERO };
            place::tell(&self.store, account, CallRow::Create(class), attempt, counts_for).await;
        }
    }

    /// Holds a kind of call for everybody, after an answer to one that left at `sent`.
    pub(crate) async fn hold(
        &self,
        account: &str,
        call: Call,
        sent: Instant,
        code: &str,
        asked: Option<Duration>,
    ) {
        let Some(line) = self.line(account, call) else { return };
        let rest = line.rest().refused(sent, Instant::now(), asked, &self.settings);
        telemetry::metrics().call_holds.add(1, [call.word(), self.route]);
        tracing::warn!(account, call = call.word(), code, ?rest, "the provider asks for a pause");
        let held = async {
            let until = self.store.now().await? + rest;
            self.store.hold_calls(account, call.word(), until, code).await
        };
        // This process keeps to it all the same, and nobody gets a permit while Redis is away.
        if let Err(error) = held.await {
            tracing::warn!(%error, account, call = call.word(), "a pause is not told to the others");
        }
    }

    /// Takes something away from the creates of a class for everybody, after an answer to one that left at
    /// `sent`.
    pub(crate) async fn slow(
        &self,
        account: &str,
        class: SlotClass,
        brake: Brake,
        sent: Instant,
        code: &str,
    ) {
        let decide = |before: Option<&Slowed>, now: Timestamp| {
            // Both clocks tell whole milliseconds here: rounded so that it never seems to have left later than it did.
            let sent = now - (sent.elapsed() + Duration::from_millis(1));
            let refused = Refused { brake, code, sent, lookahead: self.lookahead };
            brake::after(&refused, before, now, &self.settings)
        };
        match self.store.slow(account, class, brake, decide).await {
            Ok(Some(slowed)) => {
                telemetry::metrics().create_brakes.add(1, [brake.word(), self.route]);
                let (class, away, whole_at) = (class.word(), slowed.first, slowed.ends().rfc3339());
                let brake = brake.word();
                tracing::warn!(
                    account,
                    class,
                    code,
                    brake,
                    away,
                    whole_at,
                    "creates are slowed down"
                );
            }
            Ok(None) => {}
            // The stop that the job's commit writes holds all the same, and the next refusal says it again.
            Err(error) => tracing::warn!(%error, account, "creates are not slowed down"),
        }
    }

    /// A call that left at `sent` was answered, and not told off.
    pub(crate) fn passed(&self, account: &str, call: Call, sent: Instant) {
        if let Some(line) = self.line(account, call) {
            line.rest().passed(sent);
        }
    }
}
