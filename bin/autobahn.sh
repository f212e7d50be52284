#!/usr/bin/env bash
# Judges the WebSocket codec of socket/ by Autobahn's test suite, and installs the suite where it is missing.
set -euo pipefail

usage() {
  cat <<'USAGE'
bin/autobahn.sh [CASE...]

Runs Autobahn's WebSocket test suite against socket/examples/websocket_echo.rs: the CASEs (as '6.4.*'), or all but those
that a server like this cannot pass: it has no compression (12, 13), and its codec does not keep bytes, so it cannot echo them
(1.2, 9.2, 9.4, 9.6, 9.8). Prints the cases that are not OK; fails if one is worse than informational, or if some did not run.

The suite is for Python 2.7, which is not among Debian's packages any more; pyenv has it. PYTHON27 names it, if it is neither
python2.7 nor one of pyenv's. The packages and the report (report/index.html) go to target/autobahn.
USAGE
}

case ${1-} in
  -h | --help) usage; exit 0 ;;
  -*) usage >&2; exit 2 ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# It names the versions of what it needs.
version=25.10.1
# As many are left without those that are named above.
all=266
excluded='"12.*", "13.*", "1.2.*", "9.2.*", "9.4.*", "9.6.*", "9.8.*"'

for tool in cargo node; do
  command -v $tool >/dev/null || { printf 'autobahn.sh: %s is missing\n' "$tool" >&2; exit 1; }
done
python=
for candidate in "${PYTHON27-}" python2.7 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
  # pyenv has commands that only say that nothing was chosen.
  if [ -n "$candidate" ] && "$candidate" -m pip --version >/dev/null 2>&1; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || { printf 'autobahn.sh: no Python 2.7 with pip was found; --help says more\n' >&2; exit 1; }

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
place=$target/autobahn
# Packages are installed here, and in no home.
export PYTHONUSERBASE=$place/python
installed=$place/installed-$version
if [ ! -e "$installed" ]; then
  printf '=== installing autobahntestsuite %s\n' "$version"
  rm -rf "$place"
  mkdir -p "$place"
  "$python" -m pip install --user --quiet --no-warn-script-location "autobahntestsuite==$version" 2>"$place/pip.log" ||
    { cat "$place/pip.log" >&2; exit 1; }
  touch "$installed"
fi

printf '=== building the echo server\n'
cargo build --quiet --profile test1 --package socket --example websocket_echo
exec {ready}< <(exec "$target/test1/examples/websocket_echo" --port 0)
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
read -r -t 10 line <&"$ready" || { printf 'autobahn.sh: the echo server does not start\n' >&2; exit 1; }

if [ $# -gt 0 ]; then
  all=some
  cases=$(printf '"%s", ' "$@")
else
  cases='"*", '
fi
rm -rf "$place/report"
cat >"$place/spec.json" <<SPEC
{
  "outdir": "$place/report",
  "servers": [{"agent": "socket", "url": "ws://${line##*address=}"}],
  "cases": [${cases%, }],
  "exclude-cases": [$excluded],
  "exclude-agent-cases": {}
}
SPEC
printf '=== running\n'
# It takes half a minute, and does not end by itself where no case fits.
timeout 300 "$python" "$PYTHONUSERBASE/bin/wstest" --mode fuzzingclient --spec "$place/spec.json" \
  >"$place/wstest.log" 2>&1 || { tail -n 20 "$place/wstest.log" >&2; exit 1; }

node - "$place/report/index.json" "$all" <<'JS'
const { readFileSync } = require('node:fs');
const [path, all] = process.argv.slice(2);
const { socket: cases = {} } = JSON.parse(readFileSync(path));
const counts = {};
let failed = 0;
for (const [id, { behavior, behaviorClose, remoteCloseCode }] of Object.entries(cases)) {
  const [worst] = [behavior, behaviorClose].filter((word) => word !== 'OK');
  counts[worst ?? 'OK'] = (counts[worst ?? 'OK'] ?? 0) + 1;
  if (!worst) continue;
  console.log(`${id.padEnd(8)} ${behavior.padEnd(14)} closing: ${behaviorClose}, code ${remoteCloseCode}`);
  if ([behavior, behaviorClose].some((word) => word !== 'OK' && word !== 'INFORMATIONAL')) failed += 1;
}
const ran = Object.keys(cases).length;
console.log(`${ran} cases: ${Object.entries(counts).map(([word, count]) => `${count} ${word}`).join(', ')}`);
const missing = all === 'some' ? ran === 0 : ran !== Number(all);
if (missing) console.log(`${all} cases should have run`);
process.exit(missing || failed > 0 ? 1 : 0);
JS
