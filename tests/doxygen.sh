#!/bin/sh
# Has Doxygen read include/, with every warning an error: in wstrand.h what is not documented, in both headers what
# names something that there is not. Where wstrand.hpp says nothing, wstrand.h does.
# tests/doxygen.sh [DIRECTORY] leaves the pages there; without it they are thrown away.
set -eu
cd "$(dirname "$0")/.."
out=${1:-}
if [ -z "$out" ]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi

# read_header HEADER UNDOCUMENTED
read_header() {
    mkdir -p "$out/$1"
    doxygen - <<END
PROJECT_NAME           = $1
INPUT                  = include/$1
OUTPUT_DIRECTORY       = $out/$1
WARN_IF_UNDOCUMENTED   = $2
QUIET                  = YES
WARN_AS_ERROR          = FAIL_ON_WARNINGS
WARN_IF_INCOMPLETE_DOC = NO
OPTIMIZE_OUTPUT_FOR_C  = YES
JAVADOC_AUTOBRIEF      = YES
SORT_MEMBER_DOCS       = NO
ENABLE_PREPROCESSING   = YES
MACRO_EXPANSION        = YES
EXPAND_ONLY_PREDEF     = YES
PREDEFINED             = __GNUC__ WSTRAND_EXCEPTIONS=1
EXCLUDE_SYMBOLS        = wstrand::detail wstrand::detail::*
GENERATE_LATEX         = NO
HAVE_DOT               = NO
END
}

read_header wstrand.h YES
read_header wstrand.hpp NO
