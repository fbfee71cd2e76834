//! Patience: whoever follows something for hours waits an outage out instead of ending with it.

use crate::cli::Global;
use crate::exit::{Exit, Failure};
use crate::output::{Progress, note, plain};
use job::Timestamp;
use std::time::{Duration, Instant};

/// Nobody who is away is asked again sooner, however often a verb looks at other times.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// What a question may take beyond the end of the wait: it is asked once more when time is up.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The questions of one wait. Until the first answer an outage ends it, since the address may be wrong; from then on
/// one is told once, waited out, and told to be over.
#[derive(Debug)]
pub(crate) struct Patience {
    quiet: bool,
    pause: Duration,
    begun: Instant,
    /// Longest wait; none: for as long as it takes.
    timeout: Option<Duration>,
    has_answered: bool,
    away: Option<Away>,
}

/// An outage that lasts.
#[derive(Debug)]
struct Away {
    since: Instant,
    /// The last word on it.
    why: String,
}

impl Patience {
    /// A wait that begins now and looks every `pause`.
    pub(crate) fn new(global: &Global, pause: Duration, timeout: Option<Duration>) -> Self {
        let (quiet, begun) = (global.quiet, Instant::now());
        let pause = pause.max(PAUSE_MIN);
        Self { quiet, pause, begun, timeout, has_answered: false, away: None }
    }

    /// Whom it asks has answered this command before.
    #[must_use]
    pub(crate) const fn answered(mut self) -> Self {
        self.has_answered = true;
        self
    }

    /// Whether time is up.
    pub(crate) fn is_over(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }

    fn left(&self) -> Option<Duration> {
        Some(self.timeout?.saturating_sub(self.begun.elapsed()))
    }

    /// As [`Patience::answer`]; `late` is what is said at the end of the wait.
    ///
    /// # Errors
    ///
    /// As there; `late`, with the outage that outlasted the wait as its cause.
    pub(crate) async fn ask<T>(
        &mut self,
        progress: Option<&Progress>,
        late: impl Fn() -> Failure,
        question: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let answer = self.answer(progress, question).await?;
        answer.ok_or_else(|| self.blamed(late()))
    }

    /// The answer to a question, which is asked again after an outage. None: none came by the end of the wait, which
    /// breaks a question off.
    ///
    /// # Errors
    ///
    /// Any that is no outage; an outage before the first answer.
    pub(crate) async fn answer<T>(
        &mut self,
        progress: Option<&Progress>,
        mut question: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        loop {
            let since = Instant::now();
            let failure = match tokio::time::timeout(self.longest(), question()).await {
                Ok(Ok(answer)) => {
                    self.heard(progress);
                    return Ok(Some(answer));
                }
                Ok(Err(failure)) if self.has_answered && failure.exit == Exit::Outage => failure,
                Ok(Err(failure)) => return Err(failure),
                Err(_) => {
                    self.away.get_or_insert_with(|| Away { since, why: "no answer".to_owned() });
                    return Ok(None);
                }
            };
            let pause = self.missed(&failure, progress);
            tokio::time::sleep(self.left().map_or(pause, |left| left.min(pause))).await;
            if self.is_over() {
                return Ok(None);
            }
        }
    }

    /// What the next question may take.
    fn longest(&self) -> Duration {
        match (self.left(), &self.away) {
            (Some(left), Some(_)) => left,
            (Some(left), None) if self.has_answered => left.max(ANSWER_MAX),
            (Some(_) | None, _) => Duration::MAX,
        }
    }

    /// Tells of an outage that is new; how long to wait before the next try.
    fn missed(&mut self, failure: &Failure, progress: Option<&Progress>) -> Duration {
        let why = plain(&failure.to_string());
        match &mut self.away {
            Some(away) => away.why = why,
            None => {
                // Where nothing more is waited for, what is said last tells of it.
                if !self.is_over() {
                    let until = self.left().map(until).unwrap_or_default();
                    self.say(progress, &format!("outage: {why}; it is waited out{until}"));
                }
                self.away = Some(Away { since: Instant::now(), why });
            }
        }
        failure.again_after.unwrap_or_default().max(self.pause)
    }

    /// Tells that an outage is over.
    fn heard(&mut self, progress: Option<&Progress>) {
        self.has_answered = true;
        if let Some(away) = self.away.take() {
            self.say(progress, &format!("the outage is over after {} s", away.seconds()));
        }
    }

