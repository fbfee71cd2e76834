//! Which index holds every answer to a filter, and how it is read.

use super::Order;
use super::cursor::Place;
use crate::connection::Call;
use crate::keys::Keys;
use crate::{Store, StoreError, commit, script};
use job::filter::{Field, Filter};
use job::{JobId, StateWord, Timestamp};
use redis::{Pipeline, Value};
use std::collections::BTreeSet;

/// Indexes read side by side; a filter that names more values is answered by a wider index.
const SIDE_BY_SIDE_MAX: usize = 64;
/// Entries of one script call, over all its indexes.
const ENTRIES_MAX: usize = 8_000;

/// Where the answers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// The filter contradicts itself.
    Nothing,
    /// In these indexes, which share no job, between these instants.
    Indexes { keys: Vec<String>, first: Option<Timestamp>, last: Option<Timestamp> },
    /// Among the jobs with one of these ids of their callers.
    CustomIds(Vec<String>),
}

impl Store {
    /// The shortest index, or set of indexes side by side, that holds every answer.
    pub(super) async fn plan(&self, filter: &Filter) -> Result<Plan, StoreError> {
        // Always, however many there are: a cursor means a place among these, and not in another index.
        if let Some(customs) = filter.one_of(Field::CustomId) {
            return Ok(Plan::CustomIds(customs.iter().cloned().collect()));
        }
        if filter.possible_states().is_empty() {
            return Ok(Plan::Nothing);
        }
        let batches = self.batches_of(filter).await?;
        if batches.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Plan::Nothing);
        }
        let mut choices = choices(self.keys(), filter, batches);
        let now = self.now().await?;
        let (first, last) = filter.created_within(now);
        if choices.len() > 1 {
            let sizes = self.sizes(&choices, first, last).await?;
            let shortest = sizes.iter().enumerate().min_by_key(|(_, size)| **size);
            choices.swap(0, shortest.map_or(0, |(n, _)| n));
        }
        let keys = choices.into_iter().next().unwrap_or_default();
        Ok(Plan::Indexes { keys, first, last })
    }

    /// The batches a filter names, each with its tenant: that of the filter, or whoever has one of this name.
    /// None where it names none, or where too many have one for their indexes to be read side by side.
    async fn batches_of(&self, filter: &Filter) -> Result<Option<Vec<Batch>>, StoreError> {
        let Some(names) = filter.one_of(Field::Batch) else { return Ok(None) };
        if names.len() > SIDE_BY_SIDE_MAX {
            return Ok(None);
        }
        if let Some(tenants) = filter.one_of(Field::Tenant) {
            let of = |name: &String| {
                let name = name.clone();
                tenants.iter().map(move |tenant: &String| (tenant.clone(), name.clone()))
            };
            return Ok(Some(names.iter().flat_map(of).collect()));
        }
        let mut pipe = Pipeline::new();
        for name in names {
            let owners = self.keys().batch_owners(name);
            pipe.cmd("ZRANGE").arg(owners).arg(0).arg(SIDE_BY_SIDE_MAX);
        }
        let mut all = Vec::new();
        for (name, answer) in names.iter().zip(self.connection().pipe(&mut pipe).await?) {
            let owners: Vec<String> = redis::from_redis_value(answer)
                .map_err(|error| StoreError::corrupt(self.keys().batch_owners(name), error))?;
            all.extend(owners.into_iter().map(|owner| (owner, name.clone())));
        }
        Ok((all.len() <= SIDE_BY_SIDE_MAX).then_some(all))
    }

    /// Entries of each choice between the instants.
    async fn sizes(
        &self,
        choices: &[Vec<String>],
        first: Option<Timestamp>,
        last: Option<Timestamp>,
    ) -> Result<Vec<i64>, StoreError> {
        let mut pipe = Pipeline::new();
        for key in choices.iter().flatten() {
            pipe.cmd("ZCOUNT").arg(key).arg(bound(first, "-inf")).arg(bound(last, "+inf"));
        }
        let mut counts = self.connection().pipe(&mut pipe).await?.into_iter();
        let mut sum = |choice: &Vec<String>| {
            counts.by_ref().take(choice.len()).filter_map(|n| commit::integer(&n)).sum()
        };
        Ok(choices.iter().map(&mut sum).collect())
    }

    /// Entries of indexes by the instant of acceptance.
    pub(super) async fn indexed(
        &self,
        keys: &[String],
        (first, last): (Option<Timestamp>, Option<Timestamp>),
        order: Order,
        behind: Option<&Place>,
        n: usize,
    ) -> Result<(Vec<Place>, bool), StoreError> {
        let n = n.clamp(1, (ENTRIES_MAX / keys.len().max(1)).max(1));
        let args = vec![
            n.to_string(),
            order.word().to_owned(),
            bound(first, "-inf"),
            bound(last, "+inf"),
            behind.map_or_else(String::new, |place| place.at.unix_ms().to_string()),
            behind.map_or_else(String::new, |place| place.id.to_string()),
        ];
        let reply = self.connection().call(Call::new(&script::PAGE, keys.to_vec(), args)).await?;
        let bug = || StoreError::reply("page", &reply);
        let Value::Array(lists) = &reply else { return Err(bug()) };
        let mut rows = Vec::with_capacity(lists.len());
        for list in lists {
            let flat: Vec<String> = redis::from_redis_value_ref(list).map_err(|_| bug())?;
            let places = flat.chunks_exact(2).map(|pair| {
                let at = pair[1].parse().ok().map(Timestamp::from_unix_ms).ok_or_else(bug)?;
                let id = JobId::parse(&pair[0]).map_err(|e| StoreError::corrupt("an index", e))?;
                Ok(Place { at, id })
            });
            rows.push(places.collect::<Result<Vec<_>, StoreError>>()?);
        }
        Ok(merged(rows, order, n))
    }

    /// Entries of the callers' own ids, in the order of our ids, which is that of acceptance as the
    /// accepting process saw it.
    pub(super) async fn by_custom_id(
        &self,
        customs: &[String],
        order: Order,
        behind: Option<&Place>,
        n: usize,
    ) -> Result<(Vec<Place>, bool), StoreError> {
        let n = n.clamp(1, (ENTRIES_MAX / customs.len().max(1)).max(1));
        let mut pipe = Pipeline::new();
        for custom in customs {
            let all = Keys::custom_range(custom);
            let place = behind.map(|place| format!("({}", Keys::custom_member(custom, &place.id)));
            let command = pipe.cmd("ZRANGE").arg(self.keys().ix_custom());
            let (low, high) = match order {
                Order::Newest => (all.0, place.unwrap_or(all.1)),
                Order::Oldest => (place.unwrap_or(all.0), all.1),
            };
            match order {
                Order::Newest => command.arg(high).arg(low).arg("BYLEX").arg("REV"),
                Order::Oldest => command.arg(low).arg(high).arg("BYLEX"),
            };
            command.arg("LIMIT").arg(0).arg(n);
        }
        let mut rows = Vec::with_capacity(customs.len());
        for answer in self.connection().pipe(&mut pipe).await? {
            let members: Vec<String> = redis::from_redis_value(answer)
                .map_err(|error| StoreError::Bug(error.to_string()))?;
            let places = members.iter().map(|member| {
                let id = Keys::job_of_member(member);
                let id = id.ok_or_else(|| StoreError::corrupt(self.keys().ix_custom(), member))?;
                Ok(Place { at: Timestamp::from_unix_ms(0), id })
            });
            rows.push(places.collect::<Result<Vec<_>, StoreError>>()?);
        }
        Ok(merged(rows, order, n))
    }
}

