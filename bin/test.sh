#!/usr/bin/env bash
# Installs what the tests need where it is missing, and runs everything.
set -euo pipefail

usage() {
  cat <<'USAGE'
bin/test.sh [--allow-missing] [--quick]

Formatting, clippy, a build, the Rust tests (unit, conformance, kills), then the tests of the socket.io layer, by itself and beside
engineioxide, and its fuzz targets, 10 s each; then the end-to-end, fault, script and browser tests with the official socket.io
client, earlier ones of it and python-socketio, schemathesis against the business API, and a random storm: on test1 (embedded), and on test2 (ZooKeeper, Redis, a process
for every node); end-to-end, lost hints and the storm also on the profiles kafka and rocketmq (hints over Apache Kafka and RocketMQ, which Maven fetches).
What is about messaging runs on test1 with each client over WebSocket and long-polling (PHALANX_TEST_CLIENT, PHALANX_TEST_TRANSPORT). Installs what is missing: packages of npm and pip, cargo-fuzz, and Debian's chromium, zookeeper, redis-server,
redis-sentinel, nginx, nftables, iproute2, maven, default-jdk-headless and python3-venv where it may. Last, faults of hosts and networks, drawn by a fixed seed for some
minutes (bin/chaos.sh), which need root: each host is a network namespace.

  --allow-missing   skip what needs something that cannot be had here, and name it in the last line
  --quick           no fault and no browser tests, no storm, no fuzzing, and messaging with one client
USAGE
}

allow_missing=false
quick=false
for argument in "$@"; do
  case $argument in
    --allow-missing) allow_missing=true ;;
    --quick) quick=true ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."

