#!/usr/bin/env bash
# An autoscaler is played on a real fleet that grows to four processes of each role and shrinks again, while the
# provider's limits are lowered and raised: nothing is bought twice or lost, no window holds more than it may, and at
# every look the gateway names as many processes as the limits have use for. Here with 240 jobs and for itself, since
# it is judged look by look; `cargo xtask scale` does it with 50,000 and sixteen.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

"$SEEDFLEET_BIN_DIR/scale" small
