#!/usr/bin/env bash
# Shows the nodes of a profile's cluster: ready, or what each waits for.
set -euo pipefail

case ${1-} in
  -h | --help)
    cat <<'USAGE'
bin/status.sh [PROFILE]

Shows the nodes of profiles/PROFILE (default: test1), and where each is a process of its own, whether it had to be started again
and why. Exits with 0 where all are ready, 1 where one is not, 3 where the
cluster does not run.
USAGE
    exit 0
    ;;
esac
# shellcheck source=bin/lib/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/cluster.sh"

profile=${1-test1}
binary=$(binary_of "$profile")
[ -x "$binary" ] || { say "the cluster of profile $profile does not run: nothing is built"; exit 3; }
data=$(data_dir "$profile")
pid=$(running_pid "$data") || { say "the cluster of profile $profile does not run"; exit 3; }
load_secrets "$data"
say "the cluster of profile $profile runs (pid $pid)"
table=$data/run/processes
process_of() { [ ! -e "$table" ] || awk -F '\t' -v name="$1" '$1 == name' "$table"; } # NAME: its line, if there is any
# How a process is, for people; nothing in an embedded cluster.
process() { # LINE
  local state id again detail
  [ -n "$1" ] || return 0
  IFS=$'\t' read -r _ state id again detail <<<"$1"
  case $state in up) printf ' (pid %s' "$id" ;; *) printf ' (%s: %s' "$state" "$detail" ;; esac
  if [ "$again" != 0 ]; then printf ', restarts: %s' "$again"; fi
  printf ')'
}
all_ready=0
names=()
while IFS=$'\t' read -r role id url admin; do
  line=$(process_of "$id")
  # Another supervisor, or nobody, has those that this one does not keep.
  [ -n "$line" ] || [ ! -e "$table" ] || continue
  names+=("$id")
  state=$(readiness "$admin") || all_ready=1
  printf '  %-11s %-13s %-24s admin %-24s %s%s\n' "$role" "$id" "$url" "$admin" "$state" "$(process "$line")"
done < <("$binary" nodes --profile "$profile")
# The spears that bin/rolling-restart.sh --surge has left.
while IFS=$'\t' read -r id pid admin; do
  state=$(readiness "$admin") || all_ready=1
  printf '  %-11s %-13s %-24s admin %-24s %s (pid %s, one more: bin/rolling-restart.sh --end-surge %s)\n' spear "$id" '' "$admin" "$state" "$pid" "$profile"
done < <(surges "$data")
# What is kept beside the nodes: servers.
while IFS=$'\t' read -r name rest; do
  case " ${names[*]} " in *" $name "*) continue ;; esac
  printf '  %-11s %-13s%s\n' server "$name" "$(process "$name"$'\t'"$rest")"
done < <(cat "$table" 2>/dev/null)
exit $all_ready
