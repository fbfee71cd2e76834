//! Pauses: nothing new of what is paused, everything else as ever, and an end by the server's clock.

use crate::ground::{
    CLASS, FREE, Ground, LEASE, SUBMIT, accepted, attempt, record, record_of, rooms, running,
    succeeded_until, task, until,
};
use job::{By, Priority, Timestamp};
use seedance::SlotClass;
use std::time::Duration;
use store::{Begun, DOWNLOAD_MARGIN, PAUSES_MAX, Pause, PauseScope, Queue};

const HOUR: Duration = Duration::from_secs(3_600);

impl Ground {
    async fn pause(&self, scope: &PauseScope, lasts: Option<Duration>) {
        let by = By::named("ann");
        assert!(self.store.pause(scope, lasts, &by, "a look").await.expect("Redis answers"));
    }

    async fn resume(&self, scope: &PauseScope) -> bool {
        self.store.resume(scope, &By::named("bob"), "seen").await.expect("Redis answers")
    }

    async fn given(&self, queue: Queue) -> usize {
        self.claim_once(queue, 10, LEASE).await.items.len()
    }
}

#[tokio::test]
async fn a_paused_tenant_waits_and_the_others_go_on() {
    let mut ground = Ground::new().await;
    ground.store = ground.store.clone().with_rooms(rooms(&[("main", 100, 0)]));
    let acme = PauseScope::Tenant("acme:1".into());
    for tenant in ["acme:1", "acme:1", "bob"] {
        ground.admit(record_of(tenant, Priority::Normal, None)).await;
    }
    ground.pause(&acme, None).await;
    let claimed = ground.claim_once(SUBMIT, 10, LEASE).await;
    let whose: Vec<&str> =
        claimed.items.iter().map(|held| held.stored.record.spec.tenant.as_str()).collect();
    assert_eq!(whose, ["bob"]);
    assert_eq!(claimed.next_due, None, "the others wait for a person");
    let told: Vec<Pause> = ground.store.pauses().await.expect("Redis answers");
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0].scope, told[0].until), (&acme, None));
    assert_eq!((told[0].by.as_str(), told[0].reason.as_str()), ("ann", "a look"));
    assert!(ground.resume(&acme).await);
    assert!(!ground.resume(&acme).await, "it goes on already");
    assert_eq!(ground.given(SUBMIT).await, 2);
    let audit = ground.store.audit(10).await.expect("Redis answers");
    let words: Vec<&str> = audit.iter().map(|line| line.alarm.as_str()).collect();
    assert_eq!(words, ["resumed", "paused"]);
    ground.sound().await;
}

#[tokio::test]
async fn a_ticket_that_was_out_when_the_pause_began_begins_nothing() {
    let ground = Ground::new().await;
    ground.admit(record()).await;
    ground.admit(record()).await;
    let held = ground.claim(SUBMIT, 2).await;
    let open: Vec<_> =
        (0..).zip(&held).map(|(n, held)| attempt(&held.stored.record, 172_800 + n)).collect();
    assert!(matches!(ground.begin(&held[0], &open[0], &FREE).await, Begun::Granted { .. }));
    for scope in [PauseScope::Submit, PauseScope::Model(CLASS)] {
        ground.pause(&scope, Some(HOUR)).await;
        match ground.begin(&held[1], &open[1], &FREE).await {
            Begun::HeldOff { what } => assert_eq!(what, scope.to_string()),
            other => panic!("{scope}: {other:?}"),
        }
        ground.resume(&scope).await;
    }
    ground.pause(&PauseScope::Model(SlotClass::V20Fast), Some(HOUR)).await;
    // What was begun goes on under any pause of creates.
    ground.pause(&PauseScope::Submit, Some(HOUR)).await;
    ground.work(&held[0], &accepted(&open[0], "cgt-1")).await;
    assert_eq!(ground.given(Queue::Poll).await, 1);
    ground.resume(&PauseScope::Submit).await;
    assert!(matches!(ground.begin(&held[1], &open[1], &FREE).await, Begun::Granted { .. }));
    ground.sound().await;
}

#[tokio::test]
async fn a_pause_ends_by_the_clock_and_nobody_has_to_clear_it() {
    let ground = Ground::new().await;
    ground.admit(record()).await;
    ground.pause(&PauseScope::Submit, Some(HOUR)).await;
    assert_eq!(ground.given(SUBMIT).await, 0);
    // Paused anew: what was said last counts.
    ground.pause(&PauseScope::Submit, Some(Duration::from_millis(50))).await;
    until("the pause has ended", async || ground.given(SUBMIT).await == 1).await;
    assert_eq!(ground.store.pauses().await.expect("Redis answers"), []);
    // What has ended goes with the next pause, and takes no room from it.
    ground.pause(&PauseScope::Poll, Some(HOUR)).await;
    let key = ground.store.keys().pauses();
    assert_eq!(ground.redis.command(&["HLEN", &key]).expect("Redis answers").trim(), "1");
    ground.sound().await;
}

#[tokio::test]
async fn a_pause_of_polls_leaves_doubts_to_be_settled_and_endpoints_to_be_told() {
    let ground = Ground::new().await;
    let (_, _) = ground.doubtful().await;
    ground.generating(record(), "cgt-1").await;
    ground.pause(&PauseScope::Poll, Some(HOUR)).await;
    assert_eq!(ground.given(Queue::Poll).await, 0);
    ground.claim(Queue::Settle, 1).await;
    ground.store.claim_endpoints(1, LEASE).await.expect("Redis answers");
    ground.resume(&PauseScope::Poll).await;
    let poll = ground.claim(Queue::Poll, 1).await.remove(0);
    ground.work(&poll, &running("cgt-1")).await;
    ground.sound().await;
}

#[tokio::test]
async fn a_pause_of_downloads_lets_no_link_die() {
    let ground = Ground::new().await;
    let now = ground.store.now().await.expect("Redis answers");
    let far = now + DOWNLOAD_MARGIN + HOUR;
    let near = now + DOWNLOAD_MARGIN - HOUR;
    for (name, dies) in [("cgt-far", far), ("cgt-near", near)] {
        ground.generating(record(), name).await;
        let poll = ground.claim(Queue::Poll, 1).await.remove(0);
        ground.work(&poll, &succeeded_until(name, Timestamp::unix_ms(dies))).await;
    }
    ground.pause(&PauseScope::Download, None).await;
    let claimed = ground.claim_once(Queue::Download, 10, LEASE).await;
    let tasks: Vec<_> =
        claimed.items.iter().filter_map(|held| held.stored.record.life.state.task()).collect();
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].id, task("cgt-near"), "its link would die");
    ground.resume(&PauseScope::Download).await;
    ground.claim(Queue::Download, 1).await;
    ground.sound().await;
}

#[tokio::test]
async fn pauses_are_bounded() {
    let ground = Ground::new().await;
    let key = ground.store.keys().pauses();
    let said = r#"0 {"by":"ann","reason":"x","at":1}"#;
    let full: Vec<String> =
        (0..PAUSES_MAX).flat_map(|n| [format!("tenant:t{n}"), said.to_owned()]).collect();
    let words: Vec<&str> =
        ["HSET", &key].into_iter().chain(full.iter().map(String::as_str)).collect();
    ground.redis.command(&words).expect("Redis answers");
    let (one, by) = (PauseScope::Tenant("more".into()), By::named("ann"));
    assert!(!ground.store.pause(&one, None, &by, "x").await.expect("Redis answers"));
    let known = PauseScope::Tenant("t7".into());
    assert!(ground.store.pause(&known, None, &by, "x").await.expect("Redis answers"));
}
