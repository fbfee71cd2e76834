//! One verb for all jobs of a filter: counted and priced first, agreed to, and then an operation that is followed.

use crate::cli::{Decision, Global, Many};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Progress, note};
use crate::session::{Session, operator};
use crate::verbs::import::money;
use crate::verbs::operations;
use job::Again;
use job::filter::{FILTER_BYTES_MAX, Field, Filter};
use seedance::Currency;
use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal};
use store::{ListQuery, Opened, OperationVerb, OperationWish, Order, Scope, Stored};

/// Left of a filter for the instant that bounds an operation.
const ROOM_BYTES: usize = 64;
/// Said where a filter lets no job through.
pub(crate) const NONE_TOUCHED: &str = "no job is to be touched: nothing was begun";

/// Jobs that a verb would touch, and what the new ones come to.
#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) jobs: u64,
    /// The task before may have been paid.
    paid_again: u64,
    micros: BTreeMap<String, (Currency, u64)>,
}

impl Sum {
    /// One more job; what is made again is bought.
    pub(crate) fn add(&mut self, session: &Session, verb: OperationVerb, stored: &Stored) {
        match verb {
            OperationVerb::Retry => {
                let Some(again) = Again::of(&stored.record) else { return };
                self.paid_again += u64::from(again.paid_again);
                if let Some(cost) = reconcile::doubt::cost(session.pool.route, stored) {
                    let (_, sum) =
                        self.micros.entry(cost.currency.to_string()).or_insert((cost.currency, 0));
                    *sum += cost.micros;
                }
            }
            OperationVerb::Cancel
            | OperationVerb::Pause
            | OperationVerb::Resume
            | OperationVerb::Dismiss => {}
        }
        self.jobs += 1;
    }

    /// In a sentence.
    pub(crate) fn told(&self, verb: OperationVerb) -> String {
        let costs = self.micros.values().map(|(currency, micros)| money(*currency, *micros));
        let cost = costs.collect::<Vec<String>>().join(" + ");
        let paid = [self.paid_again, self.jobs - self.paid_again];
        would(verb, &self.jobs.to_string(), &cost, paid)
    }
}

/// What a verb would do to so many jobs, in a sentence. Of those that are made again: what they cost, and how many of the
/// old ones may have been paid and were not.
pub(crate) fn would(
    verb: OperationVerb,
    jobs: &str,
    cost: &str,
    [paid, unpaid]: [u64; 2],
) -> String {
    match verb {
        OperationVerb::Cancel => {
            format!("{jobs} unfinished jobs would be cancelled; it costs nothing")
        }
        OperationVerb::Pause => format!("{jobs} jobs would be paused; it costs nothing"),
        OperationVerb::Resume => format!("{jobs} jobs would be resumed"),
        OperationVerb::Dismiss => format!("{jobs} failures would be dismissed; it costs nothing"),
        OperationVerb::Retry => {
            let cost = if cost.is_empty() { "nothing that is known" } else { cost };
            format!(
                "{jobs} jobs would be made again, about {cost} more: {paid} of them may have been paid before, {unpaid} were not"
            )
        }
    }
}

/// Counts, asks, begins the operation and follows it to its end.
pub(crate) async fn run(
    global: &Global,
    session: &Session,
    (verb, filter): (OperationVerb, Filter),
    many: &Many,
    decision: &Decision,
) -> Outcome {
    // What is added to it must be readable with it.
    if verb.changeable(filter.clone()).to_string().len() + ROOM_BYTES > FILTER_BYTES_MAX {
        return Err(Failure::usage("the filter is too long for an operation")
            .hint("name fewer values, or do it in several steps"));
    }
    let sum = count(global, session, (verb, filter.clone()), many.limit).await?;
    let beyond = beyond(session, verb, &filter).await?;
    if let Some(told) = &beyond
        && !global.quiet
    {
        note(told);
    }
    if sum.jobs == 0 {
        note(NONE_TOUCHED);
        return Ok(Exit::Done);
    }
    agree(&sum.told(verb), decision)?;
    let wish = OperationWish {
        id: format!("op_{}", ulid::Ulid::generate()),
        verb,
        filter,
        tenant: None,
        by: operator(decision.by.as_deref()).as_str().to_owned(),
        reason: decision.reason()?.to_owned(),
        limit: many.limit,
    };
    let operation = match session.store.open_operation(wish).await? {
        Opened::New(operation) | Opened::Known(operation) => operation,
        Opened::Other(_) | Opened::Full => {
            return Err(Failure::new(Exit::Outage, "too many operations wait already")
                .hint("repeat it when some of them have ended: `seedfleet operations list`"));
        }
    };
    operations::follow(global, session, &operation.asked.id, sum.jobs, many.timeout).await
}

