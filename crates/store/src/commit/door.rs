//! The guard of a new attempt, in the words of `commit.lua`.

use super::CommitRequest;
use crate::begin::Counted;
use crate::budget::Purse;
use crate::facts::{self, KeyTable, slot_field};
use crate::keys::Keys;
use crate::overview::stop_name;
use crate::pauses::PauseScope;
use crate::{Store, StoreError, caps};
use job::{Life, Record, TaskId};
use serde::Serialize;

/// What must hold for an attempt to begin, as the script reads it.
#[derive(Serialize)]
pub(super) struct Begin<'a> {
    slots: usize,
    slot: String,
    running: u32,
    lookahead: u32,
    offers: usize,
    nonces: usize,
    nonce: String,
    attempt: &'a str,
    stops: usize,
    stopped: [String; 2],
    probe_ms: u64,
    pace: usize,
    interval: u64,
    calls: u32,
    horizon: u64,
    lead: u64,
    lead_max: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    counted: Option<Counted>,
    lanes: usize,
    tenant: &'a str,
    cost: u64,
    days: usize,
    hint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<usize>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pilot: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cap: Option<Cap>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    purses: Vec<PurseAt>,
    pauses: PausesAt,
}

/// What the tenant may have in flight.
#[derive(Serialize)]
struct Cap {
    counts: usize,
    words: Vec<&'static str>,
    max: u32,
}

/// The pauses that would hold the attempt off.
#[derive(Serialize)]
struct PausesAt {
    key: usize,
    fields: [String; 3],
}

/// A purse that the attempt is paid from.
#[derive(Serialize)]
struct PurseAt {
    of: &'static str,
    spent: usize,
    day: String,
    kept: i64,
    micros: u64,
    day_max: u64,
    total_max: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    caps: Option<usize>,
}

impl Store {
    pub(super) fn begin_facts<'a>(
        &self,
        request: &CommitRequest<'a>,
        table: &mut KeyTable,
    ) -> Result<Option<Begin<'a>>, StoreError> {
        let Some(guard) = request.guard else { return Ok(None) };
        let Some(attempt) = request.life.state.open_attempt() else {
            return Err(StoreError::Bug("a guard without an attempt".into()));
        };
        let (keys, record) = (self.keys(), &request.before.record);
        let (account, class) = (attempt.facts.account.as_str(), record.spec.request.slot_class());
        Ok(Some(Begin {
            slots: table.at(keys.slots()),
            slot: slot_field(&attempt.facts.slot()),
            running: guard.running,
            lookahead: guard.lookahead,
            offers: table.at(keys.offers(class)),
            nonces: table.at(keys.nonces(account)),
            nonce: attempt.nonce_s.to_string(),
            attempt: attempt.id.as_str(),
            stops: table.at(keys.stops()),
            stopped: [None, Some(class)].map(|class| stop_name(account, class)),
            probe_ms: u64::try_from(guard.probe.as_millis()).unwrap_or(u64::MAX),
            pace: table.at(keys.creates(account, class)),
            interval: guard.pace.interval_us,
            calls: guard.pace.calls,
            horizon: guard.pace.horizon_us,
            lead: guard.pace.lead_us,
            lead_max: guard.pace.lead_max_us,
            counted: guard.pace.counted,
            lanes: table.at(keys.lanes(class)),
            tenant: record.spec.tenant.as_str(),
            cost: self.caps_of(&record.spec.tenant).charge(record.spec.estimate_tokens),
            days: table.at(keys.days()),
            hint: request.before.hint.as_ref().map_or("", TaskId::as_str),
            pauses: PausesAt {
                key: table.at(keys.pauses()),
                fields: [
                    PauseScope::Submit,
                    PauseScope::Tenant(record.spec.tenant.clone()),
                    PauseScope::Model(class),
                ]
                .map(|scope| Keys::pause_field(&scope)),
            },
            purses: self.purses_of(record, request.life, table),
            cap: self.flight_cap(&record.spec.tenant, table),
            batch: (record.spec.batch.as_ref())
                .map(|batch| table.at(keys.batch(&record.spec.tenant, batch))),
            pilot: record.spec.pilot,
        }))
    }

    /// None for a job that was accepted without a price.
    fn purses_of(&self, record: &Record, life: &Life, table: &mut KeyTable) -> Vec<PurseAt> {
        let Some((at, micros)) = record.spec.reserved(life) else { return Vec::new() };
        let keys = self.keys();
        let purse = |purse: Purse| {
            let ([day_max, total_max], caps) = match &purse {
                Purse::Pool => (self.buy_caps().micros(), None),
                Purse::Tenant(tenant) => (self.caps_of(tenant).buy_caps().micros(), None),
                Purse::Batch(tenant, batch) => ([0, 0], Some(keys.batch(tenant, batch))),
            };
            PurseAt {
                of: purse.kind().word(),
                spent: table.at(keys.bought(&purse)),
                day: facts::day_of(at).to_string(),
                kept: facts::USAGE_DAYS_KEPT,
                micros,
                day_max,
                total_max,
                caps: caps.map(|key| table.at(key)),
            }
        };
        Purse::all_of(&record.spec).map(purse).collect()
    }

    fn flight_cap(&self, tenant: &str, table: &mut KeyTable) -> Option<Cap> {
        let max = self.caps_of(tenant).in_flight_max;
        let counts = self.keys().tenant_counts(tenant);
        let words = caps::words(&caps::IN_FLIGHT);
        (max > 0).then(|| Cap { counts: table.at(counts), words, max })
    }
}
