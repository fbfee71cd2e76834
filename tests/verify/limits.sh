#!/usr/bin/env bash
# Twelve programs on one backlog, with kills, stops, a Redis that dies, freezes and forgets, and clocks ten minutes
# off (Debian: package `faketime`): by the provider's own stamps no window holds more than it may. In the few
# seconds of a suite these are windows shorter than a minute, which hold what the row of instants lets into them;
# `cargo xtask limits` takes minutes, and tells the shares of creates and slots that were used.
#
# The spread of the network is a second here: stamps of a busy machine are as late as its programs wait.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

"$SEEDFLEET_BIN_DIR/limits" creates --submitters 8 --pollers 2 --spread-ms 1000 --scale 20 --for 22 --every 2 --faults all --clocks
"$SEEDFLEET_BIN_DIR/limits" slots --submitters 2 --pollers 1 --spread-ms 1000 --scale 20 --for 8 --warm-up 3
