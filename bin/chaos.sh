#!/usr/bin/env bash
# Attacks a cluster on several hosts of this machine with faults, and judges what its clients saw.
set -euo pipefail

usage() {
  cat <<'USAGE'
bin/chaos.sh [--seed S] [--faults N] [--minutes M] [--only KIND,...] [--without KIND,...] [--strict] [--set NAME=VALUE] [--keep]

Three ZooKeeper servers, Redis with two replicas and Sentinels, three spears, two tickets, two stats and two idgens, each host a
network namespace (this needs root, iproute2 and nftables); users with several devices who write, join, leave, recall and come and
go all the while; and faults, drawn by the seed, many at a time. It goes by rounds: a storm of 40 faults, everything heals, all
devices come back, and the checker judges what was recorded: nothing acknowledged lost, nothing twice, nothing out of order.

  --seed S          repeats what is drawn (below); printed where it is not given
  --faults N        so many faults, at least 1; 100 where neither this nor --minutes is given
  --minutes M       at most so long, the start among it; the last round ends as every one does
  --only KIND,...   only faults of these kinds
  --without KIND,...
  --strict          with on_zookeeper_loss = "stop": ids are to be in the order of the calls, too
  --set NAME=VALUE  a setting of the cluster, as an environment variable: --set PHALANX__REDIS__WAIT_REPLICAS=0 is to be refuted
  --keep            keep the histories and logs, also of what holds

A seed repeats, for each round and each of the five lanes of faults, their order, kinds, pauses and durations, the nodes, hosts and
directions that they are about; and for each round what every user means to do. It does not repeat when things happen, so neither how many
faults of a lane fall into a round, nor who the leader or the primary is then, nor which session of a host ends. --only and --without
make another draw of the same seed.

Ends with 0 where all promises hold; 1 where one is refuted, or a process ended that nobody had killed (the history of the round and
the logs are kept); 2 where the arguments are wrong, the run itself failed, or nothing is proven, because no fault was injected or no send
acknowledged. Ctrl-C ends the round, heals, and prints the verdict so far: then it is 130, or 1; a second one ends at once. The kinds are
in tests/fault/chaos/kinds.mjs; docs/guarantees.md says what the verdict means. PHALANX_BIN names the program,
target/test1/phalanx by default.
USAGE
}

for argument in "$@"; do
  case $argument in -h | --help) usage; exit 0 ;; esac
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -d tests/node_modules ] || npm ci --prefix tests --no-audit --no-fund
exec node tests/fault/chaos/run.mjs "$@"
