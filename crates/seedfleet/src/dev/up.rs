//! `dev up`: everything at once, until Ctrl-C.

use super::config::Allowed;
use super::fleet::{Fleet, Plan, WORKERS};
use crate::cli::{Global, UpArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{note, say};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Between two looks at the children.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs the verb.
pub(super) async fn run(global: &Global, args: UpArgs) -> Outcome {
    let dir = super::run_dir(args.out.as_deref(), "up")?;
    let plan = Plan {
        dir,
        seed: 1,
        clock_scale: args.clock_scale,
        webhooks_to: args.webhooks_to,
        allowed: Allowed { create_rpm: args.create_rpm, running: args.running },
        echo: !global.quiet,
    };
    // Before any child runs, so that Ctrl-C never leaves by the short way.
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut fleet = super::blocking(move || Fleet::start(&plan)).await?;
    for role in WORKERS {
        fleet.start_worker(role, &[])?;
    }
    tell(&fleet)?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    let ended = loop {
        tokio::select! {
            _ = interrupt.recv() => break Ok(Exit::Done),
            _ = terminate.recv() => break Ok(Exit::Done),
            _ = look.tick() => if let Some(failure) = fleet.fallen() { break Err(failure) },
        }
    };
    note("stopping: workers drain, then the simulator and Redis end");
    let dir = fleet.dir.clone();
    super::blocking(move || {
        fleet.stop();
        Ok::<_, Failure>(())
    })
    .await?;
    note(&format!("stopped; files are in {}", dir.display()));
    ended
}

fn tell(fleet: &Fleet) -> Result<(), Failure> {
    let config = fleet.config.display();
    let program =
        std::env::current_exe().map_or("seedfleet".into(), |path| path.display().to_string());
    let lines = [
        ("pool", format!("{} (simulated: nothing is billed)", super::config::POOL)),
        ("redis", fleet.redis_url()),
        ("provider", format!("http://{}/api/v3", fleet.ports.api)),
        ("control", format!("http://{}/_sim/", fleet.ports.control)),
        ("gateway", format!("http://{}", fleet.gateway)),
        ("dashboard", format!("http://{}/ui  (the key lies in operator-key)", fleet.gateway)),
        ("bucket", format!("file://{}", fleet.dir.join("store").display())),
        ("ledger", fleet.ledger().display().to_string()),
        ("config", config.to_string()),
    ];
    let mut text: String = lines.iter().map(|(name, what)| format!("{name:<10}{what}\n")).collect();
    text.push_str(&format!(
        "\nexport SEEDFLEET_CONFIG={config}\n\
         {program} submit -p \"a paper boat crosses a puddle\" --wait\n\
         {program} jobs list\n\nCtrl-C stops everything.\n"
    ));
    say(&text)
}
