#!/usr/bin/env bash
# Shows the nodes of a profile's cluster: ready, or what each waits for.
set -euo pipefail

case ${1-} in
  -h | --help)
    cat <<'USAGE'
bin/status.sh [PROFILE]

Shows the nodes of profiles/PROFILE (default: test1). Exits with 0 where all are ready, 1 where one is not, 3 where the
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
say "the cluster of profile $profile runs (pid $pid)"
all_ready=0
while IFS=$'\t' read -r role id url admin; do
  state=$(readiness "$admin") || all_ready=1
  printf '  %-11s %-13s %-24s admin %-24s %s\n' "$role" "$id" "$url" "$admin" "$state"
done < <("$binary" nodes --profile "$profile")
exit $all_ready
