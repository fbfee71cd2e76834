//! The probe's calls: each with a permit of the fleet's own limits, each answer taken as it came.

use crate::exit::{Exit, Failure};
use crate::session::Session;
use job::{AttemptId, TaskId};
use limiter::{Limiter, Permit, Reserved};
use provider::{Client, CreateAnswer, Raw, RawQuestion, Site};
use seedance::{Call, ModelKey, Route, SlotClass, TaskPage};
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime};
use store::{Grant, Pace, Store};
use ulid::Ulid;

/// How long a permit may take: the fleet may be using all of them.
const PERMIT_MAX: Duration = Duration::from_secs(60);
/// Tries of one question whose call is refused for its rate: somebody else uses the account.
const TRIES_MAX: u32 = 3;
/// The provider counts reads by the second.
const READ_WINDOW: Duration = Duration::from_secs(1);

/// Asks one account.
pub(super) struct Asker {
    pub(super) store: Store,
    pub(super) account: String,
    pub(super) route: Route,
    client: Client,
    limiter: Limiter,
    site: Site,
    create_pace: Pace,
    network_spread: Duration,
    list_qps: u32,
    /// Lists of this key must name a model: learned by the first question.
    pub(super) names_model: bool,
}

/// One page of the list, with the answer it was read from.
pub(super) struct Listing {
    pub(super) raw: Raw,
    pub(super) page: Option<TaskPage>,
}

impl Asker {
    /// # Errors
    ///
    /// The configuration, the key file, or the certificates of this machine.
    pub(super) fn open(session: &Session, account: &str) -> Result<Self, Failure> {
        let (pool, name) = (&session.pool, session.store.pool());
        let settings: provider::Settings = session.loaded.section("provider")?;
        let limits: limiter::Settings = session.loaded.section("limits")?;
        let client = Client::open(name, pool, &settings).map_err(|error| {
            Failure::new(Exit::Findings, error.to_string()).hint("`seedfleet doctor` tells more")
        })?;
        let account_settings = &pool.accounts[account];
        let rpm = account_settings.class_limits(SlotClass::V20Mini).create_rpm;
        Ok(Self {
            store: session.store.clone(),
            account: account.to_owned(),
            route: pool.route,
            client,
            limiter: Limiter::new(session.store.clone(), pool, &limits, settings.under_way()),
            site: Site::configured(pool, account),
            create_pace: limiter::create_pace(rpm, &limits, settings.under_way()),
            network_spread: limits.network_spread,
            list_qps: account_settings.list_qps(),
            names_model: false,
        })
    }

