use super::*;
use proptest::prelude::*;

const CLASS: SlotClass = SlotClass::V20;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Learned: every task takes about so long.
fn learned(each: Duration) -> Times {
    let mut times = Times::default();
    (0..100).for_each(|_| times.add(each));
    times
}

fn room(slots: u32, rpm: u32) -> Room {
    Room { slots, creates_per_s: f64::from(rpm) / 60.0 }
}

fn lane(jobs: u32, rooms: Vec<Room>, times: &Times) -> Lane {
    Lane {
        class: CLASS,
        limits: vec![Limits { from: Duration::ZERO, rooms }],
        taken: 0,
        ahead: 0.0,
        waiting: vec![Kind { jobs: f64::from(jobs), times: times.clone() }],
        running: 0.0,
        all: times.clone(),
    }
}

fn facts(lanes: Vec<Lane>) -> Facts {
    Facts { lanes, seen: None, assumed: s(142), may_assume: true }
}

fn about(found: Duration, wanted: Duration, off: f64) {
    let (found, wanted) = (found.as_secs_f64(), wanted.as_secs_f64());
    assert!((found / wanted - 1.0).abs() <= off, "{found} s is not about {wanted} s");
}

#[test]
fn a_million_rows_at_forty_slots_take_41_days() {
    let jobs = lane(998_214, vec![room(40, 600)], &learned(s(142)));
    let eta = reckon(&facts(vec![jobs])).expect("all is known");
    about(eta.middle, s(41 * 86_400), 0.05);
    assert_eq!((eta.bound, eta.slots, eta.learned), (Bound::Concurrency, 40, true));
    assert!(eta.least < s(39 * 86_400) && eta.most > s(43 * 86_400), "{eta:?}");
}

#[test]
fn creates_bind_where_slots_are_many() {
    let jobs = lane(6_000, vec![room(400, 60)], &learned(s(10)));
    let eta = reckon(&facts(vec![jobs])).expect("all is known");
    about(eta.middle, s(6_000), 0.02);
    assert_eq!(eta.bound, Bound::CreateRate);
}

#[test]
fn accounts_add_up_each_with_its_own_bound() {
    let rooms = vec![room(10, 600), room(1_000, 60)];
    let eta = reckon(&facts(vec![lane(20_000, rooms, &learned(s(100)))])).expect("all is known");
    // A tenth of a second each from the slots of one, one a second from the creates of the other.
    about(eta.middle, Duration::from_secs_f64(20_000.0 / 1.1), 0.1);
}

#[test]
fn what_waits_ahead_counts() {
    let alone = lane(1_000, vec![room(10, 600)], &learned(s(100)));
    let behind = Lane { ahead: 2_000.0, ..alone.clone() };
    let of = |lane| reckon(&facts(vec![lane])).expect("all is known").middle;
    about(of(behind), of(alone) * 3, 0.05);
}

#[test]
fn a_few_rows_take_about_the_longest_task() {
    let mut times = Times::default();
    (100..200).for_each(|each| times.add(s(each)));
    let eta = reckon(&facts(vec![lane(5, vec![room(10, 600)], &times)])).expect("all is known");
    assert!(eta.middle > s(140) && eta.middle < s(210), "{eta:?}");
    assert!(eta.least >= s(100) && eta.most >= s(200) && eta.most < s(300), "{eta:?}");
}

#[test]
fn a_limit_whose_end_is_known_holds_until_then() {
    let jobs = lane(3_600, vec![room(10, 600)], &learned(s(100)));
    let whole = reckon(&facts(vec![jobs.clone()])).expect("all is known").middle;
    let lowered = |rooms: Vec<Room>| {
        let from = |from, rooms| Limits { from, rooms };
        let limits = vec![from(Duration::ZERO, rooms), from(s(7_200), vec![room(10, 600)])];
        reckon(&facts(vec![Lane { limits, ..jobs.clone() }])).expect("it ends").middle
    };
    about(lowered(vec![room(5, 600)]), whole + s(3_600), 0.02);
    about(lowered(Vec::new()), whole + s(7_200), 0.02);
    let stopped = Lane { limits: vec![Limits { from: s(0), rooms: vec![] }], ..jobs };
    assert_eq!(reckon(&facts(vec![stopped])), Err(WhyNot::NoRoom(CLASS)));
}

