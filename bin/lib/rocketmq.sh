# shellcheck shell=bash
# What start.sh and server.sh ask RocketMQ's servers. Read with `source`.

# Sends a command of the remoting protocol, and prints header and body of the answer; fails where nobody answers.
remoting() { # HOST PORT CODE [BODY]
  local header='{"code":'$3',"language":"OTHER","version":0,"opaque":1,"flag":0,"extFields":{}}'
  # The length of all but itself, that of the header, each below 256, and both.
  # shellcheck disable=SC2016  # the inner shell expands it
  timeout 5 bash -c '
    exec 3<>"/dev/tcp/$0/$1" || exit 1
    printf "\0\0\0\\x$(printf %x $((4 + ${#2} + ${#3})))\0\0\0\\x$(printf %x ${#2})%s%s" "$2" "$3" >&3
    length=$((16#$(head -c 4 <&3 | od -An -tx1 | tr -d " ")))
    head -c "$length" <&3 | tr -d "\0"
  ' "$1" "$2" "$header" "${4-}" 2>/dev/null
}

# The names of the brokers that a name server knows, a line each; fails where nobody answers.
known_brokers() { # HOST PORT
  local answer
  answer=$(remoting "$1" "$2" 106) && grep -q '"code":0,' <<<"$answer" || return 1
  grep -o '"brokerName":"[^"]*"' <<<"$answer" | cut -d '"' -f 4 || true
}
