#!/usr/bin/env bash
# Restarts every node of a cluster on this machine, one after the other, with the binary and the settings as they are now.
set -euo pipefail

usage() {
  cat <<'USAGE'
bin/rolling-restart.sh [OPTIONS] PROFILE

Restarts every node of the running cluster of profiles/PROFILE with a binary that is built as it is now and the settings as they are
now: idgen (who waits first, then the active one), stat, ticket, the spears, minions-ui. Each is asked to end with SIGTERM, must end
with 0, and must be ready again before the next one is touched; at the first that is not, this stops. Clients of a spear
are told to move while it drains, spread over `spear.drain_timeout_ms`.

  --groups N    restart the spears in N groups, all of a group at once (2: half and half). Default: one after the other
  --surge       start one spear more first, and send clients only to spears that are new already: each client moves once, not up to
                twice. That spear stays, until the next --surge puts another in its place, --end-surge, or bin/stop.sh
  --only ROLE   restart the nodes of this role only; may be repeated
  --end-surge   only end the spear that --surge has left, which moves its clients once more; all of them, where a run was stopped early
  --no-build    take the binary as it is

Ctrl-C stops once the node in work is ready again, takes back what was prepared, and says which nodes are left. A second one
stops at once: the nodes are kept running by their supervisor all the same.

On several hosts systemd does this: docs/operations.md, "A new version".
USAGE
}

groups=0 only=() surge=false end_surge=false build=true profile=
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --groups | --only)
      [ $# -ge 2 ] || { printf 'rolling-restart.sh: %s: expected a value\n' "$1" >&2; exit 2; }
      case $1 in --groups) groups=$2 ;; *) only+=("$2") ;; esac
      shift
      ;;
    --surge) surge=true ;;
    --end-surge) end_surge=true ;;
    --no-build) build=false ;;
    -*) printf 'rolling-restart.sh: unknown option %s\n' "$1" >&2; usage >&2; exit 2 ;;
    *) [ -z "$profile" ] || { usage >&2; exit 2; }; profile=$1 ;;
  esac
  shift
done
case $groups in *[!0-9]* | '') printf 'rolling-restart.sh: --groups: expected a number\n' >&2; exit 2 ;; esac
[ -n "$profile" ] || { usage >&2; exit 2; }
# shellcheck source=bin/lib/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/cluster.sh"

# How long a node may take to be ready again: longer than the 75 s for which it waits for a port that an outgoing connection holds.
readonly READY_SECONDS=90
# What a node may take to end beyond its drain time.
readonly STOP_MARGIN_SECONDS=10

binary=$(binary_of "$profile")
[ -x "$binary" ] || fail "nothing is built, so nothing runs"
embedded "$profile" && fail "the profile $profile is embedded, all of it one process: bin/stop.sh $profile; bin/start.sh $profile"
data=$(data_dir "$profile")
running_pid "$data" >/dev/null || fail "the cluster of profile $profile does not run"
load_secrets "$data"
table=$data/run/processes
[ -e "$table" ] || fail "$table is missing: this cluster is kept by somebody else"
if $build; then cargo build --profile "$(cargo_profile "$profile")" --bin phalanx; fi
"$binary" check-config --profile "$profile" >/dev/null

