//! How many deliveries run against one host at a time: a thousand endpoints of a host that hangs must not
//! take every place of a notifier.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The places taken, by origin.
#[derive(Clone)]
pub(crate) struct Origins {
    each_max: usize,
    taken: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// One place; free again when dropped.
pub(crate) struct Place {
    origin: String,
    taken: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Origins {
    pub(crate) fn new(each_max: usize) -> Self {
        Self { each_max, taken: Arc::default() }
    }

    /// A place toward the host of `url`, if one is free.
    pub(crate) fn take(&self, url: &str) -> Option<Place> {
        let origin = egress::Url::parse(url)
            .map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.entry(origin.clone()).or_default();
        if *own >= self.each_max {
            return None;
        }
        *own += 1;
        Some(Place { origin, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.origin) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_so_many_places_and_another_its_own() {
        let origins = Origins::new(2);
        let held: Vec<_> =
            ["a", "b", "c"].map(|p| origins.take(&format!("https://x.example/{p}"))).into();
        assert_eq!(held.iter().flatten().count(), 2);
        assert!(origins.take("https://y.example/").is_some());
        drop(held);
        assert!(origins.take("https://x.example/d").is_some());
        assert!(origins.taken.lock().unwrap().is_empty(), "nothing is kept of who is gone");
    }
}
