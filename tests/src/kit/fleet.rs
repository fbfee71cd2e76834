//! The fleet itself: starting it, looking at it, waiting for what it does.

use super::config::{self, Places};
use super::door::Inside;
use super::guard;
use super::http::Web;
use super::ledger::Ledger;
use super::{ALICE, BOB, PowerOptions, PowerRedis};
use job::{JobId, Record, StateWord};
use sandbox::{Logs, Process, Redis, TempDir, bins, ports, wait};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a fact may take to come true; far more than a healthy fleet needs on a busy machine.
pub const BOUND: Duration = Duration::from_secs(40);

/// The provider's key in tests: a word no log may hold.
pub(super) const PROVIDER_KEY: &str = "canary-provider-key-81c7";

/// What a test wants otherwise.
#[derive(Debug, Clone)]
pub struct Options {
    /// Programs started at once; `gateway` is waited for.
    pub roles: Vec<&'static str>,
    /// A second configuration file, which wins over the kit's.
    pub config: String,
    /// More flags for the simulator; they win as well.
    pub simulator: Vec<String>,
    /// A Redis on a machine whose power can be cut, instead of a plain one.
    pub power: Option<PowerOptions>,
    /// The address of the test's own servers; what else is to be known of them stands in `config`.
    pub elsewhere: Option<String>,
    /// Each program logs in to Redis as its user of `deploy/redis/users.acl`; the server knows them by
    /// [`Walls`](super::Walls).
    pub users: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            roles: vec!["submitter", "poller", "downloader"],
            config: String::new(),
            simulator: Vec::new(),
            power: None,
            elsewhere: None,
            users: false,
        }
    }
}

impl Options {
    /// With the gateway, and callbacks switched on.
    #[must_use]
    pub fn with_gateway() -> Self {
        let mut options = Self::default();
        options.roles.insert(0, "gateway");
        options.config = "[callbacks]\nenabled = true\n".to_owned();
        options
    }

    /// No program at all: the test starts them.
    #[must_use]
    pub fn empty() -> Self {
        Self { roles: Vec::new(), ..Self::default() }
    }

    /// More configuration.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config.push_str(text);
        self
    }

    /// On a Redis whose power can be cut.
    #[must_use]
    pub fn power(mut self, power: PowerOptions) -> Self {
        self.power = Some(power);
        self
    }

    /// On servers of the test's own at this address; section `redis` of the text tells the rest.
    #[must_use]
    pub fn elsewhere(mut self, url: &str, section: &str) -> Self {
        self.elsewhere = Some(url.to_owned());
        self.config(section)
    }

    /// Each program as its own user of Redis.
    #[must_use]
    pub fn users(mut self) -> Self {
        self.users = true;
        self
    }

    /// More flags of the simulator.
    #[must_use]
    pub fn simulator(mut self, flags: &[&str]) -> Self {
        self.simulator.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }
}

/// Measures how long something took, in words for a message.
#[derive(Debug, Clone, Copy)]
pub struct StopWatch(Instant);

impl StopWatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A private fleet.
pub struct Fleet {
    pub(super) roles: Mutex<BTreeMap<String, Arc<Process>>>,
    pub(super) inside: Inside,
    pub(super) web: Web,
    simulator: Process,
    ports: Ports,
    memory: Memory,
    gateway_port: u16,
    pub(super) users: bool,
    /// Declared last: the folder goes after everybody who writes to it.
    dir: TempDir,
}

/// The server with everything in it.
enum Memory {
    Plain(Redis),
    Power(PowerRedis),
    Elsewhere(String),
}

impl Memory {
    fn start(options: &Options) -> Self {
        if let Some(power) = &options.power {
            return Self::Power(PowerRedis::start(power));
        }
        if let Some(url) = &options.elsewhere {
            return Self::Elsewhere(url.clone());
        }
        let redis = Redis::start(sandbox::Options::default());
        Self::Plain(redis.unwrap_or_else(|error| panic!("no private Redis: {error}")))
    }

