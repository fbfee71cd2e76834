//! `import` over the gateway: the file goes to `POST /v1/batches` as it is, and comes back as a count.
//!
//! A row is known by batch and `custom_id`, else by its fingerprint, as everywhere: a stream that broke off is sent again.

use super::gateway::Gateway;
use super::lines::Lines;
use super::{TENANT_DEFAULT, no_way, own_tenant, rows};
use crate::cli::{Duplicates, Global, ImportArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Progress, Row};
use crate::verbs::import::{Reject, Rejects};
use crate::verbs::import::{batch_of, form_of, rejects_of};
use admission::RowForm;
use futures::Stream;
use job::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes read at once.
const PIECE_BYTES: usize = 64 << 10;
/// Between two looks at how far the file has gone out.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, args: &ImportArgs) -> Outcome {
    own_tenant((args.tenant != TENANT_DEFAULT).then_some(args.tenant.as_str()))?;
    possible(args)?;
    let (batch, rejects) = (batch_of(args), rejects_of(args));
    let form = args.format.map_or_else(|| form_of(&args.file), Into::into);
    let (input, bytes) = opened(&args.file).await?;
    let sent = Arc::new(AtomicU64::new(0));
    let wish = query(args, &batch);
    let query: Vec<_> = wish.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let progress = Progress::begin(bytes, global.quiet);
    let call = gateway.post_rows((&["batches"], &query), media_type(form), pieces(input, &sent));
    let again = format!("go on with: seedfleet import {} --batch {batch}", args.file.display());
    let answered = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {
            let what = "interrupted; what the gateway took in stays, and is not made twice";
            Err(Failure::new(Exit::Interrupted, what).hint(&again))
        }
        answered = call => answered.map_err(|failure| match failure.exit {
            Exit::Outage => failure.hint(&again),
            _ => failure,
        }),
        never = watch(&sent, &progress) => match never {},
    };
    progress.end();
    let taken = answered?;
    let refused = taken["rejected"].as_u64().unwrap_or(0);
    let mut file = Rejects::at(&rejects)?;
    if refused > 0 {
        write_rejects(gateway, &batch, &mut file).await?;
    }
    output::object(&global.output, told(&taken, (refused > 0).then_some(rejects.as_path())))?;
    Ok(if refused > 0 { Exit::Findings } else { Exit::Done })
}

/// What the stream of the API does not know is refused and not left out.
fn possible(args: &ImportArgs) -> Result<(), Failure> {
    let options = [
        ("--retry-of", args.retry_of.is_some()),
        ("--pilot", args.pilot.pilot.is_some()),
        ("--max-cost", args.max_cost.is_some()),
        ("--take", args.take.is_some()),
        ("--output-prefix", args.output_prefix.is_some()),
        ("--dry-run", args.dry_run),
        ("--check-urls", args.check.check_urls),
    ];
    match options.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => {
            Err(no_way(&format!("import {option}"), "the door that judges rows, not their stream"))
        }
        None => Ok(()),
    }
}

fn query(args: &ImportArgs, batch: &str) -> Vec<(&'static str, String)> {
    let amount = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let keep = (args.duplicates == Duplicates::Keep).then(|| "keep".to_owned());
    let named = [
        ("batch", Some(batch.to_owned())),
        ("on_duplicates", keep),
        ("priority", args.priority.clone()),
        ("useful_until", args.useful_until.map(Timestamp::rfc3339)),
        ("buy_day_max", args.buy_day_max.map(amount)),
        ("buy_total_max", args.buy_total_max.map(amount)),
        ("stop_on", args.stop_on.as_ref().map(ToString::to_string)),
    ];
    named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
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

/// A refused row as the gateway kept it.
#[derive(Debug, Deserialize)]
struct Kept {
    row: u64,
    custom_id: Option<String>,
    code: String,
    message: String,
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    pointer: String,
    code: String,
    message: String,
    allowed: Option<String>,
    fix: String,
}

impl Kept {
    /// A line of the rejects file for each fault, as an import from Redis writes them.
    fn faults(self) -> Vec<Reject> {
        if self.errors.is_empty() {
            let fix = "import the file again later, or change what is named";
            return vec![Reject::whole(&self.code, self.message, fix)];
        }
        let told = self.errors.into_iter().map(|fault| Reject {
            pointer: fault.pointer,
            code: fault.code,
            reason: fault.message,
            allowed: fault.allowed,
            fix: fault.fix,
        });
        told.collect()
    }
}

async fn write_rejects(gateway: &Gateway, batch: &str, file: &mut Rejects) -> Result<(), Failure> {
    let pieces = gateway.open(&["batches", batch, "rejects"], &[], &[]).await?;
    let mut lines = Lines::of(gateway, pieces);
    while let Some(line) = lines.next().await? {
        let mut kept: Kept =
            serde_json::from_str(&line).map_err(|_| rows::strange("a refused row"))?;
        let (row, custom_id) = (kept.row, kept.custom_id.take());
        for reject in kept.faults() {
            file.write(row, custom_id.as_deref(), &reject)?;
        }
    }
    file.end()
}

/// With the names that an import from Redis has.
fn told(taken: &Value, rejects: Option<&Path>) -> Row {
    let of = |name: &str| taken[name].clone();
    let cost = rows::text(taken, "/cost/currency").zip(rows::text(taken, "/cost/cost"));
    let codes = taken["reject_codes"].as_object().into_iter().flatten();
    let codes: Vec<String> = codes.map(|(code, n)| format!("{code} {n}")).collect();
    Row::from_iter([
        ("batch".to_owned(), of("id")),
        ("rows".to_owned(), of("rows")),
        ("created".to_owned(), of("created")),
        ("held".to_owned(), of("held")),
        ("existing".to_owned(), of("existing")),
        ("rejected".to_owned(), of("rejected")),
        ("tokens_estimated".to_owned(), of("tokens")),
        ("cost_estimated".to_owned(), json!(cost.map(|(currency, n)| format!("{currency} {n}")))),
        ("rejects".to_owned(), json!(rejects.map(|path| path.display().to_string()))),
        ("reject_codes".to_owned(), json!(rejects.map(|_| codes.join(" · ")))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_refused_row_is_a_line() {
        let kept = json!({"row": 7, "custom_id": "a", "code": "bad", "message": "two faults", "errors": [
            {"pointer": "/duration", "code": "out-of-range", "message": "too long", "allowed": "4 to 15", "fix": "x"},
            {"pointer": "/ratio", "code": "unknown", "message": "no ratio", "fix": "y"},
        ]});
        let kept: Kept = serde_json::from_value(kept).unwrap();
        let pointers: Vec<String> = kept.faults().into_iter().map(|fault| fault.pointer).collect();
        assert_eq!(pointers, ["/duration", "/ratio"]);
        let whole =
            json!({"row": 8, "custom_id": null, "code": "key-reused", "message": "it was used"});
        let whole: Kept = serde_json::from_value(whole).unwrap();
        let faults = whole.faults();
        assert_eq!((faults.len(), faults[0].pointer.as_str()), (1, ""));
        assert_eq!(
            (faults[0].code.as_str(), faults[0].reason.as_str()),
            ("key-reused", "it was used")
        );
    }
}
