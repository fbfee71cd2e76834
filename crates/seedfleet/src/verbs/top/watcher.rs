//! Reads the pool again and again, and does what a key asked for. It never draws, and a Redis that is slow or away
//! holds up no key.

use crate::exit::{Exit, Failure};
use crate::output::plain;
use crate::session::Session;
use crate::verbs::rows;
use assets::Buckets;
use job::filter::Filter;
use job::{By, JobId, Record, Timestamp};
use std::time::Duration;
use store::{ListQuery, PAUSE_FOR, PAUSES_MAX, PauseScope, Scope, Store};
use survey::{FailureView, Glance, GlanceSettings, LimitsSettings, Recent};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::MissedTickBehavior;

/// Jobs that are listed.
const JOBS_MOST: usize = 100;

/// What a key asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Order {
    /// List these jobs.
    List(Filter),
    /// Show this job, and look at it again with everything else; none: no longer.
    Open(Option<JobId>),
    /// Begin nothing new of a step.
    Pause(PauseScope, String),
    /// Let a step go on.
    Resume(PauseScope, String),
}

/// What is told to whoever draws.
#[derive(Debug)]
pub(super) enum News {
    /// What was seen.
    Look(Box<Look>),
    /// What came of an order.
    Said(String),
    /// Nothing was seen, and why.
    Trouble(String),
}

/// One look.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) glance: Glance,
    /// The newest jobs that fit the filter.
    pub(super) jobs: Vec<JobLine>,
    /// There are others behind them.
    pub(super) more: bool,
    /// The filter of the list.
    pub(super) filter: Filter,
    pub(super) failures: Vec<FailureView>,
    pub(super) open: Option<Detail>,
}

/// One job for the list. Callers' texts steer no terminal.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JobLine {
    pub(super) id: JobId,
    pub(super) state: &'static str,
    pub(super) model: &'static str,
    pub(super) tenant: String,
    pub(super) batch: String,
    pub(super) custom_id: String,
    pub(super) created: Timestamp,
    pub(super) code: String,
}

/// One job at length.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Detail {
    pub(super) id: JobId,
    /// Name and value; empty where the job is not there any more.
    pub(super) facts: Vec<(String, String)>,
    /// Its timeline, oldest first: after how long, which state, what happened, by whom.
    pub(super) timeline: Vec<[String; 4]>,
}

/// What reads.
pub(super) struct Watcher {
    session: Session,
    buckets: Buckets,
    settings: GlanceSettings,
    recent: Recent,
    filter: Filter,
    open: Option<JobId>,
    by: By,
}

impl Watcher {
    /// For one pool.
    ///
    /// # Errors
    ///
    /// The configuration.
    pub(super) fn new(session: Session, filter: Filter, by: By) -> Result<Self, Failure> {
        let settings = GlanceSettings {
            limits: LimitsSettings::from_loaded(&session.loaded)?,
            look_every: session.policy.poll.steady,
            scaling: session.loaded.section("scaling")?,
        };
        let (buckets, recent) = (session.buckets()?, Recent::default());
        Ok(Self { session, buckets, settings, recent, filter, open: None, by })
    }

