#!/bin/sh
# The Rust version that the manifests state: tests/msrv.sh dependencies|build
# Status 77 says that this Rust is missing here, and nothing was built.
set -eu
cd "$(dirname "$0")/.."
what=${1:-}
stated=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)

case $what in
dependencies)
    # Clippy's incompatible_msrv looks at the calls into the standard library.
    cargo metadata --locked --format-version 1 | python3 -c '
import json, sys

metadata = json.load(sys.stdin)
members = set(metadata["workspace_members"])
number = lambda version: [int(part) for part in version.split("-")[0].split(".")] + [0] * (2 - version.count("."))
stated = {p["rust_version"] for p in metadata["packages"] if p["id"] in members}
if stated != {sys.argv[1]}:
    sys.exit(f"the packages of the workspace state {stated}, not one rust-version")
others = [p for p in metadata["packages"] if p["id"] not in members]
newer = [p for p in others if p["rust_version"] and number(p["rust_version"]) > number(sys.argv[1])]
for p in newer:
    print(p["name"], p["version"], "needs Rust", p["rust_version"])
silent = sum(not p["rust_version"] for p in others)
print(f"{len(others)} dependencies: {len(newer)} need more than Rust {sys.argv[1]}, {silent} do not say")
sys.exit(bool(newer))
' "$stated"
    ;;
build)
    # The one of Debian that tests/setup.sh slow unpacks, if rustup has none.
    unpacked=$PWD/target/tools/rust-$stated
    if command -v rustup >/dev/null && rustup toolchain list | grep -q "^${stated}[.-]"; then
        export RUSTUP_TOOLCHAIN="$stated"
    elif [ -x "$unpacked/usr/bin/cargo" ]; then
        for directory in "$unpacked"/usr/lib/*-linux-gnu "$unpacked"/lib/*-linux-gnu; do
            LD_LIBRARY_PATH=$directory${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
        done
        export LD_LIBRARY_PATH PATH="$unpacked/usr/bin:$PATH"
    else
        echo "NOT built: there is no Rust $stated here (rustup toolchain install $stated)"
        exit 77
    fi
    # A newer one that PATH finds first would prove nothing.
    rustc --version | grep "^rustc ${stated}[.]"
    cargo check --locked --workspace --all-targets --target-dir "${CARGO_TARGET_DIR:-target}/msrv"
    ;;
*)
    echo "usage: tests/msrv.sh dependencies|build" >&2
    exit 2
    ;;
esac
