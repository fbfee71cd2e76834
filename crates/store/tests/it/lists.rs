//! Lists: every job that fits, once, in order, through every index.

use crate::ground::{Ground, SUBMIT, cancel, failed, held_for_review, record_of};
use job::filter::Filter;
use job::{JobId, Priority, Record, Source, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use store::{CursorError, LOOKS_MAX, ListQuery, Order, Writer};

const DAY: i64 = 1_790_000_000_000;

fn where_(text: &str) -> Filter {
    Filter::parse(text).expect("a filter")
}

async fn pages(ground: &Ground, query: ListQuery) -> Vec<Vec<JobId>> {
    let (mut pages, mut query) = (Vec::new(), query);
    loop {
        let page = ground.store.list(&query).await.expect("Redis answers");
        pages.push(page.items.into_iter().map(|stored| stored.record.id).collect());
        match page.next {
            // As a caller keeps it.
            Some(next) => {
                query = query.behind(Some(&next.to_string())).expect("a cursor of this list");
            }
            None => return pages,
        }
        assert!(pages.len() < 500, "a list ends");
    }
}

async fn listed(ground: &Ground, text: &str) -> Vec<JobId> {
    pages(ground, ListQuery { limit: 3, ..ListQuery::of(where_(text)) }).await.concat()
}

#[tokio::test]
async fn pages_hold_every_job_once_even_of_one_instant() {
    let ground = Ground::new().await;
    let mut ids = BTreeSet::new();
    for n in 0..25 {
        let mut record = record_of("t", Priority::Normal, Some("b"));
        record.spec.custom_id = Some("a row: 7".into());
        // Most of them in one millisecond, as an import makes them.
        record.created_at = Timestamp::from_unix_ms(DAY + i64::from(n >= 20));
        ids.insert(ground.admit(record).await.id);
    }
    for text in [
        "",
        "tenant=t",
        "batch=b",
        "state=queued",
        "tenant=t state!=failed",
        "custom_id=\"a row: 7\"",
    ] {
        for order in [Order::Newest, Order::Oldest] {
            let query = ListQuery { limit: 4, order, ..ListQuery::of(where_(text)) };
            let pages = pages(&ground, query).await;
            assert!(pages.iter().all(|page| page.len() <= 4));
            let seen: Vec<JobId> = pages.concat();
            let sorted = match order {
                Order::Newest => seen.is_sorted_by(|a, b| a > b),
                Order::Oldest => seen.is_sorted(),
            };
            assert!(sorted, "{text} {order:?}: {seen:?}");
            assert_eq!(seen.len(), 25, "{text}");
            assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), ids, "{text}");
        }
    }
}

#[tokio::test]
async fn filters_combine_and_follow_the_state() {
    let ground = Ground::new().await;
    let a = ground.admit(record_of("a", Priority::Normal, Some("x"))).await.id;
    let b = ground.admit(record_of("b", Priority::Normal, Some("x"))).await.id;
    ground.admit(record_of("b", Priority::Normal, None)).await;
    ground.report(&a, Writer::Outside, &cancel()).await;
    assert_eq!(listed(&ground, "tenant=b batch=x").await, [b]);
    assert_eq!(listed(&ground, "state=cancelled batch=x").await, std::slice::from_ref(&a));
    assert_eq!(listed(&ground, "state=cancelled tenant=a").await, [a]);
    assert_eq!(listed(&ground, "state=cancelled tenant=b").await, []);
    assert_eq!(listed(&ground, "state=parked").await, []);
    assert_eq!(listed(&ground, "state=parked state=queued").await, []);
    assert_eq!(ground.claim(SUBMIT, 2).await.len(), 2);
    ground.sound().await;
}

#[tokio::test]
async fn a_cursor_serves_its_own_list_while_jobs_come_and_go() {
    let ground = Ground::new().await;
    let mut ids = Vec::new();
    for n in 0..12 {
        let mut record = record_of("t", Priority::Normal, None);
        record.created_at = Timestamp::from_unix_ms(DAY + n / 4);
        ids.push(ground.admit(record).await.id);
    }
    ids.sort();
    ids.reverse();
    let query = ListQuery { limit: 4, ..ListQuery::of(where_("state=queued")) };
    let first = ground.store.list(&query).await.expect("Redis answers");
    let next = first.next.expect("a second page").to_string();
    // The job at the cursor leaves the list, and so does one before it; a new one comes in front.
    for gone in [&ids[3], &ids[0]] {
        ground.report(gone, Writer::Outside, &cancel()).await;
    }
    let mut late = record_of("t", Priority::Normal, None);
    late.created_at = Timestamp::from_unix_ms(DAY + 9);
    ground.admit(late).await;
    let second = query.clone().behind(Some(&next)).expect("its cursor");
    assert_eq!(pages(&ground, second).await.concat(), ids[4..]);

    let other = ListQuery::of(where_("state=failed")).behind(Some(&next));
    assert_eq!(other, Err(CursorError::OtherList));
    let turned = ListQuery { order: Order::Oldest, ..query.clone() }.behind(Some(&next));
    assert_eq!(turned, Err(CursorError::OtherList));
    assert_eq!(query.behind(Some("nonsense")), Err(CursorError::Unreadable));
}

