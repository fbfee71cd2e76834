//! `--pilot`: a few rows are bought first, and a person sees what came of them before the others are.
//!
//! The gateway draws the rows; they are sent first, and pause their batch for all others; then all rows are. Whoever
//! repeats the command draws the same rows and finds the same jobs.

use super::judged::{currency, micros};
use super::sending::Pass;
use super::{Import, Passed};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row};
use crate::patience::Patience;
use crate::remote::{batch, jobs, rows};
use crate::verbs::import::tried::{self, Tried};
use crate::verbs::jobs::verdict;
use job::{JobId, StateWord};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

impl Import<'_> {
    /// Whether the batch is new, or waits for its pilot; not where somebody has let it go on since.
    ///
    /// # Errors
    ///
    /// A batch that had jobs before.
    pub(super) async fn is_open(&self) -> Result<bool, Failure> {
        let found = match self.gateway.get(&["batches", &self.batch], &[]).await {
            Err(failure) if failure.exit == Exit::NotFound => return Ok(true),
            found => found?,
        };
        match found["pilot"]["waits"].as_bool() {
            Some(true) => Ok(true),
            Some(false) => {
                tried::tell_over(self.global, &self.batch);
                Ok(false)
            }
            None => match found["jobs"].as_u64().unwrap_or(0) {
                0 if found["paused"].is_null() => Ok(true),
                jobs => Err(tried::not_new(&self.batch, jobs)),
            },
        }
    }

    /// Buys so many rows and takes all of them in.
    pub(super) async fn pilot(&self, wanted: u32, timeout: Duration) -> Outcome {
        let judged = self.judge(Some(wanted)).await?;
        self.readable(&judged)?;
        let drawn = drawn(&judged.answer)?;
        if drawn.is_empty() {
            // There is nothing to try, nor anything that could wait for it.
            let whole = self.take_in().await?;
            output::object(&self.global.output, self.told(&whole))?;
            return self.ended(&whole);
        }
        let kinds = |name: &str| judged.answer["pilot"][name].as_u64().unwrap_or(0);
        tried::tell_drawn(self.global, drawn.len(), kinds("kinds"), kinds("kinds_in_stream"));
        let chosen: BTreeSet<u64> = drawn.keys().copied().collect();
        let first = self.pass(&Pass::Pilot(wanted, &chosen)).await?;
        if first.refused.unreadable.is_some() {
            return self.ended(&first);
        }
        let made = made(&first.answer, &drawn)?;
        let whole = self.take_in().await?;
        if whole.refused.unreadable.is_some() {
            return self.ended(&whole);
        }
        let ids: Vec<JobId> = made.keys().cloned().collect();
        let patience = Patience::new(self.global, jobs::LOOK_EVERY, Some(timeout)).answered();
        let late = |_: &_| tried::not_over(timeout);
        let (seen, over) = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {
                return Err(tried::interrupted("the pilot goes on, and all rows are safe"));
            }
            looked = jobs::look_until(self.global, self.gateway, &ids, patience, late) => looked?,
        };
        let tried: Vec<Tried> =
            ids.iter().zip(&seen).map(|(id, job)| tried_of(id, job, &made)).collect();
        let row = self.told_of_both(&first, &whole);
        tried::show(self.global, currency(&judged.answer)?, &tried, row)?;
        if !over {
            return Err(tried::not_over(timeout));
        }
        self.next().await?;
        let exit = verdict(seen.iter().map(|(word, _)| (*word, 1)));
        Ok(match self.ended(&whole)? {
            Exit::Findings if exit == Exit::Done => Exit::Findings,
            _ => exit,
        })
    }

    /// What was new to this run is said of both passes.
    fn told_of_both(&self, first: &Passed, whole: &Passed) -> Row {
        let of = |passed: &Passed, name: &str| passed.answer[name].as_u64().unwrap_or(0);
        let made = of(first, "created");
        let mut row = self.told(whole);
        row.insert("created".into(), json!(made + of(whole, "created")));
        row.insert("existing".into(), json!(of(whole, "existing").saturating_sub(made)));
        row
    }

    /// What to do next.
    async fn next(&self) -> Result<(), Failure> {
        let found = self.gateway.get(&["batches", &self.batch], &[]).await?;
        let paused = found.get("paused").filter(|paused| paused.is_object()).map(batch::why);
        let waits = found["pilot"]["waits"] == true;
        tried::tell_next(&self.batch, "", paused.as_deref(), waits);
        Ok(())
    }
}

/// The rows that the gateway drew, with their settings.
fn drawn(answer: &Value) -> Result<BTreeMap<u64, String>, Failure> {
    let rows = answer["pilot"]["rows"].as_array().ok_or_else(|| rows::strange("drawn rows"))?;
    let one = |row: &Value| Some((row["row"].as_u64()?, row["settings"].as_str()?.to_owned()));
    rows.iter().map(|row| one(row).ok_or_else(|| rows::strange("a drawn row"))).collect()
}

/// The jobs of drawn rows, with the settings of each.
fn made(answer: &Value, drawn: &BTreeMap<u64, String>) -> Result<BTreeMap<JobId, String>, Failure> {
    let rows = answer["pilot"].as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |row: &Value| {
        let id = JobId::parse(row["job"].as_str()?).ok()?;
        Some((id, drawn.get(&row["row"].as_u64()?).cloned().unwrap_or_default()))
    };
    rows.iter().map(|row| one(row).ok_or_else(|| rows::strange("a pilot's job"))).collect()
}

fn tried_of(
    id: &JobId,
    (state, view): &(StateWord, Value),
    made: &BTreeMap<JobId, String>,
) -> Tried {
    // A job that was accepted without a price costs nothing that is known.
    let amount = |pointer: &str| micros(view, pointer).unwrap_or(0);
    Tried {
        job: id.to_string(),
        state: *state,
        settings: made.get(id).cloned(),
        micros: amount("/cost"),
        estimated_micros: amount("/estimate/cost"),
        video: view.pointer("/output/video").cloned().unwrap_or(Value::Null),
        code: rows::job(view)["code"].as_str().map(str::to_owned),
    }
}
