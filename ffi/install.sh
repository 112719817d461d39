#!/bin/sh
# Builds the C library and installs it: ffi/install.sh PREFIX [PROFILE [OPTION OF CARGO...]]
# DESTDIR is honoured. Linux; needs cargo only.
set -eu
prefix=${1:?usage: ffi/install.sh PREFIX [PROFILE]}
profile=${2:-release}
shift "$(($# < 2 ? $# : 2))"
cd "$(dirname "$0")/.."

notes=$(cargo rustc --quiet -p wstrand-ffi --profile "$profile" --crate-type cdylib,staticlib "$@" \
        -- --print native-static-libs 2>&1) || { printf '%s\n' "$notes" >&2; exit 1; }
static_libs=$(printf '%s\n' "$notes" | sed -n 's/^note: native-static-libs: //p')
version=$(cargo pkgid -p wstrand-ffi | sed 's/.*[#@]//')
abi=$(sed -n 's/^const ABI_VERSION: u32 = \([0-9]*\);/\1/p' build.rs)
target=${CARGO_TARGET_DIR:-target}
case $profile in dev) out=$target/debug ;; *) out=$target/$profile ;; esac

dest=${DESTDIR:-}$prefix
install -d "$dest/include" "$dest/lib/pkgconfig" "$dest/lib/cmake/wstrand"
for header in include/wstrand.h include/wstrand.hpp; do
    [ ! -f "$header" ] || install -m 644 "$header" "$dest/include/"
done
install -m 755 "$out/libwstrand.so" "$dest/lib/libwstrand.so.$version"
ln -sf "libwstrand.so.$version" "$dest/lib/libwstrand.so.$abi"
ln -sf "libwstrand.so.$abi" "$dest/lib/libwstrand.so"
install -m 644 "$out/libwstrand.a" "$dest/lib/"
fill() {
    sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" -e "s|@ABI@|$abi|" \
        -e "s|@STATIC_LIBS@|$static_libs|" \
        -e "s|@STATIC_LIBS_CMAKE@|$(printf '%s' "$static_libs" | tr ' ' ';')|" "$1" > "$2"
}
fill ffi/install/wstrand.pc.in "$dest/lib/pkgconfig/wstrand.pc"
for file in wstrand-config wstrand-config-version; do
    fill "ffi/install/$file.cmake.in" "$dest/lib/cmake/wstrand/$file.cmake"
done
