# shellcheck shell=bash
# What start.sh, stop.sh, status.sh and rolling-restart.sh share: where a profile's cluster is, whether it runs, what its nodes say.
# Read with `source`; sets ROOT.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT" || exit 1

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# The Cargo profile of the same name where there is one, else test1.
cargo_profile() {
  if grep -q "^\[profile\.$1\]" Cargo.toml; then say "$1"; else say test1; fi
}

# The binary of a profile: the one of its Cargo profile.
binary_of() { say "$ROOT/target/$(cargo_profile "$1")/phalanx"; }

# One key of one table of the profile's settings: setting PROFILE TABLE KEY
setting() {
  "$(binary_of "$1")" --print-config --profile "$1" |
    awk -v table="[$2]" -v key="$3" '
      /^\[/ { inside = ($0 == table) }
      inside && $1 == key { sub(/^[^=]*= */, ""); gsub(/^"|"$/, ""); print; exit }'
}

# Where the profile's cluster keeps its files.
data_dir() {
  local directory namespace
  directory=$(setting "$1" cluster data_dir) && namespace=$(setting "$1" instance namespace)
  say "$directory${namespace:+/$namespace}"
}

# Whether every role of the profile runs in one process.
embedded() { [ "$(setting "$1" cluster embedded)" = true ]; }

# Reads the secrets that start.sh made for a profile whose servers are all on this machine. The environment goes before.
load_secrets() { # DATA_DIR
  local name value
  [ -r "$1/secrets.env" ] || return 0
  while IFS='=' read -r name value; do
    value=${value#\'}
    [ -n "${!name-}" ] || export "$name=${value%\'}"
  done <"$1/secrets.env"
}

# Whether something listens: answers 127.0.0.1 2181
answers() { timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; }

# The process id of the cluster that was started in this data directory, if it is alive. A pid may have been given to
# another process since, so the program behind it counts, not its name; a rebuilt one reads "... (deleted)".
running_pid() {
  local pid program
  pid=$(cat "$1/run/phalanx.pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && program=$(readlink "/proc/$pid/exe") || return 1
  case $program in */phalanx | */phalanx' (deleted)') say "$pid" ;; *) return 1 ;; esac
}

# Prints the body of an answer whose status is 2xx; with a key in API_KEY, which no list of processes shows. fetch METHOD http://host:port/path [JSON]
fetch() {
  local address=${2#http://} answer
  # shellcheck disable=SC2016  # the inner shell expands it
  answer=$(timeout 10 bash -c '
    authority=${1%%/*} body=${2-}
    exec 3<>"/dev/tcp/${authority%:*}/${authority##*:}" || exit 1
    printf "%s /%s HTTP/1.0\r\nHost: %s\r\n" "$0" "${1#*/}" "$authority" >&3
    [ -z "${API_KEY-}" ] || printf "Authorization: Bearer %s\r\n" "$API_KEY" >&3
    [ -z "$body" ] || printf "Content-Type: application/json\r\n" >&3
    printf "Content-Length: %d\r\n\r\n%s" "${#body}" "$body" >&3
    cat <&3
  ' "$1" "$address" "${3-}" 2>/dev/null) || return 1
  case ${answer%%$'\r'*} in
    *" 2"??" "*) printf '%s\n' "${answer#*$'\r\n\r\n'}" ;;
    *) printf '%s\n' "${answer##*$'\r\n\r\n'}" >&2; return 1 ;;
  esac
}

# The spears that `rolling-restart.sh --surge` has left and that are alive, a line each: id, process id, admin address.
surges() { # DATA_DIR
  local line
  while IFS= read -r line; do
    ! is_ours "$(cut -f 2 <<<"$line")" || say "$line"
  done < <(cat "$1/run/surge" 2>/dev/null)
}
# Whether a process is one of ours: its number may be somebody else's by now.
is_ours() { # PID
  local program
  program=$(readlink "/proc/$1/exe") || return 1
  case $program in */phalanx | */phalanx' (deleted)') ;; *) return 1 ;; esac
}

# Asks one node: prints "ready", or what it waits for. readiness http://host:port
readiness() {
  local address=${1#http://} answer
  # shellcheck disable=SC2016  # the inner shell expands it
  answer=$(timeout 2 bash -c '
    exec 3<>"/dev/tcp/${0%:*}/${0##*:}" && printf "GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && cat <&3
  ' "$address" 2>/dev/null) || { say "does not answer"; return 1; }
  case ${answer%%$'\r'*} in
    *" 200 "*) say ready ;;
    *)
      printf '%s' "$answer" | tr '{}' '\n\n' | grep '"ok":false' |
        sed 's/.*"detail":"\([^"]*\)".*"name":"\([^"]*\)".*/\2: \1/' | paste -sd ';' -
      return 1
      ;;
  esac
}
