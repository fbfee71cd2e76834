#!/usr/bin/env bash
# A backup of the server under a fleet at work is taken with deploy/redis/backup.sh, everything is lost, and the backup
# is put back: once by a person after the whole fleet died, once under a fleet that goes on. By the provider's ledger
# nothing is bought twice and nothing that was paid is lost; nothing is sent until person or fence let go. The two
# lines of JSON tell how long each part took. By hand larger: SEEDFLEET_TEST_RESTORE_EACH=100.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

"$SEEDFLEET_BIN_DIR/restore" --each "${SEEDFLEET_TEST_RESTORE_EACH:-4}"
