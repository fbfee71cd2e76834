//! Create: from a parsed body to a task, or to the one reason against it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::timers::Timer;
use super::{State, Who};
use crate::dice::Purpose;
use crate::doubts::VideoMinimum;
use crate::faults::{Create, Facts, Outcome, Rule};
use crate::ledger::Entry;
use crate::link::Artefact;
use crate::models::{self, Model};
use crate::refusal::Refusal;
use crate::task::{Fate, Group, Status, Task};
use crate::validate::{Wanted, validate};

const MINUTE_US: u64 = 60_000_000;
const RECORD_LIFE_MS: i64 = 7 * 86_400_000;
/// The shortest reference video there may be.
const INPUT_VIDEO_S: u32 = 2;

/// One create call, read but not judged.
#[derive(Debug, Clone)]
pub(crate) struct CreateCall {
    pub(crate) who: Who,
    pub(crate) request_id: String,
    pub(crate) client_request_id: Option<String>,
    pub(crate) body_sha256: String,
    /// When its last byte reached this machine, Unix µs, where the kernel told it.
    pub(crate) arrived_us: Option<u64>,
    /// None where the body is no JSON object.
    pub(crate) body: Option<Map<String, Value>>,
}

/// A task was made.
#[derive(Clone, Debug)]
pub(crate) struct Created {
    pub(crate) id: String,
    pub(crate) seq: u64,
}

impl CreateCall {
    fn text(&self, field: &str) -> Option<&str> {
        self.body.as_ref()?.get(field)?.as_str()
    }

    fn nonce(&self) -> Option<i64> {
        self.body.as_ref()?.get("execution_expires_after")?.as_i64()
    }

    fn prompt(&self) -> Option<&str> {
        let items = self.body.as_ref()?.get("content")?.as_array()?;
        items.iter().find_map(|item| item.get("text")?.as_str())
    }

    /// What a test wrote into the prompt to know the task by: the first word that begins so.
    fn mark(&self) -> Option<&str> {
        self.prompt()?.split_whitespace().find(|word| word.starts_with("mark-"))
    }

    fn callback_path(&self) -> Option<String> {
        let url = url::Url::parse(self.text("callback_url")?).ok()?;
        Some(url.path().to_owned())
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            model: self.text("model"),
            account: Some(&self.who.account),
            text: self.prompt(),
            nonce: self.nonce(),
            callback: self.text("callback_url"),
            ..Facts::default()
        }
    }
}

impl State {
    /// Writes down that the call arrived whole.
    pub(crate) fn note_create(&self, call: &CreateCall) {
        let entry = Entry::new()
            .with("request_id", &call.request_id)
            .with("client_request_id", &call.client_request_id)
            .with("account", &*call.who.account)
            .with("project", &*call.who.project)
            .with("model", call.text("model"))
            .with("nonce", call.nonce())
            .with("callback_path", call.callback_path())
            .with("safety_identifier", call.text("safety_identifier"))
            .with("body_sha256", &call.body_sha256)
            .with("mark", call.mark())
            .with("arrived_us", call.arrived_us);
        self.note("create_seen", entry);
    }

    /// Draws a fault for a call that was read whole.
    pub(crate) fn create_fault(&mut self, call: &CreateCall) -> Option<Rule<Create>> {
        let rules = &mut self.faults.create;
        self.chance.draw(rules, &call.facts(), |rule| rule.kind != Create::DropBefore)
    }

    /// Makes a task, or says why not.
    pub(crate) fn create(&mut self, call: &CreateCall) -> Result<Created, Refusal> {
        self.check_and_make(call).map_err(|refusal| self.doubts.dressed(refusal))
    }

    fn check_and_make(&mut self, call: &CreateCall) -> Result<Created, Refusal> {
        let Some(body) = &call.body else {
            return Err(Refusal::parameter("body", "the request body is not a JSON object"));
        };
        let name = match body.get("model").filter(|value| !value.is_null()) {
            None => return Err(Refusal::missing("model")),
            Some(Value::String(name)) => name,
            Some(_) => return Err(Refusal::parameter("model", "expected a string")),
        };
        let model = self.model(name)?;
        let is_4k = call.text("resolution").is_some_and(|text| text.eq_ignore_ascii_case("4k"));
        let group = Group { account: call.who.account.clone(), model: model.key, is_4k };
        let limits = self.limits_of(&call.who.account);
        let (rpm, queued_max) =
            (if is_4k { limits.create_rpm_4k } else { limits.create_rpm }, limits.queued);
        if !self.pass("create_rpm", group.word(), MINUTE_US, rpm, call.arrived_us) {
            return Err(Refusal::builtin("ModelAccountRpmRateLimitExceeded"));
        }
        let wanted = validate(body, model, model.name(self.route), &self.doubts)?;
        let queue = self.queues.entry(call.who.account.clone()).or_default();
        if queued_max.is_some_and(|most| queue.queued >= most) {
            return Err(Refusal::builtin("quota-exceeded-queued"));
        }
        Ok(self.make(call, model, wanted))
    }

