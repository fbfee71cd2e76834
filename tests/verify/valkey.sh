#!/usr/bin/env bash
# The rooms that speak to Redis, once more against Valkey: the pinned wheel, not what PATH holds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

SEEDFLEET_REDIS_SERVER=$(cargo xtask redis --valkey)
export SEEDFLEET_REDIS_SERVER
"$SEEDFLEET_REDIS_SERVER" --version | grep '^Valkey' || { echo "not a Valkey server" >&2; exit 1; }

# The programs that `cargo xtask test` built. Running them by name and not through `cargo test -p`
# keeps the workspace's one set of features, so that nothing is compiled again.
programs() {
  cargo test --workspace --lib --tests --no-run --message-format=json 2>/dev/null | python3 -c '
import json, pathlib, sys
for line in map(json.loads, sys.stdin):
    manifest = pathlib.Path(line.get("manifest_path", "/"))
    if line.get("executable") and line["profile"]["test"] and manifest.parent.name in sys.argv[1:]:
        print(manifest.parent, line["executable"])
' "$@"
}

found=$(programs sandbox store limiter admission worker)
for room in sandbox store limiter admission worker; do
  grep -q "/$room " <<<"$found" || { echo "no tests of $room were built" >&2; exit 1; }
done
while read -r dir program; do
  echo "valkey: $(basename "$dir")"
  (cd "$dir" && "$program" --quiet </dev/null)
done <<<"$found"
