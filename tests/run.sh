#!/usr/bin/env bash
# All checks and tests, and one line of counts at the end: tests/run.sh [slow]
# A failed step does not keep the later ones from running. tests/setup.sh test goes before.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
mode=${1:-all}
log=target/test.log
passed=0
failed=0
wrong=()
missing=()

heading() { printf '\n=== %s\n' "$*"; }

# step TITLE COMMAND…: one check, counted as one test. Status 77 says that a tool for it is missing here: it counts as
# nothing, and is told at the end.
step() {
    local title=$1 started=$SECONDS status=0
    shift
    heading "$title"
    "$@" </dev/null || status=$?
    if [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok ($((SECONDS - started)) s)"
    elif [ "$status" -eq 77 ]; then
        missing+=("$title")
    else
        failed=$((failed + 1))
        wrong+=("$title")
        echo "FAILED ($((SECONDS - started)) s)"
    fi
}

# no_code PATTERN PATH…: tells the lines that match outside of comments; fails if there are any.
no_code() {
    local pattern=$1 hits
    shift
    hits=$(grep -rnE --include='*.rs' "$pattern" "$@")
    [ $? -le 1 ] || return 1 # grep itself failed: a path is missing
    hits=$(grep -vE '^[^:]*:[0-9]*:\s*//' <<<"$hits")
    [ -z "$hits" ] && return
    printf 'not allowed here (%s):\n%s\n' "$pattern" "$hits"
    return 1
}

# Imports in braces may run over several lines.
no_group() {
    local pattern=$1
    shift
    ! grep -rPzo --include='*.rs' "$pattern" "$@" | tr '\0' '\n' | grep .
}

# The core takes bytes and gives bytes and events: no sockets, no threads, no clock, and nothing of what stands on it.
sans_io() {
    local core=(src/protocol src/handshake)
    no_code 'std::(io|net|thread)\b|::now\(\)|SystemTime|crate::(net|connection)\b' "${core[@]}" &&
        no_group 'std::\{[^;]*\b(io|net|thread)\b' "${core[@]}" &&
        no_group 'crate::\{[^;]*\b(net|connection)\b' "${core[@]}"
}

# TcpStream's is writev without MSG_NOSIGNAL: it kills a C program with SIGPIPE.
no_write_vectored() { no_code 'write_vectored' src; }

# A Rust program that depends on wstrand compiles no header generator, and without TLS no C.
pure_rust() {
    local tree hits
    tree=$(cargo tree --locked -p wstrand --no-default-features -e normal,build --prefix none) || return 1
    hits=$(grep -E '^(cbindgen|bindgen|cc|cmake|openssl-sys) ' <<<"$tree" | sort -u)
    [ -z "$hits" ] && echo "$(awk 'NF { print $1, $2 }' <<<"$tree" | sort -u | wc -l) packages" && return
    printf 'the root crate needs to build:\n%s\n' "$hits"
    return 1
}

fresh_header() {
    cargo build --quiet --locked -p wstrand-ffi &&
        git ls-files --error-unmatch include/wstrand.h >/dev/null &&
        git diff --exit-code include/
}

# Where nobody can press Ctrl-C, a test that hangs must not hang the run.
cargo_test() {
    local limit=$1
    shift
    ${CI:+timeout --kill-after=10 "$limit"} cargo test --locked --workspace --no-fail-fast "$@" </dev/null 2>&1
}

# lane LIMIT NUMBER OPTION…: some of the test programs, one after another.
lane() {
    local limit=$1 own=$log.$2
    shift 2
    set -o pipefail
    cargo_test "$limit" "$@" | tee "$own"
}

# tests LIMIT: all test programs. Most wait more than they compute, so there are two lanes: those that build the C library,
# and install it in one place, in one; the others, some at a time, where there is room. Examples in the documentation last.
tests() {
    local limit=$1 started=$SECONDS status=0
    heading "cargo test"
    if cargo_test "$limit" --no-run | tee "$log"; then
        rm -f "$log".*
        export -f cargo_test lane
        export log
        {
            grep -l c_library tests/*.rs | xargs
            echo --lib --bins --examples
            grep -L c_library tests/*.rs | xargs -n 8
        } | sed 's|tests/\([^ ]*\)\.rs|--test=\1|g' | nl -w 1 |
            xargs -L 1 -P 2 bash -c 'lane "$@"' lane "$limit" || status=$?
        cat "$log".* >"$log"
        cargo_test "$limit" --doc | tee -a "$log" || status=$?
    else
        status=1
    fi
    count_tests "$status" "$started"
}

# ignored_tests LIMIT: those that take long or need the machine for themselves, one program at a time.
ignored_tests() {
    local started=$SECONDS status=0
    heading "cargo test --release -- --ignored"
    cargo_test "$1" --release -- --ignored | tee "$log" || status=$?
    count_tests "$status" "$started"
}

# count_tests STATUS STARTED: counts them out of what cargo has printed.
count_tests() {
    local status=$1 ok bad ignored
    # The last result of each program: some tests run their own once more, which prints one too. Doctests are no program but
    # several, each with a result.
    read -r ok bad ignored < <(awk '
        function add() { passed += ok; failed += bad; left += ignored; ok = bad = ignored = 0 }
        /^ +(Running|Doc-tests) / { add(); is_doc = $1 == "Doc-tests" }
        /^test result: / { if (is_doc) add(); ok = $4; bad = $6; ignored = $8 }
        END { add(); print passed + 0, failed + 0, left + 0 }' "$log")
    # A failure without a failed test: it did not compile, a test binary crashed, or time ran out.
    if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ] || [ $((ok + bad)) -eq 0 ]; then
        bad=$((bad + 1))
    fi
    passed=$((passed + ok))
    failed=$((failed + bad))
    if [ "$bad" -gt 0 ]; then
        wrong+=("cargo test: $(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | tr '\n' ' ')(status $status)")
    fi
    echo "$ok passed, $bad failed, $ignored ignored ($((SECONDS - $2)) s); make test-slow runs the ignored ones"
}

case $mode in
all)
    step "cargo fmt" cargo fmt --all --check
    step "cargo clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
    step "cargo doc" env RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps -p wstrand
    step "src/protocol and src/handshake do no I/O" sans_io
    step "no write_vectored in src" no_write_vectored
    step "the root crate builds no cbindgen, and without TLS no C" pure_rust
    step "include/wstrand.h is what the sources say" fresh_header
    step "Doxygen finds nothing wrong in include/" tests/doxygen.sh
    step "no dependency needs a newer Rust than we state" tests/msrv.sh dependencies
    tests 30m
    step "threads in every order that shuttle tries" tests/models.sh
    step "20 seconds of each fuzz target" fuzz/run.sh 20
    step "each row of docs/threats.md, and what its tests said" env WRONG="${wrong[*]-}" MISSING="${missing[*]-}" tests/threats.py "$log"
    ;;
slow)
    log=target/test-slow.log
    # Optimised, but for what takes forty programs a quarter of an hour to link.
    export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
    step "the examples build, optimised" cargo build --locked --release --workspace --examples
    step "everything compiles with the Rust version that we state" tests/msrv.sh build
    step "licences, sources, bans, each set of features, lowest versions" tests/supply.sh
    step "advisories on what we depend on" tests/supply.sh advisories
    step "TLS with an OpenSSL built from source" tests/supply.sh vendored
    step "the tests run 95 % of the lines of src/protocol and src/handshake" tests/coverage.sh
    ignored_tests 3h
    for tool in address thread miri; do
        step "tests/sanitizers.sh $tool" tests/sanitizers.sh "$tool"
    done
    step "5 minutes of each fuzz target" fuzz/run.sh 300
    step "each row of docs/threats.md, and what its tests said" env WRONG="${wrong[*]-}" MISSING="${missing[*]-}" tests/threats.py target/test.log "$log"
    ;;
*)
    echo "usage: tests/run.sh [slow]" >&2
    exit 2
    ;;
esac

heading "result"
for what in ${missing+"${missing[@]}"}; do
    echo "NOT run: $what"
done
for what in ${wrong+"${wrong[@]}"}; do
    echo "FAILED: $what"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
