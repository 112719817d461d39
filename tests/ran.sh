#!/usr/bin/env bash
# Runs `cargo test`, and fails too where one of its programs had no test to run, which cargo calls ok: a filter that matches
# nothing any more, or a configuration that leaves nothing: tests/ran.sh cargo test …
set -o pipefail
"$@" 2>&1 | awk '
    { print; fflush() }
    /^test result: / { programs++; if ($4 + $6 + $8 == 0) empty = 1 } # passed, failed, ignored
    END {
        if (programs && !empty) exit 0
        print "no test ran" (programs ? " in one of the programs" : "")
        exit 1
    }'
