#!/bin/sh
# What wstrand is made of: tests/supply.sh [advisories|vendored]
# Alone: licences, sources and bans (deny.toml), clippy over every set of features, dialling without TLS, and the lowest
# versions of the dependencies that the manifests permit. `advisories`: RustSec's on what we depend on. `vendored`: TLS with
# an OpenSSL built from source. Status 77 says that what it takes cannot be had here, and nothing was checked.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
tool=$target/tools/bin/cargo-deny

deny() {
    version=0.20.2
    if [ "$("$tool" --version 2>/dev/null || :)" != "cargo-deny $version" ]; then
        cargo install --quiet --locked --root "$target/tools" --version "$version" cargo-deny
    fi
    "$tool" --locked --workspace --all-features check --hide-inclusion-graph "$@"
}

case ${1:-} in
"") ;;
advisories)
    # The list is a repository of its own, which not every machine reaches.
    list=https://github.com/rustsec/advisory-db
    if ! git ls-remote --exit-code "$list" HEAD >/dev/null 2>&1; then
        echo "NOT checked: $list cannot be reached"
        exit 77
    fi
    deny advisories
    exit
    ;;
vendored)
    # To compile OpenSSL takes six minutes of a processor: once, in a directory of its own, where OPENSSL_NO_VENDOR is
    # never set, which would have it compiled anew.
    unset OPENSSL_NO_VENDOR
    tests/ran.sh cargo test --locked -p wstrand --features tls-vendored --target-dir "$target/vendored" --test tls
    exit
    ;;
*)
    echo "usage: tests/supply.sh [advisories|vendored]" >&2
    exit 2
    ;;
esac

deny licenses bans sources

# clippy PACKAGE FEATURES…: each set of features by itself. tls-vendored contains tls; OpenSSL's own sources are left out.
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

echo "dialling without TLS"
tests/ran.sh cargo test --quiet --locked -p wstrand --no-default-features --test dial

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
tests/ran.sh cargo test --quiet --locked -p wstrand --lib --manifest-path "$copy/Cargo.toml" --target-dir "$target/minimal/target"
