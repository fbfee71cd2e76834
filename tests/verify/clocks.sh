#!/usr/bin/env bash
# Workers whose wall clocks are ten minutes off, by libfaketime (Debian: package `faketime`).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

SEEDFLEET_TEST_FAKETIME=1 \
  cargo test --quiet --workspace --test it clocks:: -- --nocapture
