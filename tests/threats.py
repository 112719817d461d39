#!/usr/bin/env python3
"""Each row of docs/threats.md, with what its tests said: tests/threats.py LOG...

A LOG is what `cargo test` printed. Fails if a test of the table did not run, or did not pass. One that is left to
`make test-slow` counts as not run where that log is not given, and is told as such.
"""

import re
import sys
from pathlib import Path

RUNNING = re.compile(r"^ *Running (?:unittests )?(\S+) ")
TEST = re.compile(r"^test (?:\S+::)?(\w+) \.\.\. (ok|FAILED|ignored)")


def results(logs):
    """(binary, name of a test) -> what it said last; binaries as `tests/name.rs`, or `src` for unit tests."""
    said = {}
    for log in logs:
        binary = None
        for line in Path(log).read_text(errors="replace").splitlines():
            if running := RUNNING.match(line):
                binary = "src" if running[1].startswith("src/") else running[1]
            elif test := TEST.match(line):
                key = (binary, test[1])
                # Of several that are called alike, in several modules, each must pass.
                bad = said.get(key) == "FAILED" or test[2] == "ignored" and key in said
                said[key] = said[key] if bad else test[2]
    return said


def named(cell):
    """(file, name) for each test of a cell: "`file` name, name; `file`"."""
    for part in cell.split("; "):
        file, names = re.fullmatch(r"`([^`]+)` ?(.*)", part).groups()
        if not names:
            names = Path(file).stem  # a C program, which is run by tests of its name
        yield from ((file, name) for name in names.split(", "))


def binaries(file):
    if file.endswith(".c"):
        return ["tests/c_api.rs", "tests/c_reach.rs"]
    return [file] if file.startswith("tests/") else ["src"]


def main():
    said = results(sys.argv[1:])
    rows = [line[2:-2].split(" | ") for line in Path("docs/threats.md").read_text().splitlines() if re.match(r"\| [A-G]\d+ \|", line)]
    wrong = 0
    for row, threat, guard, tests in rows:
        print(f"{row:4}{threat}: {guard}")
        if tests.startswith("none: "):
            print(f"      {tests}")
            continue
        for file, name in dict((name, (file, name)) for file, name in named(tests)).values():
            found = [said[key] for binary in binaries(file) if (key := (binary, name)) in said]
            if file.endswith((".sh", ".h")) or file.endswith(".c") and not found:
                continue  # a step of its own; or run by a test that the row names as well
            verdict = "FAILED" if "FAILED" in found else "ok" if "ok" in found else "left to make test-slow" if found else "NOT RUN"
            wrong += verdict in ("FAILED", "NOT RUN")
            print(f"      {verdict}: {name}")
    print(f"{len(rows)} threats")
    return wrong > 0 or not rows


sys.exit(main())