nodes=$("$binary" nodes --profile "$profile")
began=$SECONDS
tell() { printf '[%4d s] %s\n' $((SECONDS - began)) "$*"; }
is_wanted() { # ROLE
  local each
  [ ${#only[@]} -gt 0 ] || return 0
  for each in "${only[@]}"; do [ "$each" != "$1" ] || return 0; done
  return 1
}
of_role() { # ROLE: its nodes that the supervisor keeps
  awk -F '\t' -v role="$1" 'FNR == NR { kept[$1]; next } $1 == role && $2 in kept { print $2 }' "$table" <(say "$nodes")
}
admin_of() { awk -F '\t' -v id="$1" '$2 == id { print $4 }' <<<"$nodes"; }
field() { awk -F '\t' -v id="$1" -v field="$2" '$1 == id { print $field }' "$table"; } # ID NUMBER: of its line in the table
pid_of() { # ID
  case $(field "$1" 2) in up) field "$1" 3 ;; esac
}
connections() { # ADMIN: of a spear
  fetch GET "$1/metrics" | awk '/^phalanx_spear_connections\{/ { print $2 }'
}

# --- what is left, and what is taken back, when this stops early ---
left=()
held=()
on_exit() {
  local code=$? id
  trap - EXIT
  for id in "${held[@]}"; do
    if api POST "/v1/nodes/$id/undrain" >/dev/null; then
      tell "$id takes newcomers again"
    else
      tell "$id takes no newcomers, and that could not be taken back: POST /v1/nodes/$id/undrain"
    fi
  done
  if [ "$code" != 0 ] && [ ${#left[@]} -gt 0 ]; then tell "not restarted: ${left[*]}"; fi
  if [ "$code" != 0 ] && $surge; then
    while IFS=$'\t' read -r id _; do tell "$id stays as one spear more; --end-surge ends it"; done < <(surges "$data")
  fi
  exit "$code"
}
stop_here() { printf 'rolling-restart.sh: %s\n' "$*" >&2; exit 1; }
# Files in it say that it was asked to stop, or to stop at once.
asked=$(mktemp -d)
rest() {
  sleep "$1"
  if [ -e "$asked/at-once" ]; then exit 130; fi
}
go_on() { if [ -e "$asked/to-stop" ]; then exit 130; fi; }

# --- the business API, for --surge and for groups of spears ---
api_key() {
  [ -z "${PHALANX_API_KEY-}" ] || { say "$PHALANX_API_KEY"; return; }
  PHALANX__STAT__API_KEYS=${PHALANX__STAT__API_KEYS-[]} node -p '
    const keys = JSON.parse(process.env.PHALANX__STAT__API_KEYS);
    const key = keys.find((key) => typeof key === "string" || key.scopes.includes("manage"));
    key?.key ?? key ?? ""'
}
api() { # METHOD PATH [BODY]: asks one stat node after the other
  local url answer key
  key=$(api_key)
  [ -n "$key" ] || { printf 'rolling-restart.sh: no API key with the scope manage is known: set PHALANX_API_KEY\n' >&2; return 1; }
  while read -r url; do
    answer=$(API_KEY=$key fetch "$1" "$url$2" "${3-}") && say "$answer" && return 0
  done < <(awk -F '\t' '$1 == "stat" { print $3 }' <<<"$nodes")
  return 1
}

# --- one node, or several at once ---
forget() { # NAME OF ARRAY, ID
  local -n from=$1
  local each kept=()
  for each in "${from[@]}"; do [ "$each" = "$2" ] || kept+=("$each"); done
  from=("${kept[@]}")
}
drain_seconds() { # ROLE
  say $((($(setting "$profile" "$1" drain_timeout_ms) + 999) / 1000))
}
wait_end() { # ID PID ROLE: until another process has its place
  local deadline=$((SECONDS + $(drain_seconds "$3") + STOP_MARGIN_SECONDS)) said=$SECONDS count
  while [ "$(pid_of "$1")" = "$2" ] || [ -z "$(pid_of "$1")" ]; do
    if [ $SECONDS -ge $deadline ]; then stop_here "$1 (pid $2) has not ended, or was not started again; its log: $data/log/$1.log"; fi
    if [ "$3" = spear ] && [ $SECONDS -gt $said ]; then
      said=$SECONDS
      count=$(connections "$(admin_of "$1")") && [ -n "$count" ] && tell "$1: draining, $count connections left"
    fi
    rest 0.1
  done
  # What the supervisor keeps of the process before.
  case $(field "$1" 5) in
    'ended with 0;'*) ;;
    *) stop_here "$1 has not ended well: $(field "$1" 5). Its log: $data/log/$1.log" ;;
  esac
}
wait_ready() { # ID
  local state before='' again deadline=$((SECONDS + READY_SECONDS))
  again=$(field "$1" 4)
  until state=$(readiness "$(admin_of "$1")"); do
    if [ "$(field "$1" 4)" != "$again" ]; then stop_here "$1 does not stay up: $(field "$1" 5). Its log: $data/log/$1.log"; fi
    if [ $SECONDS -ge $deadline ]; then stop_here "$1 is not ready after $READY_SECONDS s ($state). Its log: $data/log/$1.log"; fi
    if [ "$state" != "$before" ] && [ "$state" != "does not answer" ]; then
      before=$state
      tell "$1: waiting for $state"
    fi
    rest 0.2
  done
}
hold() { # ID...: spears that are to take no newcomers, so that nobody moves to one that ends next
  local id
  for id in "$@"; do
    case " ${held[*]} " in *" $id "*) continue ;; esac
    go_on
    # Before it is told: where that fails, nobody knows whether it was.
    held+=("$id")
    api POST "/v1/nodes/$id/drain" '{"hold": true}' >/dev/null || stop_here "$id could not be told to take no newcomers"
    tell "$id: takes no newcomers"
  done
}
restart() { # ROLE ID...: all at once
  local role=$1 id count
  local -A pids=()
  shift
  go_on
  for id in "$@"; do
    pids[$id]=$(pid_of "$id")
    [ -n "${pids[$id]}" ] || stop_here "$id does not run: bin/status.sh $profile"
    count=''
    [ "$role" != spear ] || count=$(connections "$(admin_of "$id")") || count=
    tell "$id: asked to end${count:+, $count connections}"
    kill -TERM "${pids[$id]}"
  done
  for id in "$@"; do wait_end "$id" "${pids[$id]}" "$role"; done
  for id in "$@"; do
    wait_ready "$id"
    forget left "$id"
    forget held "$id"
    tell "$id: ready (pid $(pid_of "$id"))"
  done
}