#[test]
fn the_slowest_class_decides() {
    let quick = lane(100, vec![room(10, 600)], &learned(s(100)));
    let slow = Lane { class: SlotClass::V20At4k, ..lane(100, vec![room(1, 15)], &learned(s(300))) };
    let eta = reckon(&facts(vec![quick.clone(), slow.clone()])).expect("all is known");
    assert_eq!(eta.class, SlotClass::V20At4k);
    assert_eq!(eta.middle, reckon(&facts(vec![slow])).expect("all is known").middle);
    assert!(eta.middle > reckon(&facts(vec![quick])).expect("all is known").middle);
}

#[test]
fn where_nothing_is_learned_it_is_assumed_widely_or_not_told() {
    let jobs = lane(1_000, vec![room(10, 600)], &Times::default());
    let known = lane(1_000, vec![room(10, 600)], &learned(s(142)));
    let assumed = reckon(&facts(vec![jobs.clone()])).expect("it may assume");
    let known = reckon(&facts(vec![known])).expect("all is known");
    about(assumed.middle, known.middle, 0.1);
    assert!(!assumed.learned && known.learned);
    let width = |eta: &Eta| eta.most.as_secs_f64() / eta.least.as_secs_f64();
    assert!(width(&assumed) > 3.0 * width(&known), "{assumed:?} {known:?}");
    let strict = Facts { may_assume: false, ..facts(vec![jobs]) };
    assert_eq!(reckon(&strict), Err(WhyNot::NothingLearned));
    // Half as fast as assumed, seen a hundred times: that is known now.
    let seen = Seen { ends: 100, over: Duration::from_secs_f64(100.0 * 2.0 * 14.2) };
    let told = reckon(&Facts { seen: Some(seen), ..strict.clone() }).expect("a rate was seen");
    about(told.middle, known.middle * 2, 0.05);
    assert!(width(&told) < 2.0, "{told:?}");
    about(told.mean, s(2 * 142), 0.05);
    // Tasks of a fiftieth of what was assumed: nothing of that is left, neither in the pace nor in the last of them.
    let seen = Seen { ends: 100, over: Duration::from_secs_f64(100.0 * 14.2 / 50.0) };
    let told = reckon(&Facts { seen: Some(seen), ..strict }).expect("a rate was seen");
    about(told.middle, known.middle / 50, 0.1);
    assert!(told.most < known.middle / 25, "{told:?}");
}

#[test]
fn a_rate_that_was_seen_corrects_by_what_it_proves() {
    let jobs = lane(10_000, vec![room(10, 600)], &learned(s(100)));
    let with = |ends: u64, each: u64| {
        let seen = Seen { ends, over: s(ends * each) };
        let facts = Facts { seen: Some(seen), ..facts(vec![jobs.clone()]) };
        reckon(&facts).expect("all is known")
    };
    let by_limits = reckon(&facts(vec![jobs.clone()])).expect("all is known");
    assert_eq!(with(3, 20).middle, by_limits.middle, "three ends prove nothing");
    let (little, much) = (with(12, 20), with(2_000, 20));
    assert!(by_limits.middle < little.middle && little.middle < much.middle);
    about(much.middle, by_limits.middle * 2, 0.1);
    assert_eq!((much.bound, by_limits.bound), (Bound::Fleet, Bound::Concurrency));
    // More than the provider runs at once is no rate, but ends that came together.
    assert!(with(500, 1).middle > by_limits.middle / 2, "{:?}", with(500, 1));
}

#[test]
fn only_what_runs_ends_within_its_life() {
    let times = learned(s(100));
    let all = Lane {
        waiting: Vec::new(),
        taken: 10,
        running: 10.0,
        ..lane(0, vec![room(10, 600)], &times)
    };
    let of = |running: f64| {
        let lane = Lane { running, taken: 10, ..all.clone() };
        reckon(&facts(vec![lane])).expect("all is known")
    };
    assert_eq!(of(10.0).bound, Bound::Running);
    assert!(of(2.0).middle < of(10.0).middle && of(10.0).middle <= s(110), "{:?}", of(10.0));
    assert_eq!(reckon(&facts(vec![Lane { running: 0.0, ..all }])), Err(WhyNot::NothingLeft));
}

#[test]
fn a_look_back_holds_some_lives_and_enough_ends() {
    let of = |slots, life| {
        look_back(&facts(vec![lane(9_000, vec![room(slots, 60_000)], &learned(s(life)))]), None)
    };
    about(of(40, 142), s(6 * 142), 0.06);
    about(of(2, 100), s(5_000), 0.06);
    assert_eq!(of(40, 1), s(20), "a moment is no rate");
    assert_eq!(of(1, 3_600), s(6 * 3_600), "yesterday is none either");
    let facts = facts(vec![lane(9_000, vec![room(40, 600)], &learned(s(142)))]);
    about(look_back(&facts, Some(s(300))), s(300 - 142), 0.06);
    assert_eq!(look_back(&facts, Some(s(60))), s(0), "these were begun under another limit");
    assert_eq!(look_back(&facts, Some(s(90_000))), look_back(&facts, None));
}

