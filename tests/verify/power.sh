#!/usr/bin/env bash
# A hundred power cuts under load, with jobs admitted and carried on by the store itself: nothing that
# was acknowledged may be lost. `cargo xtask test` does a few of them. Where this user may mount a memory
# file system, Redis also meets a disk without a byte left; elsewhere the shim alone plays that.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

probe=$(mktemp -d)
if mount -t tmpfs -o size=64k tmpfs "$probe" 2>/dev/null; then
  umount "$probe"
  export SEEDFLEET_TEST_TMPFS=1
else
  echo "power: no right to mount, so the full disk stays a played one" >&2
fi
rmdir "$probe"

SEEDFLEET_TEST_POWER_CUTS=${SEEDFLEET_TEST_POWER_CUTS:-100} \
  cargo test --quiet --workspace --test it power:: -- --nocapture
