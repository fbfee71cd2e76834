//! `jobs retry`: what ended badly, once more, each as a new job that is bought.

use super::{chosen, find};
use crate::cli::{Decision, Global, Which};
use crate::exit::{Exit, Failure, Outcome};
use crate::session::{Session, operator};
use crate::verbs::import::money;
use crate::verbs::rows::Walk;
use crate::verbs::tally::{Tally, Told};
use admission::How;
use job::filter::Filter;
use job::{Again, JobId, Record, Source, StateWord};
use seedance::Currency;
use std::collections::BTreeMap;
use store::{OperationVerb, Stored};

/// What the new jobs come to.
#[derive(Default)]
struct Sum {
    jobs: u64,
    /// The task before may have been paid.
    paid_again: u64,
    micros: BTreeMap<String, (Currency, u64)>,
}

impl Sum {
    fn add(&mut self, session: &Session, stored: &Stored) {
        let Some(again) = Again::of(&stored.record) else { return };
        self.jobs += 1;
        self.paid_again += u64::from(again.paid_again);
        if let Some(cost) = reconcile::doubt::cost(session.pool.route, stored) {
            let (_, sum) =
                self.micros.entry(cost.currency.to_string()).or_insert((cost.currency, 0));
            *sum += cost.micros;
        }
    }

    fn told(&self) -> String {
        let costs: Vec<String> =
            self.micros.values().map(|(currency, micros)| money(*currency, *micros)).collect();
        let costs =
            if costs.is_empty() { "nothing that is known".into() } else { costs.join(" + ") };
        format!(
            "{} jobs would be made again, about {costs} more: {} of them may have been paid before, {} were not",
            self.jobs,
            self.paid_again,
            self.jobs - self.paid_again
        )
    }
}

pub(super) async fn run(
    global: &Global,
    session: &Session,
    ids: Vec<JobId>,
    which: &Which,
    decision: &Decision,
) -> Outcome {
    if let Some(filter) = chosen(&ids, which)? {
        return of_filter(global, session, filter, decision).await;
    }
    let mut sum = Sum::default();
    for id in &ids {
        sum.add(session, &find(session, id).await?);
    }
    make(global, session, (&sum, &ids), decision).await
}

/// Makes the jobs of a filter again, those of them that can be.
pub(crate) async fn of_filter(
    global: &Global,
    session: &Session,
    filter: Filter,
    decision: &Decision,
) -> Outcome {
    let (mut sum, mut all) = (Sum::default(), Vec::new());
    let mut walk = Walk::new(&session.store, OperationVerb::Retry.changeable(filter), 0);
    while let Some(page) = walk.next().await? {
        for stored in page {
            sum.add(session, &stored);
            all.push(stored.record.id);
        }
    }
    make(global, session, (&sum, &all), decision).await
}

async fn make(
    global: &Global,
    session: &Session,
    (sum, all): (&Sum, &[JobId]),
    decision: &Decision,
) -> Outcome {
    if !decision.yes {
        return Err(Failure::new(Exit::Guard, sum.told()).hint("do it with --reason WHY --yes"));
    }
    let (by, reason) = (operator(decision.by.as_deref()), decision.reason()?);
    let why = format!("{} jobs: {reason}", sum.jobs);
    session.store.note_pool("retry", by.as_str(), &why).await?;
    let mut tally = Tally::new(&global.output);
    for id in all {
        let record = find(session, id).await?.record;
        tally.add(id, &again(session, &record, by.as_str()).await?)?;
    }
    tally.end()
}

async fn again(session: &Session, old: &Record, by: &str) -> Result<Told, Failure> {
    let left = |answer: String| Told { state: old.life.state.word().as_str(), answer, done: false };
    if Again::of(old).is_none() {
        return Ok(left("it cannot be made again".to_owned()));
    }
    Ok(match session.door()?.retry(old, Source::Cli, Some(by)).await {
        Ok(admitted) => {
            let how = match admitted.how {
                How::Created => "new",
                How::Deduplicated { .. } => "made before",
            };
            let state = admitted.state.unwrap_or(StateWord::Queued).as_str();
            Told { state, answer: format!("{}, {how}", admitted.id), done: true }
        }
        Err(refusal) => left(refusal.to_string()),
    })
}
