#!/bin/sh
# One video with curl alone: ask for it, wait for it, fetch it.
#
#   SEEDFLEET_URL=https://seedfleet.example.com SEEDFLEET_KEY=sf_live_… ./first-video.sh "a paper boat crosses a puddle"
#
# Asking again for the same is safe: equal requests are one job, which is paid once. So the loop only repeats itself.
set -eu
: "${SEEDFLEET_URL:?where the gateway is}" "${SEEDFLEET_KEY:?a key with the scopes jobs:write and jobs:read}"
prompt=${1:-a paper boat crosses a puddle}
case $prompt in *[\\\"]*) echo "this script puts the prompt into JSON as it stands: leave out quotes and backslashes" >&2; exit 2 ;; esac

ask() { curl --silent --show-error --fail-with-body --header "Authorization: Bearer $SEEDFLEET_KEY" "$@"; }
word() { printf '%s' "$job" | grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }

request="{\"model\": \"seedance-2.0\", \"content\": [{\"type\": \"text\", \"text\": \"$prompt\"}]}"
while :; do
  # Up to 25 seconds for the job's end.
  job=$(ask "$SEEDFLEET_URL/v1/jobs" --json "$request" --header "Prefer: wait=25")
  id=$(word id) state=$(word state)
  echo "$id is $state" >&2
  case $state in
    succeeded) break ;;
    failed | expired | cancelled | rejected | not_useful | given_up | output_lost | timed_out) printf '%s\n' "$job" >&2; exit 1 ;;
  esac
done

# The answer may be a link into the bucket: --location follows it, and leaves the key behind.
ask --location --output "$id.mp4" "$SEEDFLEET_URL/v1/jobs/$id/output"
echo "$id.mp4"
