#!/usr/bin/env python3
"""Each row of docs/threats.md, with what its tests said: tests/threats.py [LOG...]

A LOG is what `cargo test` printed: by default target/test.log of `make test` and target/test-slow.log of `make test-slow`,
as far as they are there. What was ignored in the first counts from the second. Fails if a test of the table failed, or did
not run though the log of the run that it belongs to is there.

A step of tests/run.sh is judged by WRONG and MISSING, the titles of the steps of this run that failed or lacked a tool.
"""

import os
import re
import sys
import time
from pathlib import Path

LOGS = ["target/test.log", "target/test-slow.log"]
C_PROGRAMS = ["tests/c_api.rs", "tests/c_reach.rs"]
RUNNING = re.compile(r"^ *Running (?:unittests )?(\S+) ")
TEST = re.compile(r"^test (?:\S+::)?(\w+)(?: - should panic)? \.\.\. (ok|FAILED|ignored)")
STEP = re.compile(r'^ +step "([^"]+)" (?:\w+=\S+ )*(\S+)')


def results(log):
    """(binary, name of a test) -> what it said; binaries as `tests/name.rs`, or `src` for unit tests."""
    said = {}
    binary = None
    for line in log.read_text(errors="replace").splitlines():
        if running := RUNNING.match(line):
            binary = "src" if running[1].startswith("src/") else running[1]
        elif test := TEST.match(line):
            key = (binary, test[1])
            # Of several that are called alike, in several modules, each must pass.
            said[key] = worse(said.get(key, "ok"), test[2])
    return said


def worse(one, other):
    return next(verdict for verdict in ("FAILED", "ok", "ignored") if verdict in (one, other))


def steps():
    """(mode, title, script) of each step of tests/run.sh."""
    mode = None
    for line in Path("tests/run.sh").read_text().splitlines():
        if line in ("all)", "slow)"):
            mode = line[:-1]
        elif step := STEP.match(line):
            yield mode, step[1], step[2]


def named(cell):
    """(file, name) for each test of a cell: "`file` name, name; `file`". The name may be empty."""
    for part in cell.split("; "):
        file, names = re.fullmatch(r"`([^`]+)` ?(.*)", part).groups()
        yield from ((file, name) for name in names.split(", "))


def of_tests(file, name, said):
    """What the test said, and what it is called in the list."""
    if file.endswith((".c", ".h")):
        stem = Path(file).stem
        by_name = [verdict for (binary, test), verdict in said.items() if binary in C_PROGRAMS and test == stem]
        if by_name:
            return by_name, stem
        # No test is called after it: all of the binaries that run it, or what includes it.
        runs = [f"tests/{path.name}" for path in Path("tests").glob("*.rs") if Path(file).name in path.read_text()]
        binaries = sorted(runs) if file.endswith(".c") else C_PROGRAMS
        return [verdict for (binary, _), verdict in said.items() if binary in binaries], f"{file}, by {', '.join(binaries)}"
    binary = file if file.startswith("tests/") else "src"
    return [verdict for key, verdict in said.items() if key == (binary, name)], name


def of_step(script, mode):
    titles = [title for its_mode, title, its_script in steps() if (its_mode, its_script) == (mode, script)]
    if titles and "WRONG" in os.environ:
        if any(title in os.environ["WRONG"] for title in titles):
            return "FAILED"
        lacking = [title for title in titles if title in os.environ["MISSING"]]
        return f"not run for want of a tool: {', '.join(lacking)}" if lacking else "ok"
    modes = {"all": "make test", "slow": "make test-slow"}
    told = sorted({modes[its_mode] for its_mode, _, its_script in steps() if its_script == script})
    return "left to " + " and ".join(told) if told else "NOT RUN"


def main():
    logs = [Path(log) for log in sys.argv[1:] or LOGS]
    logs = [log for log in logs if log.exists()]
    if not logs:
        print("no log: make test writes one", file=sys.stderr)
        return True
    said = {}
    for log in logs:
        print(f"{log}, of {time.strftime('%Y-%m-%d %H:%M', time.localtime(log.stat().st_mtime))}")
        for key, verdict in results(log).items():
            said[key] = worse(said.get(key, verdict), verdict)
    slow = ["slow" in log.name for log in logs]
    mode = "slow" if slow[-1] else "all"

    rows = [line[2:-2].split(" | ") for line in Path("docs/threats.md").read_text().splitlines() if re.match(r"\| [A-G]\d+ \|", line)]
    wrong = 0
    for row, threat, guard, tests in rows:
        print(f"{row:4}{threat}: {guard}")
        if tests.startswith("none: "):
            print(f"      {tests}")
            continue
        told = {}
        for file, name in named(tests):
            if file.endswith(".sh") or file.startswith("fuzz/"):
                verdict = of_step("fuzz/run.sh" if file.startswith("fuzz/") else file, mode)
                name = name or Path(file).stem
            else:
                found, name = of_tests(file, name, said)
                if "FAILED" in found:
                    verdict = "FAILED"
                elif "ok" in found:
                    verdict = "ok"
                elif found and not any(slow):
                    verdict = "left to make test-slow"
                elif not found and all(slow):
                    verdict = "left to make test"
                else:
                    verdict = "NOT RUN"
            told.setdefault(name, verdict)
        for name, verdict in told.items():
            wrong += verdict in ("FAILED", "NOT RUN")
            print(f"      {verdict}: {name}")
    print(f"{len(rows)} threats")
    return wrong > 0 or not rows


sys.exit(main())
