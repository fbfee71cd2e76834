use super::*;
use job::By;

#[test]
fn a_pause_concerns_those_whose_creates_it_holds() {
    let pause = |scope| Pause {
        scope,
        by: By::named("ann"),
        reason: "a look".into(),
        at: Timestamp::default(),
        until: None,
    };
    let classes = [SlotClass::V20];
    let concerns = |scope| paused(&[pause(scope)], "acme", &classes).is_some();
    assert!(concerns(PauseScope::Submit));
    assert!(concerns(PauseScope::Tenant("acme".into())));
    assert!(!concerns(PauseScope::Tenant("other".into())));
    assert!(concerns(PauseScope::Model(SlotClass::V20)));
    assert!(!concerns(PauseScope::Model(SlotClass::V20Mini)));
    assert!(!concerns(PauseScope::Poll) && !concerns(PauseScope::Download));
}
