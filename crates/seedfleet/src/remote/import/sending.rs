//! One pass over the file: it goes to the gateway as it is, or row by row where rows are looked at here.

use super::lines::{Feeder, stream};
use super::refused::Refused;
use super::{Import, Passed};
use crate::exit::{Exit, Failure};
use crate::output::Progress;
use crate::verbs::import::{Rejects, open_rows};
use admission::RowForm;
use futures::Stream;
use serde_json::Value;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes read at once.
const PIECE_BYTES: usize = 64 << 10;
/// Between two looks at how far the file has gone out.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is wanted of a pass.
pub(super) enum Pass<'p> {
    /// All rows are judged; so many are drawn as a pilot.
    Judge(Option<u32>),
    /// All rows are taken in.
    Whole,
    /// These rows are taken in as the pilot of so many.
    Pilot(u32, &'p BTreeSet<u64>),
}

impl Pass<'_> {
    /// What the API is told of it.
    fn wish(&self) -> Vec<(&'static str, String)> {
        let dry = || ("dry_run", "true".to_owned());
        let of = |rows: u32| ("pilot", rows.to_string());
        match self {
            Self::Judge(None) => vec![dry()],
            Self::Judge(Some(rows)) => vec![dry(), of(*rows)],
            Self::Whole => Vec::new(),
            Self::Pilot(rows, _) => vec![of(*rows)],
        }
    }

    /// Whether a row is meant.
    pub(super) fn takes(&self, row: u64) -> bool {
        match self {
            Self::Judge(_) | Self::Whole => true,
            Self::Pilot(_, rows) => rows.contains(&row),
        }
    }
}

impl Import<'_> {
    /// Sends the rows that are meant.
    ///
    /// # Errors
    ///
    /// The file cannot be read, the gateway is away or refuses, or Ctrl-C.
    pub(super) async fn pass(&self, pass: &Pass<'_>) -> Result<Passed, Failure> {
        let wish = [self.wish(), pass.wish()].concat();
        let query: Vec<_> = wish.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut refused = Refused::none(Rejects::at(&self.rejects)?);
        let answered = match pass {
            Pass::Judge(_) | Pass::Whole if self.references.is_none() => self.whole(&query).await,
            Pass::Judge(_) | Pass::Whole | Pass::Pilot(..) => {
                self.read(pass, &query, &mut refused).await
            }
        };
        let told = |failure: Failure| match (failure.exit, pass) {
            (Exit::Interrupted, Pass::Judge(_)) => {
                Failure::new(Exit::Interrupted, "interrupted; no row was taken in")
            }
            (Exit::Outage, Pass::Judge(_)) => {
                failure.hint("no row was taken in; repeat the command")
            }
            (Exit::Outage | Exit::Interrupted, Pass::Whole | Pass::Pilot(..)) => {
                failure.hint(self.again())
            }
            _ => failure,
        };
        Ok(Passed { answer: answered.map_err(told)?, refused })
    }

    /// Sends the file as it is.
    async fn whole(&self, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let (input, bytes) = opened(&self.args.file).await?;
        let sent = Arc::new(AtomicU64::new(0));
        let progress = Progress::begin(bytes, self.global.quiet);
        let rows = (&["batches"][..], query);
        let call = self.gateway.post_rows(rows, media_type(self.form), pieces(input, &sent));
        let answered = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => Err(interrupted()),
            answered = call => answered,
            never = watch(&sent, &progress) => match never {},
        };
        progress.end();
        answered
    }

    /// Reads the rows here, and sends those that are good as far as this machine sees.
    async fn read(
        &self,
        pass: &Pass<'_>,
        query: &[(&str, &str)],
        refused: &mut Refused,
    ) -> Result<Value, Failure> {
        let source = open_rows(&self.args.file, self.form)?;
        let progress = Progress::begin(source.bytes, self.global.quiet);
        let (out, rows) = stream();
        let lines = media_type(RowForm::JsonLines);
        let references = self.references.as_deref();
        let feeder = Feeder::of(pass, references, refused, &progress, out);
        let call = self.gateway.post_rows((&["batches"][..], query), lines, rows);
        let answered = both(call, feeder.feed(source.batches)).await;
        progress.end();
        answered
    }
}

/// The answer to a call whose body is written meanwhile. Whoever answers early wants no more of it.
async fn both(
    call: impl Future<Output = Result<Value, Failure>>,
    fed: impl Future<Output = Result<(), Failure>>,
) -> Result<Value, Failure> {
    let (mut call, mut fed) = (pin!(call), pin!(fed));
    let mut ctrl_c = pin!(tokio::signal::ctrl_c());
    let mut is_fed = false;
    loop {
        tokio::select! {
            biased;
            _ = &mut ctrl_c => return Err(interrupted()),
            written = &mut fed, if !is_fed => {
                written?;
                is_fed = true;
            }
            answered = &mut call => return answered,
        }
    }
}

fn interrupted() -> Failure {
    let what = "interrupted; what the gateway took in stays, and is not made twice";
    Failure::new(Exit::Interrupted, what)
}

const fn media_type(form: RowForm) -> &'static str {
    match form {
        RowForm::JsonLines => "application/jsonl",
        RowForm::JsonList => "application/json",
        RowForm::Csv => "text/csv",
    }
}

/// The file, or standard input for `-`, and its length where it has one.
async fn opened(path: &Path) -> Result<(Box<dyn AsyncRead + Send + Unpin>, Option<u64>), Failure> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(tokio::io::stdin()), None));
    }
    let cannot = |error: io::Error| {
        let exit =
            if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        Failure::new(exit, format!("cannot read {}", path.display())).because(error)
    };
    let file = File::open(path).await.map_err(cannot)?;
    let about = file.metadata().await.map_err(cannot)?;
    if about.is_dir() {
        return Err(Failure::usage(format!("{} is a folder", path.display())));
    }
    Ok((Box::new(file), about.is_file().then_some(about.len())))
}

/// The input piece by piece, as the gateway takes it; counted on its way out.
fn pieces(
    input: Box<dyn AsyncRead + Send + Unpin>,
    sent: &Arc<AtomicU64>,
) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + use<> {
    futures::stream::try_unfold((input, Arc::clone(sent)), |(mut input, sent)| async move {
        let mut piece = vec![0; PIECE_BYTES];
        let n = input.read(&mut piece).await?;
        piece.truncate(n);
        sent.fetch_add(n as u64, Ordering::Relaxed);
        Ok::<_, io::Error>((n > 0).then_some((piece, (input, sent))))
    })
}

/// Never ends: it shows how much is out while the call goes on.
async fn watch(sent: &AtomicU64, progress: &Progress) -> Infallible {
    loop {
        let bytes = sent.load(Ordering::Relaxed);
        progress.at(bytes, &format!("{bytes} bytes sent"));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
