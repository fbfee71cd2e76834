//! Create, the one call that costs money, with every way its answer can get lost.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use serde_json::json;
use tokio::sync::oneshot;

use super::{BodyFault, answer_of, cut_answer, read_body};
use crate::clip::sha256_hex;
use crate::doubts::CallbackOrder;
use crate::faults::{Create, Facts, Rule};
use crate::ledger::Entry;
use crate::refusal::Refusal;
use crate::serve::{Answer, Body, Exchange, Hangup, json as json_answer, refused};
use crate::world::{CreateCall, Created, State, Who, World};

const BODY_BYTES_MAX: usize = 64 << 20;
/// Part of an answer's head that is sent before a reset: less than the status line.
const HALF_HEAD_BYTES: i64 = 12;
/// How long a reply waits for the callback that is to overtake it.
const ANNOUNCE_MAX: Duration = Duration::from_secs(5);

/// What became of a call once it was read.
enum Judged {
    Done(Result<Created, Refusal>),
    /// A fault answers, or not, without any task.
    Nothing,
    /// The task will be made by and by.
    Later,
}

pub(super) async fn create(mut exchange: Exchange, who: Who, request_id: String) -> Answer {
    let world = exchange.world.clone();
    if drops_before(&world, &who) {
        return Err(Hangup);
    }
    let body = match read_body(&mut exchange, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(BodyFault::TooLarge) => {
            world.with(|state| state.stats.call("create", 413));
            return Ok(refused(&Refusal::builtin("RequestBodyTooLarge"), &request_id));
        }
        Err(BodyFault::BrokenOff) => {
            // The client never finished its request, so nothing can have been bought.
            world.with(|state| state.stats.call("create", "unfinished"));
            return Err(Hangup);
        }
    };
    let header = exchange.request.headers().get("x-client-request-id");
    let call = CreateCall {
        who,
        request_id,
        client_request_id: header.and_then(|value| value.to_str().ok()).map(str::to_owned),
        body_sha256: sha256_hex(&body),
        arrived_us: exchange.arrival.last_us(),
        body: serde_json::from_slice(&body).ok(),
    };
    let (judged, rule) = world.with(|state| judge(state, &call));
    let judged = match judged {
        Judged::Later => Judged::Done(create_later(&world, &call, rule.as_ref()).await?),
        Judged::Done(_) | Judged::Nothing => judged,
    };
    answer(&exchange, &call.request_id, judged, rule).await
}

fn drops_before(world: &World, who: &Who) -> bool {
    world.with(|state| {
        let facts = Facts { account: Some(&who.account), ..Facts::default() };
        let rules = &mut state.faults.create;
        let hit = state.chance.draw(rules, &facts, |rule| rule.kind == Create::DropBefore);
        if hit.is_some() {
            state.stats.call("create", "dropped_before");
        }
        hit.is_some()
    })
}

fn judge(state: &mut State, call: &CreateCall) -> (Judged, Option<Rule<Create>>) {
    state.note_create(call);
    let rule = state.create_fault(call);
    let judged = match rule.as_ref().map(|rule| rule.kind) {
        Some(
            Create::DropBefore
            | Create::DropAfterRead
            | Create::Error500WithoutCreate
            | Create::Html502WithoutCreate
            | Create::Answer
            | Create::Redirect,
        ) => Judged::Nothing,
        Some(Create::DelayCreate) => Judged::Later,
        Some(
            Create::AcceptThenDrop
            | Create::AcceptThenReset
            | Create::ResetAfterHalfHead
            | Create::DelayReply
            | Create::CallbackBeforeReply
            | Create::Error500AfterCreate
            | Create::Html502AfterCreate
            | Create::Ok200WithoutId
            | Create::Ok200CutBody
            | Create::AnswerAfterCreate,
        )
        | None => Judged::Done(state.create(call)),
    };
    let (status, task) = match &judged {
        Judged::Done(Ok(created)) => (success_status(rule.as_ref()), Some(created.id.clone())),
        Judged::Done(Err(refusal)) => (Some(refusal.status), None),
        Judged::Nothing => (rule.as_ref().and_then(status_without_create), None),
        Judged::Later => return (judged, rule),
    };
    note_answer(state, call, status, task, rule.as_ref());
    (judged, rule)
}

fn note_answer(
    state: &mut State,
    call: &CreateCall,
    status: Option<u16>,
    task: Option<String>,
    rule: Option<&Rule<Create>>,
) {
    match status {
        Some(status) => state.stats.call("create", status),
        None => state.stats.call("create", "dropped"),
    }
    let entry = Entry::new()
        .with("request_id", &call.request_id)
        .with("client_request_id", &call.client_request_id)
        .with("http_status", status)
        .with("task", task)
        .with("fault", rule.map(|rule| rule.kind));
    state.note("create_answered", entry);
}

/// Status the client can read for a task that was made; none where the answer is lost.
fn success_status(rule: Option<&Rule<Create>>) -> Option<u16> {
    match rule.map(|rule| rule.kind) {
        Some(Create::AcceptThenDrop | Create::AcceptThenReset | Create::ResetAfterHalfHead) => None,
        Some(Create::Error500AfterCreate) => Some(500),
        Some(Create::Html502AfterCreate) => Some(502),
        Some(Create::AnswerAfterCreate) => rule.map(|rule| answer_of(rule).status),
        Some(
            Create::DropBefore
            | Create::DropAfterRead
            | Create::DelayReply
            | Create::DelayCreate
            | Create::CallbackBeforeReply
            | Create::Error500WithoutCreate
            | Create::Html502WithoutCreate
            | Create::Ok200WithoutId
            | Create::Ok200CutBody
            | Create::Answer
            | Create::Redirect,
        )
        | None => Some(200),
    }
}