#[tokio::test]
async fn a_list_by_code_holds_what_failed_with_it() {
    let ground = Ground::new().await;
    let (record, _) = ground.generating(record_of("t", Priority::Normal, None), "cgt-1").await;
    ground.report(&record.id, Writer::Outside, &failed("cgt-1", "OutputVideo:Sensitive")).await;
    assert_eq!(
        listed(&ground, "code=OutputVideo:Sensitive").await,
        std::slice::from_ref(&record.id)
    );
    assert_eq!(listed(&ground, "class=output tenant=t").await, [record.id]);
    assert_eq!(listed(&ground, "code=OutputVideo").await, []);
    ground.sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_looks_at_five_thousand_records_and_says_where_it_stopped() {
    let ground = Ground::new().await;
    let jobs = i64::try_from(LOOKS_MAX).expect("fits") + 20;
    // From the newest to the oldest, each at an instant of its own; these two have what is asked for.
    let (last_looked_at, first_behind) = (jobs - 5_000, jobs - 5_001);
    let mut records = Vec::new();
    for n in 0..jobs {
        let mut record = record_of("t", Priority::Normal, Some("b"));
        record.created_at = Timestamp::from_unix_ms(DAY + n);
        let wanted = n == last_looked_at || n == first_behind;
        record.spec.end_user = wanted.then(|| "eve".to_owned());
        // Every other one is in another index of states, which are read side by side.
        records.push(if n % 2 == 0 { record } else { held_for_review(record) });
    }
    let id = |n: i64| records[usize::try_from(n).expect("small")].id.clone();
    for some in records.chunks(store::ADMIT_MAX) {
        let back = ground.store.restore(some).await.expect("Redis answers");
        assert!(back.into_iter().all(|back| back), "each is new");
    }
    for more in ["", "tenant=t", "batch=b", "state!=failed", "tenant=t state!=failed"] {
        let text = format!("end_user=eve {more}");
        let query = ListQuery::of(where_(&text));
        let found = pages(&ground, query).await;
        let wanted = [vec![id(last_looked_at)], vec![id(first_behind)]];
        assert_eq!(found, wanted, "{text}: the cursor is behind the last record looked at");
    }
}

/// Records of every kind that a filter tells apart.
async fn crowd(ground: &Ground) -> BTreeMap<JobId, Record> {
    let mut ids = Vec::new();
    // Those that are claimed come first, while nothing else is in the queue.
    let (failing, others): (Vec<i64>, Vec<i64>) = (0..60).partition(|n| n % 6 == 1);
    for n in failing.into_iter().chain(others) {
        let tenant = ["a", "b"][usize::try_from(n % 2).expect("small")];
        let batch = [None, Some("x"), Some("y")][usize::try_from(n % 3).expect("small")];
        let priority = if n % 5 == 0 { Priority::High } else { Priority::Normal };
        let mut record = record_of(tenant, priority, batch);
        record.spec.custom_id = (n % 4 != 0).then(|| format!("row:{}", n % 4));
        record.spec.end_user = (n % 7 == 0).then(|| "eve".to_owned());
        record.spec.source = if n % 2 == 0 { Source::Api } else { Source::Import };
        record.created_at = Timestamp::from_unix_ms(DAY + n / 6 * 1_000);
        let id = if n % 6 == 1 {
            let name = format!("cgt-{n}");
            let (record, _) = ground.generating(record, &name).await;
            let code = if n % 4 == 1 { "Code:1" } else { "OutputSensitive" };
            ground.report(&record.id, Writer::Outside, &failed(&name, code)).await;
            record.id
        } else {
            ground.admit(record).await.id
        };
        if n % 6 == 2 {
            ground.report(&id, Writer::Outside, &cancel()).await;
        }
        ids.push(id);
    }
    let mut all = BTreeMap::new();
    for id in ids {
        all.insert(id.clone(), ground.load(&id).await.record);
    }
    all
}

fn conditions() -> impl Strategy<Value = String> {
    let condition = prop::sample::select(vec![
        "state=queued",
        "state=failed,cancelled",
        "state!=queued",
        "state=running",
        "code=Code:1",
        "code!=Code:1",
        "code=Code:1,OutputSensitive",
        "class=output",
        "class!=output",
        "tenant=a",
        "tenant=a,b",
        "tenant!=a",
        "batch=x",
        "batch=x,y",
        "batch!=x",
        "custom_id=row:1",
        "custom_id=row:1,row:2,none",
        "custom_id!=row:1",
        "priority=high",
        "source=import",
        "end_user=eve",
        "model=seedance-2.0",
        "resolution=720p",
        "created>2026-09-21T17:33:23Z",
        "created<2026-09-21T17:33:26Z",
        "age>1s",
        "age<1s",
    ]);
    prop::collection::vec(condition, 0..4).prop_map(|conditions| conditions.join(" "))
}

#[test]
fn a_list_is_what_the_filter_leaves_of_all() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (ground, all) = runtime.block_on(async {
        let ground = Ground::new().await;
        let all = crowd(&ground).await;
        ground.sound().await;
        (ground, all)
    });
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let cases = (conditions(), 1_usize..20, any::<bool>());
    let run = TestRunner::new(config).run(&cases, |(text, limit, oldest)| {
        let filter = where_(&text);
        let order = if oldest { Order::Oldest } else { Order::Newest };
        let now = runtime.block_on(ground.store.now()).expect("Redis answers");
        let mut wanted: Vec<&Record> = all.values().filter(|r| filter.fits(r, now)).collect();
        // A list by the callers' own ids goes by ours alone.
        let by_custom = text.contains("custom_id=");
        wanted.sort_by_key(|r| {
            (if by_custom { Timestamp::default() } else { r.created_at }, r.id.clone())
        });
        if !oldest {
            wanted.reverse();
        }
        let query = ListQuery { limit, order, ..ListQuery::of(filter) };
        let got = runtime.block_on(pages(&ground, query)).concat();
        prop_assert_eq!(got, wanted.into_iter().map(|r| r.id.clone()).collect::<Vec<_>>());
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}
