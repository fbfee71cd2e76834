//! What is played.

use super::trouble::Fault;
use super::{eta, idle};
use std::time::Duration;

/// What is asked of the program.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// Keep to the limits and use them.
    Load(Order),
    /// Lose no time where nothing waits.
    Idle(IdleOrder),
    /// Tell how long it takes.
    Eta(EtaOrder),
}

/// How what is told of the time that is left is judged.
pub type EtaOrder = eta::Order;

/// How the idle fleet is measured.
pub type IdleOrder = idle::Order;

/// What to run, and what it must come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Submitter processes.
    pub submitters: usize,
    /// Poller processes.
    pub pollers: usize,
    /// Accounts of the pool, each with the same limits.
    pub accounts: usize,
    /// Creates a minute, per account.
    pub create_rpm: u32,
    /// Tasks the provider runs at once, per account.
    pub running: u32,
    /// How long a task runs, before it is divided by `scale`.
    pub run: (Duration, Duration),
    /// How long it goes on, once everybody is up.
    pub lasts: Duration,
    /// The beginning that the shares leave out.
    pub warm_up: Duration,
    /// By how much the fleet's waits and the tasks' times are shortened. Limits of creates are not; those of reads
    /// rise by as much.
    pub scale: u32,
    /// What goes wrong, in turn and over again.
    pub faults: Vec<Fault>,
    /// Between two of them.
    pub every: Duration,
    /// Half of the submitters ten minutes ahead or behind.
    pub clocks: bool,
    /// How long the provider takes to answer a create.
    pub reply: Duration,
    /// `limits.network_spread`: what the way to the provider may take longer at one time than at another. On a
    /// busy machine that is the time a program waits for a processor.
    pub spread: Duration,
    /// The least share of allowed creates.
    pub creates_min: f64,
    /// The least share of slot time.
    pub slots_min: f64,
    /// Seed of all draws.
    pub seed: u64,
}

impl Default for Order {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            submitters: 8,
            pollers: 2,
            accounts: 1,
            create_rpm: 600,
            running: 10,
            run: (100 * second, 180 * second),
            lasts: 180 * second,
            warm_up: 5 * second,
            scale: 1,
            faults: Vec::new(),
            every: 5 * second,
            clocks: false,
            reply: Duration::ZERO,
            spread: Duration::from_millis(250),
            creates_min: 0.0,
            slots_min: 0.0,
            seed: 1,
        }
    }
}

impl Order {
    /// Creates under the tightest row: the slots are many, and empty soon.
    #[must_use]
    pub fn creates() -> Self {
        let second = Duration::from_secs(1);
        Self { running: 400, run: (2 * second, 4 * second), ..Self::default() }
    }

    /// How many jobs keep all of it busy to the end, and some more.
    pub(super) fn backlog(&self) -> usize {
        let (lasts, accounts) = (self.lasts.as_secs_f64() * 1.3 + 10.0, self.accounts as f64);
        let created = f64::from(self.create_rpm) / 60.0 * lasts;
        let run_s = self.run.0.as_secs_f64() / f64::from(self.scale);
        let ran = f64::from(self.running) * (lasts / run_s.max(0.1) + 2.0);
        (created.min(ran) * accounts) as usize + 50
    }
}

/// Reads the words of a command line. A first word names what is asked: `creates` (the default), `slots`, `idle`.
///
/// # Errors
///
/// In words.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Asked, String> {
    let mut words = words.into_iter().peekable();
    let preset = words.next_if(|word| !word.starts_with("--"));
    match preset.as_deref() {
        None | Some("creates") => load(Order::creates(), words).map(Asked::Load),
        Some("slots") => load(Order::default(), words).map(Asked::Load),
        Some("idle") => idle_order(words).map(Asked::Idle),
        Some("eta") => eta_order(words).map(Asked::Eta),
        Some(other) => Err(format!("{other:?} is none of creates, slots, idle, eta")),
    }
}

fn eta_order(mut words: impl Iterator<Item = String>) -> Result<EtaOrder, String> {
    let (mut order, mut others) = (EtaOrder::default(), Vec::new());
    while let Some(flag) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{flag} takes a value"));
        match flag.as_str() {
            "--rows" => {
                order.rows = usize::try_from(number(&flag, &value()?)?.max(100)).unwrap_or(100)
            }
            "--lower-at" => order.lower_at = number(&flag, &value()?)?,
            "--within" => {
                let text = value()?;
                order.within = text.parse().map_err(|_| format!("{flag}: {text:?} is no share"))?;
            }
            _ => others.push(flag),
        }
    }
    order.of = load(order.of, others.into_iter())?;
    Ok(order)
}

