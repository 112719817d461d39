#!/usr/bin/env bash
# Builds the fuzz targets and runs each of them for so many seconds: fuzz/run.sh SECONDS [TARGET...]
# They begin with the inputs in fuzz/corpus; what they add to those, and an input that fails, goes into target/fuzz.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
seconds=${1:-}
if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: fuzz/run.sh SECONDS [TARGET...]" >&2
    exit 2
fi
shift
work=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$work"

# As `cargo fuzz build` does it, which need not be installed for this. The sanitizer is an unstable option, which the
# stable compiler takes only with RUSTC_BOOTSTRAP.
flags=(--cfg fuzzing -Zsanitizer=address -Cdebug-assertions -Cpasses=sancov-module)
for option in level=4 inline-8bit-counters pc-table trace-compares stack-depth; do
    flags+=("-Cllvm-args=-sanitizer-coverage-$option")
done
if ! RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" cargo build --locked --release --bins --manifest-path fuzz/Cargo.toml \
    --target "$host" --target-dir "$work/build" >"$work/build.log" 2>&1; then
    tail -n 60 "$work/build.log"
    echo "the fuzz targets do not build, see above: either the sources are wrong, or this compiler" \
        "($(rustc --version)) has no AddressSanitizer for this machine, or refuses RUSTC_BOOTSTRAP" >&2
    exit 1
fi
binaries=$work/build/$host/release

targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"$|\1|p' fuzz/Cargo.toml)
if [ ${#targets[@]} -eq 0 ]; then
    echo "fuzz/Cargo.toml names no target" >&2
    exit 1
fi

fuzz() {
    local target=$1
    mkdir -p "$work/corpus/$target"
    # The peer's ways to waste time and memory are faults too: ten seconds an input, 1 GiB.
    if "$binaries/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=4096 \
        -print_final_stats=1 -artifact_prefix="$work/$target-" \
        "$work/corpus/$target" "fuzz/corpus/$target" </dev/null >"$work/$target.log" 2>&1; then
        awk -v target="$target" '/^stat::number_of_executed_units/ { units = $2 } /^stat::average_exec_per_sec/ { rate = $2 }
            END { printf "%-14s %9d executions, %6d a second\n", target, units, rate; exit !units }' "$work/$target.log"
    else
        tail -n 60 "$work/$target.log"
        echo "$target has FAILED; the input is in target/fuzz" >&2
        return 1
    fi
}

# One a processor at a time.
export -f fuzz
export seconds work binaries
printf '%s\n' "${targets[@]}" | xargs -n 1 -P "$(nproc)" bash -c 'fuzz "$1"' fuzz
