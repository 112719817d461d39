#!/bin/sh
# Builds the Debian packages of this tree into target/debian: packaging/debian/build.sh [PROFILE]
# Needs dpkg-dev, debhelper, libssl-dev, pkg-config, python3, and Rust 1.85 or later from wherever: Debian has that from
# version 13 on.
set -eu
profile=${1:-release}
cd "$(dirname "$0")/../.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# debhelper gives the build a HOME of its own.
CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}
RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
WSTRAND_PROFILE=$profile
export CARGO_TARGET_DIR CARGO_HOME RUSTUP_HOME WSTRAND_PROFILE
unset DESTDIR LIBDIR

out=$CARGO_TARGET_DIR/debian
tree=$out/wstrand-$version
rm -rf "$out"
mkdir -p "$tree"
tar -c --exclude=./target --exclude=./.git --exclude="$(basename "$CARGO_TARGET_DIR")" . | tar -x -C "$tree"
mv "$tree/packaging/debian" "$tree/debian"
cd "$tree"
# -d: what rustup has installed, dpkg does not know of.
dpkg-buildpackage -b -d -us -uc
rm -rf "$tree"
ls "$out"
