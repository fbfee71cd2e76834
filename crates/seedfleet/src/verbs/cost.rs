//! `cost estimate`: what requests would need, without Redis, bucket or provider.
//!
//! A request is read, weighed and priced by the same functions that the door for new jobs uses; what the
//! door asks of the fields beside the request (a batch's name, a webhook) costs nothing and is not asked.

use crate::cli::{CostVerb, EstimateArgs, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Rows, note};
use crate::session::{choose, load};
use crate::verbs::import::{money, open_as};
use admission::{FIELDS, Row};
use seedance::{Cost, Currency, Day, Fault, PriceTable, Route, Rules, estimate_tokens};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const COLUMNS: &[&str] = &["model", "resolution", "requests", "tokens", "cost"];
/// Rows whose faults are told one by one; all are counted.
const TOLD_MAX: u64 = 20;
/// The longest document with one request.
const DOCUMENT_BYTES_MAX: u64 = 96 << 20;

/// What equal requests come to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    requests: u64,
    tokens: u64,
    micros: u64,
}

impl Sum {
    fn add(&mut self, tokens: u64, cost: Cost) {
        self.requests += 1;
        self.tokens = self.tokens.saturating_add(tokens);
        self.micros = self.micros.saturating_add(cost.micros);
    }
}

/// Weighs rows at the prices of one route and day.
struct Scales {
    route: Route,
    day: Day,
    sums: BTreeMap<(&'static str, &'static str), Sum>,
    total: Sum,
    refused: u64,
}

/// `cost`.
pub(crate) async fn run(global: &Global, verb: CostVerb) -> Outcome {
    let CostVerb::Estimate(args) = verb;
    let route = match args.route {
        Some(route) => route,
        None => {
            let pool = choose(global, None, &load(global)?);
            let told = "--route says at whose prices, and then no pool is needed";
            pool.map_err(|failure| failure.because(told))?.1.route
        }
    };
    let day = args.on.unwrap_or_else(today);
    let mut scales =
        Scales { route, day, sums: BTreeMap::new(), total: Sum::default(), refused: 0 };
    weigh_all(&mut scales, &args).await?;
    scales.show(global)?;
    match scales.refused {
        0 => Ok(Exit::Done),
        n => Err(Failure::new(
            Exit::Findings,
            format!("{n} of the rows cannot be bought as they are"),
        )
        .hint("`seedfleet import FILE --dry-run` writes all faults of all rows into a file")),
    }
}

async fn weigh_all(scales: &mut Scales, args: &EstimateArgs) -> Result<(), Failure> {
    if args.format.is_none()
        && let Some(row) = one_document(&args.file)?
    {
        scales.row(row);
        return Ok(());
    }
    let mut batches = open_as(&args.file, args.format.map(Into::into))?;
    while let Some(batch) = batches.recv().await {
        let batch = batch.map_err(|why| {
            Failure::new(Exit::Findings, "the rest of the file cannot be read").because(why)
        })?;
        batch.rows.into_iter().for_each(|row| scales.row(row));
    }
    Ok(())
}

/// The file as one request, as `submit --file` takes it; none where it is written otherwise.
fn one_document(path: &Path) -> Result<Option<Row>, Failure> {
    if path.extension().is_none_or(|end| !end.eq_ignore_ascii_case("json")) {
        return Ok(None);
    }
    // A file that cannot be read is told by the reader of rows.
    let Ok(file) = File::open(path) else { return Ok(None) };
    let mut text = Vec::new();
    file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut text)?;
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Ok(None);
    }
    let body = admission::read_json(&text).map_err(|why| {
        Failure::new(Exit::Findings, format!("{} is not JSON", path.display())).because(why)
    })?;
    Ok(Some(Row { number: 1, bytes: text.len() as u64, notes: Map::new(), body: Ok(body) }))
}

impl Scales {
    fn row(&mut self, row: Row) {
        let faults = match row.body {
            Ok(body) => match self.weigh(body) {
                Ok(()) => return,
                Err(faults) => faults,
            },
            Err(fault) => vec![line(&fault)],
        };
        self.refused += 1;
        if self.refused <= TOLD_MAX {
            for fault in faults {
                note(&format!("row {}: {}", row.number, output::plain(&fault)));
            }
        }
    }

    fn weigh(&mut self, mut body: Value) -> Result<(), Vec<String>> {
        if let Value::Object(body) = &mut body {
            body.retain(|field, value| !is_ours(field, value));
        }
        let beside: Vec<&str> = FIELDS.into_iter().filter(|field| *field != "priority").collect();
        let read = seedance::validate_beside(self.route, &body, &Rules::default(), &beside);
        let request = read.map_err(|faults| faults.iter().map(line).collect::<Vec<_>>())?.request;
        let tokens = estimate_tokens(&request);
        let cost = PriceTable::in_force().cost(self.route, &request, tokens, self.day);
        let cost = cost.map_err(|unknown| vec![unknown.to_string()])?;
        let kind = (request.model.word(), request.resolution.word());
        self.sums.entry(kind).or_default().add(tokens, cost);
        self.total.add(tokens, cost);
        Ok(())
    }

    fn show(&self, global: &Global) -> Result<(), Failure> {
        let currency: Currency = self.route.currency();
        let mut rows = Rows::new(&global.output, COLUMNS);
        let kinds = self.sums.iter().map(|((model, resolution), sum)| (*model, *resolution, *sum));
        for (model, resolution, sum) in kinds.chain([("total", "", self.total)]) {
            let mut row = output::Row::new();
            row.insert("model".into(), json!(model));
            row.insert("resolution".into(), json!(resolution));
            row.insert("requests".into(), json!(sum.requests));
            row.insert("tokens".into(), json!(sum.tokens));
            row.insert("cost".into(), json!(money(currency, sum.micros)));
            rows.add(row)?;
        }
        rows.end()?;
        if !global.quiet {
            note(&format!("at the prices of {} on {}", self.route, self.day));
        }
        Ok(())
    }
}

/// Whether a field stands beside the request. `priority` is shared: a number is the provider's own.
pub(crate) fn is_ours(field: &str, value: &Value) -> bool {
    FIELDS.contains(&field) && (field != "priority" || !value.is_number())
}

fn line(fault: &Fault) -> String {
    let at = if fault.pointer.is_empty() { "/" } else { &fault.pointer };
    format!("{at}: {} [{}]", fault.message, fault.code)
}

fn today() -> Day {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Day::from_unix_s(i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}
