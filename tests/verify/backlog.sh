#!/usr/bin/env bash
# The backlog of tests/it/backlog.rs at its full size; `cargo xtask test` runs it with fewer jobs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The workspace's own feature set, so that nothing is compiled again.
SEEDFLEET_TEST_BACKLOG_JOBS=200000 \
  cargo test --quiet --workspace --test it backlog::a_submitter_starts -- --nocapture
