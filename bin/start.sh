#!/usr/bin/env bash
# Builds if needed, starts the cluster of a profile, waits until every node is ready, prints the addresses.
set -euo pipefail

usage() {
  cat <<'USAGE'
bin/start.sh [PROFILE] [ROLE...]

Builds the program if its sources have changed (cargo build --profile PROFILE, or test1 where Cargo has no such profile),
starts the nodes of profiles/PROFILE (default: test1, the embedded cluster: every role in one process), waits until every
one is ready, and prints the addresses.

  ROLE      only these roles: idgen stat spear ticket minions-ui (not for an embedded profile)
  --help    this text

Data, keys and the log are kept under data/. bin/status.sh looks, bin/stop.sh ends it.
USAGE
}

case ${1-} in -h | --help) usage; exit 0 ;; esac
# shellcheck source=bin/lib/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/cluster.sh"

readonly READY_SECONDS=60
profile=${1-test1}
shift || true
[ -d "profiles/$profile" ] || fail "there is no profiles/$profile; there is: $(ls profiles | paste -sd ' ' -)"

# --- what the build needs ---
missing=()
command -v cargo >/dev/null || missing+=("cargo: the Rust toolchain, from rustup (https://rustup.rs)")
command -v cc >/dev/null || missing+=("cc: a C compiler, for SQLite (Debian: apt-get install gcc libc6-dev)")
command -v npm >/dev/null || missing+=("npm: comes with Node.js 20 or newer, for the web page (Debian: apt-get install npm)")
if command -v node >/dev/null; then
  version=$(node -p 'process.versions.node.split(".")[0]')
  [ "$version" -ge 20 ] || missing+=("node: version 20 or newer, for the web page; this one is $(node --version)")
else
  missing+=("node: Node.js 20 or newer, for the web page (https://nodejs.org)")
fi
if [ ${#missing[@]} -gt 0 ]; then
  printf 'start.sh: this is missing:\n' >&2
  printf '  %s\n' "${missing[@]}" >&2
  exit 1
fi

# --- build ---
cargo_profile=$(cargo_profile "$profile")
binary=$(binary_of "$profile")
if [ -x "$binary" ] && pid=$(running_pid "$(data_dir "$profile")"); then
  say "the cluster of profile $profile runs already (pid $pid); bin/status.sh $profile shows it"
  exit 0
fi
[ -x "$binary" ] || say "building (the first time takes a few minutes) ..."
cargo build --profile "$cargo_profile" --bin phalanx
"$binary" check-config --profile "$profile" >/dev/null

# --- start ---
data=$(data_dir "$profile")
mkdir -p "$data/run" "$data/log"
log=$data/log/phalanx.log
if [ $# -eq 0 ]; then roles=(all); else roles=("$@"); fi
[ ${#roles[@]} -eq 1 ] || fail "the profile $profile runs in one process: start all of it, or one role"
# A session of its own: it outlives this terminal, and Ctrl-C here does not reach it.
setsid nohup "$binary" "${roles[0]}" --profile "$profile" >>"$log" 2>&1 </dev/null &
pid=$!
say "$pid" >"$data/run/phalanx.pid"

# --- wait ---
gone() {
  rm -f "$data/run/phalanx.pid"
  printf 'start.sh: %s. The end of %s:\n' "$1" "$log" >&2
  tail -n 15 "$log" >&2
  exit 1
}
# A process that is left behind would keep the data directory and the ports.
end() {
  kill -TERM "$1" 2>/dev/null || return 0
  for _ in $(seq 150); do
    [ -e "/proc/$1" ] || return 0
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
}
waiting=''
deadline=$((SECONDS + READY_SECONDS))
while IFS=$'\t' read -r role id _ admin; do
  [ "${roles[0]}" = all ] || [ "${roles[0]}" = "$role" ] || continue
  until state=$(readiness "$admin"); do
    [ -e "/proc/$pid" ] || gone "the cluster has ended"
    if [ "$waiting" != "$id: $state" ]; then
      waiting="$id: $state"
      say "waiting for $waiting"
    fi
    if [ $SECONDS -ge $deadline ]; then
      end "$pid"
      gone "$id was not ready within $READY_SECONDS s ($state)"
    fi
    sleep 0.2
  done
done < <("$binary" nodes --profile "$profile")
[ -e "/proc/$pid" ] || gone "the cluster has ended"

# --- tell ---
address_of() { "$binary" nodes --profile "$profile" | awk -F '\t' -v role="$1" '$1 == role { print $3; exit }'; }
say "the cluster of profile $profile is ready (pid $pid, data in $data/, log in $log):"
"$binary" nodes --profile "$profile" | awk -F '\t' '{ printf "  %-11s %-13s %s\n", $1, $2, $3 }'
ticket=$(address_of ticket)
say ""
say "try:"
say "  curl -s -X POST $ticket/dev/token -H 'content-type: application/json' -d '{\"user\":\"alice\"}'   # a token"
say "  curl -s -X POST $ticket/v1/tickets -H \"authorization: Bearer \$TOKEN\"                       # which spear, and a ticket"
say "  node examples/first-conversation.mjs                  # two users talk; or open $(address_of minions-ui)"
