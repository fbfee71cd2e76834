//! `cargo xtask fuzz`: the fuzz targets alone, for as long as one likes.
//!
//! A target is a test called `fuzz_<name>` with a corpus in `crates/fuzz/corpus/<name>/`; the ordinary
//! test run replays that and adds a fixed number of changed inputs.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::run::{self, Failure};
use crate::workspace::{self, cargo};

const CORPUS: &str = "crates/fuzz/corpus";
/// What the `fuzz` package reads.
const FOR_ENV: &str = "SEEDFLEET_FUZZ_FOR_S";
const SEED_ENV: &str = "SEEDFLEET_FUZZ_SEED";

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let known = targets()?;
    let (mut chosen, mut for_s, mut seed) = (None, None, None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--for" => for_s = Some(seconds(args.next())?),
            "--seed" => seed = args.next().and_then(|text| text.parse::<u64>().ok()),
            name if known.iter().any(|target| target == name) => chosen = Some(name.to_owned()),
            other => {
                let known = known.join(", ");
                return Err(Failure::usage(format!("no target {other:?}; there are: {known}")));
            }
        }
    }
    let filter = format!("fuzz_{}", chosen.unwrap_or_default());
    let mut test = cargo();
    test.args(["test", "--workspace", "--lib", "--bins", "--tests", "--quiet", "--"]);
    test.args([filter.as_str(), "--nocapture"]);
    if let Some(for_s) = for_s {
        // Another day, other inputs; the run says which, and --seed repeats them.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = seed.unwrap_or(now.as_secs());
        run::say(&format!("fuzzing for {for_s} s each with seed {seed}"));
        test.env(FOR_ENV, for_s.to_string()).env(SEED_ENV, seed.to_string());
    } else if let Some(seed) = seed {
        test.env(SEED_ENV, seed.to_string());
    }
    run::run(&mut test)
}

fn targets() -> Result<Vec<String>, Failure> {
    let entries = std::fs::read_dir(workspace::root().join(CORPUS))
        .map_err(|error| Failure::new(format!("{CORPUS}: {error}")))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}

/// `60s`, `5m` or plain seconds.
fn seconds(text: Option<&String>) -> Result<u64, Failure> {
    let text = text.map_or("", String::as_str);
    let (digits, unit_s) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 60),
        (None, None) => (text, 1),
    };
    let number = digits.parse::<u64>().ok().filter(|number| *number > 0);
    number
        .map(|number| number * unit_s)
        .ok_or_else(|| Failure::usage(format!("--for {text:?}: a time such as 60s or 5m")))
}
