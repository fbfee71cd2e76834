#!/bin/sh
# Makes what compose.yaml hands to the containers, each secret once; one that is there stays as it is.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
chmod 700 secrets
# Read by the containers' own users; the folder keeps everybody else out.
umask 022
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { [ -s "secrets/$1" ] || cat > "secrets/$1"; }
if [ ! -s secrets/redis-url ]; then
  password=$(random)
  echo "user default on >$password ~* &* +@all" > secrets/redis-users
  echo "redis://default:$password@redis:6379/0" > secrets/redis-url
fi
random | keep callback-key
# The way in before the first key is made with `seedfleet keys create`.
random | keep operator-key
# The simulator's; put your account's key in its place.
echo sim-key | keep provider-key
