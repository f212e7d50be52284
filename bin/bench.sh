#!/usr/bin/env bash
# Runs the same works against Phalanx and its peers side by side, and prints one table with ratios.
set -euo pipefail

usage() {
  cat <<'USAGE'
bin/bench.sh [--quick] [--redis] [--kafka] [--rocketmq] [--socketioxide] [--rounds N] [--results FILE] [WORK...]

Builds Phalanx and the load generator, starts each server in turn on free ports with data in a temporary directory, runs the
works against it, and prints a table in Markdown: the median of each figure over the rounds, and behind those of the others how
many times better Phalanx is (2.00×: twice as much of what should be much, half of what should be little). Everything that
was started is stopped at the end, also on Ctrl-C.

  WORK            memory, connect, direct, group, room; all by default
  --quick         one short round, for a look: under two minutes
  --redis         Phalanx on ZooKeeper and Redis too, a process for every node (Debian: zookeeper, redis-server)
  --kafka         the same with hints over Kafka (Debian: default-jre-headless, maven)
  --rocketmq      the same with hints over RocketMQ: a name server and a broker (Debian: as for Kafka)
  --socketioxide  a server on socketioxide too; it is built first
  --rounds N      how often the servers take turns, 2 by default; memory is measured once
  --results FILE  keep the figures of every single run, a line of JSON each; what stands in the file is lost
  --help          this text

The peers: Socket.IO on Node.js, one process, and two with the Redis adapter (where redis-server is installed); and the floor, a
server that does nothing but hand on what it gets (bench/peers/). None of them stores a message or checks who connects.
PHALANX_BIN names a program to measure instead of building one. It exits with 1 where a message was lost, repeated or out of order.
USAGE
}

# shellcheck source=bin/lib/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/cluster.sh"
# shellcheck source=bin/lib/rocketmq.sh
source bin/lib/rocketmq.sh

readonly READY_SECONDS=60
readonly STOP_SECONDS=15
readonly STARTS=3 # another program may take a port between our look and the start

asked="bin/bench.sh${*:+ $*}"
rounds=2 small=3000 further=40 times=(--warm-up 1 --seconds 3) depths=(--in-flight 1 --in-flight 16) users=5000
redis=false kafka=false rocketmq=false socketioxide=false results='' works=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --quick) rounds=1 small=1000 further=0 times=(--warm-up 0.5 --seconds 2) depths=(--in-flight 16) users=2000 ;;
    --redis) redis=true ;;
    --kafka) kafka=true ;;
    --rocketmq) rocketmq=true ;;
    --socketioxide) socketioxide=true ;;
    --rounds | --results)
      [ $# -ge 2 ] || fail "$1 needs a value"
      if [ "$1" = --rounds ]; then rounds=$2; else results=$(realpath -m "$2"); fi
      shift
      ;;
    memory | connect | direct | group | room) works+=("$1") ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[[ $rounds =~ ^[1-9][0-9]*$ ]] || fail "--rounds $rounds: expected a number"
