//! Whose turn it is to be asked: no host has more than its share at once.

use super::Target;
use std::collections::{BTreeMap, VecDeque};

/// Addresses that wait, in the order of their rows.
pub(super) struct Turns {
    waiting: VecDeque<Target>,
    busy: BTreeMap<String, usize>,
    per_host: usize,
}

impl Turns {
    pub(super) const fn of(waiting: VecDeque<Target>, per_host: usize) -> Self {
        Self { waiting, busy: BTreeMap::new(), per_host }
    }

    /// The next one whose host has room. A host that is slow does not hold up those behind it.
    pub(super) fn next(&mut self) -> Option<Target> {
        let has_room =
            |target: &Target| self.busy.get(&target.host).copied().unwrap_or(0) < self.per_host;
        let at = self.waiting.iter().position(has_room)?;
        let target = self.waiting.remove(at)?;
        *self.busy.entry(target.host.clone()).or_default() += 1;
        Some(target)
    }

    /// A host has answered, or will not.
    pub(super) fn ended(&mut self, host: &str) {
        if let Some(busy) = self.busy.get_mut(host) {
            *busy = busy.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_host_lets_others_go_first() {
        let url = |text: &str| Target::of(1, String::new(), egress::Url::parse(text).unwrap());
        let texts = ["https://a/1", "https://a/2", "https://a/3", "https://b/1", "https://a:444/1"];
        let mut turns = Turns::of(texts.into_iter().map(url).collect(), 2);
        let next = |turns: &mut Turns| turns.next().map(|target| target.url.to_string());
        let told: Vec<_> = std::iter::from_fn(|| next(&mut turns)).collect();
        assert_eq!(told, ["https://a/1", "https://a/2", "https://b/1", "https://a:444/1"]);
        turns.ended("b:443");
        assert_eq!(next(&mut turns), None, "another host's room is of no use");
        turns.ended("a:443");
        assert_eq!(next(&mut turns).as_deref(), Some("https://a/3"));
        assert_eq!(next(&mut turns), None);
    }
}