fn status_without_create(rule: &Rule<Create>) -> Option<u16> {
    refusal_without_create(rule).map(|refusal| refusal.status)
}

/// The answer of a fault that makes no task; none where it hangs up.
fn refusal_without_create(rule: &Rule<Create>) -> Option<Refusal> {
    match rule.kind {
        Create::Error500WithoutCreate => Some(Refusal::builtin("InternalServiceError")),
        Create::Html502WithoutCreate => Some(Refusal::html(502)),
        Create::Answer => Some(answer_of(rule)),
        Create::Redirect => {
            let url = rule.url.as_deref().unwrap_or("http://127.0.0.1:9/elsewhere");
            let mut refusal = Refusal::html(rule.status.unwrap_or(307));
            refusal = refusal.with_header("location", url);
            Some(refusal)
        }
        Create::DropBefore
        | Create::DropAfterRead
        | Create::AcceptThenDrop
        | Create::AcceptThenReset
        | Create::ResetAfterHalfHead
        | Create::DelayReply
        | Create::DelayCreate
        | Create::CallbackBeforeReply
        | Create::Error500AfterCreate
        | Create::Html502AfterCreate
        | Create::Ok200WithoutId
        | Create::Ok200CutBody
        | Create::AnswerAfterCreate => None,
    }
}

/// Makes the task after a while, whether or not the client is still there to hear of it.
async fn create_later(
    world: &Arc<World>,
    call: &CreateCall,
    rule: Option<&Rule<Create>>,
) -> Result<Result<Created, Refusal>, Hangup> {
    let wait = wait_of(rule);
    let (world, call, rule) = (world.clone(), call.clone(), rule.cloned());
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        let result = world.with(|state| {
            let result = state.create(&call);
            let (status, task) = match &result {
                Ok(created) => (200, Some(created.id.clone())),
                Err(refusal) => (refusal.status, None),
            };
            note_answer(state, &call, Some(status), task, rule.as_ref());
            result
        });
        // Nobody may be listening any more: that is what this fault is for.
        let _ = tell.send(result);
    });
    told.await.map_err(|_| Hangup)
}

fn wait_of(rule: Option<&Rule<Create>>) -> Duration {
    Duration::from_millis(rule.and_then(|rule| rule.ms).unwrap_or(5_000))
}

async fn answer(
    exchange: &Exchange,
    request_id: &str,
    judged: Judged,
    rule: Option<Rule<Create>>,
) -> Answer {
    let created = match judged {
        Judged::Done(Ok(created)) => created,
        Judged::Done(Err(refusal)) => return Ok(refused(&refusal, request_id)),
        Judged::Nothing | Judged::Later => {
            let refusal = rule.as_ref().and_then(refusal_without_create).ok_or(Hangup)?;
            return Ok(refused(&refusal, request_id));
        }
    };
    let body = json!({"id": created.id}).to_string();
    let plain = |body: String| -> Response<Body> { json_answer(200, request_id, body) };
    let Some(rule) = rule else {
        let order = exchange.world.with(|state| state.doubts.callback_order);
        if order == CallbackOrder::BeforeReply {
            until_announced(&exchange.world, created.seq, ANNOUNCE_MAX).await;
        }
        return Ok(plain(body));
    };
    match rule.kind {
        Create::AcceptThenDrop | Create::DropBefore | Create::DropAfterRead => Err(Hangup),
        Create::AcceptThenReset => {
            exchange.sabotage.reset_on_close();
            Err(Hangup)
        }
        Create::ResetAfterHalfHead => {
            exchange.sabotage.reset_after(HALF_HEAD_BYTES);
            Ok(plain(body))
        }
        Create::DelayReply => {
            tokio::time::sleep(wait_of(Some(&rule))).await;
            Ok(plain(body))
        }
        Create::CallbackBeforeReply => {
            until_announced(&exchange.world, created.seq, wait_of(Some(&rule))).await;
            Ok(plain(body))
        }
        Create::Error500AfterCreate | Create::Error500WithoutCreate => {
            Ok(refused(&Refusal::builtin("InternalServiceError"), request_id))
        }
        Create::Html502AfterCreate | Create::Html502WithoutCreate => {
            Ok(refused(&Refusal::html(502), request_id))
        }
        Create::Ok200WithoutId => Ok(plain("{}".into())),
        Create::Ok200CutBody => Ok(cut_answer(200, request_id, body.into())),
        Create::AnswerAfterCreate | Create::Answer | Create::Redirect => {
            Ok(refused(&answer_of(&rule), request_id))
        }
        Create::DelayCreate => Ok(plain(body)),
    }
}

/// Waits until the first callback of a task is settled, but no longer than `most`.
async fn until_announced(world: &World, seq: u64, most: Duration) {
    let settled = async {
        loop {
            let news = world.announced.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let is_open = world.with(|state| {
                state.task(seq).is_some_and(|task| task.callback.is_some() && !task.announced)
            });
            if !is_open {
                return;
            }
            news.await;
        }
    };
    // Too late is an outcome too: the reply then goes out without the callback.
    let _ = tokio::time::timeout(most, settled).await;
}
