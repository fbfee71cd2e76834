//! What rows share: a fleet without limits, requests of one size, a look at processes.

use e2e::kit::{ALICE, Fleet, Options, Receiver, Reply};
use job::StateWord;
use reqwest::{Client, Method, RequestBuilder};
use sandbox::wait;
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of a request as a caller writes it.
pub const REQUEST_BYTES: usize = 603;
/// Jobs of one bulk request, and such requests at a time.
pub const BULK_JOBS: usize = 1_000;
const BULKS_AT_ONCE: usize = 4;
/// The longest time any part of a row may take.
pub const BOUND: Duration = Duration::from_secs(900);
/// Ticks of processor time in a second, as the kernel tells it to programs.
const TICKS_HZ: f64 = 100.0;
/// How much of the programs' logs is shown when one does not do its part.
const TOLD_CHARS: usize = 3_000;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

/// Limits that bind nobody, and as much at a time as one machine can use.
pub const UNBOUND: &str = r#"
[pools.sim.accounts.a.limits]
retrieve_qps = 10000
list_qps = 1000
[pools.sim.accounts.a.limits.classes]
"2.0" = { create_rpm = 600000, running = 10000 }
[submit]
concurrency = 128
lease = "30s"
renew = "10s"
[poll]
first = "300ms"
steady = "500ms"
lease = "30s"
renew = "10s"
[download]
concurrency = 64
lease = "30s"
renew = "10s"
[limits]
grant_horizon = "2s"
"#;

/// A simulator that is done at once, with films of a size that has to be streamed.
pub const FAST: [&str; 6] =
    ["--run-s", "0.1-0.2", "--queue-s", "0-0", "--clip-bytes-min", "262144"];

/// A request of [`REQUEST_BYTES`] that no other is equal to.
#[must_use]
pub fn request(mark: &str) -> Value {
    let of = |text: String| {
        json!({
            "model": "seedance-2.0",
            "content": [{"type": "text", "text": text}],
            "duration": 4,
        })
    };
    let bare = of(format!("{mark} ")).to_string().len();
    let filling = "a paper boat crosses a puddle ".chars().cycle();
    of(format!("{mark} ") + &filling.take(REQUEST_BYTES - bare).collect::<String>())
}

/// The whole street, without limits: gateway, submitter, poller, downloader, notifier.
#[must_use]
pub fn street(receiver: &Receiver) -> Options {
    street_with(receiver, &FAST)
}

/// The same, with these flags of the simulator.
#[must_use]
pub fn street_with(receiver: &Receiver, simulator: &[&str]) -> Options {
    let mut options = Options::default().simulator(simulator).config(UNBOUND);
    options.roles.splice(0..0, ["gateway", "notifier"]);
    let origin = receiver.origin();
    options.config(&format!("[webhooks]\nallow_origins = [\"{origin}\"]\n"))
}

/// HTTP from this process, many requests at a time.
pub struct Caller<'a> {
    /// Whom it calls.
    pub fleet: &'a Fleet,
    client: Client,
}

impl<'a> Caller<'a> {
    /// A caller of this fleet's gateway.
    ///
    /// # Panics
    ///
    /// Never: the client has no extras.
    #[must_use]
    pub fn of(fleet: &'a Fleet) -> Self {
        Self { fleet, client: Client::builder().no_proxy().build().expect("a client") }
    }