    /// The same failure, with the outage that lasts as its cause.
    fn blamed(&self, failure: Failure) -> Failure {
        match &self.away {
            Some(away) => {
                failure.because(format!("an outage of {} s: {}", away.seconds(), away.why))
            }
            None => failure,
        }
    }

    fn say(&self, progress: Option<&Progress>, line: &str) {
        match progress {
            Some(progress) => progress.remark(line),
            None if !self.quiet => note(line),
            None => {}
        }
    }
}

/// When the wait ends that lasts so long from now, behind what is said of it.
fn until(left: Duration) -> String {
    let now = Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond());
    format!(", until {} (--timeout)", (now + left).rfc3339())
}

impl Away {
    fn seconds(&self) -> u64 {
        self.since.elapsed().as_secs().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const SOON: Duration = Duration::from_millis(1);

    fn waits(timeout: Option<Duration>, has_answered: bool) -> Patience {
        let begun = Instant::now();
        Patience { quiet: true, pause: SOON, begun, timeout, has_answered, away: None }
    }

    fn outage(why: &str) -> Failure {
        Failure::new(Exit::Outage, why)
    }

    fn late() -> Failure {
        Failure::new(Exit::Deadline, "not ended")
    }

    /// What comes of a question that is answered so, time after time.
    fn asked(
        patience: &mut Patience,
        answers: impl IntoIterator<Item = Result<u32, Failure>>,
    ) -> Result<u32, Failure> {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let mut answers: VecDeque<_> = answers.into_iter().collect();
        let next = async || answers.pop_front().expect("it is not asked so often");
        runtime.block_on(patience.ask(None, late, next))
    }

    #[test]
    fn an_outage_before_the_first_answer_is_told_at_once() {
        let mut patience = waits(None, false);
        assert_eq!(
            asked(&mut patience, [Err(outage("nobody there"))]),
            Err(outage("nobody there"))
        );
    }

    #[test]
    fn an_outage_after_an_answer_is_waited_out() {
        let mut patience = waits(None, false);
        assert_eq!(asked(&mut patience, [Ok(1)]), Ok(1));
        let answers = [Err(outage("gone")), Err(outage("loading")), Ok(2)];
        assert_eq!(asked(&mut patience, answers), Ok(2));
        assert!(patience.away.is_none(), "{patience:?}");
    }

    #[test]
    fn what_is_no_outage_ends_a_wait_in_the_middle_of_one() {
        let mut patience = waits(None, true);
        let gone = Failure::new(Exit::NotFound, "there is no batch spring");
        assert_eq!(asked(&mut patience, [Err(outage("gone")), Err(gone.clone())]), Err(gone));
    }

    #[test]
    fn a_wait_that_ends_in_an_outage_names_it() {
        let mut patience = waits(Some(Duration::from_millis(50)), true);
        let failure = asked(&mut patience, std::iter::repeat_n(Err(outage("gone")), 10_000));
        let failure = failure.expect_err("nobody answered");
        assert_eq!(failure.exit, Exit::Deadline);
        let said = failure.to_string();
        assert!(said.starts_with("not ended: an outage of ") && said.ends_with(": gone"), "{said}");
        assert!(patience.is_over());
    }

    #[test]
    fn a_question_without_an_answer_ends_with_the_wait() {
        let mut patience = waits(Some(Duration::from_millis(50)), true);
        let away = patience.missed(&outage("gone"), None);
        assert_eq!(away, SOON);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let never = async || std::future::pending::<Result<u32, Failure>>().await;
        let failure = runtime.block_on(patience.ask(None, late, never)).expect_err("no answer");
        assert_eq!(failure.exit, Exit::Deadline);
        assert!(failure.to_string().ends_with(": gone"), "{failure}");
    }

    #[test]
    fn who_says_when_to_come_again_is_not_asked_before() {
        let mut patience = waits(None, true);
        let mut failure = outage("too many requests");
        failure.again_after = Some(Duration::from_secs(7));
        assert_eq!(patience.missed(&failure, None), Duration::from_secs(7));
        failure.again_after = Some(Duration::ZERO);
        assert_eq!(patience.missed(&failure, None), SOON);
    }
}
