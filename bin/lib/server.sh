#!/usr/bin/env bash
# Runs one server, of Debian's packages or fetched by bin/lib/broker.sh, in the foreground, on loopback unless told otherwise, with a
# directory of its own: the one place that knows how. It replaces itself by the server, so its process id is the server's. Used by
# bin/start.sh and by the tests.
set -euo pipefail

usage() {
  cat <<'USAGE'
bin/lib/server.sh zookeeper      DIRECTORY PORT [ID server.1=HOST:PORT:PORT ...]
bin/lib/server.sh redis          DIRECTORY PORT [OPTION...]
bin/lib/server.sh sentinel       DIRECTORY PORT PRIMARY_PORT QUORUM [PRIMARY_HOST [LINE...]]
bin/lib/server.sh kafka          DIRECTORY PORT
bin/lib/server.sh rocketmq-names DIRECTORY PORT
bin/lib/server.sh rocketmq       DIRECTORY PORT NAME_SERVER...

It listens on 127.0.0.1, or, save Kafka, at the address that SERVER_BIND names.

Packages: zookeeper (and a Java runtime), redis-server, redis-sentinel. Kafka comes by Maven, and is broker and controller in one (KRaft);
the controller listens on PORT + 10000. RocketMQ comes by Maven too: rocketmq-names is a name server, rocketmq a broker that registers at
each NAME_SERVER, HOST:PORT, now or when they are there; it listens on PORT - 2 too, and for replicas, at every address, on PORT + 1. A LINE is one more of the Sentinel's file. Redis keeps an append-only file and syncs it
before it answers, unless an option says otherwise: synced every second only, it may lose what it answered even when just the
process is killed.
USAGE
}

fail() { printf 'server.sh: %s\n' "$*" >&2; exit 1; }

case ${1-} in
  -h | --help) usage; exit 0 ;;
  zookeeper | redis | sentinel | kafka | rocketmq-names | rocketmq) [ $# -ge 3 ] || { usage >&2; exit 2; } ;;
  *) usage >&2; exit 2 ;;
esac
kind=$1 port=$3 bind=${SERVER_BIND:-127.0.0.1}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$2"
directory=$(cd "$2" && pwd)
shift 3

has() { command -v "$1" >/dev/null || fail "$1 is missing (Debian: apt-get install $2)"; }

# Ends with whoever started it: a test or a supervisor that is killed leaves no server behind.
run() { exec setpriv --pdeathsig TERM -- "$@"; }

