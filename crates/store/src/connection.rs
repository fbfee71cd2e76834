//! One multiplexed connection, and scripts that survive a lost script cache.

use crate::settings::{Settings, redact};
use crate::{StoreError, script::Script};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisResult, Value};
use std::time::Duration;

/// Reconnecting is the manager's work; how long to go on trying is the caller's.
const RECONNECT_TRIES: usize = 2;
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub(crate) struct Connection {
    manager: ConnectionManager,
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

    fn command(&self) -> redis::Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.script.sha()).arg(self.keys.len()).arg(&self.keys).arg(&self.args);
        command
    }
}

/// The address, checked.
pub(crate) fn client(settings: &Settings) -> Result<Client, StoreError> {
    // The error of the redis crate may quote the address: it is replaced, not passed on.
    let refuse = || StoreError::Refused {
        cause: format!(
            "redis.url is not usable: {}; expected redis://[user[:password]@]host[:port][/db] or rediss://…",
            redact(&settings.url)
        ),
    };
    let info: ConnectionInfo =
        settings.url.as_str().into_connection_info().map_err(|_| refuse())?;
    // Without it Nagle's algorithm holds back the second half of a pipeline.
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Client::open(info).map_err(|_| refuse())
}

impl Connection {
    /// Connects at once, so that a wrong address is told at start.
    pub(crate) async fn open(client: Client, settings: &Settings) -> Result<Self, StoreError> {
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(settings.response_timeout))
            .set_connection_timeout(Some(settings.connect_timeout))
            .set_number_of_retries(RECONNECT_TRIES)
            .set_max_delay(RECONNECT_PAUSE_MAX);
        let manager =
            ConnectionManager::new_with_config(client, config).await.map_err(|error| {
                match StoreError::from(error) {
                    StoreError::Unreachable(why) => {
                        StoreError::Unreachable(format!("{}: {why}", redact(&settings.url)))
                    }
                    other => other,
                }
            })?;
        Ok(Self { manager })
    }

    pub(crate) async fn ask<T: redis::FromRedisValue>(
        &self,
        command: &redis::Cmd,
    ) -> Result<T, StoreError> {
        Ok(command.query_async(&mut self.manager.clone()).await?)
    }

    /// Sends many commands at once; each has its own answer.
    pub(crate) async fn pipe(&self, pipe: &mut Pipeline) -> Result<Vec<Value>, StoreError> {
        let answers = self.pipe_each(pipe).await?;
        answers.into_iter().map(|answer| answer.map_err(StoreError::from)).collect()
    }

    /// As [`Connection::pipe`]; a command that fails takes no other with it.
    pub(crate) async fn pipe_each(
        &self,
        pipe: &mut Pipeline,
    ) -> Result<Vec<RedisResult<Value>>, StoreError> {
        if pipe.is_empty() {
            return Ok(Vec::new());
        }
        Ok(pipe.ignore_errors().query_async(&mut self.manager.clone()).await?)
    }

    pub(crate) async fn call(&self, call: Call) -> Result<Value, StoreError> {
        let mut answers = self.call_many(std::slice::from_ref(&call)).await;
        answers.pop().unwrap_or_else(|| Err(StoreError::Bug("a call without an answer".into())))
    }

    /// Runs the calls in one pipeline, and once more those that met an empty script cache: a refused
    /// call had no effect.
    pub(crate) async fn call_many(&self, calls: &[Call]) -> Vec<Result<Value, StoreError>> {
        let all: Vec<usize> = (0..calls.len()).collect();
        let mut answers: Vec<Result<Value, StoreError>> =
            std::iter::repeat_with(|| Err(StoreError::Bug("a call without an answer".into())))
                .take(calls.len())
                .collect();
        let missed = self.round(calls, &all, &mut answers).await;
        if !missed.is_empty() {
            match self.load(calls, &missed).await {
                Ok(()) => {
                    self.round(calls, &missed, &mut answers).await;
                }
                Err(error) => missed.iter().for_each(|i| answers[*i] = Err(error.clone())),
            }
        }
        answers
    }

    /// Sends the calls with these indexes; returns those that were answered NOSCRIPT.
    async fn round(
        &self,
        calls: &[Call],
        which: &[usize],
        answers: &mut [Result<Value, StoreError>],
    ) -> Vec<usize> {
        let mut pipe = Pipeline::with_capacity(which.len());
        for i in which {
            pipe.add_command(calls[*i].command());
        }
        let mut missed = Vec::new();
        match self.pipe_each(&mut pipe).await {
            Ok(got) => {
                for (i, answer) in which.iter().zip(got) {
                    let no_script = answer.as_ref().is_err_and(|e| {
                        e.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript)
                    });
                    if no_script {
                        missed.push(*i);
                    }
                    answers[*i] = answer.map_err(StoreError::from);
                }
            }
            Err(error) => which.iter().for_each(|i| answers[*i] = Err(error.clone())),
        }
        missed
    }

    async fn load(&self, calls: &[Call], which: &[usize]) -> Result<(), StoreError> {
        let mut scripts: Vec<&'static Script> = which.iter().map(|i| calls[*i].script).collect();
        scripts.sort_by_key(|script| script.name());
        scripts.dedup_by_key(|script| script.name());
        let mut pipe = Pipeline::new();
        for script in scripts {
            pipe.cmd("SCRIPT").arg("LOAD").arg(script.source());
        }
        self.pipe(&mut pipe).await.map(drop)
    }
}