# --- a spear more: more of them only where a run with --surge was stopped early ---
readonly surge_file=$data/run/surge
forget_surge() { # ID
  local rest
  rest=$(surges "$data" | awk -F '\t' -v id="$1" '$1 != id')
  if [ -n "$rest" ]; then say "$rest" >"$surge_file"; else rm -f "$surge_file"; fi
}
start_surge() { # answers in surge_id
  local number pid admin deadline line
  number=$(of_role spear | wc -l)
  surge_id=''
  while [ -z "$surge_id" ] || surges "$data" | grep "^$surge_id"$'\t' >/dev/null; do
    number=$((number + 1))
    line=$(PHALANX__SPEAR__INSTANCES=$number "$binary" nodes --profile "$profile" | awk -F '\t' '$1 == "spear"' | tail -n 1)
    IFS=$'\t' read -r _ surge_id _ admin <<<"$line"
  done
  PHALANX__SPEAR__INSTANCES=$number setsid nohup "$binary" spear --instance "$number" --profile "$profile" \
    >>"$data/log/$surge_id.log" 2>&1 </dev/null &
  pid=$!
  printf '%s\t%s\t%s\n' "$surge_id" "$pid" "$admin" >>"$surge_file"
  tell "$surge_id: started as one more (pid $pid)"
  deadline=$((SECONDS + READY_SECONDS))
  until readiness "$admin" >/dev/null; do
    if [ ! -e "/proc/$pid" ] || [ $SECONDS -ge $deadline ]; then
      kill -TERM "$pid" 2>/dev/null || true
      forget_surge "$surge_id"
      stop_here "$surge_id has not become ready; its log: $data/log/$surge_id.log"
    fi
    rest 0.2
  done
  tell "$surge_id: ready"
}
end_surges() { # LINE...: all at once, so that nobody moves from one to the other
  local deadline said=$SECONDS line id pid admin count
  deadline=$((SECONDS + $(drain_seconds spear) + STOP_MARGIN_SECONDS))
  for line in "$@"; do
    IFS=$'\t' read -r id pid _ <<<"$line"
    tell "$id: asked to end, for good"
    kill -TERM "$pid" 2>/dev/null || true
  done
  for line in "$@"; do
    IFS=$'\t' read -r id pid admin <<<"$line"
    while [ -e "/proc/$pid" ]; do
      if [ $SECONDS -ge $deadline ]; then stop_here "$id (pid $pid) has not ended"; fi
      if [ $SECONDS -gt $said ]; then
        said=$SECONDS
        count=$(connections "$admin") && [ -n "$count" ] && tell "$id: draining, $count connections left"
      fi
      rest 0.1
    done
    forget held "$id"
    forget_surge "$id"
  done
}

