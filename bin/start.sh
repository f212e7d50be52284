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

Where the profile is not embedded, each node is a process of its own; one that dies is started again. ZooKeeper and Redis are
started too, from Debian's packages, and Kafka or RocketMQ where it is the profile's relay, fetched by Maven, where the profile wants one
of each on this machine and nothing answers on its port; secrets are then made at the first start. RocketMQ is a name server and a broker,
whose port is the name server's + 1035; a name server that answers already must know a broker.

Data, keys and logs are kept under data/. bin/status.sh looks, bin/stop.sh ends what was started.
USAGE
}

case ${1-} in -h | --help) usage; exit 0 ;; esac
# shellcheck source=bin/lib/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/cluster.sh"
# shellcheck source=bin/lib/rocketmq.sh
source bin/lib/rocketmq.sh

# More than the 75 s for which a node waits for a port that an outgoing connection holds.
readonly READY_SECONDS=90
profile=${1-test1}
shift || true
[ -d "profiles/$profile" ] || fail "there is no profiles/$profile; there is: $(ls profiles | paste -sd ' ' -)"

# --- what the build needs ---
missing=()
command -v cargo >/dev/null || missing+=("cargo: the Rust toolchain, from rustup (https://rustup.rs)")
command -v cc >/dev/null || missing+=("cc: a C compiler, for SQLite (Debian: apt-get install gcc libc6-dev)")
command -v make >/dev/null || missing+=("make: for the memory allocator (Debian: apt-get install make)")
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
data=$(data_dir "$profile")
mkdir -p "$data/run" "$data/log"

# --- what a cluster of several processes needs ---
# Only where all of it is on this machine: elsewhere each host must be given the same secrets.
local_server() { # TABLE [KEY]: its only server's port, if that is on this machine
  local servers
  servers=$(setting "$profile" "$1" "${2-servers}" | tr -d '[] "')
  case $servers in *,*) return 1 ;; 127.0.0.1:* | localhost:*) say "${servers##*:}" ;; *) return 1 ;; esac
}
make_secrets() {
  [ -e "$data/secrets.env" ] && return
  local monitor_key
  random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
  monitor_key=key-$(random)
  (
    umask 077
    cat >"$data/secrets.env" <<SECRETS
PHALANX__CLUSTER__SECRET='secret-$(random)'
PHALANX__CLUSTER__TICKET_KEY='secret-$(random)'
PHALANX__JWT__HS256_SECRET='secret-$(random)'
PHALANX__STAT__API_KEYS='[{"name": "back-end", "key": "key-$(random)", "scopes": ["read", "send", "manage"]}, {"name": "monitor", "key": "$monitor_key", "scopes": ["read"]}]'
PHALANX__MINIONS_UI__API_KEY='$monitor_key'
SECRETS
  )
  say "made the secrets of profile $profile: $data/secrets.env"
}
# One word of a shell's command line, whatever is in it.
quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }
beside=()
keep_beside() { # NAME PORT [ARGUMENT...]: of bin/lib/server.sh
  say "$1: nothing answers on 127.0.0.1:$2, so it is started, with its data in $data/$1"
  beside+=(--beside "$1=bin/lib/server.sh $1 $(quoted "$data/$1") ${*:2}")
}
start_beside() { # NAME PORT PACKAGE
  if answers 127.0.0.1 "$2"; then
    say "$1: using what answers on 127.0.0.1:$2"
  elif [ "$1" = kafka ] && ! bin/lib/broker.sh kafka >/dev/null; then
    fail "nothing answers on 127.0.0.1:$2, and no Kafka can be started"
  elif { [ "$1" = zookeeper ] && [ ! -e /usr/share/java/zookeeper.jar ]; } ||
    { [ "$1" = redis ] && ! command -v redis-server >/dev/null; }; then
    fail "nothing answers on 127.0.0.1:$2, and Debian's package $3 is not installed: apt-get install $3"
  else
    keep_beside "$1" "$2"
  fi
}
start_rocketmq() { # PORT: the name server's
  local known broker=$(($1 + 1035))
  if answers 127.0.0.1 "$1"; then
    known=$(known_brokers 127.0.0.1 "$1") || fail "what answers on 127.0.0.1:$1 is no name server of RocketMQ"
    [ -n "$known" ] || fail "the name server on 127.0.0.1:$1 knows no broker: start one that registers there, or end it, and both are started here"
    say "rocketmq: using what answers on 127.0.0.1:$1, which knows $(paste -sd ' ' - <<<"$known")"
  elif answers 127.0.0.1 "$broker" || answers 127.0.0.1 $((broker - 2)) || answers 127.0.0.1 $((broker + 1)); then
    fail "nothing answers on 127.0.0.1:$1, but something does on a port of the broker that would be started beside the name server: 127.0.0.1:$((broker - 2)), $broker or $((broker + 1))"
  elif ! bin/lib/broker.sh rocketmq >/dev/null; then
    fail "nothing answers on 127.0.0.1:$1, and no RocketMQ can be started"
  else
    keep_beside rocketmq-names "$1"
    keep_beside rocketmq "$broker" "127.0.0.1:$1"
  fi
}
if ! embedded "$profile"; then
  if port=$(local_server zookeeper); then
    make_secrets
    start_beside zookeeper "$port" zookeeper
  fi
  if [ "$(setting "$profile" redis mode)" = single ] && port=$(local_server redis); then start_beside redis "$port" redis-server; fi
  if [ "$(setting "$profile" relay kind)" = kafka ] && port=$(local_server kafka); then start_beside kafka "$port" maven; fi
  if [ "$(setting "$profile" relay kind)" = rocketmq ] && port=$(local_server rocketmq name_servers); then start_rocketmq "$port"; fi
  load_secrets "$data"