/// A batch: tenant and name.
type Batch = (String, String);

/// Every set of indexes that holds all answers. `batches` are those that the filter names.
fn choices(keys: &Keys, filter: &Filter, batches: Option<Vec<Batch>>) -> Vec<Vec<String>> {
    let states = filter.possible_states();
    let some = states.len() < StateWord::ALL.len();
    let tenants = filter.one_of(Field::Tenant);
    let listed = |values: &BTreeSet<String>, key: &dyn Fn(&str) -> String| {
        values.iter().map(|value| key(value)).collect::<Vec<_>>()
    };
    let mut choices = Vec::new();
    if let Some(batches) = batches {
        choices.push(batches.iter().map(|(tenant, name)| keys.ix_batch(tenant, name)).collect());
    }
    if let Some(codes) = filter.one_of(Field::Code) {
        choices.push(listed(codes, &|code| keys.ix_code(code)));
    }
    if let Some(tenants) = tenants.filter(|_| some) {
        let each = |tenant| states.iter().map(move |word| keys.ix_tenant_state(tenant, *word));
        choices.push(tenants.iter().flat_map(|tenant| each(tenant.as_str())).collect());
    } else if let Some(tenants) = tenants {
        choices.push(listed(tenants, &|tenant| keys.ix_tenant(tenant)));
    }
    if some {
        choices.push(states.iter().map(|word| keys.ix_state(*word)).collect());
    }
    choices.retain(|choice| choice.len() <= SIDE_BY_SIDE_MAX);
    if choices.is_empty() {
        choices.push(vec![keys.ix_all()]);
    }
    choices
}

