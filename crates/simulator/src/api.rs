//! The provider's API: the four calls, their authentication and their faults
//! (`docs/provider.md` §1, §3).

mod create;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::doubts::{Doubts, ExpiredFilter, ListOrder};
use crate::faults::{Read, Rule};
use crate::ledger::Entry;
use crate::refusal::Refusal;
use crate::serve::{Answer, Body, Exchange, Hangup, cut, json, refused, whole};
use crate::task::Status;
use crate::world::{Call, DeleteEnd, Filter, Who};

const TASKS: &str = "/api/v3/contents/generations/tasks";
/// How long a cut body waits for its first part to leave.
const CUT_PAUSE: Duration = Duration::from_millis(30);

/// Answers one request to the API.
pub(crate) async fn handle(exchange: Exchange) -> Answer {
    let request_id = exchange.world.with(|state| state.request_id());
    let path = exchange.request.uri().path().to_owned();
    let Some(rest) = path.strip_prefix(TASKS) else {
        let page = Response::builder().status(404).header("x-request-id", &request_id);
        return page.body(whole("404 page not found")).map_err(|_| Hangup);
    };
    let Some(who) = who(&exchange) else {
        exchange.world.with(|state| state.stats.call("unauthorized", 401));
        return Ok(refused(&Refusal::builtin("AuthenticationError"), &request_id));
    };
    let id = rest.strip_prefix('/').filter(|id| !id.is_empty() && !id.contains('/'));
    match (exchange.request.method().clone(), rest, id) {
        (Method::POST, "", None) => create::create(exchange, who, request_id).await,
        (Method::GET, "", None) => list(exchange, who, request_id).await,
        (Method::GET, _, Some(id)) => retrieve(exchange, who, request_id, id).await,
        (Method::DELETE, _, Some(id)) => delete(exchange, who, request_id, id).await,
        _ => {
            let page = Response::builder().status(405).header("x-request-id", &request_id);
            page.body(whole("405 method not allowed")).map_err(|_| Hangup)
        }
    }
}

fn who(exchange: &Exchange) -> Option<Who> {
    let header = exchange.request.headers().get("authorization")?.to_str().ok()?;
    let secret = header.strip_prefix("Bearer ")?;
    exchange.world.with(|state| state.who(secret))
}

/// The refusal an `answer` rule asks for.
pub(crate) fn answer_of<K>(rule: &Rule<K>) -> Refusal {
    let code = rule.code.as_deref().unwrap_or("InternalServiceError");
    let message = rule.message.as_deref();
    let known = Refusal::known(code);
    let status = rule.status.or(known.as_ref().map(|known| known.status)).unwrap_or(500);
    let refusal = match known {
        Some(known) if message.is_none() && status == known.status => known,
        Some(_) | None => Refusal::new(status, code, message.unwrap_or("A simulated refusal."), ""),
    };
    match rule.retry_after_s {
        None => refusal,
        Some(seconds) => refusal.with_header("retry-after", seconds.to_string()),
    }
}

/// A body that breaks off in the middle although its head promised more.
fn cut_answer(status: u16, request_id: &str, body: Bytes) -> Response<Body> {
    let half = body.slice(..body.len() / 2);
    json(status, request_id, body).map(|_| cut(half, CUT_PAUSE))
}

/// One read call on its way to an answer.
struct ReadCall<'a> {
    exchange: &'a Exchange,
    call: Call,
    who: &'a Who,
    request_id: &'a str,
    id: Option<&'a str>,
}

impl ReadCall<'_> {
    /// Counts the call, draws a fault and either answers with it or does `act`.
    async fn answer(
        &self,
        act: impl FnOnce(&mut crate::world::State, Option<&Rule<Read>>) -> Result<Value, Refusal>,
    ) -> Answer {
        let world = &self.exchange.world;
        let came_us = self.exchange.arrival.last_us();
        let (result, rule) = world.with(|state| {
            if let Err(refusal) = state.check_rate(self.call, self.who, came_us) {
                return (Err(refusal), None);
            }
            let rule = state.read_fault(self.call, self.who, self.id);
            let forced = rule.as_ref().and_then(|rule| forced_refusal(&state.doubts, rule));
            let result = match (forced, rule.as_ref().map(|rule| rule.kind)) {
                (Some(refusal), _) => Err(refusal),
                (None, Some(Read::Drop)) => Ok(Value::Null),
                (None, _) => act(state, rule.as_ref()),
            };
            (result, rule)
        });
        let kind = rule.as_ref().map(|rule| rule.kind);
        let hangs_up = matches!(kind, Some(Read::Drop | Read::DoneThenDrop));
        let status = result.as_ref().map_or_else(|refusal| refusal.status, |_| 200);
        world.with(|state| {
            match hangs_up {
                true => state.stats.call(self.call.word(), "dropped"),
                false => state.stats.call(self.call.word(), status),
            }
            let entry = Entry::new()
                .with("call", self.call.word())
                .with("account", &*self.who.account)
                .with("task", self.id)
                .with("http_status", (!hangs_up).then_some(status))
                .with("fault", kind);
            state.note("call", entry);
        });
        if hangs_up {
            return Err(Hangup);
        }
        if kind == Some(Read::Slow) {
            let ms = rule.as_ref().and_then(|rule| rule.ms).unwrap_or(5_000);
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        match result {
            Err(refusal) => Ok(refused(&refusal, self.request_id)),
            Ok(body) if kind == Some(Read::CutBody) => {
                Ok(cut_answer(200, self.request_id, body.to_string().into()))
            }
            Ok(body) => Ok(json(200, self.request_id, body.to_string())),
        }
    }
}

