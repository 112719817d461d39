#!/usr/bin/env python3
"""Makes the tables and the chart of what benches/run.py has measured.

usage: benches/report.py [RESULTS.json] [DIRECTORY]
"""

import json
import pathlib
import platform
import re
import statistics
import subprocess
import sys

import chart
from cells import BUILT, CLIENTS, EXCHANGES, FLOOR, IDLE, LOADS, SERVERS, TOP


def number(value):
    """Three digits that count."""
    if value is None:
        return ""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


class Results:
    def __init__(self, data):
        self.data = data
        self.by = {}
        for row in data["rows"]:
            self.by.setdefault((row["kind"], row["cell"], row["name"]), []).append(row)

    def names(self, kind, order):
        present = {name for what, _, name in self.by if what == kind}
        return [thing.name for thing in order if thing.name in present]

    def value(self, kind, cell, name, key):
        return median(row.get(key) for row in self.by.get((kind, cell, name), []))

    def ratio(self, cell, name, to, key="cpu_us"):
        """The median over the rounds of one's value to the other's in the same round."""
        others = {row["round"]: row[key] for row in self.by.get(("load", cell, to), [])}
        rows = self.by.get(("load", cell, name), [])
        return median(row[key] / others[row["round"]] for row in rows if others.get(row["round"]))


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def load_table(results, value, loads=LOADS, show=number):
    names = results.names("load", SERVERS)
    rows = []
    for cell in loads:
        values = [show(value(cell, name)) for name in names]
        if any(values):
            rows.append([cell.title, *values])
    return table(["load", *names], rows)


def verdicts(results):
    """For each load and server of ours: what was asked, what came of it, and whether it was reached."""
    for cell in LOADS:
        for server in SERVERS:
            if not server.ours or results.value("load", cell.name, server.name, "cpu_us") is None:
                continue
            calls = results.data["calls"].get(cell.name, {}).get(server.name)
            own = sum(calls.values()) if calls is not None else None
            asked = [
                ("× floor", results.ratio(cell.name, server.name, FLOOR), cell.most, "≤"),
                ("tungstenite ×", results.ratio(cell.name, "tungstenite", server.name), cell.lead, "≥"),
                # strace's own attaching makes each thread's blocked call count twice.
                ("calls", own, cell.calls and cell.calls * 1.05, "≤"),
            ]
            for what, got, wanted, how in asked:
                if got is not None and wanted is not None:
                    yield cell, server.name, what, got, how, wanted, got <= wanted if how == "≤" else got >= wanted


def verdict(data):
    lines = [
        f"{'ok    ' if reached else 'MISSED'} {cell.title}: {name}: {what} {number(got)} ({how} {number(wanted)})"
        for cell, name, what, got, how, wanted, reached in verdicts(Results(data))
    ]
    return "\n".join(lines)


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, cwd=TOP).stdout.strip()
    except OSError:
        return ""


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", info, re.M)
    count = len(re.findall(r"^processor\s*:", info, re.M))
    memory = int(re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) / 2**20
    name = model[1] if model else platform.machine()
    return f"{count} × {name}, {memory:.0f} GiB of memory, Linux {platform.release().split('-')[0]}"


def versions():
    lock = (TOP / "benches/peers/rust/Cargo.lock").read_text()

    def crate(name):
        return re.search(rf'name = "{name}"\nversion = "(.*)"', lock)[1]

    found = [f"wstrand {output_of('git', 'describe', '--always', '--dirty')}"]
    found += [f"{name} {crate(name)}" for name in ("tungstenite", "fastwebsockets", "yawc", "tokio")]
    boost = pathlib.Path("/usr/include/boost/version.hpp")
    if boost.exists():
        found.append("Boost " + re.search(r'BOOST_LIB_VERSION "(.*)"', boost.read_text())[1].replace("_", "."))
    modules = TOP / "target/peers/node/node_modules/ws/package.json"
    if modules.exists():
        found.append(f"ws {json.loads(modules.read_text())['version']} on Node.js {output_of('node', '--version')[1:]}")
    python = TOP / "target/peers/python/bin/python"
    found.append("websockets " + output_of(python, "-c", "import websockets; print(websockets.__version__)"))
    found.append(output_of("rustc", "--version").partition(" (")[0])
    found.append("gcc " + output_of("cc", "-dumpfullversion"))
    found.append(" ".join(output_of("openssl", "version").split()[:2]))
    return ", ".join(found)


def client_table(results):
    names = results.names("client", CLIENTS)
    rows = []
    for exchange in EXCHANGES:
        values = []
        for name in names:
            values.append(number(results.value("client", exchange.title, name, "cpu_us")))
            values.append(number(results.value("client", exchange.title, name, "msgs_s")))
        rows.append([exchange.title, *values])
    return table(["client", *(f"{name}, {what}" for name in names for what in ("µs", "msgs/s"))], rows)