fn bound(at: Option<Timestamp>, open: &str) -> String {
    at.map_or_else(|| open.to_owned(), |at| at.unix_ms().to_string())
}

/// The entries of several lists as one, and whether nothing lies behind them. Where a list was cut at
/// `n`, what the others have behind its end must wait: something of its own may come first.
fn merged(rows: Vec<Vec<Place>>, order: Order, n: usize) -> (Vec<Place>, bool) {
    let cuts = rows.iter().filter(|row| row.len() >= n).filter_map(|row| row.last());
    let first = cuts.reduce(|one, other| if one.is_behind(other, order) { other } else { one });
    let (first, ended) = (first.cloned(), first.is_none());
    let mut all: Vec<Place> = rows.into_iter().flatten().collect();
    all.sort_by(|one, other| {
        if other.is_behind(one, order) {
            std::cmp::Ordering::Less
        } else if one.is_behind(other, order) {
            std::cmp::Ordering::Greater
        } else {
            std::cmp::Ordering::Equal
        }
    });
    all.dedup();
    if let Some(first) = first {
        all.retain(|place| !place.is_behind(&first, order));
    }
    (all, ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(ms: i64) -> Place {
        let id = JobId::from_ulid(ulid::Ulid::from_parts(ms.unsigned_abs(), 0));
        Place { at: Timestamp::from_unix_ms(ms), id }
    }

    fn keys_of(text: &str, batches: Option<Vec<Batch>>) -> Vec<Vec<String>> {
        choices(&Keys::new("p", "main"), &Filter::parse(text).expect("a filter"), batches)
    }

    #[test]
    fn lists_merge_up_to_the_end_that_is_known() {
        let row = |ms: &[i64]| ms.iter().map(|ms| place(*ms)).collect::<Vec<_>>();
        let (all, ended) = merged(vec![row(&[9, 7]), row(&[8, 3]), row(&[5])], Order::Newest, 2);
        assert_eq!((all, ended), (row(&[9, 8, 7]), false));
        let (all, ended) = merged(vec![row(&[1, 4]), row(&[2])], Order::Oldest, 3);
        assert_eq!((all, ended), (row(&[1, 2, 4]), true));
        assert_eq!(merged(vec![], Order::Newest, 1), (vec![], true));
    }

    #[test]
    fn every_condition_with_an_index_offers_it() {
        let keys = Keys::new("p", "main");
        let failed = StateWord::Failed;
        assert_eq!(keys_of("", None), [[keys.ix_all()]]);
        assert_eq!(keys_of("model=x age>1h", None), [[keys.ix_all()]]);
        let both = keys_of("state=failed tenant=t", None);
        assert_eq!(both, [[keys.ix_tenant_state("t", failed)], [keys.ix_state(failed)]]);
        let both = keys_of("tenant=t batch=b", Some(vec![("t".into(), "b".into())]));
        assert_eq!(both, [[keys.ix_batch("t", "b")], [keys.ix_tenant("t")]]);
        assert_eq!(keys_of("code=x", None)[0], [keys.ix_code("x")]);
        // Eighty indexes side by side are too many; those of the states alone are not.
        let states = keys_of("state!=queued tenant=a,b,c,d,e", None);
        assert_eq!((states.len(), states[0].len()), (1, StateWord::ALL.len() - 1));
    }
}
