"""Autobahn's test suite against a wstrand server or client, with a verdict as exit status.

usage: suite.py server URL [options]     runs the cases against the echo server at URL (wss:// is not verified)
       suite.py client [options]         prints `listening on URL`, serves the cases to a client, and reports when a line
                                         arrives on standard input (or its end): so start the client in between

Runs in the virtual environment that tests/setup.sh makes (target/peers/autobahn/bin/python). Strict: a case that is
anything but OK or INFORMATIONAL, or did not run, fails. The last line counts; --out has a page for every case.
"""

import argparse
import collections
import contextlib
import json
import os
import sys

import autobahntestsuite.choosereactor  # noqa: F401, first of all: it installs the reactor
from autobahntestsuite import fuzzing
from twisted.internet import reactor

AGENT = "wstrand"


def test_server(spec, url):
    # The factory connects by itself, case after case, writes the reports and stops the reactor.
    spec["servers"] = [{"agent": AGENT, "url": url}]
    factory = fuzzing.FuzzingClientFactory(spec)
    reactor.run()
    return factory


def test_client(spec, tls):
    scheme = "wss" if tls else "ws"
    spec["url"] = f"{scheme}://127.0.0.1:0"
    factory = fuzzing.FuzzingServerFactory(spec)
    if tls:
        from twisted.internet.ssl import DefaultOpenSSLContextFactory

        cert, key = tls
        listener = reactor.listenSSL(0, factory, DefaultOpenSSLContextFactory(key, cert), interface="127.0.0.1")
    else:
        listener = reactor.listenTCP(0, factory, interface="127.0.0.1")
    port = listener.getHost().port
    factory.port = factory.externalPort = port  # What a Host header is compared with.
    print(f"listening on {scheme}://127.0.0.1:{port}", file=sys.__stdout__, flush=True)

    def wait_for_client():
        sys.stdin.readline()
        reactor.callFromThread(finish)

    def finish():
        factory.createReports()
        reactor.stop()

    reactor.callInThread(wait_for_client)
    reactor.run()
    return factory


def verdict(planned, out, allow_unimplemented):
    """Prints the sections, whatever is wrong, and the counts; returns whether all is well."""
    index = os.path.join(out, "index.json")
    results = {}
    if os.path.exists(index):
        with open(index, encoding="utf-8") as file:
            results = json.load(file).get(AGENT, {})
    passing = {"OK", "INFORMATIONAL"} | ({"UNIMPLEMENTED"} if allow_unimplemented else set())
    counts = collections.Counter({"OK": 0, "NON-STRICT": 0, "FAILED": 0})
    sections = collections.defaultdict(lambda: [0, 0, 0.0])
    bad = []
    for case in planned:
        result = results.get(case)
        behavior = result["behavior"] if result else "DID NOT RUN"
        if result and behavior in passing and result["behaviorClose"] not in ("OK", "INFORMATIONAL"):
            behavior = f"CLOSE {result['behaviorClose']}"
        if behavior not in passing:
            bad.append(f"{case} ({behavior})")
        counts[behavior if behavior in passing or behavior == "NON-STRICT" else "FAILED"] += 1
        section = sections[case.split(".")[0]]
        section[0] += 1
        section[1] += behavior not in passing
        section[2] += (result or {}).get("duration", 0) / 1000
    print("section  cases  not passed  seconds")
    for name, (cases, wrong, seconds) in sections.items():
        print(f"{name:>7}  {cases:5}  {wrong:10}  {seconds:7.1f}")
    if bad:
        print("not passed: " + ", ".join(bad))
        print("a page for each: " + os.path.join(out, "index.html"))
    print(f"{len(planned)} cases: " + ", ".join(f"{count} {behavior}" for behavior, count in counts.items()))
    return bool(planned) and not bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=["server", "client"])
    parser.add_argument("url", nargs="?")
    parser.add_argument("--cases", default="*", help="comma separated patterns, such as '1.*,9.7.*' (default: all)")
    parser.add_argument("--out", required=True, help="folder for the reports")
    parser.add_argument("--allow-unimplemented", action="store_true", help="compression may be left out")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="serve the cases over TLS, with these PEM files")
    arguments = parser.parse_args()
    if (arguments.role == "server") != bool(arguments.url):
        parser.error("a URL goes with `server`, and only with it")
    out = os.path.abspath(arguments.out)
    os.makedirs(out, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(out, "index.json"))
    spec = {"outdir": out, "cases": arguments.cases.split(","), "exclude-cases": [], "exclude-agent-cases": {}}

    # The suite tells of every case on standard output, which is kept for the verdict.
    with open(os.path.join(out, "suite.log"), "w", encoding="utf-8", buffering=1) as log:
        with contextlib.redirect_stdout(log):
            if arguments.role == "server":
                factory = test_server(spec, arguments.url)
            else:
                factory = test_client(spec, arguments.tls)
    return 0 if verdict(factory.specCases, out, arguments.allow_unimplemented) else 1


if __name__ == "__main__":
    sys.exit(main())
