#!/bin/sh
# Builds the C library and installs it: ffi/install.sh PREFIX [PROFILE [OPTION OF CARGO...]]
# DESTDIR is honoured. LIBDIR, below the prefix, is "lib" if it is not set. Linux; needs cargo, cc, and python3 for the
# manual pages.
set -eu
prefix=${1:?usage: ffi/install.sh PREFIX [PROFILE]}
profile=${2:-release}
shift "$(($# < 2 ? $# : 2))"
cd "$(dirname "$0")/.."

echo "building libwstrand ($profile): a few minutes the first time" >&2
# Lines of JSON tell what was made where: configuration and options of cargo have a say in that.
said=$(CARGO_TERM_COLOR=never cargo rustc --quiet --locked -p wstrand-ffi --profile "$profile" --crate-type staticlib \
        --message-format json-render-diagnostics "$@" -- --print native-static-libs 2>&1) ||
    { printf '%s\n' "$said" | grep -v '^{' >&2; exit 1; }
archive=$(printf '%s\n' "$said" | sed -n 's/^{"reason":"compiler-artifact".*"\([^"]*\/libwstrand\.a\)".*/\1/p')
static_libs=$(printf '%s\n' "$said" | sed -n 's/^note: native-static-libs: //p')
version=$(cargo pkgid -p wstrand-ffi | sed 's/.*[#@]//')
abi=$(sed -n 's/^const ABI_VERSION: u32 = \([0-9]*\);/\1/p' build.rs)
out=$(dirname "${archive:?cargo does not say where it is}")

# rustc's own shared library has no symbol versions: it has no option for them, and linkers take one version script.
# Under a name of its own until it is whole: another installation may be reading what is there.
# shellcheck disable=SC2086 # static_libs is a list
"${CC:-cc}" -shared -o "$out/libwstrand.so.$abi.$$" -Wl,-soname,"libwstrand.so.$abi" \
    -Wl,--version-script=ffi/install/wstrand.map -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now -Wl,-O1 -Wl,--gc-sections \
    -Wl,--whole-archive "$archive" -Wl,--no-whole-archive -Wl,--as-needed \
    ${static_libs:?rustc does not say what the library needs}
mv -f "$out/libwstrand.so.$abi.$$" "$out/libwstrand.so.$abi"

libdir=${LIBDIR:-lib}
dest=${DESTDIR:-}$prefix
lib=$dest/$libdir
# What is there already and the same keeps its time, so that nothing is built anew because of it.
put() { install -C -m "$@"; }
install -d "$dest/include" "$lib/pkgconfig" "$lib/cmake/wstrand"
put 644 include/wstrand.h include/wstrand.hpp "$dest/include/"
put 755 "$out/libwstrand.so.$abi" "$lib/libwstrand.so.$version"
ln -sf "libwstrand.so.$version" "$lib/libwstrand.so.$abi"
ln -sf "libwstrand.so.$abi" "$lib/libwstrand.so"
put 644 "$archive" "$lib/"
fill() {
    sed -e "s|@PREFIX@|$prefix|" -e "s|@LIBDIR@|$libdir|" -e "s|@VERSION@|$version|" -e "s|@ABI@|$abi|" \
        -e "s|@STATIC_LIBS@|$static_libs|" \
        -e "s|@STATIC_LIBS_CMAKE@|$(printf '%s' "$static_libs" | tr ' ' ';')|" \
        -e "s|@FROM_LIBDIR@|$(printf '%s' "$libdir" | sed 's|[^/][^/]*|..|g')|" "$1" > "$2"
}
fill ffi/install/wstrand.pc.in "$lib/pkgconfig/wstrand.pc"
for file in wstrand-config wstrand-config-version; do
    fill "ffi/install/$file.cmake.in" "$lib/cmake/wstrand/$file.cmake"
done
if command -v python3 >/dev/null; then
    ffi/install/man.py include/wstrand.h "$dest/share/man/man3"
else
    echo "ffi/install.sh: there is no python3: the manual pages are left out" >&2
fi
echo "installed wstrand $version below $dest; README.md says how programs find it there" >&2
