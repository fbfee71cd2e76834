#!/usr/bin/env bash
# The suites that speak to Redis, once more against Valkey: the pinned wheel, not what PATH holds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

SEEDFLEET_REDIS_SERVER=$(cargo xtask redis --valkey)
export SEEDFLEET_REDIS_SERVER
"$SEEDFLEET_REDIS_SERVER" --version | grep -q '^Valkey' || { echo "not a Valkey server" >&2; exit 1; }

# The workspace's own feature set, so that nothing is compiled again.
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --workspace -E 'package(sandbox) or package(store) or package(limiter) or package(worker)'
else
  cargo test --workspace --exclude e2e --lib --tests
fi
