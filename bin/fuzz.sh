#!/usr/bin/env bash
# Runs the fuzz targets of socket/fuzz, and installs cargo-fuzz where it is missing.
set -euo pipefail

usage() {
  cat <<'USAGE'
bin/fuzz.sh [SECONDS] [TARGET...]

Runs each TARGET (default: websocket, payload and packet) of socket/fuzz for SECONDS (default 10), from the seeds in
socket/fuzz/seeds and whatever earlier runs found in socket/fuzz/corpus. Ends at the first failure; its input is then in
socket/fuzz/artifacts, and the last lines say how to run it again. A stable Rust toolchain and a C++ compiler are enough:
there is no sanitizer, which code without `unsafe` does not need; coverage guides the search all the same.
USAGE
}

seconds=10
case ${1-} in
  -h | --help) usage; exit 0 ;;
  '' | *[!0-9]*) ;;
  *) seconds=$1; shift ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -gt 0 ] || set -- websocket payload packet
for target in "$@"; do
  [ -e "socket/fuzz/seeds/$target.txt" ] || { usage >&2; exit 2; }
done

for tool in cargo c++; do
  command -v $tool >/dev/null || { printf 'fuzz.sh: %s is missing\n' "$tool" >&2; exit 1; }
done
if ! cargo fuzz --version >/dev/null 2>&1; then
  printf '=== installing cargo-fuzz\n'
  cargo install cargo-fuzz --version '^0.13' --locked --quiet
fi

# A line of a seed file is an input, in the notation of printf's %b.
sow() { # TARGET
  local line number=0 corpus=socket/fuzz/corpus/$1
  mkdir -p "$corpus"
  while IFS= read -r line; do
    case $line in '#'* | '') continue ;; esac
    number=$((number + 1))
    printf '%b' "$line" >"$corpus/seed-$number"
  done <"socket/fuzz/seeds/$1.txt"
}

for target in "$@"; do
  printf '\n=== fuzzing %s for %d s\n' "$target" "$seconds"
  sow "$target"
  # 4096 bytes reach every rule; longer inputs only slow the search.
  cargo fuzz run --fuzz-dir socket/fuzz --sanitizer none "$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -verbosity=0 -print_final_stats=1
done
printf '\nall targets ran for %d s each, nothing was found\n' "$seconds"
