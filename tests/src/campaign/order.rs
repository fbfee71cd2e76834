//! What a person may order on the command line.

use super::settings;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// The whole order, with a value for everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Jobs to take in.
    pub jobs: u64,
    /// Programs of the fleet to kill.
    pub kills: u64,
    /// Seed of every draw.
    pub seed: u64,
    /// `appendfsync` of the server.
    pub fsync: String,
    /// The second fence outside Redis.
    pub fence: bool,
    /// `strict` or `balanced`.
    pub policy: String,
    /// A mistake built into the workers, by name.
    pub mutant: Option<String>,
    /// Nothing but the result on standard output.
    pub json: bool,
    /// The page a run is added to.
    pub evidence: Option<PathBuf>,
    /// No new jobs after this time.
    pub within: Option<Duration>,
    /// Where everything of the run lies; a folder of its own if not said.
    pub dir: Option<PathBuf>,
    /// Faults left out by name, because they need root or a tool.
    pub without: BTreeSet<String>,
    /// The only kinds of weather played, by name; all where there is none.
    pub only: BTreeSet<String>,
    /// By how much every time-out is shortened.
    pub shorten: u32,
    /// Jobs that wait in Redis while there are more to come.
    pub backlog: u64,
    /// Keep the folder of a good run too.
    pub keep: bool,
    /// Every life is to end at a named point: only one that has long not met its point, or was given
    /// none, ends out of the blue.
    pub aimed: bool,
    /// A fair day: nothing fails, and instead of dying programs are restarted as an operator would.
    pub rolling: bool,
    /// Creates a minute of one model of one account, at the simulator as in the fleet.
    pub create_rpm: u32,
    /// Tasks of one model of one account at once, at the simulator as in the fleet.
    pub running: u32,
    /// Creates in a thousand that stay in the provider's front door for almost as long as any may; 0: few, and shorter.
    pub held: u32,
    /// Answers to open questions of the contract, `name=answer`, as the simulator takes them.
    pub doubts: BTreeSet<String>,
    /// The commit this was built from, as the caller says.
    pub commit: String,
    /// The command to repeat it, as the caller says.
    pub command: String,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            jobs: 2_000,
            kills: 200,
            seed: 1,
            fsync: "always".to_owned(),
            fence: true,
            policy: "balanced".to_owned(),
            mutant: None,
            json: false,
            evidence: None,
            within: None,
            dir: None,
            without: BTreeSet::new(),
            only: BTreeSet::new(),
            shorten: 10,
            backlog: 300,
            keep: false,
            aimed: false,
            rolling: false,
            create_rpm: settings::CREATE_RPM,
            running: settings::RUNNING,
            held: 0,
            doubts: BTreeSet::new(),
            commit: "unknown".to_owned(),
            command: String::new(),
        }
    }
}

impl Order {
    /// An answer is played under which a task may be where no list can show it: then a person settles
    /// what no callback settled, and that is as it must be.
    #[must_use]
    pub fn hides_tasks(&self) -> bool {
        let hides = |doubt: &String| matches!(doubt.split_once('='), Some(("nonce", answer)) if answer != "echoed");
        self.doubts.iter().any(hides)
    }
}

/// The words after the program's name.
///
/// # Errors
///
/// What is not understood, in words.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Order, String> {
    let mut order = Order::default();
    let mut words = words.into_iter();
    while let Some(flag) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--jobs" => order.jobs = number(&flag, &value()?)?,
            "--kills" => order.kills = number(&flag, &value()?)?,
            "--seed" => order.seed = number(&flag, &value()?)?,
            "--backlog" => order.backlog = number(&flag, &value()?)?,
            "--shorten" => {
                order.shorten = u32::try_from(number(&flag, &value()?)?.clamp(1, 50)).unwrap_or(1);
            }
            "--fsync" => order.fsync = one_of(&flag, value()?, &["always", "everysec"])?,
            "--policy" => order.policy = one_of(&flag, value()?, &["balanced", "strict"])?,
            "--fence" => order.fence = one_of(&flag, value()?, &["on", "off"])? == "on",
            "--mutant" => order.mutant = Some(value()?),
            "--json" => order.json = true,
            "--keep" => order.keep = true,
            "--aimed" => order.aimed = true,
            "--rolling" => order.rolling = true,
            "--create-rpm" => order.create_rpm = within(&flag, &value()?, 60_000)?,
            "--running" => order.running = within(&flag, &value()?, 10_000)?,
            "--held" => order.held = within(&flag, &value()?, 1_000)?,
            "--doubt" => order.doubts.extend(value()?.split(',').map(str::to_owned)),
            "--evidence" => order.evidence = Some(value()?.into()),
            "--for" => order.within = Some(duration(&flag, &value()?)?),
            "--dir" => order.dir = Some(value()?.into()),
            "--without" => order.without.extend(value()?.split(',').map(str::to_owned)),
            "--only" => order.only.extend(value()?.split(',').map(str::to_owned)),
            "--commit" => order.commit = value()?,
            "--command" => order.command = value()?,
            _ => return Err(format!("`{flag}` is not understood")),
        }
    }
    if order.jobs == 0 {
        return Err("--jobs must be above 0".to_owned());
    }
    Ok(order)
}

fn number(flag: &str, text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| format!("{flag} {text}: a whole number is expected"))
}

fn within(flag: &str, text: &str, most: u32) -> Result<u32, String> {
    let read = u32::try_from(number(flag, text)?).ok().filter(|read| (1..=most).contains(read));
    read.ok_or_else(|| format!("{flag} {text}: a number from 1 to {most} expected"))
}

fn one_of(flag: &str, text: String, words: &[&str]) -> Result<String, String> {
    match words.contains(&text.as_str()) {
        true => Ok(text),
        false => Err(format!("{flag} {text}: {} expected", words.join(" or "))),
    }
}

/// `90s`, `40m`, `2h`.
fn duration(flag: &str, text: &str) -> Result<Duration, String> {
    let unit_s = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some(_) | None => return Err(format!("{flag} {text}: a time such as 90s or 40m expected")),
    };
    Ok(Duration::from_secs(number(flag, &text[..text.len() - 1])? * unit_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Order, String> {
        parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_flag_is_read() {
        let order =
            parsed("--jobs 10_000 --kills 9 --seed 4 --fsync everysec --fence off --for 40m");
        let order = order.unwrap();
        assert_eq!((order.jobs, order.kills, order.seed), (10_000, 9, 4));
        assert_eq!((order.fsync.as_str(), order.fence), ("everysec", false));
        assert_eq!(order.within, Some(Duration::from_secs(2_400)));
        assert_eq!(parsed("--without disk-full,clock").unwrap().without.len(), 2);
        let doubts = parsed("--doubt nonce=absent,seed=refused --doubt links=each_read").unwrap();
        assert!(doubts.hides_tasks() && doubts.doubts.len() == 3);
        assert!(!parsed("--doubt seed=refused,nonce=echoed").unwrap().hides_tasks());
        assert_eq!(parsed("--create-rpm 60 --rolling").unwrap().create_rpm, 60);
        assert_eq!(parsed("--running 200").unwrap().running, 200);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "--job 3",
            "--create-rpm 0",
            "--running 0",
            "--jobs",
            "--jobs x",
            "--jobs 0",
            "--fsync never",
            "--for 3",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
