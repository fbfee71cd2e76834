//! One run from the first process to the last.

use super::audit::{self, Audit};
use super::doors::{self, Doors};
use super::draw::Draw;
use super::ground::Ground;
use super::lives::Lives;
use super::settings;
use super::tally::Tally;
use super::verdict::{Verdict, verdict};
use super::weather::{self, Weather};
use super::{Order, canary, evidence, provider, recounts, tally};
use ::settings::Sources;
use job::StateWord;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use store::Store;
use tokio::runtime::Runtime;

/// Between two looks at the counters.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Longest time from the last fault to the last job's end, before it is shortened.
const SETTLE_MAX: Duration = Duration::from_secs(1_200);
/// Longest wait for kills once all jobs are in.
const LAST_KILLS_MAX: Duration = Duration::from_secs(30);

/// Runs the campaign; the last line on standard output is its result.
#[must_use]
pub fn run(order: &Order) -> ExitCode {
    let began = Instant::now();
    if let Some(why) = weather::impossible(order) {
        say(&why);
        return ExitCode::from(2);
    }
    if !order.json {
        tell(&settings::told(order));
        for name in &order.without {
            tell(&format!("left out: {name}\n"));
        }
    }
    let dir = match place(order) {
        Ok(dir) => dir,
        Err(error) => {
            say(&format!("no folder for the run: {error}"));
            return ExitCode::from(2);
        }
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("an event loop");
    match play(order, &dir, &runtime, began) {
        Ok(verdict) => conclude(order, &dir, &verdict),
        Err(why) => {
            say(&format!("the campaign itself failed: {why}; its files are in {}", dir.display()));
            ExitCode::from(1)
        }
    }
}

fn place(order: &Order) -> std::io::Result<PathBuf> {
    let dir = match &order.dir {
        Some(dir) => dir.clone(),
        None => std::env::temp_dir().join(format!(
            "seedfleet-campaign-{}-{}",
            order.seed,
            std::process::id()
        )),
    };
    std::fs::create_dir_all(&dir)?;
    // What an earlier run left there, its fence above all, would be taken for this one's.
    if std::fs::read_dir(&dir)?.next().is_some() {
        let why = format!("{} is not empty: name another folder", dir.display());
        return Err(std::io::Error::other(why));
    }
    dir.canonicalize()
}

fn conclude(order: &Order, dir: &Path, verdict: &Verdict) -> ExitCode {
    let good = verdict.wrong.is_empty();
    for wrong in &verdict.wrong {
        say(&format!("wrong: {wrong}"));
    }
    if good && !order.keep {
        let _ = std::fs::remove_dir_all(dir);
    } else {
        say(&format!(
            "seed {}: schedule, ledger, logs and bucket are in {}",
            order.seed,
            dir.display()
        ));
    }
    if let Some(page) = &order.evidence
        && let Err(error) = evidence::add(page, order, verdict)
    {
        say(&format!("{}: {error}", page.display()));
        return ExitCode::from(1);
    }
    tell(&format!("{}\n", verdict.numbers));
    ExitCode::from(u8::from(!good))
}

fn play(order: &Order, dir: &Path, runtime: &Runtime, began: Instant) -> Result<Verdict, String> {
    let ground = Ground::start(order, dir)?;
    if !order.rolling {
        runtime.block_on(ground.put("faults", &provider::plan(order)))?;
    }
    let tally = Tally::new(dir).map_err(|error| error.to_string())?;
    let doors = Doors::new(&ground, order, &tally);
    let store = runtime.block_on(connect(&ground))?;
    let (lives, asks) = Lives::new(&ground, order, &tally);
    let weather = Weather {
        ground: &ground,
        order,
        tally: &tally,
        doors: &doors,
        asks,
        draw: Draw::new(order.seed, "weather"),
    };
    let settled = std::thread::scope(|scope| {
        scope.spawn(|| guarded(&tally, "the supervisor", || lives.run()));
        scope.spawn(|| guarded(&tally, "the weather", || weather.run()));
        scope.spawn(|| guarded(&tally, "the importer", || doors.import()));
        scope.spawn(|| see_freezes(&ground, &store, &tally));
        let calls = (0..doors::CALLERS).map(|caller| doors.call(caller));
        let watching = watch(order, &ground, &store, &tally, &doors);
        let (settled, ..) = runtime.block_on(async {
            futures::join!(
                watching,
                futures::future::join_all(calls),
                recounts::keep(&store, &tally, order.shorten)
            )
        });
        tally.over.store(true, Ordering::Relaxed);
        settled
    });
    tally.flush();
    let verdict = runtime.block_on(judge(order, &ground, &tally, &doors, settled, began));
    ground.stop();
    verdict
}

/// Notes whether creates are frozen, without taking part in it as the store's own watch would.
fn see_freezes(ground: &Ground, store: &Store, tally: &Tally) {
    let key = store.keys().freeze();
    while !tally.is_over() {
        let found = ground.redis.server().command(&["EXISTS", &key]).unwrap_or_default();
        let frozen = found.trim() == "1";
        if frozen != tally.frozen.swap(frozen, Ordering::Relaxed) {
            let what = if frozen { "creates-frozen" } else { "creates-thawed" };
            tally.order(what, &serde_json::json!({}));
            tally.fired(what);
        }
        tally::wait_out(LOOK_EVERY);
    }
}

/// A broken part of ours must not hang the others: it is told in the result.
fn guarded(tally: &Tally, who: &str, act: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(act)) {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        tally.broke(format!("{who} of the campaign broke: {}", words.unwrap_or_default()));
    }
}

