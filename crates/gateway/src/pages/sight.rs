//! What a person may see: their tenant's jobs, or everybody's, in every pool that may hold some.

use super::answer::Trouble;
use crate::app::{App, PoolDoor};
use access::Mode;
use dashboard::Viewer;
use job::filter::Filter;
use job::{JobId, StateWord};
use store::{ListQuery, Stored};

/// Between a pool's name and the place in its list.
const POOL_MARK: char = '~';

/// The pools that may hold jobs of this person, in order of name.
pub(super) fn pools<'a>(app: &'a App, viewer: &Viewer) -> Result<Vec<&'a PoolDoor>, Trouble> {
    match &viewer.tenant {
        Some(tenant) => Ok(vec![app.pool_for(tenant, viewer.simulated.map(Mode::of_pool))?]),
        None => {
            let seen = |is: bool| viewer.simulated.is_none_or(|simulated| simulated == is);
            Ok(app.pools.values().filter(|door| seen(door.pool.settings.simulated)).collect())
        }
    }
}

/// A job this person may see; any other is as good as none.
pub(super) async fn find<'a>(
    app: &'a App,
    viewer: &Viewer,
    id: &str,
) -> Result<(&'a PoolDoor, Stored), Trouble> {
    let id = JobId::parse(id).map_err(|_| Trouble::missing())?;
    for door in pools(app, viewer)? {
        if let Some(stored) = door.pool.store.load(&id).await?
            && viewer.tenant.as_ref().is_none_or(|tenant| stored.record.spec.tenant == *tenant)
        {
            return Ok((door, stored));
        }
    }
    Err(Trouble::missing())
}

/// One page of jobs.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) items: Vec<Stored>,
    pub(super) next: Option<String>,
}

/// What is wrong with a filter or a cursor, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault(pub(super) String);

/// A filter, narrowed to what the person may see.
#[derive(Debug, Clone)]
pub(super) struct Search(Filter);

impl Search {
    pub(super) fn read(text: &str, viewer: &Viewer) -> Result<Self, Fault> {
        let filter = Filter::parse(text).map_err(|error| Fault(error.to_string()))?;
        Ok(Self::of(filter, viewer))
    }

    pub(super) fn of(filter: Filter, viewer: &Viewer) -> Self {
        match &viewer.tenant {
            Some(tenant) => Self(filter.and(Filter::all().tenant(tenant))),
            None => Self(filter),
        }
    }

    pub(super) fn of_state(word: StateWord, viewer: &Viewer) -> Self {
        Self::of(Filter::all().state(word), viewer)
    }

    pub(super) fn of_batch(tenant: &str, batch: &str, viewer: &Viewer) -> Self {
        Self::of(Filter::all().tenant(tenant).batch(batch), viewer)
    }

    pub(super) fn with_state(self, word: StateWord) -> Self {
        Self(self.0.and(Filter::all().state(word)))
    }

    /// One page, pool after pool in order of name, newest first in each.
    pub(super) async fn page(
        &self,
        doors: &[&PoolDoor],
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Result<Page, Fault>, Trouble> {
        let behind = cursor.and_then(|text| text.split_once(POOL_MARK));
        if cursor.is_some() && behind.is_none() {
            return Ok(Err(Fault("the page’s address is not one of ours".to_owned())));
        }
        let mut page = Page::default();
        let mut doors = doors.iter().peekable();
        while let Some(door) = doors.next() {
            let name = door.pool.name.as_str();
            if behind.is_some_and(|(pool, _)| name < pool) {
                continue;
            }
            let place = behind.filter(|(pool, _)| *pool == name).map(|(_, place)| place);
            let place = place.filter(|place| !place.is_empty());
            let mut query = match ListQuery::of(self.0.clone()).behind(place) {
                Ok(query) => query,
                Err(error) => return Ok(Err(Fault(error.to_string()))),
            };
            query.limit = limit - page.items.len();
            let found = door.pool.store.list(&query).await?;
            page.items.extend(found.items);
            if let Some(next) = found.next {
                page.next = Some(format!("{name}{POOL_MARK}{next}"));
                return Ok(Ok(page));
            }
            if page.items.len() >= limit {
                page.next = doors.peek().map(|door| format!("{}{POOL_MARK}", door.pool.name));
                return Ok(Ok(page));
            }
        }
        Ok(Ok(page))
    }

    /// The newest jobs, where only they matter.
    pub(super) async fn newest(&self, doors: &[&PoolDoor], limit: usize) -> Result<Page, Trouble> {
        Ok(self.page(doors, None, limit).await?.unwrap_or_default())
    }
}

/// Jobs by state, of the person's tenant or of all.
pub(super) async fn counts(
    doors: &[&PoolDoor],
    viewer: &Viewer,
) -> Result<Vec<(StateWord, u64)>, Trouble> {
    let mut sums = std::collections::BTreeMap::new();
    for door in doors {
        let counts = match &viewer.tenant {
            None => door.pool.store.counts().await?,
            Some(tenant) => door.pool.store.tenant_counts(tenant).await?,
        };
        for (word, n) in counts {
            *sums.entry(word).or_insert(0) += n;
        }
    }
    Ok(StateWord::ALL.into_iter().filter_map(|word| Some((word, *sums.get(&word)?))).collect())
}

/// The server's clock.
pub(super) async fn now(doors: &[&PoolDoor]) -> Result<job::Timestamp, Trouble> {
    match doors.first() {
        Some(door) => Ok(door.pool.store.now().await?),
        None => Err(Trouble::missing()),
    }
}