def idle_table(results):
    rows = []
    for cell in IDLE:
        for name in results.names("idle", SERVERS):

            def value(key, cell=cell, name=name):
                return results.value("idle", cell.name, name, key)

            if value("open_s") is None:
                continue
            shown = [value("open_kib"), value("used_kib"), value("open_s")]
            rows.append([f"{cell.title}: {name}", *map(number, shown), f"{value('idle_cpu') * 100:.1f} %"])
    heads = ["idle", "KiB a connection when open", "after one message", "seconds to open all", "CPU when idle"]
    return table(heads, rows)


def markdown(data):
    results = Results(data)
    plain = [cell for cell in LOADS if not cell.needs]
    rounds = f"{data['rounds']} rounds of {data['seconds']} s" if data["rounds"] > 1 else f"one round of {data['seconds']} s"
    parts = [
        "# Measured",
        f"{data['date']}, by `{data['command']}` ({data['minutes']} minutes, {rounds}); `make bench` does the same.",
        f"Machine: {machine()}, load average {data['load'][0]:.1f}. {versions()}.",
        "Over the loopback interface; every server bears a load right after the other, in several rounds. Figures are medians; "
        "the load average tells what else the machine was doing. What counts is the CPU time a message and its ratio to the "
        "*floor* of the same round: the least that an echo with blocking sockets and a thread a connection can cost, in "
        "C without any checks (`benches/limits/floor.c`). Messages a second depend on what else the machine does; "
        "figures of another day or machine cannot be compared.",
        "![CPU time a message as a multiple of the floor's](chart.svg)",
        "## CPU time of the server a message, µs",
        load_table(results, lambda cell, name: results.value("load", cell.name, name, "cpu_us")),
        "## The same as a multiple of the floor's in the same round",
        load_table(results, lambda cell, name: results.ratio(cell.name, name, FLOOR), plain),
        "## Messages a second",
        load_table(results, lambda cell, name: results.value("load", cell.name, name, "msgs_s")),
        "## Latency, µs: half of the messages, and 99 in 100, are answered within",
        load_table(
            results,
            lambda cell, name: [results.value("load", cell.name, name, key) for key in ("p50_us", "p99_us")],
            show=lambda pair: " / ".join(map(number, pair)) if pair[0] is not None else "",
        ),
    ]
    compressed = [cell for cell in LOADS if cell.needs == "deflate"]
    if any(results.by.get(("load", cell.name, server.name)) for cell in compressed for server in SERVERS):
        parts += [
            "## What is left of a message after compression",
            load_table(results, lambda cell, name: results.value("load", cell.name, name, "ratio"), compressed),
        ]
    if data["calls"]:
        names = [s.name for s in SERVERS if any(s.name in of for of in data["calls"].values())]
        rows = []
        for cell in LOADS:
            of = data["calls"].get(cell.name)
            if of:
                rows.append([cell.title, *(calls(of.get(name)) for name in names)])
        parts += ["## System calls a message", table(["load", *names], rows)]
    idle = idle_table(results)
    if any(row["kind"] == "idle" for row in data["rows"]):
        parts += ["## Memory of idle connections (RSS of the server)", idle]
    if any(row["kind"] == "client" for row in data["rows"]):
        parts += [
            "## Clients, against the floor with epoll",
            "CPU time of the whole client process a message. Pipelined: tungstenite and Beast write 64 and then read 64, "
            "tungstenite with one flush; wstrand's sending and receiving threads do not wait for each other.",
            client_table(results),
        ]
    asked = [
        [cell.title, name, what, number(got), f"{how} {number(wanted)}", "yes" if reached else "**no**"]
        for cell, name, what, got, how, wanted, reached in verdicts(results)
    ]
    parts += ["## What is asked of wstrand", table(["load", "server", "", "measured", "asked", "reached"], asked)]
    if data["failures"]:
        parts += ["## Failed", "\n".join(f"- {failure}" for failure in data["failures"])]
    return "\n\n".join(parts) + "\n"


def calls(by_name):
    if by_name is None:
        return ""
    # What happens once in a thousand messages is not what a message costs.
    parts = [f"{name} {number(count)}" for name, count in sorted(by_name.items(), key=lambda i: -i[1]) if count >= 0.001]
    return f"{number(sum(by_name.values()))} ({', '.join(parts[:3])})"


def write(data, out):
    results = Results(data)
    plain = [cell for cell in LOADS if not cell.needs]
    (out / "results.md").write_text(markdown(data))
    rows = [
        (cell.title, {name: results.ratio(cell.name, name, FLOOR) for name in results.names("load", SERVERS)})
        for cell in plain
    ]
    (out / "chart.svg").write_text(chart.draw([row for row in rows if any(row[1].values())]))


def main():
    source = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else BUILT / "results.json"
    data = json.loads(source.read_text())
    out = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else TOP / "docs/performance"
    out.mkdir(parents=True, exist_ok=True)
    write(data, out)


if __name__ == "__main__":
    main()
