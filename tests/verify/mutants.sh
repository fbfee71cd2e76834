#!/usr/bin/env bash
# The campaign must be able to fail: programs with one rule switched off each, under the faults that make it
# matter, and the audit from outside has to find the harm every time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo xtask campaign --mutants