fi
"$binary" check-config --profile "$profile" >/dev/null

# --- start ---
roles=("$@")
if embedded "$profile"; then
  [ ${#roles[@]} -eq 0 ] || fail "the profile $profile is embedded, all of it one process: roles cannot be started by themselves"
  log=$data/log/phalanx.log
  command=("$binary" all --profile "$profile")
else
  log=$data/log/supervise.log
  command=("$binary" supervise "${roles[@]}" --profile "$profile" "${beside[@]}")
fi
# A session of its own: it outlives this terminal, and Ctrl-C here does not reach it.
setsid nohup "${command[@]}" >>"$log" 2>&1 </dev/null &
pid=$!
say "$pid" >"$data/run/phalanx.pid"

# --- wait ---
gone() {
  rm -f "$data/run/phalanx.pid"
  local file
  for file in "$log" "${2:+$data/log/$2.log}"; do
    [ -e "$file" ] || continue
    printf 'start.sh: %s. The end of %s:\n' "$1" "$file" >&2
    tail -n 15 "$file" >&2
  done
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
wanted() { # ROLE
  local role
  [ ${#roles[@]} -gt 0 ] || return 0
  for role in "${roles[@]}"; do [ "$role" != "$1" ] || return 0; done
  return 1
}
waiting=''
deadline=$((SECONDS + READY_SECONDS))
while IFS=$'\t' read -r role id _ admin; do
  wanted "$role" || continue
  until state=$(readiness "$admin"); do
    [ -e "/proc/$pid" ] || gone "the cluster has ended"
    if [ "$waiting" != "$id: $state" ]; then
      waiting="$id: $state"
      say "waiting for $waiting"
    fi
    if [ $SECONDS -ge $deadline ]; then
      end "$pid"
      gone "$id was not ready within $READY_SECONDS s ($state)" "$id"
    fi
    sleep 0.2
  done
done < <("$binary" nodes --profile "$profile")
[ -e "/proc/$pid" ] || gone "the cluster has ended"

# --- tell ---
address_of() { "$binary" nodes --profile "$profile" | awk -F '\t' -v role="$1" '$1 == role { print $3; exit }'; }
say "the cluster of profile $profile is ready (pid $pid, data in $data/, log in $log):"
"$binary" nodes --profile "$profile" | while IFS=$'\t' read -r role id url _; do
  ! wanted "$role" || printf '  %-11s %-13s %s\n' "$role" "$id" "$url"
done
wanted ticket || exit 0
ticket=$(address_of ticket)
say ""
say "try:"
if embedded "$profile"; then
  say "  curl -s -X POST $ticket/dev/token -H 'content-type: application/json' -d '{\"user\":\"alice\"}'   # a token"
  say "  curl -s -X POST $ticket/v1/tickets -H \"authorization: Bearer \$TOKEN\"                       # which spear, and a ticket"
elif [ -e "$data/secrets.env" ]; then
  say "  set -a; . $(quoted "$data/secrets.env"); set +a                 # the secrets: your back end signs tokens with one of them"
fi
say "  node examples/first-conversation.mjs                  # two users talk; or open $(address_of minions-ui)"