fn any_lane() -> impl Strategy<Value = Lane> {
    let rooms = || prop::collection::vec((0_u32..50, 1_u32..700), 1..4);
    let (kinds, limits) = (
        prop::collection::vec((0_u32..5_000, 0_u64..900), 0..4),
        prop::collection::vec((0_u64..90_000, rooms()), 1..4),
    );
    (kinds, limits, 0_u64..60, 0_u32..5_000, 0_u32..60).prop_map(
        |(kinds, limits, taken, ahead, running)| {
            let mut limits: Vec<Limits> = limits
                .into_iter()
                .map(|(from, rooms)| Limits {
                    from: s(from),
                    rooms: rooms.into_iter().map(|(slots, rpm)| room(slots, rpm)).collect(),
                })
                .collect();
            limits.sort_by_key(|limits| limits.from);
            limits[0].from = Duration::ZERO;
            let times = |each: u64| if each == 0 { Times::default() } else { learned(s(each)) };
            let kind =
                |(jobs, each): (u32, u64)| Kind { jobs: f64::from(jobs), times: times(each) };
            Lane {
                class: CLASS,
                limits,
                taken,
                ahead: f64::from(ahead),
                waiting: kinds.into_iter().map(kind).collect(),
                running: f64::from(running),
                all: times(taken * 7),
            }
        },
    )
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let seen = prop::option::of((0_u64..5_000, 0_u64..40_000));
    (prop::collection::vec(any_lane(), 0..3), seen, 0_u64..4_000, any::<bool>()).prop_map(
        |(lanes, seen, assumed, may_assume)| Facts {
            lanes,
            seen: seen.map(|(ends, over)| Seen { ends, over: s(over) }),
            assumed: s(assumed),
            may_assume,
        },
    )
}

/// Of one lane, without anything seen: what a change of one fact does is seen best.
fn middle(lane: Lane) -> Option<Duration> {
    reckon(&facts(vec![lane])).ok().map(|eta| eta.middle)
}

proptest! {
    #[test]
    fn a_range_is_a_range(facts in any_facts()) {
        let back = look_back(&facts, None);
        prop_assert!(back >= BACK.0 && back <= BACK.1);
        match reckon(&facts) {
            Ok(eta) => {
                prop_assert!(eta.least <= eta.middle && eta.middle <= eta.most, "{eta:?}");
                prop_assert!(eta.most <= LONGEST);
                prop_assert!(facts.lanes.iter().any(|lane| lane.asked() > 0.0));
            }
            Err(WhyNot::NothingLeft) => {
                prop_assert!(facts.lanes.iter().all(|lane| lane.asked() <= 0.0));
            }
            Err(WhyNot::NothingLearned) => prop_assert!(!facts.may_assume),
            Err(WhyNot::NoRoom(class)) => prop_assert_eq!(class, CLASS),
        }
    }

    #[test]
    fn more_work_never_ends_sooner(lane in any_lane(), more in 1_u32..2_000) {
        prop_assume!(lane.waits() > 0.0);
        // What is ahead takes as long as the class does on average, so the lane's own are to take as long.
        let mut lane = lane;
        let all = lane.all.clone();
        lane.waiting.iter_mut().for_each(|kind| kind.times = all.clone());
        let before = middle(lane.clone());
        if let Some(after) = middle(Lane { ahead: lane.ahead + f64::from(more), ..lane }) {
            prop_assert!(before.is_some_and(|before| before <= after));
        }
    }

    #[test]
    fn more_room_never_ends_later(lane in any_lane(), slots in 1_u32..50, rpm in 1_u32..600) {
        prop_assume!(lane.waits() > 0.0);
        let mut wider = lane.clone();
        wider.limits.iter_mut().for_each(|limits| limits.rooms.push(room(slots, rpm)));
        if let Some(before) = middle(lane.clone()) {
            let after = middle(wider.clone()).expect("there is room");
            // The last of more tasks at once takes longer than the last of few.
            let last = wider.lives(s(142)).last_s[1] - lane.lives(s(142)).last_s[1];
            prop_assert!(after.as_secs_f64() <= before.as_secs_f64() + last.max(0.0) + 1e-3);
        }
    }
}
