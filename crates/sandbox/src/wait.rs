//! Waiting for a fact, never for time.

use std::fmt;
use std::time::{Duration, Instant};

/// The first look comes at once, later ones at growing gaps up to this one.
const GAP_MAX: Duration = Duration::from_millis(50);

/// The fact did not come true within its bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedOut {
    /// What was waited for, as the caller put it.
    pub what: String,
    /// How long.
    pub bound: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waited {:?} in vain for {}", self.bound, self.what)
    }
}

impl std::error::Error for TimedOut {}

/// Looks again and again until `look` answers something or `bound` has passed; looks once more at
/// the very end, so a slow machine does not turn a fact into a time-out.
///
/// It blocks the thread: in asynchronous code call it from a blocking task.
///
/// # Errors
///
/// [`TimedOut`], which names `what`.
pub fn until<T>(
    what: &str,
    bound: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T, TimedOut> {
    let deadline = Instant::now() + bound;
    let mut gap = Duration::from_millis(1);
    loop {
        let last = Instant::now() >= deadline;
        if let Some(found) = look() {
            return Ok(found);
        }
        if last {
            return Err(TimedOut { what: what.to_owned(), bound });
        }
        std::thread::sleep(gap.min(deadline.saturating_duration_since(Instant::now())));
        gap = (gap * 2).min(GAP_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_returns_what_was_found() {
        let mut looks = 0;
        let found = until("three looks", Duration::from_secs(5), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found, Ok(3));
    }

    #[test]
    fn it_gives_up_and_names_what_it_waited_for() {
        let missed = until("a blue moon", Duration::from_millis(5), || None::<()>);
        let message = missed.expect_err("it never comes").to_string();
        assert_eq!(message, "waited 5ms in vain for a blue moon");
    }

    #[test]
    fn a_zero_bound_still_looks_once() {
        assert_eq!(until("now", Duration::ZERO, || Some(7)), Ok(7));
    }
}
