//! What is played.

use super::ROLES;
use crate::kit::Options;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What an account is fed beyond what it runs; the shipped value.
pub(super) const LOOKAHEAD: u32 = 2;
/// How late a slot may be used.
const USE_WITHIN_MS: i64 = 500;
/// How large a video is said to be.
const OUTPUT_BYTES: u64 = 1_000_000;
/// Work there is for each of the most processes, and a little more: what is learned of a task's time is known to
/// half a bucket, up to 4.5 % too long.
const FILLED: f64 = 33.0 / 32.0;
/// Creates a minute that are allowed, beside those for which slots come free.
const RATE_TO_SPARE: f64 = 1.5;
/// Reads a second and account, at the provider as in the fleet.
const RETRIEVE_QPS: u32 = 200;
const LIST_QPS: u32 = 20;
const DELETE_QPS: u32 = 20;

/// What to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// The backlog.
    pub jobs: usize,
    /// Processes of a role at most: as many as the limits at their highest have use for.
    pub most: u32,
    /// Creates a second that one submitter is said to make, and tasks a second that the others are said to serve.
    pub each: u32,
    /// How long a task runs.
    pub generate: Duration,
    /// `poll.steady`.
    pub steady: Duration,
    /// By how much the autoscaler's times are shortened.
    pub scale: u32,
    /// `limits.network_spread`: how long a program may wait for a processor.
    pub spread: Duration,
    /// Videos that are stored are taken away again, so that a million of them fill no disk.
    pub forget_media: bool,
    /// The longest it may take.
    pub lasts_max: Duration,
    /// The clone whose `docs/scaling.md` is to tell of the run.
    pub write: Option<PathBuf>,
    /// For that page.
    pub commit: String,
    /// For that page.
    pub command: String,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            jobs: 50_000,
            most: 16,
            each: 5,
            generate: Duration::from_secs(4),
            steady: Duration::from_secs(1),
            scale: 20,
            spread: Duration::from_secs(1),
            forget_media: false,
            lasts_max: Duration::from_secs(3_600),
            write: None,
            commit: String::new(),
            command: String::new(),
        }
    }
}

/// Limits of the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Tasks at once.
    pub(super) running: u32,
    /// Creates a minute.
    pub(super) create_rpm: u32,
}

impl Order {
    /// For a test: four processes of each role, seconds instead of minutes.
    #[must_use]
    pub fn small() -> Self {
        Self {
            jobs: 240,
            most: 4,
            each: 3,
            generate: Duration::from_secs(2),
            steady: Duration::from_millis(300),
            scale: 100,
            // Debug programs beside other tests wait longer for a processor.
            spread: Duration::from_secs(2),
            lasts_max: Duration::from_secs(200),
            ..Self::default()
        }
    }

    /// The limits at their highest.
    pub(super) fn high(&self) -> Limits {
        let tasks = f64::from(self.most * self.each) * self.generate.as_secs_f64() * FILLED;
        self.limits(tasks.ceil() as u32)
    }

    /// And lowered, to a little less than a half: as many processes lie on no edge.
    pub(super) fn low(&self) -> Limits {
        self.limits(self.high().running * 15 / 32)
    }

    fn limits(&self, running: u32) -> Limits {
        let creates_per_s = f64::from(running) / self.generate.as_secs_f64();
        Limits { running, create_rpm: (creates_per_s * 60.0 * RATE_TO_SPARE).ceil() as u32 }
    }

    /// Looks at tasks that one poller is said to make in a second.
    pub(super) fn looks_each(&self) -> u64 {
        let looks = f64::from(self.high().running + LOOKAHEAD) / self.steady.as_secs_f64();
        ((looks / (f64::from(self.most) * FILLED)) as u64).max(1)
    }

    /// One process: creates, looks and tasks' videos a second, in the order of [`ROLES`].
    pub(super) fn work_each(&self) -> [f64; ROLES.len()] {
        [f64::from(self.each), self.looks_each() as f64, f64::from(self.each)]
    }

    /// What the autoscaler takes for a minute.
    pub(super) fn minute(&self) -> Duration {
        Duration::from_secs(60) / self.scale
    }

    /// `scaling.drain_within`: as shipped, shortened.
    pub(super) fn drain_within(&self) -> Duration {
        self.minute() * 10
    }

    /// `scaling.fill_within`: so long that slots which are free for a moment never count for more than those that come
    /// free by themselves, and the limits alone decide.
    fn fill_within(&self) -> Duration {
        self.generate * 2
    }

    /// What the row of instants adds to a minute, ms.
    pub(super) fn slack_ms(&self) -> i64 {
        USE_WITHIN_MS + i64::try_from(self.spread.as_millis()).unwrap_or(i64::MAX)
    }