# --- all of them, in their order ---
wanted_of() { ! is_wanted "$1" || of_role "$1"; } # ROLE
work() {
  mapfile -t old_surges < <(surges "$data")
  if $end_surge; then
    [ ${#old_surges[@]} -gt 0 ] || fail "there is no spear that --surge has left"
    if [ ${#old_surges[@]} -gt 1 ]; then
      for line in "${old_surges[@]}"; do hold "${line%%$'\t'*}"; done
    fi
    end_surges "${old_surges[@]}"
    tell "done"
    return
  fi

  idle=() active=()
  for role in "${only[@]}"; do
    [ -n "$(of_role "$role")" ] || fail "--only: the supervisor of profile $profile keeps no node of the role '$role'"
  done
  while read -r id; do
    if fetch GET "$(admin_of "$id")/readyz" | grep '"detail":"active' >/dev/null; then active+=("$id"); else idle+=("$id"); fi
  done < <(wanted_of idgen)
  mapfile -t stats < <(wanted_of stat)
  mapfile -t tickets < <(wanted_of ticket)
  mapfile -t spears < <(wanted_of spear)
  mapfile -t pages < <(wanted_of minions-ui)
  left=("${idle[@]}" "${active[@]}" "${stats[@]}" "${tickets[@]}" "${spears[@]}" "${pages[@]}")
  for id in "${left[@]}"; do
    state=$(readiness "$(admin_of "$id")") || stop_here "$id is not ready ($state): a cluster that is not whole is not restarted"
  done
  tell "restarting ${#left[@]} nodes of profile $profile"

  for id in "${idle[@]}" "${active[@]}"; do restart idgen "$id"; done
  for id in "${stats[@]}"; do restart stat "$id"; done
  for id in "${tickets[@]}"; do restart ticket "$id"; done
  if $surge; then
    [ ${#spears[@]} -gt 0 ] || stop_here "--surge is for spears, and none is to be restarted"
    go_on
    start_surge
    old=("${spears[@]}")
    for line in "${old_surges[@]}"; do old+=("${line%%$'\t'*}"); done
    hold "${old[@]}"
    tell "newcomers go to the new spears only"
  fi
  count=${#spears[@]}
  if [ "$groups" -lt 1 ] || [ "$groups" -gt "$count" ]; then groups=$count; fi
  for ((group = 0; group < groups; group++)); do
    first=$((group * count / groups)) next=$(((group + 1) * count / groups))
    together=("${spears[@]:first:next - first}")
    # Where all of them end at once nobody else takes anybody.
    if [ ${#together[@]} -gt 1 ] && [ ${#together[@]} -lt "$(of_role spear | wc -l)" ]; then hold "${together[@]}"; fi
    restart spear "${together[@]}"
  done
  if $surge && [ ${#old_surges[@]} -gt 0 ]; then end_surges "${old_surges[@]}"; fi
  for id in "${pages[@]}"; do restart minions-ui "$id"; done
  tell "done: all of them run anew"
  if $surge; then tell "$surge_id stays as one spear more, which nobody starts again; --end-surge ends it"; fi
}

# --- Ctrl-C ---
# bash loses its way where a signal comes while it reads a command substitution. So whoever is asked to stop only waits; the work is
# done beside it, where an interrupt is ignored.
on_interrupt() {
  if [ -e "$asked/to-stop" ]; then : >"$asked/at-once"; return; fi
  : >"$asked/to-stop"
  tell "stopping after the node in work; again: at once"
}
trap on_interrupt INT TERM
(
  trap '' INT TERM
  trap on_exit EXIT
  work
) &
worker=$!
while
  code=0
  wait $worker || code=$?
  [ -e /proc/$worker ]
do :; done
# The last one may have been ended by a signal that came at the same time.
code=0
wait $worker || code=$?
rm -rf "$asked"
exit $code