async fn count(
    global: &Global,
    session: &Session,
    (verb, filter): (OperationVerb, Filter),
    limit: Option<u64>,
) -> Result<Sum, Failure> {
    let most = limit.unwrap_or(u64::MAX);
    let filter = verb.changeable(filter);
    let mut query = ListQuery { order: Order::Oldest, ..ListQuery::of(filter) };
    let (mut sum, progress) = (Sum::default(), Progress::begin(None, global.quiet));
    while sum.jobs < most {
        query.limit = usize::try_from(most - sum.jobs).unwrap_or(store::LIST_MAX);
        let page = session.store.list(&query).await?;
        for stored in &page.items {
            sum.add(session, verb, stored);
        }
        progress.at(sum.jobs, &format!("{} jobs counted", sum.jobs));
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => break,
        }
    }
    progress.end();
    Ok(sum)
}

/// `--yes`, or a yes on the terminal; with a reason in both cases.
pub(crate) fn agree(what: &str, decision: &Decision) -> Result<(), Failure> {
    if decision.yes {
        return decision.reason().map(drop);
    }
    if io::stdin().is_terminal() {
        decision.reason()?;
    }
    ask(what, "do it with --reason WHY --yes")
}

/// A yes on the terminal; `hint` says how to do without.
pub(crate) fn ask(what: &str, hint: &str) -> Result<(), Failure> {
    let refused = || Failure::new(Exit::Guard, what).hint(hint);
    if !io::stdin().is_terminal() {
        return Err(refused());
    }
    note(&format!("{what}. Go on? [y/N]"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused()),
    }
}

/// Failures that the filter may mean and no verb on many jobs reaches, since their records have left Redis.
async fn beyond(
    session: &Session,
    verb: OperationVerb,
    filter: &Filter,
) -> Result<Option<String>, Failure> {
    match verb {
        OperationVerb::Retry | OperationVerb::Dismiss => {}
        OperationVerb::Cancel | OperationVerb::Pause | OperationVerb::Resume => return Ok(None),
    }
    let only = |field| filter.one_of(field).filter(|values| values.len() == 1)?.first();
    let scope = match (only(Field::Tenant), only(Field::Batch)) {
        (Some(tenant), Some(batch)) => Scope::Batch(tenant, batch),
        (Some(tenant), None) => Scope::Tenant(tenant),
        (None, _) => Scope::Pool,
    };
    let codes = filter.one_of(Field::Code);
    let groups = session.store.failures(scope).await?;
    let meant = groups.iter().filter(|group| codes.is_none_or(|codes| codes.contains(&group.code)));
    let archived: u64 = meant.map(|group| group.archived).sum();
    Ok((archived > 0).then(|| archived_words(archived, codes.and_then(|codes| codes.first()))))
}

/// How many have left Redis, and the way to them.
pub(crate) fn archived_words(archived: u64, code: Option<&String>) -> String {
    let code = code.map(|code| format!(" --code {code:?}")).unwrap_or_default();
    format!(
        "{archived} failures have left Redis for the bucket and are not touched: \
         `seedfleet export --state failed{code} -o id` names them, `seedfleet jobs retry ID…` makes them again"
    )
}
