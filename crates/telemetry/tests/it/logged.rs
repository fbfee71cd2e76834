//! Setting up logging more than once.

use telemetry::{Settings, init};

#[test]
fn only_the_first_init_counts() {
    let settings = Settings::default();
    let first = init("submitter", &settings);
    let second = init("poller", &settings);
    assert!(first.is_first());
    assert!(!second.is_first());
    tracing::info!({ telemetry::fields::STEP } = "submit", "one line, not two");
}
