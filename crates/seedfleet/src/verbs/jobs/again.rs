//! `jobs retry`: what ended badly, once more, each as a new job that is bought.

use super::{chosen, find};
use crate::cli::{Decision, Global, JobsArgs};
use crate::exit::{Failure, Outcome};
use crate::session::{Session, operator};
use crate::verbs::bulk::{self, Sum};
use crate::verbs::tally::{Tally, Told};
use admission::How;
use job::{Again, JobId, Record, Source, StateWord};
use store::OperationVerb;

pub(super) async fn run(global: &Global, session: &Session, args: JobsArgs) -> Outcome {
    let JobsArgs { ids, which, many, decision } = args;
    if let Some(filter) = chosen(&ids, &which)? {
        let wish = (OperationVerb::Retry, filter);
        return bulk::run(global, session, wish, &many, &decision).await;
    }
    let mut sum = Sum::default();
    for id in &ids {
        sum.add(session, OperationVerb::Retry, &find(session, id).await?);
    }
    make(global, session, (&sum, &ids), &decision).await
}

async fn make(
    global: &Global,
    session: &Session,
    (sum, all): (&Sum, &[JobId]),
    decision: &Decision,
) -> Outcome {
    bulk::agree(&sum.told(OperationVerb::Retry), decision)?;
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
