#!/bin/sh
# Records the types of the C functions for abidiff: tests/abi/record.sh HEADER ABI_FILE
# The compiler takes them from the header, because libabigail does not read those of Rust. That the library exports
# what the header declares is another test; both come from the same sources.
set -eu
header=$1
out=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
abi=$(sed -n 's/^#define WSTRAND_ABI_VERSION //p' "$header")

# Every declaration gets a body.
{
    echo "#include \"$(realpath "$header")\""
    cc -E -P "$header" | tr '\n' ' ' | sed 's/;/;\n/g' | grep -v typedef |
        sed -n 's/\(\bwstrand_[a-z0-9_]*(.*)\);/\1 { __builtin_trap(); }/p'
} >"$scratch/stub.c"
cc -std=c11 -g -fPIC -shared -nostdlib -Wl,-soname,"libwstrand.so.$abi" -o "$scratch/stub.so" "$scratch/stub.c"
abidw --no-show-locs --no-comp-dir-path --no-corpus-path "$scratch/stub.so" | sed "s|path='$scratch/|path='|" >"$out"
