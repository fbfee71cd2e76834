use super::settings::{Downloaders, Notifiers, Pollers, Submitters};
use super::*;
use proptest::prelude::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settings() -> ScalingSettings {
    ScalingSettings {
        drain_within: s(600),
        fill_within: s(60),
        generate: s(142),
        output_bytes: 8 << 20,
        submitter: Submitters { min: 2, max: 16, creates_per_s: 1 },
        poller: Pollers { min: 1, max: 16, looks_per_s: 100 },
        downloader: Downloaders { min: 1, max: 16, bytes_per_s: 8 << 20 },
        notifier: Notifiers { min: 1, max: 16, endpoints: 10 },
    }
}

fn class(backlog: u64, slots: u64, taken: u64) -> ClassFacts {
    ClassFacts {
        backlog,
        open: 1,
        slots,
        lookahead: 2,
        taken,
        creates_per_s: 10.0,
        generate: Some(s(100)),
    }
}

fn pool(class: ClassFacts) -> PoolFacts {
    PoolFacts {
        frozen: false,
        tasks: class.taken,
        classes: vec![class],
        look_every: s(15),
        looks_per_s_max: 520.0,
        downloads: 0,
        link_left: None,
        endpoints: 0,
    }
}

fn submitters(class: ClassFacts) -> (u32, Bound) {
    let view = wanted(&[pool(class)], &settings(), &Staff::default()).submitter;
    (view.desired, view.bound_by)
}

#[test]
fn an_empty_fleet_wants_the_least_of_everybody() {
    let wanted = wanted(&[pool(class(0, 40, 0))], &settings(), &Staff::default());
    let told = wanted.roles().map(|(role, desired, bound, _)| (role, desired, bound));
    let idle = Bound::NothingToDo;
    assert_eq!(
        told,
        [
            ("submitter", 2, idle),
            ("poller", 1, idle),
            ("downloader", 1, idle),
            ("notifier", 1, idle)
        ]
    );
    assert!(wanted.submitter.reason.contains("the least, 2"), "{}", wanted.submitter.reason);
}

#[test]
fn what_the_provider_can_take_decides_whatever_waits() {
    // 40 slots of 142 s each: 0.28 creates a second, for one process.
    let one = ClassFacts { generate: None, ..class(1_000_000, 40, 42) };
    assert_eq!(submitters(one), (2, Bound::Concurrency));
    assert_eq!(submitters(class(1_000_000, 400, 402)), (4, Bound::Concurrency));
    assert_eq!(submitters(class(1_000_000, 800, 802)), (8, Bound::Concurrency));
    let rate = ClassFacts { creates_per_s: 5.0, ..class(1_000_000, 800, 802) };
    assert_eq!(submitters(rate), (5, Bound::CreateRate));
    assert_eq!(submitters(class(1_800, 800, 802)), (3, Bound::Work));
    // Lowered by a person to nothing at all.
    let none = ClassFacts { lookahead: 0, ..class(1_800, 0, 5) };
    assert_eq!(submitters(none), (2, Bound::Concurrency));
    // 602 free slots in a minute are more than what 600 slots give in theirs.
    assert_eq!(submitters(class(1_000_000, 600, 0)), (10, Bound::CreateRate));
    let quick = ClassFacts { creates_per_s: 100.0, ..class(1_000_000, 600, 0) };
    assert_eq!(submitters(quick), (10, Bound::Concurrency));
    let many = ClassFacts { creates_per_s: 100.0, ..class(1_000_000, 6_000, 0) };
    assert_eq!(submitters(many), (16, Bound::Maximum));
}

#[test]
fn who_may_not_buy_is_not_helped_by_more_of_them() {
    let stopped = ClassFacts { open: 0, slots: 0, ..class(1_000, 0, 0) };
    assert_eq!(submitters(stopped), (2, Bound::Stopped));
    let mut frozen = pool(class(1_000_000, 800, 0));
    frozen.frozen = true;
    let of_frozen = wanted(std::slice::from_ref(&frozen), &settings(), &Staff::default()).submitter;
    assert_eq!((of_frozen.desired, of_frozen.bound_by), (2, Bound::Frozen));
    // Another pool goes on.
    let both = wanted(&[frozen, pool(class(1_000_000, 400, 402))], &settings(), &Staff::default())
        .submitter;
    assert_eq!((both.desired, both.bound_by), (4, Bound::Concurrency));
    assert_eq!(both.from.backlog, 2_000_000);
}

#[test]
fn tasks_are_looked_at_as_often_as_reads_allow() {
    let of = |tasks: u64, allowed: f64| {
        let facts = PoolFacts { looks_per_s_max: allowed, tasks, ..pool(class(0, 10, 10)) };
        let view = wanted(&[facts], &settings(), &Staff::default()).poller;
        (view.desired, view.bound_by)
    };
    assert_eq!(of(10, 520.0), (1, Bound::Work));
    assert_eq!(of(6_000, 520.0), (4, Bound::Work));
    assert_eq!(of(60_000, 520.0), (6, Bound::ReadRate));
    assert_eq!(of(60_000, 52_000.0), (16, Bound::Maximum));
}