fn idle_order(mut words: impl Iterator<Item = String>) -> Result<IdleOrder, String> {
    let mut order = IdleOrder { jobs: 200, fence: true, gap: Duration::from_millis(100) };
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("{flag} takes a value"))?;
        match flag.as_str() {
            "--jobs" => order.jobs = usize::try_from(number(&flag, &value)?.max(1)).unwrap_or(1),
            "--gap-ms" => order.gap = Duration::from_millis(number(&flag, &value)?),
            "--fence" if value == "on" || value == "off" => order.fence = value == "on",
            other => return Err(format!("{other} {value} is nothing that can be measured")),
        }
    }
    Ok(order)
}

fn load(mut order: Order, mut words: impl Iterator<Item = String>) -> Result<Order, String> {
    while let Some(flag) = words.next() {
        if flag == "--clocks" {
            order.clocks = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{flag} takes a value"))?;
        let seconds = || number(&flag, &value).map(Duration::from_secs);
        let count = || number(&flag, &value).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let small = || number(&flag, &value).map(|n| u32::try_from(n).unwrap_or(u32::MAX).max(1));
        let share = || value.parse::<f64>().map_err(|_| format!("{flag}: {value:?} is no share"));
        match flag.as_str() {
            "--submitters" => order.submitters = count()?.max(1),
            "--pollers" => order.pollers = count()?.max(1),
            "--accounts" => order.accounts = count()?.max(1),
            "--create-rpm" => order.create_rpm = small()?,
            "--running" => order.running = small()?,
            "--run" => order.run = (seconds()?, seconds()?),
            "--for" => order.lasts = seconds()?,
            "--warm-up" => order.warm_up = seconds()?,
            "--scale" => order.scale = small()?,
            "--every" => order.every = seconds()?,
            "--reply-ms" => order.reply = Duration::from_millis(number(&flag, &value)?),
            "--spread-ms" => order.spread = Duration::from_millis(number(&flag, &value)?),
            "--seed" => order.seed = number(&flag, &value)?,
            "--creates-min" => order.creates_min = share()?,
            "--slots-min" => order.slots_min = share()?,
            "--faults" => order.faults = Fault::list(&value)?,
            other => return Err(format!("{other} is no flag of this program")),
        }
    }
    Ok(order)
}

fn number(flag: &str, value: &str) -> Result<u64, String> {
    value.replace('_', "").parse().map_err(|_| format!("{flag}: {value:?} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Order, String> {
        match parse(words.split_whitespace().map(str::to_owned))? {
            Asked::Load(order) => Ok(order),
            Asked::Idle(order) => Err(format!("{order:?}")),
            Asked::Eta(order) => Err(format!("{order:?}")),
        }
    }

    #[test]
    fn an_order_is_read() {
        let order = parsed("slots --submitters 64 --scale 10 --faults kill,redis-wipe --clocks");
        let order = order.unwrap();
        assert_eq!((order.submitters, order.running, order.scale), (64, 10, 10));
        assert_eq!((order.faults, order.clocks), (vec![Fault::Kill, Fault::RedisWipe], true));
        assert_eq!(parsed("--faults all").unwrap().faults, Fault::ALL);
        for wrong in ["--submitters", "--for ever", "nothing", "--faults rain", "--no", "idle"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_order_of_an_eta_takes_the_words_of_others_too() {
        let words = "eta --rows 2_000 --running 20 --lower-at 100 --scale 30";
        let Ok(Asked::Eta(order)) = parse(words.split_whitespace().map(str::to_owned)) else {
            panic!("it is read");
        };
        assert_eq!((order.rows, order.lower_at), (2_000, 100));
        assert_eq!((order.of.running, order.of.scale, order.of.submitters), (20, 30, 2));
        for wrong in ["eta --rows", "eta --within much", "eta --no 1"] {
            assert!(parse(wrong.split_whitespace().map(str::to_owned)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_backlog_outlasts_the_run() {
        let order = parsed("creates --for 60").unwrap();
        assert!(order.backlog() > 660, "{}", order.backlog());
        let order = parsed("slots --for 600 --accounts 3").unwrap();
        assert!(order.backlog() > 3 * 10 * 6 && order.backlog() < 1_000, "{}", order.backlog());
    }
}
