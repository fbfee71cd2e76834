//! The fleet's programs as children: started, killed, started again.

use super::{Fleet, Reply, guard};
use sandbox::{Logs, Process, bins, wait};
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The longest a gateway may take to listen.
const LISTEN_MAX: Duration = Duration::from_secs(20);

impl Fleet {
    /// Starts a program under its own name.
    pub fn start_role(&self, role: &str) -> Arc<Process> {
        self.start_as(role, role, &[])
    }

    /// Starts one more, or the next life of one: `name` is its own, `role` the program.
    ///
    /// # Panics
    ///
    /// It cannot be started.
    pub fn start_as(&self, name: &str, role: &str, env: &[(&str, &str)]) -> Arc<Process> {
        let mut command = Command::new(bins::path(role));
        // The machine's own configuration, where it has one, is none of a test's business.
        command.env_clear().env("RUST_BACKTRACE", "1").env("SEEDFLEET_ETC", "/nonexistent");
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        if self.users {
            command.env("SEEDFLEET__REDIS__URL", guard::url(&self.redis_url(), role));
        }
        command.envs(env.iter().copied());
        for file in [self.config_file(), self.own_config_file()] {
            command.arg("--config").arg(file);
        }
        let process = Process::spawn_logged(name, command, &Logs::to(&self.log_dir()))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let process = Arc::new(process);
        self.roles().insert(name.to_owned(), Arc::clone(&process));
        process
    }

    /// Starts the gateway and waits until it takes connections.
    pub fn start_gateway(&self) {
        self.start_gateway_as("gateway", self.gateway_port());
    }

    /// One more gateway, on its own port.
    ///
    /// # Panics
    ///
    /// It does not listen in time.
    pub fn start_gateway_as(&self, name: &str, port: u16) {
        let listen = format!("127.0.0.1:{port}");
        let process = self.start_as(name, "gateway", &[("SEEDFLEET__GATEWAY__LISTEN", &listen)]);
        let open = wait::until("the gateway's listener", LISTEN_MAX, || {
            (TcpStream::connect(&listen).is_ok() || !process.is_running()).then_some(())
        });
        let up = open.is_ok() && process.is_running();
        assert!(up, "{name} does not listen; its last lines:\n{}", process.log_tail(20));
    }

    /// The running, or last, process of a name.
    ///
    /// # Panics
    ///
    /// Nothing was started under it.
    #[must_use]
    pub fn role(&self, name: &str) -> Arc<Process> {
        self.roles().get(name).cloned().unwrap_or_else(|| panic!("nothing is called {name}"))
    }

    /// SIGKILL.
    pub fn kill9(&self, name: &str) {
        self.role(name).kill9();
    }

    /// Waits until a child has been killed by a signal, as a fault point does.
    ///
    /// # Panics
    ///
    /// It lives on, or ended by itself.
    pub fn wait_killed(&self, name: &str, bound: Duration) {
        use std::os::unix::process::ExitStatusExt;
        let process = self.role(name);
        let Some(status) = process.wait_bounded(bound) else {
            panic!("{name} still lives; its last lines:\n{}", process.log_tail(20));
        };
        let tail = process.log_tail(20);
        assert_eq!(status.signal(), Some(9), "{name} ended by {status}:\n{tail}");
    }

    /// What a program tells about itself: its `/metrics` page.
    ///
    /// # Panics
    ///
    /// It has not said where that is, or does not answer.
    #[must_use]
    pub fn metrics(&self, name: &str) -> String {
        let request = self.web.client.get(self.admin(name, "/metrics"));
        self.run(async { request.send().await?.text().await })
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// What the gateway tells an autoscaler, with this token unless it is empty.
    pub fn scaling(&self, token: &str) -> Reply {
        let request = self.web.client.get(self.admin("gateway", "/internal/scaling"));
        self.send(if token.is_empty() { request } else { request.bearer_auth(token) })
    }

    /// A page of a program's admin listener, as soon as it has told where that is.
    fn admin(&self, name: &str, page: &str) -> String {
        let address = self.until(&format!("an admin listener of {name}"), || {
            let log = self.role(name).log();
            // A line that ends has been written whole.
            let (told, _) = log.rsplit_once('\n')?;
            let line = told.lines().rfind(|line| line.contains("admin listener"))?;
            line.split("listen=").nth(1).map(|address| address.trim().to_owned())
        });
        format!("http://{address}{page}")
    }

    /// Every line that any child of the fleet has written.
    #[must_use]
    pub fn logs(&self) -> String {
        let roles: Vec<_> = self.roles().values().cloned().collect();
        let mut text: String = roles.iter().map(|role| role.log()).collect();
        text.push_str(&self.simulator().log());
        text
    }

    /// The last lines of every child, for the person who reads a failed test.
    pub(super) fn tails(&self) -> String {
        let roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for process in roles.values().map(AsRef::as_ref).chain([self.simulator()]) {
            text.push_str(&format!("--- {}\n{}\n", process.name(), process.log_tail(25)));
        }
        text.push_str(&format!("--- redis\n{}\n", self.redis_tail()));
        text
    }
}
