#!/usr/bin/env bash
# Ends the cluster of a profile: asks it to drain, waits, and says what it did.
set -euo pipefail

case ${1-} in
  -h | --help)
    printf 'bin/stop.sh [PROFILE]\n\nDrains and ends the cluster of profiles/PROFILE (default: test1). Data stays.\n'
    exit 0
    ;;
esac
# shellcheck source=bin/lib/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/cluster.sh"

# More than any drain_timeout_ms of the profiles here.
readonly DRAIN_SECONDS=60
profile=${1-test1}
[ -x "$(binary_of "$profile")" ] || fail "nothing is built, so nothing runs"
data=$(data_dir "$profile")
mapfile -t surges < <(surges "$data" | cut -f 2)
if ! pid=$(running_pid "$data"); then
  # Spears that a rolling restart has left have nobody else to end them.
  for each in "${surges[@]}"; do kill -TERM "$each" 2>/dev/null || true; done
  rm -f "$data/run/phalanx.pid" "$data/run/surge"
  say "the cluster of profile $profile does not run"
  exit 0
fi
say "draining (pid $pid) ..."
kill -TERM "$pid"
# They drain at the same time as the others, and nobody waits for them longer than for those.
for each in "${surges[@]}"; do kill -TERM "$each" 2>/dev/null || true; done
rm -f "$data/run/surge"
deadline=$((SECONDS + DRAIN_SECONDS))
any_runs() { local each; for each in "$pid" "${surges[@]}"; do [ ! -e "/proc/$each" ] || return 0; done; return 1; }
while any_runs; do
  if [ $SECONDS -ge $deadline ]; then
    kill -KILL "$pid" "${surges[@]}" 2>/dev/null || true
    rm -f "$data/run/phalanx.pid"
    fail "it did not end within $DRAIN_SECONDS s and was killed; what it had acknowledged is stored"
  fi
  sleep 0.1
done
rm -f "$data/run/phalanx.pid"
say "the cluster of profile $profile has ended"
