//! What is learned by watching tasks.

use crate::ground::{Ground, record};
use job::rounds;
use std::time::Duration;

#[tokio::test]
async fn times_are_counted_by_class_and_the_old_ones_fade() {
    let ground = Ground::new().await;
    let class = rounds::class(&record());
    let times = ground.store.times(&class).await.expect("answers");
    assert_eq!((times.samples(), times.quantile(0.5)), (0, None));
    for _ in 0..999 {
        ground.store.learn(&class, Duration::from_secs(100)).await.expect("answers");
    }
    assert_eq!(ground.store.times(&class).await.expect("answers").samples(), 999);
    ground.store.learn(&class, Duration::from_secs(1)).await.expect("answers");
    let halved = ground.store.times(&class).await.expect("answers");
    assert_eq!(halved.samples(), 499, "999 by half, and one sample that half a one is not");
    for _ in 0..500 {
        ground.store.learn(&class, Duration::from_secs(300)).await.expect("answers");
    }
    let median = ground.store.times(&class).await.expect("answers").quantile(0.75).expect("known");
    assert!(median > Duration::from_secs(250), "{median:?}");
    assert_eq!(ground.store.times("another").await.expect("answers").samples(), 0);
}