    /// A request to the gateway.
    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let port = self.fleet.gateway_port();
        self.client.request(method, format!("http://127.0.0.1:{port}{path}"))
    }

    /// Has the tenant's ends told to this receiver.
    ///
    /// # Panics
    ///
    /// The gateway refuses.
    pub fn tell(&self, receiver: &Receiver) {
        let body = json!({
            "url": receiver.url("/ends"), "types": ["job.succeeded"], "secret": SECRET,
        });
        let request = self.ask(Method::POST, "/v1/webhook-endpoints").bearer_auth(ALICE);
        let reply = self.fleet.send(request.json(&body));
        assert_eq!(reply.status, 201, "{}", reply.body);
    }

    /// Takes at least so many jobs in by bulk; how many it were, and how long it took.
    ///
    /// # Panics
    ///
    /// A job is refused.
    pub fn bulk(&self, wave: &str, jobs: usize) -> (usize, Duration) {
        let mut made = 0;
        let mut took = Duration::ZERO;
        while made < jobs {
            let each = BULK_JOBS.min(jobs - made);
            let requests: Vec<RequestBuilder> = (0..BULKS_AT_ONCE
                .min((jobs - made).div_ceil(each)))
                .map(|k| {
                    let first = made + k * each;
                    let body = |n| request(&format!("{wave} {n}"));
                    let jobs: Vec<Value> = (first..first + each).map(body).collect();
                    let request = self.ask(Method::POST, "/v1/jobs:bulk").bearer_auth(ALICE);
                    request.json(&json!({"jobs": jobs}))
                })
                .collect();
            let sent = requests.len();
            // Making the documents is the caller's work, not the gateway's.
            let begun = Instant::now();
            let replies = self.fleet.send_all(requests);
            took += begun.elapsed();
            let created = |reply: &Reply| reply.body["created"].as_u64();
            let all = replies.iter().all(|reply| created(reply) == Some(each as u64));
            assert!(all, "{}", replies[0].body);
            made += sent * each;
        }
        (made, took)
    }
}

/// Waits until so many jobs stand in a state.
///
/// # Panics
///
/// They do not within [`BOUND`]; with the last lines of the programs.
pub fn until_count(fleet: &Fleet, word: StateWord, jobs: usize) {
    let look = || {
        let counts = fleet.run(fleet.store().counts()).unwrap_or_default();
        (counts.get(&word).copied().unwrap_or(0) >= jobs as u64).then_some(())
    };
    let what = format!("{jobs} jobs {}", word.as_str());
    wait::until(&what, BOUND, look).unwrap_or_else(|missed| {
        let counts = fleet.run(fleet.store().counts());
        let logs = fleet.logs();
        let tail = logs.char_indices().rev().nth(TOLD_CHARS).map_or(0, |(at, _)| at);
        panic!("{missed}: {counts:?}\n{}", &logs[tail..])
    });
}

/// Resident memory of a process, MiB.
///
/// # Panics
///
/// It does not run.
#[must_use]
pub fn rss_mib(pid: u32) -> f64 {
    sandbox::machine::resident_bytes(pid).expect("it runs") as f64 / f64::from(1 << 20)
}

/// Processor time of a process so far, µs.
///
/// # Panics
///
/// It does not run.
#[must_use]
pub fn cpu_us(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // The name in parentheses may hold blanks.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS_HZ * 1e6
}

/// The wall clock, Unix ms: the simulator reads the same one.
#[must_use]
pub fn now_ms() -> f64 {
    since_epoch_ms(SystemTime::now()).unwrap_or(0.0)
}

/// A time of the wall clock, Unix ms; none before 1970.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "the year is far from what a float cannot tell")]
pub fn since_epoch_ms(time: SystemTime) -> Option<f64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_micros() as f64 / 1_000.0)
}

/// For each run, what one run measured: turned round, each measure with all its samples.
#[must_use]
pub fn columns<const N: usize>(runs: &[[f64; N]]) -> [Vec<f64>; N] {
    std::array::from_fn(|at| runs.iter().map(|run| run[at]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_one_size() {
        for mark in ["a 1", "bulk 1234567 of run 5"] {
            assert_eq!(request(mark).to_string().len(), REQUEST_BYTES);
        }
        assert_eq!(columns(&[[1.0, 2.0], [3.0, 4.0]]), [vec![1.0, 3.0], vec![2.0, 4.0]]);
    }

    #[test]
    fn a_process_is_looked_at() {
        let me = std::process::id();
        assert!(rss_mib(me) > 1.0);
        assert!(cpu_us(me) >= 0.0);
    }
}
