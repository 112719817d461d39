#!/bin/sh
# What wstrand is made of: licences, sources and bans (deny.toml), each set of features on its own, and, where the list
# can be had, advisories: tests/supply.sh
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
version=0.20.2
tool=$target/tools/bin/cargo-deny

if [ "$("$tool" --version 2>/dev/null || :)" != "cargo-deny $version" ]; then
    cargo install --quiet --locked --root "$target/tools" --version "$version" cargo-deny
fi
"$tool" --locked --all-features check --hide-inclusion-graph licenses bans sources

# The list of advisories is a repository of its own, which not every machine reaches.
list=https://github.com/rustsec/advisory-db
if git ls-remote --exit-code "$list" HEAD >/dev/null 2>&1; then
    "$tool" --locked --all-features check --hide-inclusion-graph advisories
else
    echo "advisories NOT checked: $list cannot be reached"
fi

for features in '' tls; do
    echo "features: ${features:-none}"
    for package in wstrand wstrand-ffi; do
        cargo clippy --quiet --locked -p "$package" --all-targets --no-default-features --features "$features" -- -D warnings
    done
done
