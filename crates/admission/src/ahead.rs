//! Many requests in two halves, for who has very many: while Redis takes some of them, the next ones are judged.
//!
//! The first half may be done early and in any number, since it stores nothing but media; the second decides which of
//! two equal requests becomes the job, so it is done for one lot after the other.

use crate::door::{Known, Ready, count, unavailable};
use crate::{Admitted, Door, Intake, Refusal, trace};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use job::Source;
use std::borrow::Borrow;
use store::{ADMIT_MAX, NewJob, Pulse, StoreError};
use telemetry::Span;

/// Calls that create jobs, on their way at once.
const CALLS_AT_ONCE: usize = 2;

/// Requests on their way to the store. Those that were answered for good are no longer among them.
#[derive(Debug)]
pub struct Prepared {
    rows: Vec<Waiting>,
}

/// One of them.
#[derive(Debug)]
struct Waiting {
    source: Source,
    tenant: String,
    span: Span,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// To be judged; why that could not be done yet, if it was tried.
    New { intake: Box<Intake>, why: Option<Refusal> },
    /// To be stored.
    Ready(Box<Ready>),
    /// Told once, and no more.
    Refused(Refusal),
}

impl Prepared {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether jobs have to be looked up before anything can be said of these: nothing of them is done ahead.
    fn mends(&self) -> bool {
        let mends = |row: &Waiting| row.new_intake().is_some_and(|intake| intake.mends.is_some());
        self.rows.iter().any(mends)
    }

    /// Whether some are still to be judged.
    fn has_new(&self) -> bool {
        self.rows.iter().any(|row| row.new_intake().is_some())
    }

    fn new_intakes(&self) -> Vec<Intake> {
        self.rows.iter().filter_map(Waiting::new_intake).cloned().collect()
    }
}

impl Waiting {
    fn new_intake(&self) -> Option<&Intake> {
        match &self.stage {
            Stage::New { intake, .. } => Some(intake),
            Stage::Ready(_) | Stage::Refused(_) => None,
        }
    }

    fn ready(&self) -> Option<&Ready> {
        match &self.stage {
            Stage::Ready(ready) => Some(ready),
            Stage::New { .. } | Stage::Refused(_) => None,
        }
    }
}

impl Door {
    /// The first half of [`Door::admit_many`]: judges requests and puts their media away. What the moment forbids is
    /// tried again by the second half.
    pub async fn prepare_many(&self, mut intakes: Vec<Intake>) -> Prepared {
        let spans = trace::begin(&mut intakes);
        let rows = intakes.into_iter().zip(spans).map(|(intake, span)| Waiting {
            source: intake.source,
            tenant: intake.tenant.clone(),
            span,
            stage: Stage::New { intake: Box::new(intake), why: None },
        });
        let mut prepared = Prepared { rows: rows.collect() };
        if !prepared.mends() {
            self.judge_new(&mut prepared, self.store.pulse().await.map_err(unavailable)).await;
        }
        prepared
    }

    /// The second half: stores what is ready and answers as [`Door::admit_many`], but for the state of older jobs,
    /// which nobody looks up. What was answered with a refusal that may pass stays, in its order, and can be stored
    /// again: the same jobs then, so that one whose answer was lost is still told as created.
    pub async fn store_many(&self, prepared: &mut Prepared) -> Vec<Result<Admitted, Refusal>> {
        let answers = if prepared.mends() {
            self.mend_some(prepared.new_intakes()).await
        } else {
            if prepared.has_new() {
                self.judge_new(prepared, self.store.pulse().await.map_err(unavailable)).await;
            }
            self.store_ready(prepared).await
        };
        for (row, answer) in prepared.rows.iter().zip(&answers) {
            count(row.source, &row.tenant, answer);
            trace::end(&row.span, self.store.pool(), answer);
        }
        let mut may_pass =
            answers.iter().map(|answer| answer.as_ref().is_err_and(Refusal::is_retryable));
        prepared.rows.retain(|_| may_pass.next().unwrap_or(false));
        answers
    }

    async fn mend_some(&self, intakes: Vec<Intake>) -> Vec<Result<Admitted, Refusal>> {
        let mut answers = Vec::with_capacity(intakes.len());
        for some in intakes.chunks(ADMIT_MAX) {
            match self.store.pulse().await {
                Ok(pulse) => answers.extend(self.mend_all(some.to_vec(), pulse).await),
                Err(error) => answers.extend(some.iter().map(|_| Err(unavailable(&error)))),
            }
        }
        answers
    }

    /// Judges what is still to be judged.
    async fn judge_new(&self, prepared: &mut Prepared, pulse: Result<Pulse, Refusal>) {
        let judged = match pulse {
            Ok(pulse) => self.prepare_all(prepared.new_intakes(), pulse).await,
            Err(refusal) => prepared.new_intakes().iter().map(|_| Err(refusal.clone())).collect(),
        };
        let new = prepared.rows.iter_mut().filter(|row| row.new_intake().is_some());
        for (row, judged) in new.zip(judged) {
            match (judged, &mut row.stage) {
                (Ok(ready), stage) => *stage = Stage::Ready(Box::new(ready)),
                (Err(refusal), Stage::New { why, .. }) if refusal.is_retryable() => {
                    *why = Some(refusal);
                }
                (Err(refusal), stage) => *stage = Stage::Refused(refusal),
            }
        }
    }

    /// Stores what is ready, and tells of each what became of it.
    async fn store_ready(&self, prepared: &Prepared) -> Vec<Result<Admitted, Refusal>> {
        let ready: Vec<&Ready> = prepared.rows.iter().filter_map(Waiting::ready).collect();
        let jobs: Vec<&NewJob> = ready.iter().map(|ready| &ready.job).collect();
        let stored = self.put_down(&jobs).await;
        let mut stored = ready.into_iter().zip(stored);
        let told = prepared.rows.iter().map(|row| match &row.stage {
            Stage::New { why, .. } => {
                Err(why.clone().unwrap_or_else(|| unavailable("it was not judged")))
            }
            Stage::Refused(refusal) => Err(refusal.clone()),
            Stage::Ready(_) => {
                let (ready, outcome) = stored.next().ok_or_else(|| unavailable("no answer"))?;
                self.admitted(&ready.job, ready.told.clone(), outcome, &Known::new())
            }
        });
        told.collect()
    }

    /// Stores jobs in their order. A call is written while Redis works on the one before it: they share a connection,
    /// which keeps their order. The first goes alone, since a server that has lost its scripts refuses all that are
    /// on their way, and they come back in any order. After one that failed none is begun.
    pub(crate) async fn put_down<J: Borrow<NewJob> + Sync>(
        &self,
        jobs: &[J],
    ) -> Vec<Result<store::Admitted, StoreError>> {
        let mut rest = jobs.chunks(ADMIT_MAX);
        let mut under_way = FuturesOrdered::new();
        let (mut stored, mut broken) = (Vec::with_capacity(jobs.len()), None);
        loop {
            let at_once = if stored.is_empty() { 1 } else { CALLS_AT_ONCE };
            while broken.is_none() && under_way.len() < at_once {
                let Some(some) = rest.next() else { break };
                under_way.push_back(async move { (some.len(), self.store.admit(some).await) });
            }
            let Some((jobs, answers)) = under_way.next().await else { break };
            let answers = answers.unwrap_or_else(|error| vec![Err(error); jobs]);
            broken = broken.or_else(|| answers.iter().find_map(|answer| answer.clone().err()));
            stored.extend(answers);
        }
        if let Some(error) = broken {
            stored.resize_with(jobs.len(), || Err(error.clone()));
        }
        stored
    }
}
