//! A fleet that an autoscaler makes larger and smaller while it works, under limits that change twice.

use e2e::scale::{Order, drill};

#[test]
fn a_fleet_that_grows_and_shrinks_at_work_loses_nothing_and_is_told_the_right_size() {
    let verdict = drill(&Order::small());
    assert_eq!(verdict.wrong, Vec::<String>::new(), "{}", verdict.json(&Order::small()));
    assert_eq!((verdict.duplicates, verdict.lost, verdict.over), (0, 0, 0));
}
