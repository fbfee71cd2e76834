//! The command line of `top`.

use clap::Args;
use job::filter::Filter;
use std::time::Duration;

/// Between two looks: what a look costs Redis is worth no less, and what it shows no more.
const INTERVAL_MIN: Duration = Duration::from_millis(200);
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Between two looks, 200ms to 1h.
    #[arg(long, default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// One picture as text on standard output, for a pipe or a file.
    #[arg(long)]
    pub(crate) once: bool,
    /// Conditions on the jobs that are listed, as in `jobs list`; `/` changes them.
    #[arg(long = "where", value_name = "FILTER")]
    pub(crate) conditions: Option<Filter>,
    /// Your name in the audit, should you pause a step; the login name if not given.
    #[arg(long)]
    pub(crate) by: Option<String>,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = super::duration(text)?;
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Ok(interval);
    }
    Err(format!("{text:?} is not from 200ms to 1h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_bounds() {
        assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
        for wrong in ["0s", "100ms", "2h", "often"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
