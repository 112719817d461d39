#!/bin/sh
# What wstrand is made of: licences, sources and bans (deny.toml), advisories where the list can be had, clippy over every
# set of features, and the lowest versions of the dependencies that the manifests permit: tests/supply.sh
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
version=0.20.2
tool=$target/tools/bin/cargo-deny

if [ "$("$tool" --version 2>/dev/null || :)" != "cargo-deny $version" ]; then
    cargo install --quiet --locked --root "$target/tools" --version "$version" cargo-deny
fi
"$tool" --locked --workspace --all-features check --hide-inclusion-graph licenses bans sources

# The list of advisories is a repository of its own, which not every machine reaches.
list=https://github.com/rustsec/advisory-db
if git ls-remote --exit-code "$list" HEAD >/dev/null 2>&1; then
    "$tool" --locked --workspace --all-features check --hide-inclusion-graph advisories
else
    echo "advisories NOT checked: $list cannot be reached"
fi

# clippy PACKAGE FEATURES…: each set of features by itself. tls-vendored contains tls; OpenSSL's own sources, which take six
# minutes of a processor to compile, are left out of it.
export OPENSSL_NO_VENDOR=1
clippy() {
    package=$1
    shift
    for features; do
        echo "$package with ${features:-no features}"
        cargo clippy --quiet --locked -p "$package" --all-targets --no-default-features --features "$features" -- -D warnings
    done
}
clippy wstrand '' tls tls-vendored _internals tls,_internals tls-vendored,_internals
clippy wstrand-ffi '' tls tls-vendored header tls,header tls-vendored,header

# What a program gets whose own Cargo.lock is old. On a copy, because ours stays as it is. Only direct dependencies:
# whether those of others state theirs rightly is not ours to mend.
echo "the lowest versions that the manifests permit"
copy=$target/minimal/workspace
rm -rf "$copy"
mkdir -p "$copy"
for entry in *; do
    case $entry in
    Cargo.lock | target) ;;
    *) ln -s "$PWD/$entry" "$copy/" ;;
    esac
done
RUSTC_BOOTSTRAP=1 cargo generate-lockfile --quiet -Z direct-minimal-versions --manifest-path "$copy/Cargo.toml"
cargo check --quiet --locked --workspace --manifest-path "$copy/Cargo.toml" --target-dir "$target/minimal/target"
cargo test --quiet --locked -p wstrand --lib --manifest-path "$copy/Cargo.toml" --target-dir "$target/minimal/target"
