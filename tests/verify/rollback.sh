#!/usr/bin/env bash
# A hundred rollbacks and wipes of Redis under a running fleet, with the second fence, under `everysec`:
# nothing may be bought twice, and each loss must be noticed within 2 s. `cargo xtask test` does a few.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

SEEDFLEET_TEST_ROLLBACKS=${SEEDFLEET_TEST_ROLLBACKS:-100} \
  cargo test --quiet --workspace --test it rollback:: -- --nocapture