#[test]
fn copies_keep_up_with_what_ends_and_hurry_before_a_link_dies() {
    let of = |downloads: u64, taken: u64, link_left: Option<Duration>| {
        let facts = PoolFacts { downloads, link_left, ..pool(class(0, 1_000, taken)) };
        let view = wanted(&[facts], &settings(), &Staff::default()).downloader;
        (view.desired, view.bound_by)
    };
    // 500 tasks of 100 s: five videos end in a second, and one process copies one in a second.
    assert_eq!(of(0, 500, None), (5, Bound::Work));
    assert_eq!(of(1_200, 500, Some(s(80_000))), (7, Bound::Work));
    assert_eq!(of(1_200, 0, Some(s(80_000))), (2, Bound::Work));
    // Half of ten minutes is left for them.
    assert_eq!(of(1_200, 0, Some(s(600))), (4, Bound::Work));
    assert_eq!(of(1, 0, Some(s(21_000))), (2, Bound::LinkDeadline));
    assert_eq!(of(1, 0, Some(Duration::ZERO)), (2, Bound::LinkDeadline));
    assert_eq!(of(0, 0, None), (1, Bound::NothingToDo));
}

#[test]
fn an_endpoint_takes_one_delivery_at_a_time() {
    let of = |endpoints: u64| {
        let facts = PoolFacts { endpoints, ..pool(class(0, 1, 0)) };
        wanted(&[facts], &settings(), &Staff::default()).notifier.desired
    };
    assert_eq!([0, 1, 10, 11, 12, 30, 1_000].map(of), [1, 1, 1, 1, 2, 3, 16]);
}

fn facts() -> impl Strategy<Value = PoolFacts> {
    let numbers = (0_u64..2_000_000, 0_u64..5_000, 0_u64..5_000, 0_u64..100, 1_u64..600);
    let more = (0.0_f64..100.0, any::<bool>(), 0_u64..3, 0_u64..20_000, 0_u64..100_000);
    (numbers, more).prop_map(
        |((backlog, slots, taken, endpoints, run_s), (rate, frozen, open, downloads, ttl_s))| {
            let generate = (run_s > 5).then(|| s(run_s));
            let class = ClassFacts {
                backlog,
                open,
                slots,
                lookahead: 2,
                taken,
                creates_per_s: rate,
                generate,
            };
            let link_left = (downloads > 0).then(|| s(ttl_s));
            PoolFacts { frozen, downloads, link_left, endpoints, ..pool(class) }
        },
    )
}

proptest! {
    /// Whatever is read: within the bounds, and never a process more than the provider's limits can use.
    #[test]
    fn nobody_is_wanted_for_whom_there_is_no_work(pools in prop::collection::vec(facts(), 1..4)) {
        let settings = settings();
        let wanted = wanted(&pools, &settings, &Staff::default());
        for (role, desired, _, reason) in wanted.roles() {
            prop_assert!((1..=16).contains(&desired) && !reason.is_empty(), "{role}");
        }
        let open = pools.iter().filter(|pool| !pool.frozen).flat_map(|pool| &pool.classes);
        let limit: f64 = open.filter(|of| of.open > 0).map(|of| of.creates_per_s).sum();
        prop_assert!(f64::from(wanted.submitter.desired) <= limit.ceil().max(2.0));
        let reads: f64 = pools.iter().map(|pool| pool.looks_per_s_max).sum();
        prop_assert!(f64::from(wanted.poller.desired) <= (reads / 100.0).ceil().max(1.0));
    }

    /// More work never asks for fewer.
    #[test]
    fn more_work_never_asks_for_fewer(pool in facts(), more in 0_u64..100_000) {
        let settings = settings();
        let before = wanted(std::slice::from_ref(&pool), &settings, &Staff::default());
        let mut fuller = pool;
        fuller.classes[0].backlog += more;
        fuller.downloads += more;
        fuller.tasks += more;
        fuller.endpoints += more;
        let after = wanted(&[fuller], &settings, &Staff::default());
        for ((role, less, ..), (_, more, ..)) in before.roles().into_iter().zip(after.roles()) {
            prop_assert!(more >= less, "{role}: {less} became {more}");
        }
    }

    /// A fleet at its provider's limit: whatever the backlog does, and while slots empty and fill and the average
    /// moves by a few of a hundred, the answer stands.
    #[test]
    fn noise_does_not_move_the_answer(
        processes in 3_u64..16, backlog in 200_000_u64..2_000_000, free in 0_u64..60, drift in -0.04_f64..0.04,
    ) {
        let slots = processes * 100;
        let generate = Some(s(100).mul_f64(1.0 + drift / processes as f64));
        let facts = ClassFacts {
            generate,
            creates_per_s: 100.0,
            ..class(backlog, slots, slots + 2 - free)
        };
        prop_assert_eq!(submitters(facts), (processes as u32, Bound::Concurrency));
    }
}