    /// The cheapest model's id on this route.
    pub(super) fn model_id(&self) -> &'static str {
        ModelKey::V20Mini.wire_id(self.route)
    }

    /// Asks within the fleet's limits; again after a pause where it came too fast all the same.
    pub(super) async fn ask(&self, question: RawQuestion<'_>) -> Result<Raw, String> {
        let mut raw = self.ask_once(question).await?;
        for _ in 1..TRIES_MAX {
            if raw.status != 429 {
                break;
            }
            self.hold(question.call()).await?;
            raw = self.ask_once(question).await?;
        }
        Ok(raw)
    }

    async fn ask_once(&self, question: RawQuestion<'_>) -> Result<Raw, String> {
        let permit = self.limiter.permit(&self.account, question.call());
        let permit = tokio::time::timeout(PERMIT_MAX, permit).await;
        let permit =
            permit.map_err(|_| "no permit: the fleet uses them all, ask again later".to_owned())?;
        let permit = permit.map_err(|why| why.to_string())?;
        self.client
            .ask_raw(permit, &self.site, question)
            .await
            .map_err(|trouble| format!("{}: {}", trouble.code, trouble.message))
    }

    /// One page of the list, with these filters.
    pub(super) async fn list(&self, filters: &[(&str, &str)]) -> Result<Listing, String> {
        let mut pairs = filters.to_vec();
        if self.names_model && !filters.iter().any(|(name, _)| *name == "filter.model") {
            pairs.push(("filter.model", self.model_id()));
        }
        let raw = self.ask(RawQuestion::List(&pairs)).await?;
        let page = (raw.status == 200).then(|| TaskPage::parse(&raw.body).ok()).flatten();
        Ok(Listing { raw, page })
    }

    /// No call of this kind by anybody of the fleet until what was sent by now has left the window.
    async fn hold(&self, call: Call) -> Result<(), String> {
        let until = async {
            let until = self.store.now().await? + READ_WINDOW + self.network_spread;
            self.store.hold_calls(&self.account, call.word(), until, "probe").await
        };
        until.await.map_err(|error| error.to_string())
    }

    /// More list calls at once than the account has, to be told off. Beyond the fleet's limits on
    /// purpose, once; nobody else lists meanwhile, nor until the burst is forgotten.
    ///
    /// # Errors
    ///
    /// Redis, which the others must be told through: nothing was sent then.
    pub(super) async fn burst(&self) -> Result<Vec<Raw>, String> {
        self.hold(Call::List).await?;
        let mut calls = Vec::new();
        for _ in 0..self.list_qps.saturating_add(3) {
            let permit = Permit::new(self.account.clone(), Call::List);
            let mut pairs = vec![("page_size", "1")];
            if self.names_model {
                pairs.push(("filter.model", self.model_id()));
            }
            calls.push(async move {
                let asked =
                    self.client.ask_raw(permit, &self.site, RawQuestion::List(&pairs)).await;
                asked.ok()
            });
        }
        let answers = futures::future::join_all(calls).await.into_iter().flatten().collect();
        self.hold(Call::List).await?;
        Ok(answers)
    }

    /// How many calls [`Asker::burst`] makes.
    pub(super) const fn burst_calls(&self) -> u32 {
        self.list_qps.saturating_add(3)
    }

    /// Sends a create that must be refused, at an instant of the account's own row of creates.
    pub(super) async fn create_refused(&self, body: &Value) -> Result<CreateAnswer, String> {
        let permit = self.create_permit().await?;
        let trace = AttemptId::parse(&format!("att_{}", Ulid::generate()))
            .map_err(|error| error.to_string())?;
        let body = body.to_string().into_bytes();
        Ok(self.client.create_refused(permit, &self.site, &trace, body).await)
    }

    async fn create_permit(&self) -> Result<Permit, String> {
        let line = format!("create.{}", SlotClass::V20Mini.word());
        let deadline = Instant::now() + PERMIT_MAX;
        while Instant::now() < deadline {
            let (asked, wall_asked) = (Instant::now(), SystemTime::now());
            let grant = self.store.grant(&self.account, &line, 1, self.create_pace).await;
            match grant.map_err(|error| error.to_string())? {
                Grant::Granted { first_in, .. } => {
                    let reserved = Reserved {
                        asked,
                        answered: Instant::now(),
                        wall_asked,
                        usable_in: first_in,
                        missed_by: Duration::ZERO,
                        spacing: Duration::from_micros(self.create_pace.interval_us),
                    };
                    let class = SlotClass::V20Mini;
                    if let Ok(permit) = self.limiter.create(&self.account, class, &reserved) {
                        return Ok(permit);
                    }
                }
                Grant::Wait { after, .. } => tokio::time::sleep(after).await,
            }
        }
        Err("no instant for a create: the fleet uses them all".to_owned())
    }

    /// Stops a task that nobody wanted, if it has not begun.
    pub(super) async fn withdraw(&self, task: &TaskId) -> String {
        let read = self.ask(RawQuestion::Task(task.as_str())).await;
        let queued = read.is_ok_and(|raw| {
            seedance::Task::parse(&raw.body).is_ok_and(|t| t.status == seedance::TaskStatus::Queued)
        });
        if !queued {
            return "it is no longer queued and will be billed".to_owned();
        }
        match self.ask(RawQuestion::Delete(task.as_str())).await {
            Ok(raw) if raw.status == 200 => {
                "it was still queued and is cancelled, unbilled".to_owned()
            }
            Ok(raw) => format!("cancelling it was answered HTTP {}", raw.status),
            Err(why) => format!("cancelling it failed: {why}"),
        }
    }
}
