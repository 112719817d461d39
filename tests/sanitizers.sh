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

# build_c NAME RUNTIME: a program of tests/c against the C library that was built into $target, which is instrumented too. With
# the runtime of the compiler that made the library, as gcc's lacks functions that it calls.
build_c() {
    local name=$1 runtime=$2 library=$target/$host/debug/libwstrand.a
    gcc -std=c11 -g -O1 "-fsanitize=$what" -Iinclude -c "tests/c/$name.c" -o "$target/$name.o"
    # shellcheck disable=SC2046 # a list of words
    gcc -pthread "$target/$name.o" "$library" -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive \
        $(pkg-config --libs openssl) -lm -ldl -lrt -lgcc_s -o "$target/$name"
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
    # To find the names for one takes longer here than a peer has patience.
    export RUST_BACKTRACE=0
    tests/ran.sh cargo $toolchain test --locked -Zbuild-std --target "$host" --target-dir "$target" --no-default-features --no-fail-fast \
        --lib --test duplex --test closing --test flow --test server --test group --test reconnect --test keepalive
    # And every call in every callback, and a process that ends meanwhile, from C (without TLS: OpenSSL is not instrumented).
    cargo $toolchain rustc --locked -Zbuild-std --target "$host" --target-dir "$target" \
        -p wstrand-ffi --no-default-features --crate-type staticlib
    runtime=$(compgen -G "$(rustc $toolchain --print sysroot)/lib/rustlib/$host/lib/librustc*_rt.tsan.a")
    for program in reentrancy exit; do
        build_c "$program" "$runtime"
        "$target/$program"
        echo "$program: ok"
    done
    ;;
address)
    toolchain=$(toolchain_with "lib/rustlib/$host/lib/librustc*rt.asan.a") ||
        missing "this compiler ($(rustc --version)) brings no AddressSanitizer for $host"
    export RUSTC_BOOTSTRAP=1
    flags=(--config "target.$host.rustflags = ['-Zsanitizer=address']" --locked --target "$host" --target-dir "$target")
    # The tests that have the library in them, by themselves or through the raw peer. Not those that are about programs, which
    # cargo or a C compiler builds for them without this flag.
    programs='c_reach|chat|costs|guide|wscat'
    tests=$(grep -lE 'wstrand::|common/raw\.rs' tests/*.rs | grep -vE "/($programs)\.rs$" | sed 's|^tests/\(.*\)\.rs$|--test \1|')
    # What `common::example` of the tests does, but not while a peer waits.
    cargo $toolchain build --quiet --locked --workspace --examples --target-dir "$target/$host"
    tests/ran.sh cargo $toolchain test "${flags[@]}" --workspace --no-fail-fast --lib $tests
    # And the C library with C programs that lend it memory, and are lent some.
    cargo $toolchain rustc "${flags[@]}" -p wstrand-ffi --crate-type staticlib
    runtime=$(compgen -G "$(rustc $toolchain --print sysroot)/lib/rustlib/$host/lib/librustc*_rt.asan.a")
    for program in arguments deflate dispatch duplex group lifetime lifetimes pull reconnect reentrancy server; do
        build_c "$program" "$runtime"
        ASAN_OPTIONS=detect_stack_use_after_return=1 "$target/$program"
        echo "$program: ok"
    done
    ;;
miri)
    cargo +nightly miri --version >/dev/null 2>&1 ||
        missing "miri is a component of nightly (rustup toolchain install nightly --component miri,rust-src)"
    # std asks the system for the time and the environment.
    export MIRIFLAGS="-Zmiri-disable-isolation"
    # All of the C library's that needs no socket, which miri has not as we use them.
    tests/ran.sh cargo +nightly miri test --locked --target-dir "$target" --no-default-features --lib -p wstrand-ffi
    # The root crate has no unsafe code, so this is about what it calls, zlib-rs above all: frames in both directions, and
    # messages compressed and decompressed. The other tests of the core try too much for an interpreter.
    for tests in handshake::proxy decoder::tests::examples_of_rfc_6455 control_frames_between_fragments good_messages_before \
        bytes_that_came_behind a_clients_frame_is_masked what_is_encoded_elsewhere; do
        tests/ran.sh cargo +nightly miri test --locked --target-dir "$target" --no-default-features --lib -p wstrand -- "$tests"
    done
    ;;
*)
    echo "usage: tests/sanitizers.sh thread|address|miri" >&2
    exit 2
    ;;
esac