zookeeper() {
  local java=/usr/share/java
  has java default-jre-headless
  [ -e $java/zookeeper.jar ] || fail "$java/zookeeper.jar is missing (Debian: apt-get install zookeeper)"
  mkdir -p "$directory/data"
  cat >"$directory/zoo.cfg" <<CONFIG
tickTime=500
dataDir=$directory/data
clientPort=$port
clientPortAddress=$bind
admin.enableServer=false
maxClientCnxns=0
minSessionTimeout=1000
maxSessionTimeout=60000
4lw.commands.whitelist=*
autopurge.snapRetainCount=3
autopurge.purgeInterval=1
CONFIG
  if [ $# -gt 0 ]; then
    printf '%s\n' "$1" >"$directory/data/myid"
    shift
    printf '%s\n' initLimit=20 syncLimit=10 "$@" >>"$directory/zoo.cfg"
  fi
  run java -Xmx128m -Xms32m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -cp "$java/zookeeper.jar:$java/slf4j-simple.jar" \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$directory/zoo.cfg"
}

redis() {
  has redis-server redis-server
  # One that a Sentinel writes down who is the primary in, where whoever starts the server has made it.
  local file=()
  [ -e "$directory/redis.conf" ] && file=("$directory/redis.conf")
  run redis-server "${file[@]}" --port "$port" --bind "$bind" --dir "$directory" --save '' \
    --appendonly yes --appendfsync always --maxmemory-policy noeviction --repl-diskless-sync-delay 0 "$@"
}

sentinel() {
  has redis-sentinel redis-sentinel
  [ $# -ge 2 ] || { usage >&2; exit 2; }
  # It rewrites its file, so an earlier one is kept.
  [ -e "$directory/sentinel.conf" ] || { cat <<CONFIG && printf '%s\n' "${@:4}"; } >"$directory/sentinel.conf"
port $port
bind $bind
dir $directory
sentinel monitor mymaster ${3:-127.0.0.1} $1 $2
sentinel down-after-milliseconds mymaster 2000
sentinel failover-timeout mymaster 3000
CONFIG
  run redis-sentinel "$directory/sentinel.conf"
}

# One for all, so that a new directory need not be formatted by a JVM of its own.
readonly CLUSTER_ID=4L6g3nShT-eMCtK--X86sw

kafka() {
  has java default-jre-headless
  local files data=$directory/data template
  files=$("$here/broker.sh" kafka)
  cat >"$directory/server.properties" <<CONFIG
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 10000))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 10000))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
log.cleaner.dedupe.buffer.size=1048577
log.cleaner.threads=1
num.network.threads=2
num.io.threads=2
background.threads=2
controller.quorum.election.timeout.ms=200
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=2000
CONFIG
  local jvm=(java -Xmx256m -Xms64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$files/lib/*")
  template=$files/formatted
  # What is there already is never formatted: it may hold messages.
  if [ ! -e "$data/meta.properties" ]; then
    rm -rf "$data"
    if [ -e "$template/meta.properties" ]; then
      cp -r "$template" "$data"
    else
      "${jvm[@]}" kafka.tools.StorageTool format -t $CLUSTER_ID -c "$directory/server.properties" >&2
      # Whoever comes first; the same is in all of them.
      cp -r "$data" "$template.$$" && { mv -T "$template.$$" "$template" 2>/dev/null || rm -rf "$template.$$"; }
    fi
  fi
  run "${jvm[@]}" kafka.Kafka "$directory/server.properties"
}

# Runs one of RocketMQ's two processes: rocketmq_run CLASS FILES MEBIBYTES. Its own files go beside the data, not into the user's home. SIGTERM ends
# it at once (-Xrs): ending in its own way takes a broker ten seconds, and keeps no more than it keeps over kill -9.
rocketmq_run() {
  export ROCKETMQ_HOME=$directory
  run java -Xrs "-Xmx$3m" -Xms32m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Dtls.server.mode=disabled \
    --add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/sun.nio.ch=ALL-UNNAMED --add-exports=java.base/jdk.internal.ref=ALL-UNNAMED \
    "-Duser.home=$directory" "-Djava.io.tmpdir=$directory" "-Drmq.logback.configurationFile=$here/brokers/rocketmq/logback.xml" -cp "$2/lib/*" "$1" -c "$directory/server.properties"
}

rocketmq-names() {
  has java default-jre-headless
  local files
  files=$("$here/broker.sh" rocketmq)
  cat >"$directory/server.properties" <<CONFIG
bindAddress=$bind
listenPort=$port
CONFIG
  rocketmq_run org.apache.rocketmq.namesrv.NamesrvStartup "$files" 64
}

# A broker that does not find its name servers as it starts registers only ten seconds later, and where it starts quickly it has not looked for them
# yet. But it registers whenever it is told what it may do (UPDATE_BROKER_CONFIG), so it is told until they know it, for some seconds.
register() { # HOST:PORT...
  local address
  for _ in $(seq 50); do
    sleep 0.2
    # The broker's process, once it has replaced this one.
    kill -0 $$ || return 0
    remoting "$bind" "$port" 25 brokerPermission=6 || continue
    for address in "$@"; do
      ! known_brokers "${address%:*}" "${address##*:}" | grep -qx "broker-$port" || return 0
    done
  done
}

rocketmq() {
  has java default-jre-headless
  [ $# -ge 1 ] || { usage >&2; exit 2; }
  local files names
  files=$("$here/broker.sh" rocketmq)
  names=$(IFS=';'; printf '%s' "$*")
  # It counts transactions, which nobody has here, in a loop that spins for the first interval and waits in the later ones; by default for
  # ten seconds of processor time. What is in its mapped files outlives the process, so nothing needs to be synced against kill -9.
  cat >"$directory/server.properties" <<CONFIG
namesrvAddr=$names
brokerName=broker-$port
bindAddress=$bind
brokerIP1=$bind
listenPort=$port
haListenPort=$((port + 1))
storePathRootDir=$directory/data
autoCreateTopicEnable=false
maxMessageSize=8388608
flushDiskType=ASYNC_FLUSH
mappedFileSizeCommitLog=67108864
mappedFileSizeConsumeQueue=600000
messageIndexEnable=false
registerNameServerPeriod=10000
rejectTransactionMessage=true
transactionMetricFlushInterval=200
transactionCheckInterval=86400000
timerWheelEnable=false
reviveQueueNum=1
enablePopBufferMerge=false
CONFIG
  # shellcheck source=bin/lib/rocketmq.sh
  source "$here/rocketmq.sh"
  register "$@" >/dev/null 2>&1 </dev/null &
  rocketmq_run org.apache.rocketmq.broker.BrokerStartup "$files" 256
}

"$kind" "$@"
