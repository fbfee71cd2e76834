//! `import` over the gateway: the file goes to `POST /v1/batches`, and comes back as a count.
//!
//! A row is known by batch and `custom_id`, else by its fingerprint, as everywhere: a stream that broke off is sent again.
//! What is judged and drawn, the gateway judges and draws, by the door that takes rows in from Redis; this machine looks at
//! files that rows refer to.

mod judged;
mod lines;
mod pilot;
mod refused;
mod sending;

use super::gateway::Gateway;
use super::{TENANT_DEFAULT, own_tenant, rows};
use crate::cli::{Duplicates, Global, ImportArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row};
use crate::verbs::import::{Fences, References, batch_of, form_of, rejects_of, twice};
use admission::RowForm;
use job::Timestamp;
use refused::{Refused, write_kept};
use sending::Pass;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// An import under way.
struct Import<'a> {
    global: &'a Global,
    gateway: &'a Gateway,
    args: &'a ImportArgs,
    batch: String,
    form: RowForm,
    /// Where refused rows are told.
    rejects: PathBuf,
    /// What is known of the files that rows refer to; all passes share it. None: nobody asks.
    references: Option<Arc<References>>,
}

/// What came of one pass over the file.
struct Passed {
    /// The gateway's answer.
    answer: Value,
    /// What never went to it.
    refused: Refused,
}

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, args: &ImportArgs) -> Outcome {
    own_tenant((args.tenant != TENANT_DEFAULT).then_some(args.tenant.as_str()))?;
    if args.max_cost.is_some() {
        twice("--max-cost judges the file before it is taken in", &args.file)?;
    }
    if args.pilot.pilot.is_some() {
        twice("--pilot draws from the file before it is taken in", &args.file)?;
    }
    let import = Import {
        global,
        gateway,
        args,
        batch: batch_of(args),
        form: args.format.map_or_else(|| form_of(&args.file), Into::into),
        rejects: rejects_of(args),
        references: References::open(&args.check, || Fences::of_machine(global))?,
    };
    if args.dry_run {
        return import.dry_run().await;
    }
    if let Some(most) = args.max_cost {
        import.within(most).await?;
    }
    if let Some(rows) = args.pilot.pilot
        && import.is_open().await?
    {
        return import.pilot(rows, args.pilot.timeout).await;
    }
    let taken = import.take_in().await?;
    output::object(&global.output, import.told(&taken))?;
    import.ended(&taken)
}

impl Import<'_> {
    /// Sends all rows to be taken in, and writes down those that were refused.
    async fn take_in(&self) -> Result<Passed, Failure> {
        let mut taken = self.pass(&Pass::Whole).await?;
        if taken.answer["rejected"].as_u64().unwrap_or(0) > 0 {
            write_kept(self.gateway, &self.batch, &mut taken.refused.file).await?;
        }
        taken.refused.file.end()?;
        Ok(taken)
    }

    /// What is said of all rows, as the API wants it.
    fn wish(&self) -> Vec<(&'static str, String)> {
        let args = self.args;
        let amount = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let keep = (args.duplicates == Duplicates::Keep).then(|| "keep".to_owned());
        let named = [
            ("batch", Some(self.batch.clone())),
            ("on_duplicates", keep),
            ("priority", args.priority.clone()),
            ("useful_until", args.useful_until.map(Timestamp::rfc3339)),
            ("take", args.take.map(|take| take.to_string())),
            ("output_prefix", args.output_prefix.clone()),
            ("retry_of", args.retry_of.clone()),
            ("buy_day_max", args.buy_day_max.map(amount)),
            ("buy_total_max", args.buy_total_max.map(amount)),
            ("stop_on", args.stop_on.as_ref().map(ToString::to_string)),
        ];
        named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// With the names that an import from Redis has.
    fn told(&self, taken: &Passed) -> Row {
        let answer = &taken.answer;
        let cost = rows::text(answer, "/cost/currency").zip(rows::text(answer, "/cost/cost"));
        let cost = cost.map(|(currency, n)| format!("{currency} {n}"));
        let mut row = self.counts(taken, "created", &answer["reject_codes"]);
        row.insert("tokens_estimated".into(), answer["tokens"].clone());
        row.insert("cost_estimated".into(), json!(cost));
        self.tell_looks(&mut row);
        row
    }

    /// Rows and what became of them; `good` is what the good ones are called here.
    fn counts(&self, passed: &Passed, good: &str, codes: &Value) -> Row {
        let Passed { answer, refused } = passed;
        let of = |name: &str| answer[name].as_u64().unwrap_or(0);
        let codes = refused.codes(codes);
        let rejected = of("rejected") + refused.rows;
        Row::from_iter([
            ("batch".to_owned(), json!(self.batch)),
            ("rows".to_owned(), json!(of("rows") + refused.rows)),
            (good.to_owned(), answer[good].clone()),
            ("held".to_owned(), answer["held"].clone()),
            ("existing".to_owned(), answer["existing"].clone()),
            ("rejected".to_owned(), json!(rejected)),
            ("tokens_estimated".to_owned(), Value::Null),
            ("cost_estimated".to_owned(), Value::Null),
            (
                "rejects".to_owned(),
                json!((rejected > 0).then(|| self.rejects.display().to_string())),
            ),
            ("reject_codes".to_owned(), json!((rejected > 0).then_some(codes))),
        ])
    }

    /// What was looked at here.
    fn tell_looks(&self, row: &mut Row) {
        if let Some(references) = &self.references {
            let (looked_at, in_doubt) = references.counts();
            row.insert("urls".into(), json!(looked_at));
            row.insert("urls_not_checked".into(), json!(in_doubt));
        }
    }

    /// How it ends, once it is told.
    fn ended(&self, passed: &Passed) -> Outcome {
        let of = |name: &str| passed.answer[name].as_u64().unwrap_or(0);
        if let Some(why) = &passed.refused.unreadable {
            let safe = of("created") + of("existing");
            let exit = if safe == 0 { Exit::Failed } else { Exit::Partial };
            let file = self.args.file.display();
            let what = format!("{file} cannot be read on; {safe} rows are safe");
            return Err(Failure::new(exit, what).because(why).hint(self.again()));
        }
        Ok(if of("rejected") + passed.refused.rows > 0 { Exit::Findings } else { Exit::Done })
    }

    fn again(&self) -> String {
        let (file, batch) = (self.args.file.display(), &self.batch);
        let check = if self.references.is_some() { " --check-urls" } else { "" };
        let pilot = self.args.pilot.pilot.map(|rows| format!(" --pilot {rows}"));
        let pilot = pilot.unwrap_or_default();
        format!("go on with: seedfleet import {file} --batch {batch}{check}{pilot}")
    }
}
