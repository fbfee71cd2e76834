//! What this process finds ill around itself: the bucket, the provider, hosts of outputs.
//!
//! Whoever meets it says so here, in a word for people. The process's entry in the fleet tells it within a second,
//! so that who asks what limits the fleet hears it from those who met it. One success ends it, and so does time:
//! nobody may have tried since.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store::Around;

/// How long an illness is told of which nothing was met since.
const TOLD_FOR: Duration = Duration::from_secs(600);
/// The longest word about one.
const WHY_CHARS: usize = 160;

/// By pool and part: when it was met last, and why.
type Met = BTreeMap<(String, Around), (Instant, String)>;

static MET: Mutex<Met> = Mutex::new(BTreeMap::new());

fn met() -> MutexGuard<'static, Met> {
    MET.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A part of the surroundings of a pool failed this process.
pub fn ill(pool: &str, part: Around, why: &str) {
    let why = why.chars().take(WHY_CHARS).collect();
    met().insert((pool.to_owned(), part), (Instant::now(), why));
}

/// It served.
pub fn well(pool: &str, part: Around) {
    let mut met = met();
    // Nearly always: nothing to forget, and no name to write.
    if !met.is_empty() {
        met.remove(&(pool.to_owned(), part));
    }
}

/// What is told of it now.
pub(crate) fn told() -> BTreeMap<String, BTreeMap<String, String>> {
    spell(&mut met(), Instant::now())
}

fn spell(met: &mut Met, now: Instant) -> BTreeMap<String, BTreeMap<String, String>> {
    met.retain(|_, (at, _)| now.saturating_duration_since(*at) < TOLD_FOR);
    let mut told: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for ((pool, part), (_, why)) in met.iter() {
        told.entry(pool.clone()).or_default().insert(part.word().to_owned(), why.clone());
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_illness_is_told_until_a_success_or_for_a_while() {
        let (pool, other) = ("around-a", "around-b");
        ill(pool, Around::Bucket, &"no permission ".repeat(40));
        ill(pool, Around::Reads, "http-500");
        ill(other, Around::Reads, "timeout");
        well(pool, Around::Reads);
        let mut told = told();
        let why = told[pool]["bucket"].clone();
        assert_eq!(why.chars().count(), WHY_CHARS, "a word and no letter");
        assert!(!told[pool].contains_key("reads"), "{told:?}");
        assert_eq!(told.remove(other).expect("another pool's")["reads"], "timeout");

        let now = Instant::now();
        let mut met = Met::from([((pool.to_owned(), Around::Links), (now, "reset".to_owned()))]);
        assert_eq!(spell(&mut met, now + TOLD_FOR / 2).len(), 1);
        assert!(spell(&mut met, now + TOLD_FOR).is_empty(), "nobody has tried since");
        well(pool, Around::Bucket);
        well(other, Around::Reads);
    }
}