[ ${#works[@]} -gt 0 ] || works=(memory connect direct group room)

tell() { printf '%s\n' "$*" >&2; }

# --- what must be there ---
programs=${CARGO_TARGET_DIR:-$ROOT/target}/test1
features=()
if $socketioxide; then features=(--features socketioxide); fi
tell "building ..."
cargo build --quiet --profile test1 -p phalanx-bench "${features[@]}"
bench=$programs/phalanx-bench
if [ -n "${PHALANX_BIN-}" ]; then
  binary=$(realpath "$PHALANX_BIN")
else
  cargo build --quiet --profile test1 --bin phalanx
  binary=$programs/phalanx
fi
[ -d bench/peers/node/node_modules ] || npm ci --prefix bench/peers/node --no-audit --no-fund --silent >&2

servers=(phalanx)
if $redis; then servers+=("phalanx on Redis"); fi
if $kafka; then
  bin/lib/broker.sh kafka >/dev/null
  servers+=("phalanx on Kafka")
fi
if $rocketmq; then
  bin/lib/broker.sh rocketmq >/dev/null
  servers+=("phalanx on RocketMQ")
fi
servers+=(floor)
if $socketioxide; then servers+=(socketioxide); fi
servers+=("Node.js")
if command -v redis-server >/dev/null; then
  servers+=("Node.js ×2, Redis")
else
  tell "redis-server is not installed: no pair of Node.js servers"
fi

# Settings of one's own shell must not reach what is measured.
for name in $(compgen -e | grep '^PHALANX__' || true); do unset "$name"; done
# So many users from one address, and tickets that wait for their turn.
export PHALANX__SPEAR__EVENTS__CONNECTION_PER_SECOND=0 PHALANX__SPEAR__EVENTS__USER_PER_SECOND=0
export PHALANX__TICKET__LIMITS__ADDRESS_PER_SECOND=0 PHALANX__TICKET__TICKETS__TTL_MS=600000

# --- processes ---
directory=$(mktemp -d "${TMPDIR:-/tmp}/phalanx-bench-XXXXXX")
[ -n "$results" ] || results=$directory/results
: >"$results"
reservations=${TMPDIR:-/tmp}/phalanx-test-ports
offset='' pids=() names=()

end_all() {
  local pid
  # The last one first: what was started early is what the others need.
  for pid in $(printf '%s\n' "${pids[@]}" | tac); do
    kill -TERM "$pid" 2>/dev/null || continue
    for _ in $(seq $((STOP_SECONDS * 20))); do
      [ -e "/proc/$pid" ] || break
      sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  pids=() names=()
  release_offset
}
release_offset() {
  [ -z "$offset" ] || rm -f "$reservations/offset-$offset"
  offset=''
}
finish() {
  local status=$?
  trap - EXIT
  trap '' INT TERM
  [ -z "${load-}" ] || kill "$load" 2>/dev/null || true
  end_all
  rm -rf "$directory"
  exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# An offset at which every port of a cluster is free; it is reserved in the way of tests/support/ports.mjs.
reserve_offset() {
  local port taken candidate held look
  mkdir -p "$reservations"
  # A port of which a connection went out stays taken for a minute.
  for look in $(seq 90); do
    [ "$look" = 1 ] || sleep 1
    for candidate in $(seq 10100 29 15300 | shuf); do
      held=$reservations/offset-$candidate
      if ! (set -o noclobber && printf '%s' $$ >"$held") 2>/dev/null; then
        # Left behind by who was killed: forgotten, and free from the next look on.
        [ -e "/proc/$(cat "$held" 2>/dev/null)" ] || rm -f "$held"
        continue
      fi
      offset=$candidate
      taken=$(awk 'FNR > 1 { split($2, at, ":"); print at[length(at)] }' /proc/net/tcp /proc/net/tcp6)
      for port in 2181 6379 9092 19092 9876 10909 10911 10912 20000 20001 20100 20101 30001 30002 30501 30502 40000 40100 50001 50002 50011 50012 \
        50100 50101 50110 50111 50120 50121; do
        if grep -qx "$(printf '%04X' $((port + offset)))" <<<"$taken"; then
          release_offset
          continue 2
        fi
      done
      return
    done
  done
  fail "no port offset is free: are old clusters still running?"
}
port() { say $(($1 + offset)); }

start() { # NAME COMMAND...
  local name=$1
  shift
  "$@" >>"$directory/$name.log" 2>&1 &
  pids+=($!) names+=("$name")
}
alive() {
  local pid
  for pid in "${pids[@]}"; do [ -e "/proc/$pid" ] || return 1; done
}
wait_for() { # COMMAND...: until it succeeds; fails where a process has ended
  local deadline=$((SECONDS + READY_SECONDS))
  until "$@"; do
    alive && [ $SECONDS -lt $deadline ] || return 1
    sleep 0.1
  done
}
listens() { answers 127.0.0.1 "$(port "$1")"; }
broker_is_known() { known_brokers 127.0.0.1 "$(port 9876)" | grep -q .; }
all_ready() {
  local admin
  while IFS=$'\t' read -r _ _ _ admin; do readiness "$admin" >/dev/null || return 1; done <"$directory/nodes"
  # Every ticket node knows both spears: a snapshot follows a moment after a registration.
  while IFS=$'\t' read -r _ _ _ admin; do
    curl -s "$admin/readyz" | grep -q '2 spears' || return 1
  done < <(grep '^ticket' "$directory/nodes")
}

# --- each server: starts it, and sets `target` to what the generator needs to know ---
phalanx_settings() { # what both have in common
  rm -rf "$directory/data"
  export PHALANX__CLUSTER__DATA_DIR=$directory/data PHALANX__INSTANCE__PORT_OFFSET=$offset PHALANX__INSTANCE__NAMESPACE=''
  "$binary" nodes --profile "$1" >"$directory/nodes"
  target=(--url "http://127.0.0.1:$(port 20000)" --api-url "http://127.0.0.1:$(port 50100)")
}
start_phalanx() {
  phalanx_settings test1
  start phalanx "$binary" all --profile test1
  wait_for all_ready
}
start_phalanx_on() { # PROFILE
  local role id instance
  export PHALANX__CLUSTER__SECRET=the-secret-of-the-nodes-of-a-bench
  export PHALANX__CLUSTER__TICKET_KEY=the-key-that-signs-tickets-in-a-bench
  export PHALANX__JWT__HS256_SECRET=the-key-of-a-back-end-that-signs-tokens
  export PHALANX__STAT__API_KEYS='["the-api-key-of-a-bench"]' PHALANX__MINIONS_UI__API_KEY=the-api-key-of-a-bench
  export PHALANX__ZOOKEEPER__SERVERS="[\"127.0.0.1:$(port 2181)\"]" PHALANX__REDIS__SERVERS="[\"127.0.0.1:$(port 6379)\"]"
  export PHALANX_BENCH_API_KEY=$PHALANX__MINIONS_UI__API_KEY PHALANX_BENCH_TOKEN_SECRET=$PHALANX__JWT__HS256_SECRET
  case $1 in
    kafka) export PHALANX__KAFKA__SERVERS="[\"127.0.0.1:$(port 9092)\"]" ;;
    rocketmq) export PHALANX__ROCKETMQ__NAME_SERVERS="[\"127.0.0.1:$(port 9876)\"]" ;;
  esac
  phalanx_settings "$1"
  rm -rf "$directory"/{zookeeper,redis,kafka,rocketmq-names,rocketmq}
  start zookeeper bin/lib/server.sh zookeeper "$directory/zookeeper" "$(port 2181)"
  start redis bin/lib/server.sh redis "$directory/redis" "$(port 6379)"
  case $1 in
    kafka) start kafka bin/lib/server.sh kafka "$directory/kafka" "$(port 9092)" ;;
    rocketmq)
      start rocketmq-names bin/lib/server.sh rocketmq-names "$directory/rocketmq-names" "$(port 9876)"
      start rocketmq bin/lib/server.sh rocketmq "$directory/rocketmq" "$(port 10911)" "127.0.0.1:$(port 9876)"
      ;;
  esac
  wait_for listens 2181 && wait_for listens 6379 || return 1
  case $1 in
    kafka) wait_for listens 9092 || return 1 ;;
    rocketmq) wait_for broker_is_known || return 1 ;;
  esac
  while IFS=$'\t' read -r role id _ _; do
    instance=${id##*-}
    start "$id" "$binary" "$role" --instance "$instance" --profile "$1"
  done <"$directory/nodes"
  wait_for all_ready
}
start_floor() {
  start floor "$programs/bench-floor" --port "$(port 30001)"
  plain 30001
}
start_socketioxide() {
  start socketioxide "$programs/bench-socketioxide" --port "$(port 30001)"
  plain 30001
}
start_node() {
  start node node bench/peers/node/server.mjs "$(port 30001)"
  plain 30001
}
start_node_pair() {
  local redis_url base
  redis_url=redis://127.0.0.1:$(port 6379)
  rm -rf "$directory/redis"
  # It hands messages on and keeps none, so nothing is written.
  start redis bin/lib/server.sh redis "$directory/redis" "$(port 6379)" --appendonly no
  wait_for listens 6379 || return 1
  for base in 30001 30002; do start "node-$base" node bench/peers/node/server.mjs "$(port $base)" "$redis_url"; done
  plain 30001 30002
}
plain() { # PORT...
  local base
  target=(--target socketio)
  for base in "$@"; do
    wait_for listens "$base" || return 1
    target+=(--url "http://127.0.0.1:$(port "$base")")
  done
}
start_server() { # NAME
  case $1 in
    phalanx) start_phalanx ;;
    "phalanx on Redis") start_phalanx_on test2 ;;
    "phalanx on Kafka") start_phalanx_on kafka ;;
    "phalanx on RocketMQ") start_phalanx_on rocketmq ;;
    floor) start_floor ;;
    socketioxide) start_socketioxide ;;
    "Node.js") start_node ;;
    "Node.js ×2, Redis") start_node_pair ;;
  esac
}