    /// The fleet and its provider.
    pub(super) fn options(&self, token_file: &Path) -> Options {
        let high = self.high();
        let ms = |time: Duration| format!("\"{}ms\"", time.as_millis());
        let mut config = format!(
            "[pools.sim.accounts.a.limits]\nretrieve_qps = {RETRIEVE_QPS}\nlist_qps = {LIST_QPS}\n\
             delete_qps = {DELETE_QPS}\n[pools.sim.accounts.a.limits.classes]\n\
             \"2.0\" = {{ create_rpm = {}, running = {} }}\n\
             [poll]\nsteady = {}\nmax = {}\n\
             [limits]\nuse_within = \"{USE_WITHIN_MS}ms\"\nnetwork_spread = {}\n\
             [scaling]\nevery = {}\nstale_after = \"5s\"\ntoken_file = \"{}\"\ndrain_within = {}\n\
             fill_within = {}\ngenerate = {}\noutput_bytes = {OUTPUT_BYTES}\n",
            high.create_rpm,
            high.running,
            ms(self.steady),
            ms(self.steady * 2),
            ms(self.spread),
            ms((self.minute() / 6).max(Duration::from_millis(100))),
            token_file.display(),
            ms(self.drain_within()),
            ms(self.fill_within()),
            ms(self.generate),
        );
        let each = [
            ("submitter", format!("creates_per_s = {}", self.each)),
            ("poller", format!("looks_per_s = {}", self.looks_each())),
            ("downloader", format!("bytes_per_s = {}", u64::from(self.each) * OUTPUT_BYTES)),
        ];
        for (role, does) in each {
            config.push_str(&format!("[scaling.{role}]\nmin = 1\nmax = {}\n{does}\n", self.most));
        }
        let mut options = Options::empty().config(&config);
        options.roles = vec!["gateway"];
        let run_s = self.generate.as_secs_f64();
        let of = self.provider(high);
        let limits = of.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let limits = limits.map(|(name, value)| format!("--limits={name}={value}"));
        options.simulator.extend(limits);
        options.simulator.extend(["--run-s".to_owned(), format!("{run_s}-{run_s}")]);
        options.simulator.extend(["--queue-s", "0-0"].map(str::to_owned));
        options
    }

    /// Limits in the simulator's words.
    pub(super) fn provider(&self, of: Limits) -> serde_json::Value {
        serde_json::json!({
            "create_rpm": of.create_rpm, "running": of.running, "create_rpm_4k": null, "running_4k": null, "queued": null,
            "retrieve_qps": RETRIEVE_QPS, "list_qps": LIST_QPS, "delete_qps": DELETE_QPS, "downloads": null,
        })
    }

    pub(super) fn told(&self) -> serde_json::Value {
        let (high, low) = (self.high(), self.low());
        serde_json::json!({
            "jobs": self.jobs, "most": self.most, "each": self.each, "generate_s": self.generate.as_secs_f64(),
            "steady_s": self.steady.as_secs_f64(), "scale": self.scale, "spread_ms": self.spread.as_millis() as u64,
            "running": [high.running, low.running], "create_rpm": [high.create_rpm, low.create_rpm],
        })
    }
}

/// Reads the words of a command line. The first may be `small`, the size of the test.
///
/// # Errors
///
/// In words.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Order, String> {
    let mut words = words.into_iter().peekable();
    let small = words.next_if(|word| word == "small").is_some();
    let mut order = if small { Order::small() } else { Order::default() };
    while let Some(flag) = words.next() {
        if flag == "--forget-media" {
            order.forget_media = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{flag} is no flag, or takes a value"))?;
        let whole = || number(&flag, &value);
        let small = || number(&flag, &value).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        match flag.as_str() {
            "--jobs" => order.jobs = usize::try_from(whole()?).unwrap_or(usize::MAX),
            "--replicas" => order.most = small()?.max(2),
            "--each" => order.each = small()?,
            "--generate-ms" => order.generate = Duration::from_millis(whole()?),
            "--steady-ms" => order.steady = Duration::from_millis(whole()?),
            "--scale" => order.scale = small()?,
            "--spread-ms" => order.spread = Duration::from_millis(whole()?),
            "--at-most-s" => order.lasts_max = Duration::from_secs(whole()?),
            "--write" => order.write = Some(PathBuf::from(value)),
            "--commit" => order.commit = value,
            "--command" => order.command = value,
            other => return Err(format!("{other} is no flag of this program")),
        }
    }
    Ok(order)
}

/// From 1 on.
fn number(flag: &str, value: &str) -> Result<u64, String> {
    let number = value.replace('_', "").parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{flag}: {value:?} is no number from 1 on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Order, String> {
        parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn an_order_is_read() {
        let order = parsed("--jobs 1_000_000 --forget-media --replicas 8 --write .").unwrap();
        assert_eq!((order.jobs, order.most, order.forget_media), (1_000_000, 8, true));
        assert_eq!(order.write, Some(PathBuf::from(".")));
        assert_eq!(parsed("small --jobs 100").unwrap().most, 4);
        for wrong in ["--jobs", "--jobs many", "--scale 0", "large", "--rain 3"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_limits_have_use_for_all_processes_and_for_half_of_them() {
        for order in [Order::default(), Order::small()] {
            let [creates, looks, _] = order.work_each();
            let (high, low) = (order.high(), order.low());
            let submitters =
                |of: Limits| f64::from(of.running) / order.generate.as_secs_f64() / creates;
            let most = f64::from(order.most);
            assert!(submitters(high) > most, "{order:?}");
            assert!((submitters(low) - most / 2.0).abs() < 0.5, "{order:?}");
            let tasks = f64::from(high.running + LOOKAHEAD) / order.steady.as_secs_f64();
            assert!(tasks / looks > most, "{order:?}");
            let per_minute = f64::from(low.create_rpm) / 60.0;
            assert!(per_minute > f64::from(low.running) / order.generate.as_secs_f64());
        }
    }
}
