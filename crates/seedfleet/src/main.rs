//! The operator's command line, and `seedfleet dev`: the whole fleet on one machine.
//!
//! Every verb ends in an exit code that scripts may rely on; data goes to standard output, everything
//! else to standard error. New jobs come through `admission`, changes of a job go through the store's
//! one commit as events, like those of any worker: there is no private way to set a state.
//!
//! The only room that names `clap` and `ratatui`. Must not know: keys and scripts of Redis, HTTP (`egress` speaks it),
//! what a bucket is.
#![forbid(unsafe_code)]

mod cli;
mod dev;
mod exit;
mod output;
mod patience;
mod remote;
mod session;
mod verbs;

use crate::cli::reach::{self, Reach};
use crate::cli::{Cli, Verb};
use crate::exit::{Exit, Failure, Outcome};
use clap::FromArgMatches;
use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = reach::command().get_matches();
    let words = reach::words(&matches);
    let Cli { global, verb } = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            Failure::from(error).tell();
            return Exit::Failed.into();
        }
    };
    let ended = runtime.block_on(run(&global, &words, verb));
    // A read that still blocks must not keep the process.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.tell();
            failure.exit.into()
        }
    }
}

async fn run(global: &cli::Global, words: &str, verb: Verb) -> Outcome {
    let _guard = session::logging(global)?;
    if Reach::of(words) != Reach::Machine
        && let Some(gateway) = remote::chosen(global)?
    {
        return remote::run(global, &gateway, words, verb).await;
    }
    match verb {
        Verb::Submit(args) => verbs::submit::run(global, args).await,
        Verb::Import(args) => verbs::import::run(global, args).await,
        Verb::Export(args) => verbs::export::run(global, args).await,
        Verb::Jobs(verb) => verbs::jobs::run(global, verb).await,
        Verb::Batch(verb) => verbs::batch::run(global, verb).await,
        Verb::Queue(verb) => verbs::queue::run(global, verb).await,
        Verb::Failed(verb) => verbs::failed::run(global, verb).await,
        Verb::Operations(verb) => verbs::operations::run(global, verb).await,
        Verb::Usage(args) => verbs::totals::usage(global, args).await,
        Verb::Cost(verb) => verbs::cost::run(global, verb).await,
        Verb::Limits(verb) => verbs::limits::run(global, verb).await,
        Verb::Workers => verbs::workers::run(global).await,
        Verb::Top(args) => verbs::top::run(global, args).await,
        Verb::Doubt(verb) => verbs::doubt::run(global, verb).await,
        Verb::Review(verb) => verbs::review::run(global, verb).await,
        Verb::Erase(verb) => verbs::erase::run(global, verb).await,
        Verb::Reconcile(args) => verbs::reconcile::run(global, &args).await,
        Verb::Freeze(args) => verbs::freeze::freeze(global, &args).await,
        Verb::Thaw(args) => verbs::freeze::thaw(global, &args).await,
        Verb::Schema(verb) => verbs::schema::run(global, verb).await,
        Verb::Audit(args) => verbs::audit::run(global, &args).await,
        Verb::Keys(verb) => verbs::keys::run(global, verb).await,
        Verb::Tenants(verb) => verbs::tenants::run(global, verb).await,
        Verb::Events(verb) => verbs::events::run(global, verb).await,
        Verb::Webhooks(verb) => verbs::webhooks::run(global, verb).await,
        Verb::Context(verb) => verbs::context::run(global, verb),
        Verb::Config(verb) => verbs::config::run(global, &verb),
        Verb::Doctor(args) => verbs::doctor::run(global, &args).await,
        Verb::Debug(verb) => verbs::debug::run(global, verb).await,
        Verb::Probe(args) => verbs::probe::run(global, &args).await,
        Verb::Dev(verb) => dev::run(global, verb).await,
        Verb::Docs(args) => verbs::docs::run(&args),
        Verb::Completions { shell } => verbs::completions::run(shell),
        Verb::Man { dir } => verbs::completions::man(&dir),
        Verb::Version => verbs::version::run(global),
    }
}
