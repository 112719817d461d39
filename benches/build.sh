#!/bin/sh
# Builds what benches/run.py runs: benches/build.sh
# The load generator, the floor, the peers and the C library go into target/bench, our examples where cargo puts them.
# tests/setup.sh bench goes before.
set -eu
cd "$(dirname "$0")/.."
out=target/bench
mkdir -p "$out"

# newer FILE SOURCE…: whether a source has changed since the file was made.
newer() {
    [ ! -e "$1" ] || [ -n "$(find "$@" -newer "$1" -print -quit)" ]
}

warnings="-Wall -Wextra -Wpedantic"
# shellcheck disable=SC2086 # a list of words
{
    cc -std=c11 -O2 $warnings -o "$out/wsload" benches/load/*.c -lssl -lcrypto -lz
    cc -std=c11 -O3 $warnings -o "$out/floor" benches/limits/floor.c -lcrypto -pthread
    for role in server client; do
        ! newer "$out/beast_$role" "benches/peers/beast/$role.cpp" ||
            c++ -std=c++17 -O3 -flto -DNDEBUG $warnings -o "$out/beast_$role" "benches/peers/beast/$role.cpp" \
                -lssl -lcrypto -pthread
    done
}
cargo build --quiet --locked --release --manifest-path benches/peers/rust/Cargo.toml --target-dir "$out/rust"
cargo build --quiet --locked --release --examples
ffi/install.sh "$PWD/$out/prefix"
# shellcheck disable=SC2046 # a list of words
cc -O2 -o "$out/echo_server_c" examples/c/echo_server.c -pthread -Wl,-rpath,"$PWD/$out/prefix/lib" \
    $(PKG_CONFIG_PATH="$out/prefix/lib/pkgconfig" pkg-config --cflags --libs wstrand)

if [ ! -f "$out/key.pem" ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=localhost \
        -keyout "$out/key.pem" -out "$out/cert.pem" 2>/dev/null
fi
