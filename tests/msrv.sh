#!/bin/sh
# Holds the workspace's rust-version against every dependency's, and builds with that Rust where it is installed.
set -eu
cd "$(dirname "$0")/.."

stated=$(cargo metadata --locked --format-version 1 | python3 -c '
import json, sys

metadata = json.load(sys.stdin)
members = set(metadata["workspace_members"])
number = lambda version: [int(part) for part in version.split("-")[0].split(".")] + [0] * (2 - version.count("."))
stated = {p["rust_version"] for p in metadata["packages"] if p["id"] in members}
if len(stated) != 1 or None in stated:
    sys.exit(f"the packages of the workspace state {stated}, not one rust-version")
[stated] = stated
others = [p for p in metadata["packages"] if p["id"] not in members]
newer = [p for p in others if p["rust_version"] and number(p["rust_version"]) > number(stated)]
for p in newer:
    print(p["name"], p["version"], "needs Rust", p["rust_version"], file=sys.stderr)
silent = sum(not p["rust_version"] for p in others)
print(f"{len(others)} dependencies: {len(newer)} need more than Rust {stated}, {silent} do not say", file=sys.stderr)
if newer:
    sys.exit(1)
print(stated)
')

if command -v rustup >/dev/null && rustup toolchain list | grep -q "^${stated}[.-]"; then
    rustup run "$stated" cargo check --locked --workspace --all-targets --target-dir target/msrv
else
    echo "NOT built with Rust $stated: it is not installed here (rustup toolchain install $stated)."
    echo "Clippy's incompatible_msrv checked the calls into the standard library."
fi
