#!/bin/sh
# Backups of the Redis or Valkey under a fleet, taken while everything works, and put back. docs/backup.md tells when
# to use which, and what has to be done around a restore.
#
#   backup.sh take DATA TARGET      copy the append-only files of the server whose data folder is DATA; the server is
#                                   not asked and not held up, whatever it rewrites meanwhile
#   backup.sh dump TARGET           have the server send what it holds: for servers whose folder is out of reach
#   backup.sh check BACKUP          start a private server on a copy of BACKUP and count what it holds
#   backup.sh restore BACKUP DATA   put BACKUP into the empty data folder of a server that does not run
#
# `take` and `dump` make one folder below TARGET, named by the time, with checksums; it has that name once it is whole.
# Standard output is one line: the folder, or what `check` counted. Anything else than 0 means that it was not done.
#
# REDIS_CLI      client of `dump` and `check`, with the words that lead to the server of `dump`, such as
#                "redis-cli -h redis.internal --user seedfleet-backup"; the password belongs into REDISCLI_AUTH
# REDIS_SERVER   server program of `check`, of the version in use or a newer one
set -eu

TRIES_MAX=30 # a rewrite ends; one that begins anew at each copy is a server in trouble

say() { echo "backup.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

# The first of these programs that is there.
first() {
  for program in "$@"; do
    command -v "$program" && return
  done
  fail "none of $* is installed"
}

# The one file that names the append-only files in use; a `temp-` is one on its way to that name.
manifest_of() {
  found=
  for file in "$1"/*/*.manifest; do
    case $file in */temp-*) continue ;; esac
    [ -f "$file" ] || continue
    [ -z "$found" ] || fail "$1 holds the manifests $found and $file: name the data folder of one server"
    found=$file
  done
  [ -n "$found" ] || fail "$1 holds no append-only files: it must be the server's \`dir\`, and the server needs \`appendonly yes\`"
  echo "$found"
}

# Copies what a manifest names into a new folder, the file that grows last. Files are appended to or replaced by others
# of another name: if the manifest is still the same afterwards, the copy is a state in which the server could have died.
copied() {
  manifest=$1 into=$2
  rm -rf "$into" || return 1
  mkdir -p "$into" || return 1
  cp "$manifest" "$into/.before" || return 1
  while read -r word name rest; do
    case "$word $rest $name" in
      *" type h "*) continue ;; # replaced already, and about to be removed
      "file seq "*[!'"']) ;;
      *) fail "$manifest has a line this script does not know: $word $name $rest" ;;
    esac
    cp "$(dirname "$manifest")/$name" "$into/$name" 2>/dev/null || return 1
    echo "$word $name $rest" >>"$into/$(basename "$manifest")" || return 1
  done <"$into/.before"
  cmp -s "$manifest" "$into/.before" || return 1
  rm "$into/.before"
}

# Forces files to disk: one by one where `sync` can, else everything.
flush() { sync "$@" 2>/dev/null || sync; }

# Where a backup grows until it is whole; gone again if it is not finished.
begin() {
  target=$1
  umask 077
  mkdir -p "$target"
  stamp=$(date -u +%Y%m%dT%H%M%SZ)
  [ ! -e "$target/$stamp" ] || fail "$target/$stamp is there already: one backup a second is enough"
  part=$target/.$stamp.$$.part
  trap 'rm -rf "$part"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Writes the checksums, and gives the backup its name.
finish() {
  (cd "$part" && find . -type f ! -name SHA256SUMS | sort | xargs sha256sum >SHA256SUMS)
  flush "$part"/*/* "$part"/SHA256SUMS "$part"/* "$part"
  mv "$part" "$target/$stamp"
  flush "$target"
  say "$(du -sk "$target/$stamp" | cut -f1) KiB in $target/$stamp"
  echo "$target/$stamp"
}

take() {
  manifest=$(manifest_of "$1")
  begin "$2"
  tries=1
  until copied "$manifest" "$part/$(basename "$(dirname "$manifest")")"; do
    [ "$tries" -lt "$TRIES_MAX" ] || fail "no whole copy of $1 in $TRIES_MAX tries: no room in $2, no right to read, or one rewrite after the other"
    tries=$((tries + 1))
    sleep 1
  done
  finish
}

dump() {
  client=${REDIS_CLI:-$(first redis-cli valkey-cli)}
  begin "$1"
  # A snapshot is what append-only files begin with; the names are the server's own.
  aof=$part/appendonlydir
  mkdir -p "$aof"
  # shellcheck disable=SC2086 # the words that lead to the server
  $client --rdb "$aof/appendonly.aof.1.base.rdb" >&2 || fail "the server sent no snapshot: \`$client\` needs the commands SYNC, PSYNC, REPLCONF and PING"
  [ -s "$aof/appendonly.aof.1.base.rdb" ] || fail "the server sent an empty snapshot"
  echo "file appendonly.aof.1.base.rdb seq 1 type b" >"$aof/appendonly.aof.manifest"
  finish
}

# A backup is what its checksums say, or nothing.
whole() {
  [ -f "$1/SHA256SUMS" ] || fail "$1 is no backup of this script: it has no SHA256SUMS"
  (cd "$1" && sha256sum -c SHA256SUMS >/dev/null) || fail "$1 is damaged: take an older one"
  manifest_of "$1"
}

check() {
  manifest=$(whole "$1")
  server=${REDIS_SERVER:-$(first redis-server valkey-server)}
  client=${REDIS_CLI:-$(first redis-cli valkey-cli)}
  home=$(mktemp -d)
  pid=
  unset REDISCLI_AUTH # of another server
  trap '[ -z "$pid" ] || { kill -9 "$pid"; wait "$pid"; } 2>/dev/null || true; rm -rf "$home"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  cp -R "$(dirname "$manifest")" "$home/"
  cd "$home"
  "$server" --port 0 --unixsocket s --appendonly yes --save "" \
    --appenddirname "$(basename "$(dirname "$manifest")")" --appendfilename "$(basename "$manifest" .manifest)" >log 2>&1 &
  pid=$!
  # The first word alone: the others lead to another server.
  until [ "$("${client%% *}" -s s PING 2>/dev/null)" = PONG ]; do
    kill -0 "$pid" 2>/dev/null || { tail -n 5 log >&2; fail "no server starts on $1"; }
    sleep 0.1
  done
  "${client%% *}" -s s INFO keyspace | awk -F '[=,]' '/^db/ { keys += $2 } END { print keys + 0 " keys" }'
}

restore() {
  manifest=$(whole "$1")
  data=$2 folder=$(basename "$(dirname "$manifest")")
  [ -d "$data" ] || fail "$data is no folder: it must be the server's \`dir\`"
  for there in "$data"/*/*.manifest "$data"/*.aof; do
    [ ! -e "$there" ] || fail "$data still holds $there: stop the server, then move that aside; it may be needed"
  done
  part=$data/.restore.$$.part
  trap 'rm -rf "$part"' EXIT
  cp -R "$1/$folder" "$part"
  # The server must be able to write them, whoever puts them there.
  [ "$(id -u)" != 0 ] || chown -R "$(stat -c %u:%g "$data")" "$part"
  flush "$part"/* "$part"
  mv "$part" "$data/$folder"
  flush "$data"
  say "nothing may begin before seedfleet has looked: start this server alone, then follow docs/backup.md"
  echo "$data/$folder"
}

case "${1:-}/$#" in
  take/3) take "$2" "$3" ;;
  dump/2) dump "$2" ;;
  check/2) check "$2" ;;
  restore/3) restore "$2" "$3" ;;
  *) sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
