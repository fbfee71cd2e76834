//! The simulator as a program; see `docs/simulator.md`.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use simulator::{Doubts, Key, Limits, Options, Route, Simulator};

/// Plays the video provider: same wire, faults on demand, a ledger of what it billed.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Address of the API; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Address of the object host behind result links.
    #[arg(long, default_value = "127.0.0.1:8091")]
    media_listen: SocketAddr,
    /// Address of the control interface below /_sim/.
    #[arg(long, default_value = "127.0.0.1:8092")]
    control_listen: SocketAddr,
    /// Scheme and authority written into result links, where clients reach the object host under
    /// another name than its address.
    #[arg(long)]
    media_base_url: Option<String>,
    /// Append-only NDJSON ledger of everything seen and billed.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// A key to accept: SECRET, SECRET=ACCOUNT or SECRET=ACCOUNT/PROJECT. Repeatable.
    #[arg(long = "api-key", default_value = "sim-key")]
    api_keys: Vec<String>,
    /// Which route's model ids exist.
    #[arg(long, default_value = "byteplus", value_parser = route)]
    route: Route,
    /// An endpoint id and the model behind it, as ep-ID=2.0-fast. Repeatable.
    #[arg(long = "endpoint")]
    endpoints: Vec<String>,
    /// Simulated seconds of queueing and generating per real second.
    #[arg(long, default_value_t = 1.0)]
    clock_scale: f64,
    /// Seed of every draw.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A preset (enterprise, individual, unlimited) or NAME=NUMBER or NAME=none. Repeatable.
    #[arg(long, default_value = "enterprise")]
    limits: Vec<String>,
    /// Shortest and longest queue time in simulated seconds, as LOW-HIGH.
    #[arg(long, default_value = "2-6", value_parser = span_ms)]
    queue_s: (u64, u64),
    /// Shortest and longest run time in simulated seconds, as LOW-HIGH.
    #[arg(long, default_value = "30-300", value_parser = span_ms)]
    run_s: (u64, u64),
    /// Videos are padded to at least this many bytes.
    #[arg(long, default_value_t = 0)]
    clip_bytes_min: usize,
    /// The answer to an open question of the contract, as NAME=ANSWER. Repeatable.
    #[arg(long = "doubt")]
    doubts: Vec<String>,
    /// Faults from the start: a JSON file in the form of PUT /_sim/faults.
    #[arg(long)]
    faults: Option<PathBuf>,
    /// Where to write {"api","media","control"} once everything listens.
    #[arg(long)]
    ports_file: Option<PathBuf>,
}

fn route(word: &str) -> Result<Route, String> {
    match word {
        "byteplus" => Ok(Route::Byteplus),
        "volcengine" => Ok(Route::Volcengine),
        _ => Err("byteplus or volcengine expected".into()),
    }
}

fn span_ms(words: &str) -> Result<(u64, u64), String> {
    let number = |word: &str| {
        let seconds = word.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
        seconds.map(|seconds| (seconds * 1000.0) as u64)
    };
    let (low, high) = words.split_once('-').unwrap_or((words, words));
    number(low).zip(number(high)).ok_or_else(|| "LOW-HIGH in seconds expected".into())
}

fn options(flags: &Flags) -> anyhow::Result<Options> {
    let mut limits = Limits::enterprise();
    for word in &flags.limits {
        limits.apply(word).map_err(anyhow::Error::msg)?;
    }
    let scale = flags.clock_scale;
    anyhow::ensure!(scale.is_finite() && scale > 0.0, "--clock-scale must be above 0");
    let endpoints = flags.endpoints.iter().map(|words| {
        let (endpoint, model) = words.split_once('=').context("--endpoint wants ep-ID=MODEL")?;
        let known = ["2.0", "2.0-fast", "2.0-mini"];
        anyhow::ensure!(known.contains(&model), "--endpoint {words}: known models are {known:?}");
        Ok((endpoint.to_owned(), model.to_owned()))
    });
    let mut doubts = Doubts::default();
    for words in &flags.doubts {
        doubts.apply(words).map_err(anyhow::Error::msg).context("--doubt")?;
    }
    let faults = match &flags.faults {
        None => simulator::Plan::default(),
        Some(path) => {
            let text = std::fs::read(path).with_context(|| path.display().to_string())?;
            serde_json::from_slice(&text).with_context(|| path.display().to_string())?
        }
    };
    Ok(Options {
        route: flags.route,
        listen: flags.listen,
        media_listen: flags.media_listen,
        control_listen: flags.control_listen,
        media_base_url: flags.media_base_url.clone(),
        ledger: flags.ledger.clone(),
        keys: flags.api_keys.iter().map(|words| Key::parse(words)).collect(),
        endpoints: endpoints.collect::<anyhow::Result<_>>()?,
        clock_scale: scale,
        seed: flags.seed,
        limits,
        queue_ms: flags.queue_s,
        run_ms: flags.run_s,
        clip_bytes_min: flags.clip_bytes_min,
        doubts,
        faults,
        ..Options::default()
    })
}

/// Written whole or not at all: a reader that finds the file can use it.
fn write_ports(path: &std::path::Path, running: &simulator::Running) -> std::io::Result<()> {
    let ports = serde_json::json!({
        "api": running.api, "media": running.media, "control": running.control,
    });
    let unfinished = path.with_extension("unfinished");
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(format!("{ports}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(unfinished, path)
}

async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let flags = Flags::parse();
    let running = Simulator::start(options(&flags)?).await.context("could not start")?;
    if let Some(path) = &flags.ports_file {
        write_ports(path, &running).with_context(|| path.display().to_string())?;
    }
    tracing::info!(
        api = running.base_url(),
        media = %running.media,
        control = running.control_url(""),
        "the simulator listens"
    );
    stop_signal().await.context("could not wait for signals")?;
    running.shutdown().await;
    Ok(())
}
