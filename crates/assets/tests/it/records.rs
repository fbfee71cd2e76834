//! Records that have left Redis, on every backend.

use crate::beds::{Bed, JOB, TENANT};
use assets::{Assets, RecordKind, RecordMark, RecordName, RecordPlace, Swept};
use bytes::Bytes;

/// 2026-11-22T23:59:59.999Z.
const ENDED_MS: i64 = 1_795_391_999_999;
const DAY: &str = "2026-11-22";
const POOL: &str = "main";

fn place(revision: u64, kind: RecordKind) -> RecordPlace<'static> {
    RecordPlace { pool: POOL, tenant: TENANT, job: JOB, ended_ms: ENDED_MS, revision, kind }
}

fn marks() -> [RecordMark; 2] {
    [RecordMark::User("ab".repeat(32)), RecordMark::Batch("harbour/1 ü".into())]
}

fn name(revision: u64) -> RecordName {
    RecordName { day: DAY.into(), job: JOB.into(), revision }
}

async fn of_day(assets: &Assets, kind: RecordKind) -> Vec<RecordName> {
    let mut found = assets.records_of_day(POOL, TENANT, kind, DAY, 9).await.unwrap();
    found.sort();
    found
}

async fn marked(assets: &Assets) -> Vec<Vec<RecordName>> {
    let mut found = Vec::new();
    for mark in marks() {
        let mut named = assets.records_marked(POOL, TENANT, &mark, 9).await.unwrap();
        named.sort();
        found.push(named);
    }
    found
}

async fn each_text_lies_by_itself(bed: Bed) {
    let assets = &bed.assets;
    for revision in [7, 12] {
        let text = Bytes::from(format!("{{\"revision\":{revision}}}"));
        assets.put_record(&place(revision, RecordKind::Kept), text, &marks()).await.unwrap();
    }
    let bare = place(13, RecordKind::Bare);
    assets.put_record(&bare, Bytes::from_static(b"{}"), &marks()[1..]).await.unwrap();

    let old = assets.read_record(&place(7, RecordKind::Kept)).await.unwrap();
    assert_eq!(old.as_deref(), Some(&b"{\"revision\":7}"[..]));
    assert_eq!(assets.read_record(&place(8, RecordKind::Kept)).await.unwrap(), None);
    assert_eq!(of_day(assets, RecordKind::Kept).await, [name(7), name(12)]);
    assert_eq!(of_day(assets, RecordKind::Bare).await, [name(13)]);
    assert_eq!(marked(assets).await, [vec![name(7), name(12)], vec![name(7), name(12), name(13)]]);
    let mut revisions = assets.record_revisions(&place(0, RecordKind::Kept)).await.unwrap();
    revisions.sort_unstable();
    assert_eq!(revisions, [7, 12]);
    assert_eq!(assets.record_days(POOL, TENANT, RecordKind::Kept).await.unwrap(), [DAY]);
    assert_eq!(assets.record_tenants(POOL).await.unwrap(), [TENANT]);

    // One goes with its marks, and a second time nothing does.
    for swept_bytes in [14, 0] {
        let mut swept = Swept::default();
        let at = place(7, RecordKind::Kept);
        assets.drop_record(&at, &marks(), &mut swept).await.unwrap();
        assert_eq!(swept.bytes, swept_bytes);
        assert_eq!(of_day(assets, RecordKind::Kept).await, [name(12)]);
        assert_eq!(marked(assets).await, [vec![name(12)], vec![name(12), name(13)]]);
    }
}

#[tokio::test]
async fn each_text_of_a_record_lies_by_itself_in_every_bucket() {
    each_text_lies_by_itself(Bed::memory().await).await;
    each_text_lies_by_itself(Bed::file().await).await;
    each_text_lies_by_itself(Bed::remote().await).await;
}

#[test]
fn days_have_their_first_instant() {
    let begin = assets::day_begin(DAY).expect("a day");
    assert_eq!((assets::day_of(begin).unwrap().as_str(), begin % 86_400_000), (DAY, 0));
    assert_eq!(assets::day_of(ENDED_MS).unwrap(), DAY);
    assert_eq!(assets::day_of(ENDED_MS + 1).unwrap(), "2026-11-23");
    assert_eq!(assets::day_begin("2026-13-01"), None);
}
