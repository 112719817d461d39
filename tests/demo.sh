#!/usr/bin/env bash
# make demo: a C program against libwstrand talks to a server that others wrote, then clients that others wrote talk to
# a C server. tests/setup.sh demo goes before. Ends with status 0 only if all of it went as it should.
set -euo pipefail
cd "$(dirname "$0")/.."
demo=$PWD/target/demo
prefix=$demo/prefix
python=target/peers/python/bin/python
checks=0
wrong=0
server=

if [ -t 1 ]; then
    bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' grey=$'\e[90m' plain=$'\e[0m'
else
    bold='' green='' red='' grey='' plain=''
fi

heading() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() { printf '%s  $ %s%s\n' "$grey" "$*" "$plain"; }
# Every line of the input, with who said it, cut to the width of a screen.
from() { cut -c1-100 | sed "s/^/  $1 | /"; }

# check TEXT COMMAND…
check() {
    local text=$1
    shift
    checks=$((checks + 1))
    if "$@" </dev/null >"$demo/check.log" 2>&1; then
        printf '  %sok%s  %s\n' "$green" "$plain" "$text"
    else
        wrong=$((wrong + 1))
        printf '  %sWRONG%s  %s\n' "$red" "$plain" "$text"
        sed 's/^/         /' "$demo/check.log"
    fi
}

# Starts a server and waits until it has said where: sets $server and $url. What it says later can be read from fd 3.
start_server() {
    local line
    rm -f "$demo/server.fifo"
    mkfifo "$demo/server.fifo"
    "$@" >"$demo/server.fifo" 2>&1 &
    server=$!
    exec 3<"$demo/server.fifo"
    while read -r -t 60 line <&3; do
        case $line in "listening on "*)
            url=${line#listening on }
            return
            ;;
        esac
        printf '%s\n' "$line" | from server
    done
    echo "the server did not start: $*" >&2
    exit 1
}

finish() {
    local status=$?
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -f "$demo/server.fifo"
    exit "$status"
}
trap finish EXIT
trap "exit 130" INT TERM

mkdir -p "$demo"
rm -rf "$prefix"

heading "1. Build the C library and install it into target/demo/prefix"
show "ffi/install.sh target/demo/prefix"
ffi/install.sh "$prefix"
(cd "$prefix" && find . ! -type d | sort | sed 's/^\.\//  /')

heading "2. Compile the C programs against what is installed there"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib
read -r -a flags < <(pkg-config --cflags --libs wstrand)
for program in hello echo_server; do
    # shellcheck disable=SC2016 # shown, not run
    show "cc -std=c11 -Wall -Wextra -Wpedantic -Werror examples/c/$program.c "'$(pkg-config --cflags --libs wstrand)'" -o $program"
    "${CC:-cc}" -std=c11 -Wall -Wextra -Wpedantic -Werror -O2 "examples/c/$program.c" "${flags[@]}" -o "$demo/$program"
done

heading "3. hello.c talks to a server made of Python's websockets $("$python" tests/peers/demo_server.py --version)"
start_server "$python" tests/peers/demo_server.py
show "hello $url demo"
hello=0
"$demo/hello" "$url" demo >"$demo/hello.log" 2>&1 || hello=$?
from hello <"$demo/hello.log"
cat <&3 | from server
served=0
wait "$server" || served=$?
server=
echo
# The events come in this order, each line matched from its start.
cat >"$demo/wanted" <<'END'
open subprotocol=demo
message text [0-9]+ bytes: 
message text 1048577 bytes: wstrand, wstrand, 
message binary 1048577 bytes
message binary 5 bytes
close 1000 .*clean
END
in_order() {
    awk 'NR == FNR { wanted[++n] = $0; next } $0 ~ "^" wanted[at + 1] && at < n { at++ } END { exit at != n || $0 !~ "^" wanted[n] }' \
        "$demo/wanted" "$demo/hello.log"
}
succeeded() { [ "$1" -eq 0 ]; }
check "open with the subprotocol, text and binary of both sizes, close 1000, in this order" in_order
check "hello ended with status 0" succeeded "$hello"
check "the server saw a client that keeps to the protocol" succeeded "$served"

clients() {
    local name=$1 scenario text
    shift
    while read -r scenario text; do
        check "$name: $text" "$@" client "$url" "$scenario"
    done <<'END'
text text of every length form comes back
binary binary of every length form comes back
large messages past 1 MiB come back
fragmented fragments with a ping between them come back as one message
ping pings are answered with their payload
close_here a close is answered with its code
close_there a close by the C server arrives with code and reason
END
}

heading "4. Clients that others wrote talk to echo_server.c"
start_server "$demo/echo_server" 0
show "echo_server 0"
echo "  server | listening on $url"
clients "Python's websockets" "$python" tests/peers/websockets_peer.py
if [ -f target/peers/node/node_modules/ws/package.json ] && command -v node >/dev/null; then
    clients "npm's ws" node tests/peers/ws_peer.js
else
    echo "  (npm's ws is not shown: Node.js is not installed. make test installs it.)"
fi
stopped() {
    kill -TERM "$server"
    wait "$server"
}
check "the C server stops with status 0 on SIGTERM" stopped
server=

echo
if [ "$wrong" -eq 0 ]; then
    echo "demo: all $checks checks passed"
else
    echo "demo: $wrong of $checks checks failed"
    exit 1
fi
