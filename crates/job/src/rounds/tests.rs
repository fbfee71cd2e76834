use super::*;
use crate::dice::Dice;
use crate::retry;
use crate::{DoubtPolicy, docs};
use proptest::prelude::*;

const STEADY: Duration = Duration::from_secs(15);
const START: Timestamp = Timestamp::from_unix_s(1_790_000_000);

fn poll() -> PollPolicy {
    PollPolicy {
        first: Duration::from_secs(5),
        steady: STEADY,
        max: Duration::from_secs(60),
        jitter_ratio: 0.1,
        ..docs::policy(DoubtPolicy::Balanced).poll
    }
}

#[test]
fn the_average_is_that_of_all_classes_of_a_quota() {
    let of = |seconds: u64, n: u64| Times::of([(bucket(Duration::from_secs(seconds)), n)]);
    assert_eq!(of(100, SAMPLES_MIN - 1).mean(), None);
    let mean = of(50, 40).and(of(150, 40)).mean().expect("enough of them").as_secs_f64();
    assert!((mean - 100.0).abs() < 5.0, "{mean}");
    let mut all: Vec<String> = SlotClass::ALL.into_iter().flat_map(classes_of).collect();
    assert!(classes_of(SlotClass::V20At4k).iter().all(|word| word.starts_with("2.0|4k|")));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "each is of one quota");
}

impl Dice {
    /// What tasks take out there: 10, 50, 90 and 99 of a hundred end within 78, 129, 214 and 323 s.
    fn generation(&mut self) -> Duration {
        let (u, v) = (self.unit().max(1e-12), self.unit());
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        Duration::from_secs_f64(129.0 * (0.395 * normal).exp())
    }
}

/// What watching cost.
struct Cost {
    reads: usize,
    lags: Vec<Duration>,
}

impl Cost {
    fn per_task(&self) -> f64 {
        self.reads as f64 / self.lags.len() as f64
    }

    fn lag(&self, share: f64) -> Duration {
        self.lags[((self.lags.len() - 1) as f64 * share) as usize]
    }
}

struct Flying {
    since: Timestamp,
    end: Timestamp,
    due: Timestamp,
    checks: u32,
}

/// Watches `tasks` tasks, `at_once` at a time; three that are due within a tenth of a second are one page.
fn simulate(at_once: usize, tasks: usize, outlook: Outlook, dice: &mut Dice) -> Cost {
    let poll = poll();
    let mut cost = Cost { reads: 0, lags: Vec::new() };
    let begin = |now: Timestamp, dice: &mut Dice| {
        let due = outlook.first_look("a", STEADY, now).unwrap_or(now + poll.first);
        Flying { since: now, end: now + dice.generation(), due, checks: 0 }
    };
    let stagger = |n: usize| START + Duration::from_secs(7 * n as u64);
    let mut flying: Vec<Flying> = (0..at_once).map(|n| begin(stagger(n), dice)).collect();
    while cost.lags.len() < tasks {
        let first = flying.iter().map(|task| task.due).min().unwrap();
        let now = first + Duration::from_millis(100);
        let due = flying.iter().filter(|task| task.due <= now).count();
        cost.reads += if due > 2 { due.div_ceil(150) } else { due };
        for task in flying.iter_mut().filter(|task| task.due <= now) {
            if task.end <= now {
                cost.lags.push(now.since(task.end));
                // The slot is filled again at any time, in step with nobody's rounds.
                *task = begin(now + Duration::from_secs_f64(20.0 * dice.unit()), dice);
                continue;
            }
            task.checks += 1;
            task.due = outlook.next_look("a", &poll, task.since, now).unwrap_or_else(|| {
                match retry::cadence(poll.first, STEADY, task.checks) {
                    pause if pause < STEADY => now + pause,
                    _ => next("a", STEADY, now),
                }
            });
        }
    }
    cost.lags.sort_unstable();
    cost
}

fn learned(dice: &mut Dice) -> Outlook {
    let mut times = Times::default();
    (0..1_000).for_each(|_| times.add(dice.generation()));
    Outlook { times: Quantiles::of(&times), told: false }
}

// covers: M8
#[test]
fn reads_and_lag_stay_within_the_goals_for_one_task_and_for_many() {
    let mut dice = Dice(7);
    let outlook = learned(&mut dice);
    for (at_once, reads_max) in [(1, 7.0), (3, 7.0), (10, 1.5), (12, 1.5), (40, 1.5)] {
        let cost = simulate(at_once, 4_000, outlook, &mut dice);
        let (reads, lag) = (cost.per_task(), cost.lag(0.95));
        assert!(reads <= reads_max, "{at_once} at once: {reads:.2} reads a task");
        assert!(lag <= STEADY, "{at_once} at once: an end in twenty is seen after {lag:?}");
    }
}

