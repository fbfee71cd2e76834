//! This very test binary as a worker process: it can be killed without killing the test.

use std::process::Command;
use std::time::Duration;

use sandbox::Process;
use settings::Sources;
use worker::{Crew, CrewSettings, Fleet, Role};

use crate::house::House;
use crate::toys::Cancel;

const CHILD_ENV: &str = "WORKER_TEST_CHILD";

/// Starts a worker process on the house's Redis.
pub fn spawn(house: &House, extra: &[(&str, &str)]) -> Process {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command.args(["--exact", "child::works_when_it_is_a_child", "--nocapture"]);
    command.env(CHILD_ENV, "1").envs(house.env()).envs(extra.iter().copied());
    Process::spawn("worker", command).expect("starts")
}

/// Not a test: the body of the child. In the parent it does nothing.
#[test]
fn works_when_it_is_a_child() {
    if std::env::var_os(CHILD_ENV).is_none() {
        return;
    }
    let loaded = Sources::default().env(std::env::vars()).load().expect("good settings");
    let _guard = telemetry::init("poller", &loaded.section("telemetry").expect("a section"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let role = Role { name: "poller", grace: Duration::from_secs(20) };
        let fleet = Fleet::start(role, loaded).await.unwrap_or_else(|refused| panic!("{refused}"));
        let settings: CrewSettings = fleet.section("poll").expect("a section");
        let step = match std::env::var_os("WORKER_TEST_STUCK") {
            Some(_) => Cancel::behind_a_gate(),
            None => Cancel::at_once(),
        };
        let crew = Crew::new(&fleet.pools()[0], step, settings);
        fleet.work(vec![crew]).await.expect("a clean end");
    });
}
