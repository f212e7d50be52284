#!/usr/bin/env bash
# Fetches a broker that Debian does not package, with Maven, once for each version: into target/servers/.
set -euo pipefail

usage() {
  cat <<'USAGE'
bin/lib/broker.sh kafka|rocketmq

Prints the directory of the broker's files, and fetches them before where they are missing (Debian: apt-get install maven
default-jre-headless). Which version, bin/lib/brokers/NAME/pom.xml says.
USAGE
}

fail() { printf 'broker.sh: %s\n' "$*" >&2; exit 1; }

case ${1-} in
  -h | --help) usage; exit 0 ;;
  kafka | rocketmq) kind=$1 ;;
  *) usage >&2; exit 2 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
pom=$root/bin/lib/brokers/$kind/pom.xml
directory=$root/target/servers/$kind-$(sha256sum "$pom" | cut -c1-12)
if [ ! -e "$directory/complete" ]; then
  command -v mvn >/dev/null || fail "$kind is not fetched yet, and mvn is missing (Debian: apt-get install maven)"
  mkdir -p "$root/target/servers"
  # Several tests may ask at once: one fetches.
  exec 9>"$root/target/servers/$kind.lock"
  flock 9
  if [ ! -e "$directory/complete" ]; then
    rm -rf "$directory"
    log=$root/target/servers/$kind.log
    mvn --batch-mode --quiet --file "$pom" dependency:copy-dependencies -DincludeScope=runtime \
      -DoutputDirectory="$directory/lib" >"$log" 2>&1 || fail "$kind cannot be fetched: $(tail -n 5 "$log")"
    touch "$directory/complete"
  fi
fi
printf '%s\n' "$directory"