async fn judge(
    order: &Order,
    ground: &Ground,
    tally: &Tally,
    doors: &Doors<'_>,
    settled: Result<(), String>,
    began: Instant,
) -> Result<Verdict, String> {
    say("all is quiet; the audit begins");
    // The last fault may have been the end of a server that our other connections still lead to.
    let store = connect(ground).await?;
    let stats = ground.ask("stats").await?;
    let mut audit: Audit = audit::audit(order, &store, ground, &stats, doors).await?;
    if let Err(why) = settled {
        audit.wrong(format!("2: {why}"));
    }
    if !ground.judge_lives() {
        audit.wrong("the simulator died: its ledger is worth nothing".to_owned());
    }
    let recounts = tally.recounts.load(Ordering::Relaxed);
    if recounts < recounts::expected(order, began.elapsed().as_secs_f64()) {
        audit.wrong("6: nobody recounted while the fleet worked".to_owned());
    }
    for broken in tally.broken() {
        audit.wrong(broken);
    }
    let exits = tally.exits();
    std::fs::write(ground.dir.join("exits.txt"), exits.join("\n")).map_err(|e| e.to_string())?;
    tally.fired_in_all("ended-by-itself", exits.len() as u64);
    Ok(verdict(order, tally, &audit, began.elapsed().as_secs_f64()))
}

/// Our own view of the records.
async fn connect(ground: &Ground) -> Result<Store, String> {
    let loaded = Sources::default().file(ground.config()).load().map_err(|e| e.to_string())?;
    let redis = loaded.section("redis").map_err(|error| error.to_string())?;
    Store::connect(&redis, "sim").await.map_err(|error| error.to_string())
}

/// Feeds, counts, calms and waits until everything has settled.
async fn watch(
    order: &Order,
    ground: &Ground,
    store: &Store,
    tally: &Tally,
    doors: &Doors<'_>,
) -> Result<(), String> {
    let settled = async {
        storm(order, store, tally, doors).await;
        for (name, count) in provider::fired(&ground.ask("faults").await?) {
            tally.fired_in_all(&name, count);
        }
        tally.calm.store(true, Ordering::Relaxed);
        // The provider mends itself too: what is left must come to its end by the fleet's own doing.
        ground.put("faults", &serde_json::json!({})).await?;
        say("no more faults; waiting for every job to end");
        calm(order, store, tally, doors).await?;
        canary::save_metrics(&ground.dir).await
    };
    let settled = settled.await;
    tally.calm.store(true, Ordering::Relaxed);
    tally.over.store(true, Ordering::Relaxed);
    settled
}