    /// Looks every `interval`, and at once after an order, until nobody listens.
    pub(super) async fn work(
        mut self,
        interval: Duration,
        mut orders: Receiver<Order>,
        news: Sender<News>,
    ) {
        let mut ticks = tokio::time::interval(interval);
        // A look that was late is followed by a whole interval, not by a crowd of looks.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    let said = self.obey(order).await.unwrap_or_else(|failure| {
                        Some(format!("not done: {failure}"))
                    });
                    if let Some(said) = said
                        && news.send(News::Said(plain(&said))).await.is_err()
                    {
                        return;
                    }
                }
                _ = ticks.tick() => {}
            }
            let told = match self.look().await {
                Ok(look) => News::Look(Box::new(look)),
                Err(failure) => News::Trouble(plain(&failure.to_string())),
            };
            if news.send(told).await.is_err() {
                return;
            }
        }
    }

    /// One look.
    ///
    /// # Errors
    ///
    /// Redis away.
    pub(super) async fn look(&mut self) -> Result<Look, Failure> {
        let (store, pool) = (&self.session.store, &self.session.pool);
        let glance = survey::glance(store, pool, &self.settings, &mut self.recent).await?;
        let mut query = ListQuery::of(self.filter.clone());
        query.limit = JOBS_MOST;
        let page = store.list(&query).await?;
        let jobs = page.items.iter().map(|stored| line(&stored.record)).collect();
        let mut failures = survey::failures(store, Scope::Pool).await?;
        // What was dismissed or has left Redis is not for now.
        failures.retain(|group| group.open > 0);
        let open = match &self.open {
            Some(id) => Some(detail(store, &self.buckets, id).await?),
            None => None,
        };
        let (more, filter) = (page.next.is_some(), self.filter.clone());
        Ok(Look { glance, jobs, more, filter, failures, open })
    }

    /// Does it; what is to be told of it, if anything.
    async fn obey(&mut self, order: Order) -> Result<Option<String>, Failure> {
        let store = &self.session.store;
        match order {
            Order::List(filter) => {
                self.filter = filter;
                Ok(None)
            }
            Order::Open(id) => {
                self.open = id;
                Ok(None)
            }
            Order::Pause(scope, reason) => {
                if let Some(why) = scope.refuses(Some(PAUSE_FOR)) {
                    return Err(Failure::usage(why));
                }
                if !store.pause(&scope, Some(PAUSE_FOR), &self.by, &reason).await? {
                    let why = format!("{PAUSES_MAX} pauses hold already");
                    return Err(Failure::new(Exit::Conflict, why));
                }
                Ok(Some(format!("paused for {} min: {scope}", PAUSE_FOR.as_secs() / 60)))
            }
            Order::Resume(scope, reason) => {
                let held = store.resume(&scope, &self.by, &reason).await?;
                let what = if held { "goes on" } else { "nobody had paused" };
                Ok(Some(format!("{what}: {scope}")))
            }
        }
    }
}

fn line(record: &Record) -> JobLine {
    let (spec, state) = (&record.spec, &record.life.state);
    JobLine {
        id: record.id.clone(),
        state: state.word().as_str(),
        model: spec.request.model.word(),
        tenant: plain(&spec.tenant),
        batch: plain(spec.batch.as_deref().unwrap_or_default()),
        custom_id: plain(spec.custom_id.as_deref().unwrap_or_default()),
        created: record.created_at,
        code: plain(state.failure_code().unwrap_or_default()),
    }
}

async fn detail(store: &Store, buckets: &Buckets, id: &JobId) -> Result<Detail, Failure> {
    let Some(stored) = store.load(id).await? else {
        return Ok(Detail { id: id.clone(), facts: Vec::new(), timeline: Vec::new() });
    };
    let record = &stored.record;
    let mut facts = rows::job(record);
    let mut put = |name: &str, value: Option<String>| {
        facts.insert(name.to_owned(), value.into());
    };
    put("reason", rows::reason(&record.life.state));
    put("prompt", record.spec.request.prompt().map(str::to_owned));
    let output = record.life.state.output();
    if let Some(output) = output.filter(|output| output.is_here()) {
        put("video", Some(buckets.of(&record.spec.tenant).address(&output.video)));
        put("sha256", Some(output.video_sha256.clone()));
    }
    let tokens = output.and_then(|output| output.tokens);
    put("tokens", tokens.map(|tokens| tokens.to_string()));
    let text = |value: serde_json::Value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(plain(&text)),
        other => Some(plain(&other.to_string())),
    };
    let facts = facts.into_iter().filter_map(|(name, value)| Some((name, text(value)?)));
    let timeline = store.timeline(id).await?;
    let lines = timeline.iter().rev().map(|line| {
        let after = line.at.since(record.created_at).as_secs_f64();
        let (state, by) = (line.to.as_str().to_owned(), plain(&line.by));
        [format!("+{after:.1} s"), state, plain(&line.what), by]
    });
    Ok(Detail { id: id.clone(), facts: facts.collect(), timeline: lines.collect() })
}
