#!/usr/bin/env python3
"""Measures echo servers and clients, ours and others, under the same loads: make bench.

usage: benches/run.py [--quick] [--rounds N] [--seconds S] [--loads A,B] [--servers A;B] [--out DIRECTORY]

Each server is started anew for each load, and within a round all servers bear a load one after another, the order turned
by some from round to round. So what else the machine does hits them alike, and what counts is the ratio within a round.
--quick takes about two minutes and writes into target/bench, the full form up to 25 and writes into docs/performance.
What was measured is in results.json there, too; benches/report.py makes the tables and the chart of it.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import random
import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time

import report
from cells import BUILT, CLIENTS, EXCHANGES, IDLE, LOADS, SERVERS, TOP

WSLOAD = BUILT / "wsload"
# A system call under strace takes a hundred times as long: these are enough to see what a message costs.
TRACED = {"1", "1-deep", "1-16k", "1-1m", "10", "100", "100-deep", "16-64k", "text"}


class Failed(Exception):
    """What is measured did not work."""


def free_port():
    # Below the range from which outgoing connections take theirs.
    while True:
        port = random.randint(10_000, 32_000)
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def on_cpu(number):
    """For a child: the CPU to stay on, if the machine has it, and its file limit raised as far as it goes."""
    def prepare():
        if number is not None and (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(0, {number})
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    return prepare


@contextlib.contextmanager
def running(server, cell):
    """Starts a server for a load; gives its process and port."""
    port = free_port()
    options = server.can.get(cell.needs, []) if cell.needs else []
    words = [str(word) for word in server.command]
    # The peers take the port first; our servers take what it is an argument of last.
    words += [*map(str, options), str(port)] if server.ours or not options else [str(port), *map(str, options)]
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=on_cpu(0 if cell.apart else None),
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                raise Failed(f"{server.name} ended with status {process.returncode}: {shlex.join(words)}")
            if time.monotonic() > deadline:
                raise Failed(f"{server.name} does not listen after 10 s: {shlex.join(words)}")
            time.sleep(0.01)
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(8)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def load_command(cell, process, port, seconds, *more):
    return [
        str(WSLOAD),
        *("--port", str(port), "--pid", str(process.pid)),
        *("-t", str(seconds), "-w", str(min(0.3, seconds / 2))),
        *shlex.split(cell.load),
        *more,
    ]


def measure(server, cell, seconds):
    with running(server, cell) as (process, port):
        command = load_command(cell, process, port, seconds)
        prepare = on_cpu(1 if cell.apart else None)
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, preexec_fn=prepare)
        if done.returncode != 0:
            raise Failed(done.stderr.strip())
        return json.loads(done.stdout)


def count_calls(server, cell):
    """The system calls a message: strace watches the server from when all connections are open until the load is over."""
    with running(server, cell) as (process, port), tempfile.NamedTemporaryFile("r") as counts:
        command = load_command(cell, process, port, 0.4, "--pause")
        load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        strace = None
        try:
            if load.stdout.readline() != "open\n":
                raise Failed(load.stderr.read().strip())
            strace = subprocess.Popen(
                ["strace", "-f", "-c", "-o", counts.name, "-p", str(process.pid)], stderr=subprocess.PIPE, text=True
            )
            line = strace.stderr.readline()
            if "attached" not in line:
                raise Failed(line.strip())
            load.stdin.write("\n")
            load.stdin.flush()
            line = load.stdout.readline()
            if not line:
                raise Failed(load.stderr.read().strip())
            strace.send_signal(signal.SIGINT)
            strace.wait(20)
            messages = json.loads(line)["messages_ever"]
            load.communicate("\n", 20)
        finally:
            for child in filter(None, [strace, load]):
                child.kill()
                child.wait()
        calls = {}
        for line in counts.read().splitlines():
            words = line.split()
            if len(words) in (5, 6) and words[3].isdigit() and words[-1] != "total":
                calls[words[-1]] = int(words[3]) / messages
        return calls


def measure_client(client, exchange, url, scale):
    count = max(20, int(exchange.count * scale))
    command = [*map(str, client.command), url, str(count), str(exchange.size), *exchange.mode]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    rate = re.match(r"([\d.]+) msgs/s", text)
    if process.returncode != 0 or not rate:
        raise Failed(text.strip())
    return {"msgs_s": float(rate[1]), "cpu_us": (usage.ru_utime + usage.ru_stime) / count * 1e6}


def as_built(server):
    """The server with what it can do as it is: our examples tell their options."""
    if not server.ours:
        return server
    probe = subprocess.run([*map(str, server.command), "--help"], capture_output=True, text=True, timeout=10)
    known = {what: options for what, options in server.can.items() if options[0] in probe.stdout + probe.stderr}
    return dataclasses.replace(server, can=known)


def can_bear(server, cell):
    if server.only and cell.name not in server.only:
        return False
    return not cell.needs or cell.needs in server.can


class Run:
    def __init__(self, arguments):
        self.quick = arguments.quick
        self.rounds = arguments.rounds or (2 if self.quick else 5)
        self.seconds = arguments.seconds or (0.3 if self.quick else 0.7)
        chosen = set(filter(None, arguments.loads.split(",")))
        named = set(filter(None, arguments.servers.split(";")))
        self.loads = [c for c in LOADS if (c.name in chosen if chosen else c.quick or not self.quick)]
        self.idle = [c for c in IDLE if (c.name in chosen if chosen else c.quick or not self.quick)]
        self.exchanges = [] if chosen and "clients" not in chosen else EXCHANGES
        self.servers = [as_built(s) for s in SERVERS if (s.name in named if named else s.quick or not self.quick)]
        self.rows = []
        self.calls = {}
        self.failures = []

    def note(self, kind, name, cell, result, round_number=0):
        self.rows.append({"kind": kind, "name": name, "cell": cell, "round": round_number, **result})

    def attempt(self, what, action, *arguments):
        try:
            return action(*arguments)
        except (Failed, subprocess.TimeoutExpired, OSError, ValueError) as failure:
            self.failures.append(f"{what}: {failure}")
            print(f"{what}: FAILED: {failure}", file=sys.stderr, flush=True)
            return None

    def turned(self, things, round_number):
        start = round_number * 3 % max(1, len(things))
        return things[start:] + things[:start]

    def round(self, number):
        for cell in self.loads:
            able = [s for s in self.servers if can_bear(s, cell)]
            for server in self.turned(able, number):
                result = self.attempt(f"{server.name}, {cell.title}", measure, server, cell, self.seconds)
                if result:
                    self.note("load", server.name, cell.name, result, number)
                    print(
                        f"[{number + 1}/{self.rounds}] {cell.title:<50} {server.name:<20} {result['cpu_us']:9.2f} µs"
                        f" {result['msgs_s']:11,.0f} msgs/s",
                        flush=True,
                    )
        if self.exchanges:
            self.clients(number)

    def clients(self, number):
        floor = next(s for s in SERVERS if s.name == "floor, epoll")
        with running(floor, LOADS[0]) as (_, port):
            for exchange in self.exchanges:
                for client in self.turned(CLIENTS, number):
                    if exchange.only and client.name not in exchange.only:
                        continue
                    what = f"client {client.name}, {exchange.title}"
                    url = f"ws://127.0.0.1:{port}/"
                    result = self.attempt(what, measure_client, client, exchange, url, 0.4 if self.quick else 1)
                    if result:
                        self.note("client", client.name, exchange.title, result, number)
                        print(f"[{number + 1}/{self.rounds}] {what:<71} {result['cpu_us']:9.2f} µs", flush=True)

    def idle_memory(self):
        for cell in self.idle:
            for server in self.servers:
                if server.only:
                    continue
                result = self.attempt(f"{server.name}, {cell.title}", measure, server, cell, self.seconds)
                if result:
                    self.note("idle", server.name, cell.name, result)
                    print(f"{cell.title:<56} {server.name:<20} {result['used_kib']:9.2f} KiB", flush=True)

    def system_calls(self):
        watched = [s for s in self.servers if s.ours or s.name in ("floor, threads", "tungstenite", "Beast")]
        for cell in self.loads:
            for server in watched:
                if cell.name not in TRACED or (self.quick and not server.ours):
                    continue
                calls = self.attempt(f"strace of {server.name}, {cell.title}", count_calls, server, cell)
                if calls is not None:
                    self.calls.setdefault(cell.name, {})[server.name] = calls
                    print(f"{cell.title:<56} {server.name:<20} {sum(calls.values()):9.3f} system calls", flush=True)

    def all(self):
        for number in range(self.rounds):
            self.round(number)
        self.idle_memory()
        self.system_calls()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="our servers, the floor and tungstenite, in two minutes")
    parser.add_argument("--rounds", type=int, help="2 for --quick, else 5")
    parser.add_argument("--seconds", type=float, help="that a load is measured for: 0.3 for --quick, else 0.7")
    parser.add_argument("--loads", default="", help="only these, by name in cells.py; 'clients' for the clients")
    parser.add_argument("--servers", default="", help="only these, by name in cells.py, between semicolons")
    parser.add_argument("--out", type=pathlib.Path, help="target/bench for --quick, else docs/performance")
    arguments = parser.parse_args()
    out = arguments.out or (BUILT if arguments.quick else TOP / "docs/performance")
    # What was asked for, but not where to write it: that is nobody's business.
    words = ["--quick"] if arguments.quick else []
    words += [f"--{key} {value}" for key in ("rounds", "seconds", "loads", "servers") if (value := getattr(arguments, key))]
    began = time.monotonic()
    run = Run(arguments)
    run.all()
    data = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join(["benches/run.py", *words]),
        "minutes": round((time.monotonic() - began) / 60, 1),
        "rounds": run.rounds,
        "seconds": run.seconds,
        "load": os.getloadavg(),
        "rows": run.rows,
        "calls": run.calls,
        "failures": run.failures,
    }
    out.mkdir(parents=True, exist_ok=True)
    (BUILT / "results.json").write_text(json.dumps(data))
    report.write(data, out)
    print(f"\n{report.verdict(data)}\nwritten: {out / 'results.md'}, {out / 'chart.svg'} ({data['minutes']} min)")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