/// Until every job is in and every kill is done, or the time is over.
async fn storm(order: &Order, store: &Store, tally: &Tally, doors: &Doors<'_>) {
    let began = Instant::now();
    let (mut told, mut all_in) = (Instant::now(), None);
    let mut moved = (0, Instant::now());
    loop {
        tally::wait_a_turn(LOOK_EVERY).await;
        let counts = look(store, tally).await;
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            progress(began, tally, &counts);
        }
        let kills = tally.kills.load(Ordering::Relaxed);
        let ended = tally.ended.load(Ordering::Relaxed);
        let dealt = tally.dealt.load(Ordering::Relaxed) >= 1_000;
        if ended != moved.0 {
            moved = (ended, Instant::now());
        }
        if doors.is_done() && moved.1.elapsed() > settle_max(order) {
            say("no job ends any more: the faults stop");
            return;
        }
        if doors.is_done() && ended + order.jobs / 50 >= tally.accepted.load(Ordering::Relaxed) {
            let since = *all_in.get_or_insert_with(Instant::now);
            if (kills >= order.kills && dealt) || since.elapsed() > LAST_KILLS_MAX {
                return;
            }
        }
        if order.within.is_some_and(|within| began.elapsed() >= within) {
            say("the time is over: no new jobs");
            doors.close();
            return;
        }
    }
}

/// Until every job has ended or stands parked, and no quarantine looks for what was forgotten: it may still give a parked
/// job the task of an attempt that the server lost.
async fn calm(
    order: &Order,
    store: &Store,
    tally: &Tally,
    doors: &Doors<'_>,
) -> Result<(), String> {
    let (began, mut told) = (Instant::now(), Instant::now());
    loop {
        tally::wait_a_turn(LOOK_EVERY).await;
        let counts = look(store, tally).await;
        let open: u64 = counts.iter().filter(|(word, _)| is_open(**word)).map(|(_, n)| n).sum();
        let frozen = tally.frozen.load(Ordering::Relaxed);
        if !counts.is_empty() && open == 0 && doors.is_done() && !frozen {
            return Ok(());
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            progress(began, tally, &counts);
        }
        if began.elapsed() > settle_max(order) {
            return Err(format!("not every job ended in time: {counts:?}"));
        }
    }
}

/// Longest time in which nothing has to end.
fn settle_max(order: &Order) -> Duration {
    SETTLE_MAX / order.shorten + Duration::from_secs(30)
}

/// Jobs per state; nothing while the server is away.
async fn look(store: &Store, tally: &Tally) -> BTreeMap<StateWord, u64> {
    let counts = store.counts().await.unwrap_or_default();
    let ended: u64 = counts.iter().filter(|(word, _)| !is_open(**word)).map(|(_, n)| n).sum();
    if !counts.is_empty() {
        tally.ended.store(ended, Ordering::Relaxed);
    }
    counts
}

fn is_open(word: StateWord) -> bool {
    !word.is_finished() && word != StateWord::Parked
}

fn progress(began: Instant, tally: &Tally, counts: &BTreeMap<StateWord, u64>) {
    let words: Vec<String> = counts.iter().map(|(w, n)| format!("{} {n}", w.as_str())).collect();
    say(&format!(
        "{:>4} s: {} jobs in, {} kills, weather {} of 1000; {}",
        began.elapsed().as_secs(),
        tally.accepted.load(Ordering::Relaxed),
        tally.kills.load(Ordering::Relaxed),
        tally.dealt.load(Ordering::Relaxed),
        words.join(" · ")
    ));
}

/// To standard output, which belongs to the result.
fn tell(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// To standard error.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "campaign: {line}");
}