skipped=()
skip() { # what, why
  if ! $allow_missing; then
    printf 'test.sh: %s cannot run: %s (--allow-missing skips it)\n' "$1" "$2" >&2
    exit 1
  fi
  skipped+=("$1 ($2)")
}
step() { # title, command...
  local title=$1 began=$SECONDS
  shift
  printf '\n=== %s\n' "$title"
  "$@"
  printf -- '--- %s: %d s\n' "$title" $((SECONDS - began))
}
at_once() { # TITLE|COMMAND...: steps that wait more than they compute. What each has printed comes when it has ended
  local number code=0 logs=() pids=()
  for number in $(seq $#); do
    logs+=("$(mktemp)")
    # Its words are the command's.
    # shellcheck disable=SC2086
    step "${!number%%|*}" ${!number#*|} >"${logs[-1]}" 2>&1 &
    pids+=($!)
  done
  # An interrupt does not reach what runs in the background.
  trap 'trap - INT; kill -TERM 0' INT
  for number in "${!pids[@]}"; do
    wait "${pids[number]}" || code=$?
    cat "${logs[number]}"
    rm -f "${logs[number]}"
  done
  trap - INT
  return $code
}

# --- what must be there ---
for tool in cargo cc make node npm; do
  command -v $tool >/dev/null || { printf 'test.sh: %s is missing; bin/start.sh says how to get it\n' "$tool" >&2; exit 1; }
done
# The packages of Debian that are missing; each is named by something that it installs.
declare -A present=(
  [zookeeper]=/usr/share/java/zookeeper.jar
  [redis-server]=/usr/bin/redis-server
  [redis-sentinel]=/usr/bin/redis-sentinel
  [nginx]=/usr/sbin/nginx
  [nftables]=/usr/sbin/nft
  [iproute2]=/usr/sbin/tc
  [openssl]=/usr/bin/openssl
  [default-jre-headless]=/usr/bin/java
  [default-jdk-headless]=/usr/bin/javac
  [maven]=/usr/bin/mvn
)
$quick || present[chromium]=/usr/bin/chromium
wanted=()
for package in "${!present[@]}"; do [ -e "${present[$package]}" ] || wanted+=("$package"); done
# A Python that is not Debian's brings its own.
has_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }
has_venv || wanted+=(python3-venv)
install() {
  command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 1
  # Packages of servers start them otherwise, on the usual ports.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && return 0
  apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
if [ ${#wanted[@]} -gt 0 ]; then
  printf '\n=== installing %s\n' "${wanted[*]}"
  install "${wanted[@]}" || printf 'test.sh: not everything could be installed\n' >&2
fi
hosts=true
if $quick; then
  hosts=false
elif [ "$(id -u)" != 0 ] || ! unshare --net true 2>/dev/null; then
  hosts=false
  skip "the faults of hosts, networks and disks" "network namespaces cannot be made: it needs root"
elif [ ! -e "${present[nftables]}" ] || [ ! -e "${present[iproute2]}" ]; then
  hosts=false
  skip "the faults of hosts and networks" "Debian's packages nftables and iproute2 are not installed"
fi
browser=true
if $quick; then
  browser=false
elif ! command -v chromium >/dev/null; then
  browser=false
  skip "the browser tests" "Debian's package chromium is not installed"
fi
python=true
if ! has_venv; then
  python=false
  skip "the tests with python-socketio and schemathesis, and of the back end in examples/" "Debian's package python3-venv is not installed"
fi
servers=true
for package in zookeeper redis-server redis-sentinel nginx openssl; do
  [ -e "${present[$package]}" ] && continue
  servers=false
  skip "everything on ZooKeeper, Redis and nginx" "Debian's package $package is not installed"
  break
done

# What Debian does not package; the Rust tests and the profiles of these names run it.
relays=()
if $servers; then
  for relay in kafka rocketmq; do
    if ! bin/lib/broker.sh $relay >/dev/null; then
      skip "everything on $relay" "it cannot be fetched"
    elif [ $relay = rocketmq ] && [ ! -e "${present[default-jdk-headless]}" ]; then
      skip "everything on $relay" "Debian's package default-jdk-headless is not installed"
    else
      relays+=($relay)
    fi
  done
fi

# --- Rust ---
if cargo fmt --version >/dev/null 2>&1; then
  step "formatting" cargo fmt --all --check
else
  skip "formatting" "this toolchain has no rustfmt"
fi
step "build" cargo build --profile test1
if cargo clippy --version >/dev/null 2>&1; then
  step "clippy" cargo clippy --profile test1 --workspace --all-targets -- -D warnings
  step "clippy of the program without Kafka" cargo clippy --profile test1 --no-default-features -- -D warnings
else
  skip "clippy" "this toolchain has no clippy"
fi
# Our own crates without optimisation, which takes a third of the time; what they stand on is the same as the program's.
unoptimised=()
for crate in $(cargo metadata --no-deps --format-version 1 | node -p 'JSON.parse(fs.readFileSync(0)).packages.map(({ name }) => name).join(" ")'); do
  unoptimised+=(--config "profile.test1.package.$crate.opt-level=0")
done
if $servers; then
  # They wait for servers more than they compute.
  without=()
  [ ${#relays[@]} -eq 2 ] || without=(--exclude relay --exclude rocketmq-link --exclude servers)
  step "Rust tests" env RUST_TEST_THREADS=6 cargo test "${unoptimised[@]}" --profile test1 --workspace "${without[@]}"
else
  step "Rust tests without servers" cargo test "${unoptimised[@]}" --profile test1 --workspace --exclude servers --exclude redis-link \
    --exclude rocketmq-link --exclude roster --exclude relay --exclude store --exclude idgen --exclude ticket --exclude phalanx
  step "tests of the program" cargo test "${unoptimised[@]}" --profile test1 --test architecture
fi
# The program as it is built for use stands again where the tests have put theirs.
step "build, as it was" cargo build --profile test1

# --- the web page ---
step "npm packages of the page" npm ci --prefix minions-ui/web --no-audit --no-fund
step "types of the page" npm run --silent --prefix minions-ui/web check
step "unit tests of the page" npm test --silent --prefix minions-ui/web

# --- with the official client ---
# Node.js may spin for ever when it ends by itself after all is done (nodejs/node#47748), so its tests end it.
node_test() { node --test --test-force-exit "$@"; }
step "npm packages of the tests" npm ci --prefix tests --no-audit --no-fund
step "build of the echo server" cargo build --profile test1 --workspace --example echo
step "unit tests of the client helper" node_test tests/client/*.test.mjs
step "the checker of the promises, what faults are drawn, and which ports" node_test tests/checker/*.test.mjs tests/fault/chaos/*.test.mjs \
  tests/support/*.test.mjs tests/support/hosts/*.test.mjs
socket_tests() { # COMMAND
  PHALANX_ECHO=$1 node_test --test-concurrency=1 tests/socket/*.test.mjs
}
step "socket.io layer" socket_tests "target/test1/examples/echo"
step "the same on the reference implementation" socket_tests "target/test1/examples/echo --layer engineioxide"
if $quick; then
  :
elif cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --version '^0.13' --locked --quiet; then
  step "fuzzing" bin/fuzz.sh 10
else
  skip "fuzzing" "cargo-fuzz cannot be installed"
fi
node_tests() { # PROFILE SUITE...
  local profile=$1
  shift
  PHALANX_TEST_PROFILE=$profile node_test --test-concurrency=1 "$@"
}
everywhere=()
for suite in tests/e2e/*.test.mjs; do
  case $suite in
    */python_client.test.mjs | */openapi.test.mjs | */back_end.test.mjs) $python || continue ;;
  esac
  everywhere+=("$suite")
done
both=("${everywhere[@]}")
if ! $quick; then
  for suite in tests/fault/*.test.mjs tests/workload/*.test.mjs; do
    # A disk of its own is mounted for it.
    case $suite in */disk_full.test.mjs) $hosts || continue ;; esac
    both+=("$suite")
  done
fi
if $browser; then both+=(tests/browser/*.test.mjs); fi
step "end-to-end, fault, storm and browser tests on test1" node_tests test1 "${both[@]}"
# The suites in which clients do something: with another client, or over another transport, they say the same.
as_client() { # CLIENT TRANSPORT
  local suites=() name
  for name in bad_payloads conversation devices groups limits marks membership presence refresh refusals resume rooms signals watch; do
    # They know no `maxPayload`: what that suite sends at once is more than one request may bring.
    case "$1 $2 $name" in "v2 polling limits" | "python polling limits") continue ;; esac
    suites+=("tests/e2e/$name.test.mjs")
  done
  PHALANX_TEST_CLIENT=$1 PHALANX_TEST_TRANSPORT=$2 node_tests test1 "${suites[@]}"
}
road() { printf 'messaging with %s %s on test1|as_client %s %s' "$@" "$@"; } # CLIENT TRANSPORT
if ! $quick; then
  at_once "$(road v4 polling)" "$(road v3 upgrade)"
  at_once "$(road v2 websocket)" "$(road v2 polling)"
  if $python; then at_once "$(road python websocket)" "$(road python polling)"; fi
fi
on_test2() { node_tests test2 "${both[@]}"; }
$quick || everywhere+=(tests/fault/relay_drop.test.mjs tests/workload/workload.test.mjs tests/relay/*.test.mjs)
# One after the other: a broker takes as much of the processor as the nodes of a cluster.
on_relays() {
  local relay
  for relay in "${relays[@]}"; do
    step "end-to-end, lost hints, the storm, and loss of the broker on $relay" node_tests "$relay" "${everywhere[@]}"
  done
}
if $servers; then
  steps=("end-to-end, fault, storm and browser tests on test2|on_test2")
  if [ ${#relays[@]} -gt 0 ]; then steps+=("the other relays|on_relays"); fi
  at_once "${steps[@]}"
  $quick || step "loss of nodes and servers on test2" node_tests test2 tests/cluster/*.test.mjs
  if $hosts; then step "faults of hosts and networks" node_tests test2 tests/fault/hosts/*.test.mjs; fi
  PHALANX_TEST_RELAYS="${relays[*]}" step "scripts" node_tests test1 tests/scripts/*.test.mjs
fi

printf '\n'
if $quick; then skipped+=("the fault, storm and browser tests, messaging with the other clients, and fuzzing (--quick)"); fi
if [ ${#skipped[@]} -eq 0 ]; then
  printf 'all tests passed, nothing was skipped\n'
else
  printf 'tests passed; skipped: %s\n' "$(IFS=';'; echo "${skipped[*]}")"
fi