    fn server(&self) -> Option<&Redis> {
        match self {
            Self::Plain(redis) => Some(redis),
            Self::Power(power) => Some(power.server()),
            Self::Elsewhere(_) => None,
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Plain(redis) => redis.url(),
            Self::Power(power) => power.server().url(),
            Self::Elsewhere(url) => url.clone(),
        }
    }
}

/// Where the simulator listens.
#[derive(Debug, serde::Deserialize)]
struct Ports {
    api: String,
    media: String,
    control: String,
}

impl Fleet {
    /// Starts everything the options name.
    ///
    /// # Panics
    ///
    /// Anything that does not start, with its last lines.
    #[must_use]
    pub fn start(options: Options) -> Self {
        let dir = TempDir::new("fleet").expect("a temporary folder");
        let memory = Memory::start(&options);
        let mut redis = memory.url();
        if options.users {
            redis = guard::url(&redis, "seedfleet");
        }
        let (simulator, ports) = start_simulator(dir.path(), &options.simulator);
        let gateway_port = ports::free();
        let keys = [
            ("provider.key", PROVIDER_KEY),
            ("alice.key", ALICE),
            ("bob.key", BOB),
            ("callback.key", "canary-callback-key-of-forty-bytes-5d0e1f"),
        ];
        for (name, key) in keys {
            std::fs::write(dir.path().join(name), key).expect("the folder is ours");
        }
        let places = Places {
            dir: dir.path(),
            redis: &redis,
            api: &ports.api,
            media: &ports.media,
            gateway_port,
        };
        write(&dir.path().join("fleet.toml"), &config::text(&places));
        write(&dir.path().join("own.toml"), &options.config);
        let files = [dir.path().join("fleet.toml"), dir.path().join("own.toml")];
        let inside = Inside::open(&files);
        let web = Web::new();
        let roles = Mutex::default();
        let users = options.users;
        let fleet = Self { roles, inside, web, simulator, ports, memory, gateway_port, users, dir };
        for role in options.roles {
            match role {
                "gateway" => fleet.start_gateway(),
                role => drop(fleet.start_role(role)),
            }
        }
        fleet
    }

    /// Rewrites the test's own configuration; programs read it when they start the next time.
    pub fn reconfigure(&self, text: &str) {
        write(&self.own_config_file(), text);
    }

    /// The server with everything in it.
    ///
    /// # Panics
    ///
    /// The test brought its own.
    #[must_use]
    pub fn redis(&self) -> &Redis {
        self.memory.server().expect("the test did not bring its own")
    }

    /// Its address, without a login.
    pub(super) fn redis_url(&self) -> String {
        self.memory.url()
    }

    /// The last lines of the server, where it is ours.
    pub(super) fn redis_tail(&self) -> String {
        self.memory.server().map_or_else(String::new, |redis| redis.log_tail(5))
    }

    /// The same on a machine whose power can be cut.
    ///
    /// # Panics
    ///
    /// The options did not ask for one.
    #[must_use]
    pub fn power(&self) -> &PowerRedis {
        match &self.memory {
            Memory::Power(power) => power,
            Memory::Plain(_) | Memory::Elsewhere(_) => {
                panic!("the options asked for a plain Redis")
            }
        }
    }

    /// The provider.
    #[must_use]
    pub fn simulator(&self) -> &Process {
        &self.simulator
    }

    /// `IP:PORT` of the provider's API.
    #[must_use]
    pub fn api_address(&self) -> &str {
        &self.ports.api
    }

    /// `IP:PORT` of the provider's file host.
    #[must_use]
    pub fn media_address(&self) -> &str {
        &self.ports.media
    }

    pub(super) fn control_address(&self) -> &str {
        &self.ports.control
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn gateway_port(&self) -> u16 {
        self.gateway_port
    }

    /// A file below the fleet's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.path("fleet.toml")
    }

    pub(super) fn own_config_file(&self) -> PathBuf {
        self.path("own.toml")
    }

