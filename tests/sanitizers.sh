#!/usr/bin/env bash
# What the compiler's sanitizers and miri see: tests/sanitizers.sh thread|address|miri
# Status 77 says that a tool is missing here, and nothing was run.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-}
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-target}/$what

missing() {
    echo "NOT run: $*"
    exit 77
}

# The first toolchain that has such a file below its library directory: the default one, or else nightly.
toolchain_with() {
    local toolchain
    for toolchain in "" +nightly; do
        # shellcheck disable=SC2086 # none is no word
        if compgen -G "$(rustc $toolchain --print sysroot 2>/dev/null)/$1" >/dev/null; then
            echo "$toolchain"
            return
        fi
    done
    return 1
}

# What watches every access is slow enough; tests have deadlines.
export CARGO_PROFILE_DEV_OPT_LEVEL=1

# shellcheck disable=SC2086 # no toolchain is no word
case $what in
thread)
    # Races of the standard library's own locks would be reported everywhere if it were not instrumented too.
    toolchain=$(toolchain_with "lib/rustlib/src/rust/library/Cargo.lock") ||
        missing "ThreadSanitizer needs the standard library's sources (rustup component add rust-src)"
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=thread
    export TSAN_OPTIONS=halt_on_error=1
    cargo $toolchain test --locked -Zbuild-std --target "$host" --target-dir "$target" \
        --no-default-features --lib --test duplex --test closing --test flow
    # And every call in every callback, from C (without TLS: OpenSSL is not instrumented).
    cargo $toolchain rustc --locked -Zbuild-std --target "$host" --target-dir "$target" \
        -p wstrand-ffi --no-default-features --crate-type staticlib
    runtime=$(compgen -G "$(rustc $toolchain --print sysroot)/lib/rustlib/$host/lib/librustc*_rt.tsan.a")
    gcc -std=c11 -g -O1 -fsanitize=thread -Iinclude -c tests/c/reentrancy.c -o "$target/reentrancy.o"
    # With the runtime of the compiler that made the library, as gcc's lacks functions that it calls.
    gcc -pthread "$target/reentrancy.o" "$target/$host/debug/libwstrand.a" -Wl,--whole-archive "$runtime" \
        -Wl,--no-whole-archive -lm -ldl -lrt -lgcc_s -o "$target/reentrancy"
    "$target/reentrancy"
    echo "reentrancy: ok"
    ;;
address)
    toolchain_with "lib/rustlib/$host/lib/librustc*rt.asan.a" >/dev/null ||
        missing "this compiler ($(rustc --version)) brings no AddressSanitizer for $host"
    # The tests that have the library in them. The others start programs that cargo or a C compiler builds for them, without
    # this flag; the C programs run under the sanitizers of the C compiler in `make test`.
    tests=$(grep -l 'wstrand::' tests/*.rs | xargs grep -L 'example(' | sed 's|^tests/\(.*\)\.rs$|--test \1|')
    RUSTC_BOOTSTRAP=1 cargo test --config "target.$host.rustflags = ['-Zsanitizer=address']" \
        --locked --workspace --no-fail-fast --target "$host" --target-dir "$target" --lib $tests
    ;;
miri)
    cargo +nightly miri --version >/dev/null 2>&1 ||
        missing "miri is a component of nightly (rustup toolchain install nightly --component miri,rust-src)"
    # std asks the system for the time and the environment.
    export MIRIFLAGS="-Zmiri-disable-isolation"
    # All of the C library's that needs no socket, which miri has not as we use them.
    cargo +nightly miri test --locked --target-dir "$target" --no-default-features --lib -p wstrand-ffi
    # The root crate has no unsafe code, so this is about what it calls, zlib-rs above all: frames in both directions, and
    # messages compressed and decompressed. The other tests of the core try too much for an interpreter.
    cargo +nightly miri test --locked --target-dir "$target" --no-default-features --lib -p wstrand -- \
        handshake::proxy decoder::tests::examples_of_rfc_6455 control_frames_between_fragments good_messages_before \
        bytes_that_came_behind a_clients_frame_is_masked what_is_encoded_elsewhere
    ;;
*)
    echo "usage: tests/sanitizers.sh thread|address|miri" >&2
    exit 2
    ;;
esac
