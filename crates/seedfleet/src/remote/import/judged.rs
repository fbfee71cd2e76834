//! `--dry-run` and `--max-cost`: the gateway judges all rows and takes none in.

use super::refused::write_told;
use super::sending::Pass;
use super::{Import, Passed};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, note};
use crate::remote::rows;
use crate::verbs::import::{affordable, money};
use seedance::Currency;
use serde_json::{Value, json};

impl Import<'_> {
    /// Runs `--dry-run`.
    pub(super) async fn dry_run(&self) -> Outcome {
        let judged = self.judge(None).await?;
        let answer = &judged.answer;
        let currency = currency(answer)?;
        let mut row = self.counts(&judged, "valid", &answer["faults"]);
        row.insert("tokens_estimated".into(), answer["tokens"].clone());
        if answer["valid"] != 0 {
            row.insert("cost_estimated".into(), json!(money(currency, micros(answer, "/cost")?)));
        }
        self.tell_looks(&mut row);
        row.insert("tokens_least".into(), answer["tokens_least"].clone());
        row.insert("cost_least".into(), json!(money(currency, micros(answer, "/cost_least")?)));
        let eta = &answer["eta"];
        let eta = if self.global.output.has_columns() { &eta["says"] } else { eta };
        row.insert("eta".into(), eta.clone());
        output::object(&self.global.output, row)?;
        self.ended(&judged)
    }

    /// Refuses the file where its good rows may cost more than that.
    pub(super) async fn within(&self, most_micros: u64) -> Result<(), Failure> {
        let judged = self.judge(None).await?;
        self.readable(&judged)?;
        let answer = &judged.answer;
        let good = answer["valid"].as_u64().ok_or_else(|| rows::strange("valid rows"))?;
        affordable(currency(answer)?, good, (micros(answer, "/cost")?, most_micros))
    }

    /// Has all rows judged, and so many drawn; refused ones are written down.
    pub(super) async fn judge(&self, drawn: Option<u32>) -> Result<Passed, Failure> {
        let mut judged = self.pass(&Pass::Judge(drawn)).await?;
        let told = match judged.answer["rejects"].take() {
            Value::Array(told) => told,
            _ => return Err(rows::strange("refused rows")),
        };
        write_told(told, &mut judged.refused.file)?;
        judged.refused.file.end()?;
        match judged.answer["rejects_left_out"].as_u64() {
            None | Some(0) => {}
            Some(n) => note(&format!(
                "{n} more refused rows are counted and not told: a gateway tells no more at once"
            )),
        }
        Ok(judged)
    }

    /// Refuses a file of which only the beginning was judged.
    pub(super) fn readable(&self, judged: &Passed) -> Result<(), Failure> {
        let Some(why) = &judged.refused.unreadable else { return Ok(()) };
        let what = format!("{} cannot be read on; no row was taken in", self.args.file.display());
        Err(Failure::new(Exit::Failed, what).because(why))
    }
}

pub(super) fn currency(answer: &Value) -> Result<Currency, Failure> {
    serde_json::from_value(answer["currency"].clone()).map_err(|_| rows::strange("a currency"))
}

pub(super) fn micros(answer: &Value, pointer: &str) -> Result<u64, Failure> {
    let amount = rows::text(answer, pointer).and_then(seedance::micros);
    amount.ok_or_else(|| rows::strange("an amount"))
}