/// The refusal a fault answers with instead of doing anything.
fn forced_refusal(doubts: &Doubts, rule: &Rule<Read>) -> Option<Refusal> {
    match rule.kind {
        Read::NotFoundAtFirst => Some(doubts.unknown()),
        Read::Error500 => Some(Refusal::builtin("InternalServiceError")),
        Read::Html502 => Some(Refusal::html(502)),
        Read::Answer => Some(answer_of(rule)),
        Read::UnknownStatus
        | Read::Slow
        | Read::Drop
        | Read::CutBody
        | Read::Lag
        | Read::MissingPage
        | Read::ShiftedPage
        | Read::OldestFirst
        | Read::DoneThenDrop => None,
    }
}

async fn retrieve(exchange: Exchange, who: Who, request_id: String, id: &str) -> Answer {
    let call = ReadCall {
        exchange: &exchange,
        call: Call::Retrieve,
        who: &who,
        request_id: &request_id,
        id: Some(id),
    };
    call.answer(|state, rule| {
        let mut object = state.retrieve(&who, id)?;
        if let Some(rule) = rule.filter(|rule| rule.kind == Read::UnknownStatus) {
            let word = rule.word.as_deref().unwrap_or("paused");
            object.insert("status".into(), word.into());
        }
        Ok(Value::Object(object))
    })
    .await
}

async fn delete(exchange: Exchange, who: Who, request_id: String, id: &str) -> Answer {
    let call = ReadCall {
        exchange: &exchange,
        call: Call::Delete,
        who: &who,
        request_id: &request_id,
        id: Some(id),
    };
    call.answer(|state, _| match state.delete(&who, id)? {
        DeleteEnd::Cancelled | DeleteEnd::Deleted => Ok(Value::Object(serde_json::Map::new())),
    })
    .await
}

async fn list(exchange: Exchange, who: Who, request_id: String) -> Answer {
    let call = ReadCall {
        exchange: &exchange,
        call: Call::List,
        who: &who,
        request_id: &request_id,
        id: None,
    };
    let query = exchange.request.uri().query().unwrap_or_default();
    call.answer(|state, rule| {
        let wish = ListQuery::read(query)?;
        if wish.model.is_none()
            && let Some(refusal) = state.doubts.list_without_model()
        {
            return Err(refusal);
        }
        if wish.status == Some(Status::Expired)
            && state.doubts.expired_filter == ExpiredFilter::Refused
        {
            return Err(Refusal::parameter("filter.status", "unknown status"));
        }
        let mut filter = Filter { status: wish.status, model: None, ids: wish.ids };
        let mut nothing_fits = wish.is_flex;
        if let Some(name) = &wish.model {
            filter.model = state.filter_model(name);
            nothing_fits |= filter.model.is_none();
        }
        if nothing_fits {
            return Ok(serde_json::json!({"items": [], "total": 0}));
        }
        let kind = rule.map(|rule| rule.kind);
        let shift = match (kind, rule.and_then(|rule| rule.count)) {
            (Some(Read::ShiftedPage), count) => count.unwrap_or(1) as usize,
            _ => 0,
        };
        let newest_first =
            kind != Some(Read::OldestFirst) && state.doubts.list_order == ListOrder::NewestFirst;
        let page = (wish.page_num, wish.page_size);
        let mut answer = state.list(&who, &filter, page, newest_first, shift);
        if kind == Some(Read::MissingPage) {
            answer["items"] = Value::Array(Vec::new());
        }
        let strange = rule.filter(|rule| rule.kind == Read::UnknownStatus);
        if let (Some(rule), Some(items)) = (strange, answer["items"].as_array_mut()) {
            let word = rule.word.as_deref().unwrap_or("paused");
            items.iter_mut().for_each(|item| item["status"] = word.into());
        }
        Ok(answer)
    })
    .await
}

/// The query of a list call (§3.1).
struct ListQuery {
    page_num: usize,
    page_size: usize,
    status: Option<Status>,
    model: Option<String>,
    ids: Vec<String>,
    is_flex: bool,
}

impl ListQuery {
    fn read(query: &str) -> Result<Self, Refusal> {
        let mut wish = Self {
            page_num: 1,
            page_size: 20,
            status: None,
            model: None,
            ids: Vec::new(),
            is_flex: false,
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "page_num" => wish.page_num = page_number("page_num", &value)?,
                "page_size" => wish.page_size = page_number("page_size", &value)?,
                "filter.status" => {
                    let status = Status::of_word(&value);
                    let wrong = || Refusal::parameter("filter.status", "unknown status");
                    wish.status = Some(status.ok_or_else(wrong)?);
                }
                "filter.model" => wish.model = Some(value.into_owned()),
                "filter.task_ids" => wish.ids.push(value.into_owned()),
                "filter.service_tier" => match &*value {
                    "default" => wish.is_flex = false,
                    "flex" => wish.is_flex = true,
                    _ => {
                        let param = "filter.service_tier";
                        return Err(Refusal::parameter(param, "unknown service tier"));
                    }
                },
                _ => {}
            }
        }
        Ok(wish)
    }
}

fn page_number(name: &str, value: &str) -> Result<usize, Refusal> {
    let number = value.parse().ok().filter(|number| (1..=500).contains(number));
    number.ok_or_else(|| Refusal::parameter(name, "expected a number from 1 to 500"))
}

/// Reads a request body of at most `bytes_max`.
async fn read_body(exchange: &mut Exchange, bytes_max: usize) -> Result<Bytes, BodyFault> {
    let body = exchange.request.body_mut();
    match http_body_util::Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(BodyFault::TooLarge),
        Err(_) => Err(BodyFault::BrokenOff),
    }
}

/// Why there is no body.
enum BodyFault {
    TooLarge,
    BrokenOff,
}
