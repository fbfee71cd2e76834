//! One multiplexed connection, and scripts that survive a lost script cache.

use crate::address::Address;
use crate::error::{is_misplaced, is_on_its_way};
use crate::line::{Line, Seat, Waits};
use crate::settings::Settings;
use crate::{StoreError, script::Script};
use redis::aio::ConnectionManager;
use redis::{Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use std::time::Duration;

/// So often it is asked without cause whether the primary is still the one: what is written to one that was
/// cut off is lost.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same for those who only wait for news.
const LOOK_EVERY_APART: Duration = Duration::from_secs(30);
/// Once to find that a server has lost its scripts or its place, once more to find the scripts missing in
/// the new place, and once for the answer.
const ROUNDS_MAX: usize = 3;
/// Before a command for a node that receives a slot and does not own it yet.
const ASKING: &str = "ASKING";

/// Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub(crate) struct Connection {
    line: Line,
}

/// Why a call was refused that can be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The server does not know the script (any more).
    NoScript,
    /// It is not the one to ask.
    Misplaced,
}

/// One script call, ready to be sent as often as needed.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    script: &'static Script,
    keys: Vec<String>,
    args: Vec<String>,
}

impl Call {
    pub(crate) fn new(script: &'static Script, keys: Vec<String>, args: Vec<String>) -> Self {
        Self { script, keys, args }
    }

    fn command(&self, many: bool) -> redis::Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.script.sha(many)).arg(self.keys.len()).arg(&self.keys).arg(&self.args);
        command
    }
}

/// The first error of this sort.
fn fault(answers: &[RedisResult<Value>], is: fn(&RedisError) -> bool) -> Option<&RedisError> {
    answers.iter().filter_map(|answer| answer.as_ref().err()).find(|error| is(error))
}

/// Answers to a pipeline, in its order.
pub(crate) struct Piped {
    pub(crate) each: Vec<RedisResult<Value>>,
    /// One server gave them all: only then may one be held against another, such as a count against the run of the
    /// server that counted.
    pub(crate) by_one: bool,
}

/// Asks the node ahead for what is on its way there, which had no effect here, and puts its answers in place.
async fn ask_ahead(
    ahead: &mut ConnectionManager,
    pipe: &Pipeline,
    answers: &mut [RedisResult<Value>],
) {
    let (mut more, mut places) = (Pipeline::new(), Vec::new());
    for (command, answer) in pipe.cmd_iter().zip(answers) {
        if answer.as_ref().is_err_and(is_on_its_way) {
            more.cmd(ASKING).add_command(command.clone());
            places.push(answer);
        }
    }
    let got: RedisResult<Vec<RedisResult<Value>>> = more.ignore_errors().query_async(ahead).await;
    match got {
        // Behind an ASKING every second answer is one.
        Ok(got) => {
            let got = got.into_iter().skip(1).step_by(2);
            places.into_iter().zip(got).for_each(|(place, answer)| *place = answer);
        }
        Err(error) => tracing::debug!(error = %error, "the node to ask now does not answer"),
    }
}

impl Connection {
    /// Connects at once, so that a wrong address is told at start. `slot`: where in a cluster the keys lie.
    pub(crate) async fn open(settings: &Settings, slot: u16) -> Result<Self, StoreError> {
        let (connect, answer) = (settings.connect_timeout, settings.response_timeout);
        let waits = Waits { connect, answer, look: LOOK_EVERY };
        let line = Line::new(Address::read(settings)?, slot, waits);
        line.seat().await?;
        Ok(Self { line })
    }

    /// One for keys of another slot: this one, where all lie on one server; else it is made when it is needed.
    pub(crate) fn to_slot(&self, slot: u16) -> Self {
        let spreads = self.line.address().spreads();
        Self { line: if spreads { self.line.another(Some(slot), None) } else { self.line.clone() } }
    }

    /// One for calls that wait up to nearly `answer`: they would hold up everything else on a shared one.
    pub(crate) async fn apart(&self, answer: Duration) -> Result<Self, StoreError> {
        let waits = Waits { connect: answer, answer, look: LOOK_EVERY_APART };
        let line = self.line.another(None, Some(waits));
        line.seat().await?;
        Ok(Self { line })
    }

    /// Whether another server may take over.
    pub(crate) fn moves(&self) -> bool {
        self.line.address().moves()
    }

    pub(crate) async fn ask<T: redis::FromRedisValue>(
        &self,
        command: &redis::Cmd,
    ) -> Result<T, StoreError> {
        let mut seat = self.line.seat().await?;
        let error: RedisError = match command.query_async(&mut seat.manager).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // What was refused for its place had no effect, so it may be asked in the right one.
        if let Some(mut ahead) = self.line.ahead(&seat, &error).await {
            let mut pipe = Pipeline::with_capacity(2);
            pipe.cmd(ASKING).ignore().add_command(command.clone());
            let (answer,) = pipe.query_async(&mut ahead).await?;
            return Ok(answer);
        }
        if self.line.moved_from(&seat, &error).await && is_misplaced(&error) {
            let mut seat = self.line.seat().await?;
            return Ok(command.query_async(&mut seat.manager).await?);
        }
        Err(error.into())
    }