    pub(super) fn log_dir(&self) -> PathBuf {
        self.path("logs")
    }

    pub(super) fn roles(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Process>>> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ledger as it stands now.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger::parse(&std::fs::read_to_string(self.path("ledger.ndjson")).unwrap_or_default())
    }

    /// Waits for a fact.
    ///
    /// # Panics
    ///
    /// It does not come true within [`BOUND`].
    pub fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        wait::until(what, BOUND, look).unwrap_or_else(|missed| panic!("{missed}"))
    }

    /// Waits until a job stands in the state of this word, and hands its record out.
    ///
    /// # Panics
    ///
    /// It ends otherwise, or [`BOUND`] passes; the message tells its whole way.
    pub fn wait(&self, id: &JobId, word: &str) -> Record {
        let wanted = StateWord::parse(word).unwrap_or_else(|| panic!("no state is called {word}"));
        let record = self.wait_any(id, &[wanted]);
        if record.life.state.word() != wanted {
            self.tell(id, &record, &format!("did not become {word}"));
        }
        record
    }

    /// Waits until a job stands in one of these states, or is finished.
    fn wait_any(&self, id: &JobId, wanted: &[StateWord]) -> Record {
        let found = wait::until("a job", BOUND, || {
            let record = self.inside.try_record(id)?;
            let word = record.life.state.word();
            (wanted.contains(&word) || word.is_finished()).then_some(record)
        });
        match found {
            Ok(record) => record,
            Err(_) => self.tell(id, &self.record(id), &format!("is not {wanted:?} in time")),
        }
    }

    /// Waits until every job has ended or stands in `Parked`.
    pub fn wait_settled(&self, ids: &[JobId]) -> Vec<Record> {
        ids.iter().map(|id| self.wait_any(id, &[StateWord::Parked])).collect()
    }

    /// Waits until every job's video is stored.
    pub fn wait_stored(&self, ids: &[JobId]) -> Vec<Record> {
        ids.iter().map(|id| self.wait(id, "succeeded")).collect()
    }

    fn tell(&self, id: &JobId, record: &Record, what: &str) -> ! {
        let way = self.timeline(id).join("\n  ");
        let state = &record.life.state;
        panic!("job {id} {what}; it stands in {state:?}; its way:\n  {way}");
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let tails = self.tails();
            // The test runner shows what a failed test printed.
            #[allow(clippy::print_stderr, reason = "a failed test tells what its children said")]
            {
                eprintln!("{tails}");
            }
        }
        // Workers first: they would only complain about the others' absence.
        for process in self.roles().values() {
            process.kill9();
        }
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn start_simulator(dir: &Path, flags: &[String]) -> (Process, Ports) {
    let ports_file = dir.join("ports.json");
    let mut command = Command::new(bins::path("simulator"));
    for listen in ["--listen", "--media-listen", "--control-listen"] {
        command.args([listen, "127.0.0.1:0"]);
    }
    command.arg("--ports-file").arg(&ports_file);
    command.arg("--ledger").arg(dir.join("ledger.ndjson"));
    command.args(["--api-key", PROVIDER_KEY, "--limits", "unlimited"]);
    // Tasks take a moment, so that a fleet has something to wait for.
    if !flags.iter().any(|flag| flag == "--run-s") {
        command.args(["--run-s", "0.3-0.5"]);
    }
    if !flags.iter().any(|flag| flag == "--queue-s") {
        command.args(["--queue-s", "0-0.1"]);
    }
    command.args(flags);
    let process = Process::spawn_logged("simulator", command, &Logs::to(&dir.join("logs")))
        .unwrap_or_else(|error| panic!("the simulator: {error}"));
    let ports = wait::until("the simulator's ports", BOUND, || {
        let text = std::fs::read(&ports_file).ok()?;
        serde_json::from_slice(&text).ok()
    });
    let ports = ports.unwrap_or_else(|missed| panic!("{missed}:\n{}", process.log_tail(20)));
    (process, ports)
}