# --- the works ---
wrong=false
measure() { # WORK SERVER
  local options attempt place
  case $1 in
    memory)
      options=(--connections "$small")
      # The servers that look a user's groups up have something to show for each.
      case $2 in phalanx*) options+=(--further-groups "$further") ;; esac
      ;;
    connect) options=(--connections "$users") ;;
    direct) options=(--then-share 0.5 "${times[@]}") ;;
    group | room) options=("${depths[@]}" "${times[@]}") ;;
  esac
  for attempt in $(seq $STARTS); do
    reserve_offset
    if start_server "$2"; then break; fi
    tell "$2 did not start ($attempt of $STARTS):"
    tail -n 3 "$directory"/*.log >&2
    end_all
    [ "$attempt" -lt $STARTS ] || fail "$2 does not start"
  done
  for place in "${!pids[@]}"; do target+=(--pid "${names[place]}=${pids[place]}"); done
  # In the background, so that Ctrl-C is heard while it runs.
  "$bench" "$1" "${target[@]}" --label "$2" --results "$results" "${options[@]}" >&2 &
  load=$!
  wait $load || wrong=true
  load=''
  end_all
  # The next server has other settings.
  unset PHALANX__CLUSTER__SECRET PHALANX__CLUSTER__TICKET_KEY PHALANX__JWT__HS256_SECRET PHALANX__STAT__API_KEYS \
    PHALANX__MINIONS_UI__API_KEY PHALANX_BENCH_API_KEY PHALANX_BENCH_TOKEN_SECRET PHALANX__KAFKA__SERVERS PHALANX__ROCKETMQ__NAME_SERVERS
}

began=$SECONDS
load_before=$(cut -d ' ' -f 1-3 /proc/loadavg)
for round in $(seq "$rounds"); do
  for work in "${works[@]}"; do
    if [ "$work" = memory ] && [ "$round" -gt 1 ]; then continue; fi
    for server in "${servers[@]}"; do
      tell "--- round $round of $rounds: $work, $server"
      measure "$work" "$server"
    done
  done
done

# --- the table ---
cpu=$(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
memory=$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)
measured="commit $(git describe --always --dirty 2>/dev/null || say unknown)"
# Whatever it was built from, it is not known here.
[ -z "${PHALANX_BIN-}" ] || measured="a given program"
say "$asked, $(date -u +%F), $measured, $((SECONDS - began)) s: $(nproc) CPUs ($cpu), $memory, Linux $(uname -r)," \
  "$(rustc --version | cut -d ' ' -f 1,2), Node.js $(node --version), load before: $load_before."
say ""
"$bench" table "$results"
if $wrong; then
  tell "something went wrong: see the rows that say so"
  exit 1
fi
