//! A private Redis, a configuration for it, and the program.

use assert_cmd::Command;
use sandbox::{Options, Redis, TempDir};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One test's world.
pub struct Bench {
    dir: TempDir,
    pub redis: Redis,
}

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Standard output as one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard output as one JSON document a line.
    pub fn lines(&self) -> Vec<Value> {
        let read =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(read).collect()
    }
}

impl Bench {
    /// A safe Redis and a simulated pool whose far side nobody plays.
    pub fn new() -> Self {
        Self::over("http://127.0.0.1:9/api/v3", "sim-key")
    }

    /// As [`Bench::new`], with a far side.
    pub fn over(base_url: &str, key: &str) -> Self {
        let dir = TempDir::new("cli").expect("a temporary folder");
        let redis = Redis::start(Options::default()).unwrap_or_else(|error| panic!("{error}"));
        let bench = Self { dir, redis };
        bench.write("key", key);
        bench.configure(base_url, "");
        bench
    }

    /// Writes the configuration anew, `more` at its end. On a new Redis the first list waits until every call
    /// that may be on its way must have ended, so calls may not take long here.
    pub fn configure(&self, base_url: &str, more: &str) {
        let (redis, dir) = (self.redis.url(), self.path("").display().to_string());
        self.write(
            "config.toml",
            &format!(
                "[redis]\nurl = \"{redis}\"\n\n[store]\nurl = \"file://{dir}/store\"\n\n\
                 [pools.sim]\nroute = \"byteplus\"\nsimulated = true\nbase_url = \"{base_url}\"\n\n\
                 [pools.sim.accounts.a]\napi_key_file = \"{dir}/key\"\n\n\
                 [provider]\nread_timeout = \"1s\"\ntcp_user_timeout = \"1s\"\n\n{more}\n"
            ),
        );
    }

    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.path().to_owned() } else { self.dir.path().join(name) }
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("the folder is ours");
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Runs the program with this configuration.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.run_with(&[], args)
    }

    /// As [`Bench::run`], with more environment.
    pub fn run_with(&self, env: &[(&str, &Path)], args: &[&str]) -> Ended {
        let config = self.path("config.toml");
        let config = ["--config", config.to_str().expect("a plain path")];
        run_in(&self.path(""), env, &[&config, args].concat())
    }
}

/// Runs the program in a folder, with nothing of ours in its environment.
pub fn run(dir: &Path, args: &[&str]) -> Ended {
    run_in(dir, &[], args)
}

fn run_in(dir: &Path, env: &[(&str, &Path)], args: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedfleet"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SEEDFLEET_"))
    {
        command.env_remove(name);
    }
    let output = command
        .current_dir(dir)
        .envs(env.iter().copied())
        .args(args)
        .output()
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A valid row.
pub fn row(n: u32) -> String {
    format!(
        r#"{{"custom_id":"row-{n}","model":"seedance-2.0-mini","content":[{{"type":"text","text":"boat {n}"}}]}}"#
    )
}