    /// Sends many commands at once; each has its own answer.
    pub(crate) async fn pipe(&self, pipe: &mut Pipeline) -> Result<Vec<Value>, StoreError> {
        let answers = self.pipe_each(pipe).await?.each;
        answers.into_iter().map(|answer| answer.map_err(StoreError::from)).collect()
    }

    /// As [`Connection::pipe`]; a command that fails takes no other with it.
    pub(crate) async fn pipe_each(&self, pipe: &mut Pipeline) -> Result<Piped, StoreError> {
        if pipe.is_empty() {
            return Ok(Piped { each: Vec::new(), by_one: true });
        }
        let (mut seat, mut each, moved) = self.send(pipe).await?;
        if moved {
            // All of it: what the server before answered is not of the one that counts, and may be lost.
            (seat, each, _) = self.send(pipe).await?;
        }
        // While the slot is on its way to another node, what that one has already is asked for there. Not for
        // scripts: where some of their keys are here and some there, neither node can run them.
        let ahead = match fault(&each, is_on_its_way) {
            Some(error) => self.line.ahead(&seat, error).await,
            None => None,
        };
        let by_one = ahead.is_none();
        if let Some(mut ahead) = ahead {
            ask_ahead(&mut ahead, pipe, &mut each).await;
        }
        Ok(Piped { each, by_one })
    }

    /// Sends them to the primary. True where it refused some for its place, and another is the one to ask now.
    async fn send(
        &self,
        pipe: &mut Pipeline,
    ) -> Result<(Seat, Vec<RedisResult<Value>>, bool), StoreError> {
        let mut seat = self.line.seat().await?;
        let answers: RedisResult<Vec<RedisResult<Value>>> =
            pipe.ignore_errors().query_async(&mut seat.manager).await;
        let fault = match &answers {
            Ok(answers) => fault(answers, is_misplaced),
            Err(error) => Some(error),
        };
        let moved = match fault {
            Some(error) => self.line.moved_from(&seat, error).await,
            None => false,
        };
        let answers = answers?;
        Ok((seat, answers, moved))
    }

    pub(crate) async fn call(&self, call: Call) -> Result<Value, StoreError> {
        let mut answers = self.call_many(std::slice::from_ref(&call)).await;
        answers.pop().unwrap_or_else(|| Err(StoreError::Bug("a call without an answer".into())))
    }

    /// Runs the calls in one pipeline, and again those that met an empty script cache or a server that is not
    /// the one to ask: a refused call had no effect.
    pub(crate) async fn call_many(&self, calls: &[Call]) -> Vec<Result<Value, StoreError>> {
        let mut which: Vec<usize> = (0..calls.len()).collect();
        let mut answers: Vec<Result<Value, StoreError>> =
            std::iter::repeat_with(|| Err(StoreError::Bug("a call without an answer".into())))
                .take(calls.len())
                .collect();
        for round in 1..=ROUNDS_MAX {
            let refused = self.round(calls, &which, &mut answers).await;
            if refused.is_empty() || round == ROUNDS_MAX {
                break;
            }
            let missed: Vec<usize> =
                refused.iter().filter(|(_, why)| *why == Why::NoScript).map(|(i, _)| *i).collect();
            which = refused.into_iter().map(|(i, _)| i).collect();
            if let Err(error) = self.load(calls, &missed).await {
                missed.iter().for_each(|i| answers[*i] = Err(error.clone()));
                which.retain(|i| !missed.contains(i));
            }
        }
        answers
    }

    /// Sends the calls with these indexes; returns those that were refused and can be repeated.
    async fn round(
        &self,
        calls: &[Call],
        which: &[usize],
        answers: &mut [Result<Value, StoreError>],
    ) -> Vec<(usize, Why)> {
        let mut pipe = Pipeline::with_capacity(which.len());
        for i in which {
            pipe.add_command(calls[*i].command(self.moves()));
        }
        let mut refused = Vec::new();
        match self.send(&mut pipe).await {
            Ok((_, got, _)) => {
                for (i, answer) in which.iter().zip(got) {
                    let why = answer.as_ref().err().and_then(|error| self.why(error));
                    refused.extend(why.map(|why| (*i, why)));
                    answers[*i] = answer.map_err(StoreError::from);
                }
            }
            Err(error) => which.iter().for_each(|i| answers[*i] = Err(error.clone())),
        }
        refused
    }

    fn why(&self, error: &RedisError) -> Option<Why> {
        if error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript) {
            return Some(Why::NoScript);
        }
        (self.moves() && is_misplaced(error)).then_some(Why::Misplaced)
    }

    async fn load(&self, calls: &[Call], which: &[usize]) -> Result<(), StoreError> {
        let mut scripts: Vec<&'static Script> = which.iter().map(|i| calls[*i].script).collect();
        scripts.sort_by_key(|script| script.name());
        scripts.dedup_by_key(|script| script.name());
        let mut pipe = Pipeline::new();
        for script in scripts {
            pipe.cmd("SCRIPT").arg("LOAD").arg(script.source(self.moves()));
        }
        self.pipe(&mut pipe).await.map(drop)
    }
}