// covers: M8, M9
#[test]
fn where_callbacks_tell_the_ends_a_look_is_a_repair_of_few() {
    let mut dice = Dice(23);
    let outlook = Outlook { told: true, ..learned(&mut dice) };
    let poll = poll();
    for lost_in in [0, 50] {
        let (mut reads, mut lags) = (0, Vec::new());
        for n in 0..4_000 {
            let end = START + dice.generation();
            let told = (lost_in == 0 || n % lost_in != 0).then(|| end + Duration::from_secs(2));
            let mut at = outlook.first_look("a", STEADY, START).unwrap();
            loop {
                if told.is_some_and(|told| told <= at) {
                    break lags.push(Duration::from_secs(2));
                }
                reads += 1;
                if end <= at {
                    break lags.push(at.since(end));
                }
                at = outlook.next_look("a", &poll, START, at).unwrap();
            }
        }
        lags.sort_unstable();
        let per_task = f64::from(reads) / lags.len() as f64;
        assert!(per_task <= 0.2, "{per_task} reads a task beside the callbacks' own");
        assert!(lags[lags.len() * 95 / 100] <= STEADY);
    }
}

#[test]
fn without_samples_the_cadence_is_the_old_one() {
    let mut dice = Dice(11);
    assert_eq!(Outlook::default().first_look("a", STEADY, START), None);
    assert_eq!(Outlook::default().next_look("a", &poll(), START, START), None);
    let cost = simulate(1, 2_000, Outlook::default(), &mut dice);
    assert!((10.0..14.0).contains(&cost.per_task()), "{}", cost.per_task());
    let mut few = Times::default();
    (1..SAMPLES_MIN).for_each(|_| few.add(Duration::from_secs(100)));
    assert_eq!(few.quantile(0.5), None);
}

#[test]
fn looks_of_one_account_fall_into_one_round_and_stay_in_step() {
    let mut dues: Vec<Timestamp> =
        (0..40).map(|n| next("a", STEADY, START + Duration::from_millis(n * 70))).collect();
    dues.dedup();
    assert!(dues.len() <= 2, "{dues:?}");
    let due = dues[0];
    for late_ms in [0, 300, 2_900] {
        let after = next("a", STEADY, due + Duration::from_millis(late_ms));
        assert_eq!(after.since(due), between(STEADY), "{late_ms} ms late");
    }
    assert_ne!(next("a", STEADY, START), next("b", STEADY, START));
}

#[test]
fn a_bucket_holds_its_time_and_quantiles_lie_near_it() {
    for seconds in [1_u64, 2, 5, 60, 142, 600, 86_400, 604_800] {
        let mut times = Times::default();
        (0..100).for_each(|_| times.add(Duration::from_secs(seconds)));
        for share in [0.02, 0.5, 0.97] {
            let told = times.quantile(share).unwrap().as_secs_f64() / seconds as f64;
            assert!((0.91..1.1).contains(&told), "{seconds} s is told as {told} of itself");
        }
    }
    assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
}

proptest! {
    #[test]
    fn a_turn_is_neither_nothing_nor_far_longer_than_usual(
        account in "[a-z]{1,8}", at_ms in 0_i64..4_000_000_000_000, steady_ms in 50_u64..3_600_000,
    ) {
        let (steady, now) = (Duration::from_millis(steady_ms), Timestamp::from_unix_ms(at_ms));
        let (turn, pause) = (between(steady), next(&account, steady, now).since(now));
        let ms = Duration::from_millis(1);
        prop_assert!(pause + ms >= turn / 4 && pause <= turn + turn / 4 + ms);
    }

    /// Whatever was learned: until almost all have ended no end waits longer than a round, after it no longer
    /// than `poll.max` and a round, and the number of looks is what the times ask for.
    #[test]
    fn looks_are_bounded_whatever_was_learned(
        samples in prop::collection::vec(1_u64..2_000, 30..80), end_s in 1_u64..4_000,
    ) {
        let mut times = Times::default();
        samples.iter().for_each(|s| times.add(Duration::from_secs(*s)));
        let quantiles = Quantiles::of(&times).unwrap();
        let outlook = Outlook { times: Some(quantiles), told: false };
        let (poll, turn, end) = (poll(), between(STEADY), START + Duration::from_secs(end_s));
        let mut at = outlook.first_look("a", STEADY, START).unwrap();
        prop_assert!(at.since(START) <= quantiles.early + turn);
        let mut looks = 1;
        while at < end {
            let after = outlook.next_look("a", &poll, START, at).unwrap();
            let longest = match at.since(START) <= quantiles.late {
                true => turn + turn / 4,
                false => poll.max + turn,
            };
            prop_assert!(after > at && after.since(at) <= longest, "{:?}", after.since(at));
            at = after;
            looks += 1;
        }
        let watched = end.since(START).saturating_sub(quantiles.early);
        prop_assert!(looks <= 2 + watched.as_secs() / turn.as_secs(), "{looks} looks");
    }
}