    fn model(&self, name: &str) -> Result<&'static Model, Refusal> {
        if let Some(model) = self.endpoints.get(name) {
            return Ok(model);
        }
        if let Some(model) = Model::find(self.route, name) {
            return Ok(model);
        }
        if Model::is_known_elsewhere(name) {
            return Err(Refusal::builtin("ModelNotOpen"));
        }
        let message =
            format!("The model or endpoint {name} does not exist or you do not have access to it.");
        Err(Refusal::new(404, "InvalidEndpointOrModel.NotFound", message, ""))
    }

    fn make(&mut self, call: &CreateCall, model: &'static Model, wanted: Wanted) -> Created {
        self.last_seq += 1;
        let seq = self.last_seq;
        let now_ms = self.clock.calendar_ms();
        let id = self.fresh_id(seq, now_ms);
        let (fate, run_ms) = self.fate(call, seq, &wanted);
        let duration_s = wanted.duration_s.unwrap_or_else(|| {
            u32::try_from(self.dice.between(Purpose::Duration, seq, 4, 15)).unwrap_or(15)
        });
        let size = models::size(wanted.resolution, wanted.ratio)
            .expect("validation lets only tabled sizes through");
        let tokens = self.tokens(&wanted, size, duration_s);
        let seed = wanted.seed.unwrap_or_else(|| self.dice.bits(Purpose::Seed, seq) >> 33);
        let task = Task {
            seq,
            id: id.clone(),
            account: call.who.account.clone(),
            project: call.who.project.clone(),
            model,
            model_name: model.name(self.route),
            status: Status::Queued,
            created_ms: now_ms,
            updated_ms: now_ms,
            expires_after_s: wanted.expires_after_s,
            generate_audio: wanted.generate_audio,
            priority: wanted.priority,
            safety_identifier: wanted.safety_identifier,
            tools: wanted.tools,
            with_last_frame: wanted.with_last_frame,
            resolution: wanted.resolution,
            ratio: wanted.ratio,
            size,
            duration_s,
            seed,
            tokens,
            callback: wanted.callback_url.map(Arc::from),
            run_ms,
            fate,
            error: None,
            listed: false,
            announced: false,
            video_downloads: 0,
        };
        self.stats.tasks_made += 1;
        let entry = Entry::new()
            .with("request_id", &call.request_id)
            .with("client_request_id", &call.client_request_id)
            .with("callback_path", call.callback_path())
            .with("body_sha256", &call.body_sha256)
            .with("task", &id)
            .with("account", &*task.account)
            .with("model", task.model_name)
            .with("nonce", call.nonce())
            .with("tokens", task.tokens)
            .with("mark", call.mark());
        self.note("task_made", entry);
        self.admit(task, call);
        Created { id, seq }
    }

    /// What the task will cost.
    fn tokens(&self, wanted: &Wanted, size: (u32, u32), duration_s: u32) -> u64 {
        let is_least = self.doubts.video_minimum == VideoMinimum::Charged;
        match wanted.with_video && !is_least {
            // Input and output seconds count alike; the input is not fetched, so the shortest.
            true => models::tokens(wanted.resolution, size, duration_s + INPUT_VIDEO_S, false),
            false => models::tokens(wanted.resolution, size, duration_s, wanted.with_video),
        }
    }

    /// Puts a new task where everything else will find it.
    fn admit(&mut self, task: Task, call: &CreateCall) {
        let (seq, created_ms) = (task.seq, task.created_ms);
        let expires_ms = created_ms + task.expires_after_s * 1000;
        self.seq_of_id.insert(task.id.clone(), seq);
        let queue = self.queues.entry(task.account.clone()).or_default();
        queue.queued += 1;
        queue.queued_max = queue.queued_max.max(queue.queued);
        self.tasks.insert(seq, task);
        let lag = self.chance.draw(&mut self.faults.list, &call.facts(), |rule| {
            rule.kind == crate::faults::Read::Lag
        });
        let least_ms = i64::from(self.doubts.list_lag_ms);
        let drawn_ms = lag.and_then(|rule| rule.ms).map_or(0, |most| self.chance.up_to(most));
        match least_ms.max(i64::try_from(drawn_ms).unwrap_or(0)) {
            0 => self.show(seq),
            lag_ms => self.at_calendar(created_ms + lag_ms, Timer::Show(seq)),
        }
        let (low, high) = self.queue_ms;
        let queue_ms = self.dice.between(Purpose::QueueTime, seq, low, high);
        let ready_ms = self.clock.work_ms() + i64::try_from(queue_ms).unwrap_or(0);
        self.at_work(ready_ms, Timer::Ready(seq));
        self.at_calendar(expires_ms, Timer::Expire(seq));
        self.at_calendar(created_ms + RECORD_LIFE_MS, Timer::Forget(seq));
        self.announce(seq);
    }

    /// `cgt-`, the time in UTC+8 up to 2 s before creation, five letters or digits.
    fn fresh_id(&self, seq: u64, now_ms: i64) -> String {
        const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let age_s = i64::try_from(self.dice.between(Purpose::IdAge, seq, 0, 2)).unwrap_or(0);
        let at = jiff::Timestamp::from_second(now_ms / 1000 - age_s).unwrap_or_default();
        let date = jiff::tz::offset(8).to_datetime(at).strftime("%Y%m%d%H%M%S").to_string();
        let mut draw = seq;
        loop {
            let mut bits = self.dice.bits(Purpose::TaskId, draw);
            let tail: String = (0..5)
                .map(|_| {
                    let letter = LETTERS[(bits % 36) as usize];
                    bits /= 36;
                    char::from(letter)
                })
                .collect();
            let id = format!("cgt-{date}-{tail}");
            if !self.seq_of_id.contains_key(&id) {
                return id;
            }
            draw = draw.wrapping_add(1 << 40);
        }
    }

    /// Draws how the task will end and how long it will run, in simulated ms.
    fn fate(&mut self, call: &CreateCall, seq: u64, wanted: &Wanted) -> (Fate, i64) {
        let (low, high) = self.run_ms;
        let run_ms = self.dice.between(Purpose::RunTime, seq, low, high);
        let rule = self.chance.draw(&mut self.faults.task, &call.facts(), |_| true);
        let well = Fate::Succeed { with_video_url: true, with_last_frame: wanted.with_last_frame };
        let rule_ms = rule.as_ref().and_then(|rule| rule.ms);
        let run_ms = i64::try_from(rule_ms.unwrap_or(run_ms)).unwrap_or(i64::MAX / 4);
        let Some(rule) = rule else {
            return (well, run_ms);
        };
        let fate = match rule.kind {
            Outcome::RunsFor => well,
            Outcome::Failed => Fate::Fail {
                code: rule.code.unwrap_or_else(|| "InternalServiceError".into()),
                message: rule.message.unwrap_or_else(|| "The task failed.".into()),
            },
            Outcome::Expired => Fate::Expire,
            Outcome::Cancelled => Fate::CancelWhileQueued,
            Outcome::Stuck => Fate::StayRunning,
            Outcome::StuckQueued => Fate::StayQueued,
            Outcome::NoVideoUrl => Fate::Succeed { with_video_url: false, with_last_frame: true },
            Outcome::NoLastFrame => Fate::Succeed { with_video_url: true, with_last_frame: false },
            Outcome::Gone => Fate::Vanish,
        };
        (fate, run_ms)
    }

    /// Which files a succeeded task leaves.
    pub(crate) fn leaves(&self, task: &Task, artefact: Artefact) -> bool {
        match (&task.fate, artefact) {
            (Fate::Succeed { with_video_url, .. }, Artefact::Video) => *with_video_url,
            (Fate::Succeed { with_last_frame, .. }, Artefact::LastFrame) => {
                *with_last_frame && task.with_last_frame
            }
            (
                Fate::Fail { .. }
                | Fate::Expire
                | Fate::CancelWhileQueued
                | Fate::StayQueued
                | Fate::StayRunning
                | Fate::Vanish,
                _,
            ) => false,
        }
    }
}
