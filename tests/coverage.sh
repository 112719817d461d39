#!/bin/sh
# Which lines the tests run: at least 95 of 100 in src/protocol and in src/handshake, or it fails and says which they miss:
# tests/coverage.sh
#
# The unit tests, and those integration tests that lead through opening handshakes and frames. The compiler counts
# (-C instrument-coverage) and cargo-tarpaulin reads the counts, so that LLVM's own tools are not needed.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
version=0.37.5
tool=$target/tools/bin/cargo-tarpaulin

if [ "$("$tool" --version 2>/dev/null || :)" != "tarpaulin $version" ]; then
    cargo install --quiet --locked --root "$target/tools" --version "$version" cargo-tarpaulin
fi
mkdir -p "$target/coverage"
rm -f "$target/coverage/tarpaulin-report.json" # of an earlier run
"$tool" tarpaulin --engine llvm --locked --packages wstrand --target-dir "$target/coverage" --skip-clean \
    --include-files 'src/*' --exclude-files '*/tests.rs' '*/properties.rs' '*/models.rs' \
    --out Json --output-dir "$target/coverage" \
    --lib --test closing --test deflate --test dial --test receiving --test server --test tcp --test threats >"$target/coverage/log" 2>&1 ||
    { cat "$target/coverage/log"; exit 1; }
python3 - "$target/coverage/tarpaulin-report.json" <<'PYTHON'
import json, os, sys

WANTED = 95
HELD_TO_IT = ("src/protocol/", "src/handshake/")

files = {}
for file in json.load(open(sys.argv[1]))["files"]:
    path = os.path.relpath(os.path.join(*file["path"]))
    files[path] = {trace["line"]: trace["stats"]["Line"] > 0 for trace in file["traces"]}

low = False
for part in (*HELD_TO_IT, "src/"):
    lines = [(path, line, run) for path in sorted(files) if path.startswith(part) for line, run in files[path].items()]
    missed = [f"{path}:{line}" for path, line, run in lines if not run]
    percent = 100 * (1 - len(missed) / len(lines))
    print(f"{part:15} {percent:5.1f} % of {len(lines)} lines")
    if part in HELD_TO_IT and percent < WANTED:
        low = True
        print(f"  below {WANTED} %; never run:", *missed, sep="\n    ")
sys.exit(low)
PYTHON
