//! The guard of a new attempt, in the words of `commit.lua`.

use super::CommitRequest;
use crate::begin::Counted;
use crate::facts::{KeyTable, slot_field};
use crate::overview::stop_name;
use crate::{Store, StoreError, caps};
use job::TaskId;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    cap: Option<Cap>,
}

/// What the tenant may have in flight.
#[derive(Serialize)]
struct Cap {
    counts: usize,
    words: Vec<&'static str>,
    max: u32,
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
            cap: self.flight_cap(&record.spec.tenant, table),
            batch: (record.spec.batch.as_ref())
                .map(|batch| table.at(keys.batch(&record.spec.tenant, batch))),
        }))
    }

    fn flight_cap(&self, tenant: &str, table: &mut KeyTable) -> Option<Cap> {
        let max = self.caps_of(tenant).in_flight_max;
        let counts = self.keys().tenant_counts(tenant);
        let words = caps::words(&caps::IN_FLIGHT);
        (max > 0).then(|| Cap { counts: table.at(counts), words, max })
    }
}
