//! The only file that knows apalis, which drives the steps: its `Worker` pulls picked tickets from the
//! engine, its `Monitor` watches the workers. If apalis changes its ways, this file changes.
//!
//! Three rules keep its habits away from paid work. The backend's error type has no value, so apalis
//! never ends a worker and never cancels what runs. The backend's layer, outside all others, holds the
//! concurrency slot until the commit is durable. And there is no retry and no timeout layer: a step is
//! run once per claim and times its own calls.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use apalis::prelude::*;
use apalis_core::backend::BackendConfig;
use apalis_core::backend::finalize::Ephemeral;
use apalis_core::error::BoxDynError;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use store::engine::{Engine, Picked};
use tokio::sync::mpsc;
use tower_layer::Layer;
use tower_service::Service;

use crate::settle;
use crate::step::{Outcome, Step, Turn};

/// How long the loops of a queue may take to end once nothing runs.
const CLOSE_MAX: Duration = Duration::from_secs(5);

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs one apalis worker per queue until each has drained.
///
/// # Errors
///
/// The words of apalis when a worker's own loop broke, which only a bug can do.
pub(crate) async fn run(rows: Vec<Row>) -> Result<(), String> {
    let monitor = rows.into_iter().fold(Monitor::new(), |monitor, row| {
        let name = row.name.clone();
        let row = Mutex::new(Some(row));
        monitor.register(move |_restarts| {
            let row = row.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Row { step, engine, picked, .. } = row.expect("a worker is never restarted");
            let work = Work { step, engine: engine.clone() };
            WorkerBuilder::new(name.clone())
                .backend(Source { engine, picked, closing: None })
                .parallelize(tokio::spawn)
                .catch_panic()
                .build(work)
        })
    });
    monitor.run().await.map_err(|error| error.to_string())
}

/// A started queue and the step that works it.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) step: Arc<dyn Step>,
    pub(crate) engine: Engine,
    pub(crate) picked: mpsc::Receiver<Picked>,
}

struct Source {
    engine: Engine,
    picked: mpsc::Receiver<Picked>,
    closing: Option<BoxFuture<()>>,
}

impl Backend for Source {
    type Task = Task<Picked>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        let Some(picked) = ready!(self.picked.poll_recv(cx)) else {
            // The engine drained. A worker waits for this word even when its source has ended.
            let _ = worker.stop();
            return Poll::Ready(None);
        };
        // Not the job's id alone: the same job may be claimed again while its lost run still ends.
        let claim = picked.claim();
        let id = TaskId::from_string(format!("{}#{}", claim.id, claim.fence));
        Poll::Ready(Some(Ok(TaskBuilder::new(picked).task_id(id).build())))
    }

    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        let engine = self.engine.clone();
        let closing = self
            .closing
            .get_or_insert_with(|| Box::pin(async move { engine.close(CLOSE_MAX, false).await }));
        closing.as_mut().poll(cx).map(Ok)
    }
}

impl BackendConfig for Source {
    type Args = Picked;
    type Id = String;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = CommitLayer;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> CommitLayer {
        CommitLayer(self.engine.clone())
    }
}

/// Innermost: one run of the step.
#[derive(Clone)]
struct Work {
    step: Arc<dyn Step>,
    engine: Engine,
}

impl Service<Task<Picked>> for Work {
    type Response = Outcome;
    type Error = Infallible;
    type Future = BoxFuture<Result<Outcome, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, task: Task<Picked>) -> Self::Future {
        let (step, turn) = (Arc::clone(&self.step), Turn::new(self.engine.clone(), task.args));
        Box::pin(async move { Ok(settle::run(&*step, &turn).await) })
    }
}

/// Outermost: makes the outcome durable, then lets the slot go.
struct CommitLayer(Engine);

struct Commit<S> {
    inner: S,
    engine: Engine,
}

impl<S> Layer<S> for CommitLayer {
    type Service = Commit<S>;

    fn layer(&self, inner: S) -> Commit<S> {
        Commit { inner, engine: self.0.clone() }
    }
}

impl<S> Service<Task<Picked>> for Commit<S>
where
    S: Service<Task<Picked>, Response = Outcome>,
    S::Error: Into<BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<Result<(), BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<Picked>) -> Self::Future {
        let (engine, picked) = (self.engine.clone(), task.args.clone());
        if engine.is_draining() {
            return Box::pin(async move {
                settle::unstarted(&engine, picked).await;
                Ok(())
            });
        }
        let run = self.inner.call(task);
        Box::pin(async move {
            let outcome = run.await.map_err(|error| error.into().to_string());
            settle::settle(&engine, picked, outcome).await;
            Ok(())
        })
    }
}
