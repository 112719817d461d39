#!/bin/sh
# make bench: bench_client against echo_server on this machine, messages per second.
# For comparing two states of the code on one machine at one time; the numbers of another day say little.
set -eu
cd "$(dirname "$0")/.."
cargo build --quiet --locked --release --workspace --examples
examples=${CARGO_TARGET_DIR:-target}/release/examples

scratch=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server"
    rm -r "$scratch"
}
trap finish EXIT
trap "exit 130" INT TERM
mkfifo "$scratch/server"
"$examples/echo_server" 0 >"$scratch/server" &
server=$!
exec 3<"$scratch/server"
read -r line <&3
url=${line#listening on }

printf '%-12s %-14s %s\n' bytes "in flight" rate
while read -r count size mode; do
    # shellcheck disable=SC2086 # no mode, no argument
    rate=$("$examples/bench_client" "$url" "$count" "$size" $mode </dev/null)
    printf '%-12s %-14s %s\n' "$size" "${mode:-one}" "$rate"
done <<END
50000 20
50000 1024
20000 16384
500 1048576
1000000 20 pipeline
500000 1024 pipeline
50000 16384 pipeline
2000 1048576 pipeline
END
