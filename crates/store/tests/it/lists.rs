//! Lists: every job once, newest first, through every index.

use crate::ground::{Ground, SUBMIT, cancel, record_of};
use job::{JobId, Priority, StateWord};
use std::collections::BTreeSet;
use store::{ListQuery, Writer};

async fn pages(ground: &Ground, query: ListQuery) -> Vec<Vec<JobId>> {
    let (mut pages, mut query) = (Vec::new(), query);
    loop {
        let page = ground.store.list(&query).await.expect("Redis answers");
        pages.push(page.items.into_iter().map(|stored| stored.record.id).collect());
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return pages,
        }
        assert!(pages.len() < 50, "a list ends");
    }
}

#[tokio::test]
async fn pages_hold_every_job_once_even_of_one_instant() {
    let ground = Ground::new().await;
    let mut ids = BTreeSet::new();
    for n in 0..25 {
        let mut record = record_of("t", Priority::Normal, Some("b"));
        // Most of them in one millisecond, as an import makes them.
        let ms = 1_790_000_000_000 + i64::from(n >= 20);
        record.created_at = job::Timestamp::from_unix_ms(ms);
        ids.insert(ground.admit(record).await.id);
    }
    for query in [
        ListQuery { limit: 4, ..ListQuery::default() },
        ListQuery { limit: 4, tenant: Some("t".into()), ..ListQuery::default() },
        ListQuery { limit: 4, batch: Some("b".into()), ..ListQuery::default() },
        ListQuery { limit: 4, state: Some(StateWord::Queued), ..ListQuery::default() },
    ] {
        let pages = pages(&ground, query.clone()).await;
        assert!(pages.iter().all(|page| page.len() <= 4));
        let seen: Vec<JobId> = pages.concat();
        assert_eq!(seen.len(), 25, "{query:?}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), ids, "{query:?}");
    }
    let first = &pages(&ground, ListQuery::default()).await[0];
    assert!(first.is_sorted_by(|a, b| a > b), "newest first");
}

#[tokio::test]
async fn filters_combine_and_follow_the_state() {
    let ground = Ground::new().await;
    let a = ground.admit(record_of("a", Priority::Normal, Some("x"))).await.id;
    let b = ground.admit(record_of("b", Priority::Normal, Some("x"))).await.id;
    ground.admit(record_of("b", Priority::Normal, None)).await;
    ground.report(&a, Writer::Outside, &cancel()).await;
    let of = |state, tenant: Option<&str>, batch: Option<&str>| ListQuery {
        state,
        tenant: tenant.map(str::to_owned),
        batch: batch.map(str::to_owned),
        ..ListQuery::default()
    };
    let one = pages(&ground, of(None, Some("b"), Some("x"))).await.concat();
    assert_eq!(one, [b]);
    let cancelled = pages(&ground, of(Some(StateWord::Cancelled), None, Some("x"))).await.concat();
    assert_eq!(cancelled, [a]);
    assert_eq!(pages(&ground, of(Some(StateWord::Parked), None, None)).await.concat(), []);
    assert_eq!(ground.claim(SUBMIT, 2).await.len(), 2);
    ground.sound().await;
    let bad = ListQuery { cursor: Some("nonsense".into()), ..ListQuery::default() };
    assert!(ground.store.list(&bad).await.is_err());
}

#[tokio::test]
async fn a_list_by_code_holds_what_failed_with_it() {
    let ground = Ground::new().await;
    let (record, _) = ground.generating(record_of("t", Priority::Normal, None), "cgt-1").await;
    let cause = job::Cause {
        code: "OutputVideo:Sensitive".into(),
        class: seedance::Class::Output,
        message: "no".into(),
        task_existed: true,
    };
    let failed = job::Event::TaskSeen {
        task: crate::ground::task("cgt-1"),
        report: job::TaskReport::Failed { cause: cause.clone(), payload: "{}".into() },
    };
    ground.report(&record.id, Writer::Outside, &failed).await;
    let by_code = ListQuery { code: Some(cause.code), ..ListQuery::default() };
    assert_eq!(pages(&ground, by_code).await.concat(), [record.id]);
    let other = ListQuery { code: Some("OutputVideo".into()), ..ListQuery::default() };
    assert_eq!(pages(&ground, other).await.concat(), []);
    ground.sound().await;
}
