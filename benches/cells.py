"""What is measured: the loads, the servers that bear them, and what is asked of ours."""

import dataclasses
import os
import pathlib

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILT = TOP / "target" / "bench"
EXAMPLES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target")) / "release" / "examples"


@dataclasses.dataclass(frozen=True)
class Cell:
    """One load. `most` is the CPU time a message that our servers may take, as a multiple of the blocking floor's in the
    same round, `lead` how many times as much tungstenite is to take, `calls` the system calls a message that we may make."""

    name: str
    title: str
    load: str
    apart: bool = False  # server and generator on a CPU each, instead of where the scheduler puts them
    most: float | None = None
    lead: float | None = None
    calls: float | None = None
    quick: bool = True
    needs: str = ""  # what the server must be able to do: "tls", "deflate", "group", or a group with a "stuck" member


LOADS = [
    Cell("1", "1 connection, 20 B", "-c 1 -s 20", most=1.05, calls=2),
    Cell("1-deep", "1 connection, 20 B, 64 in flight", "-c 1 -s 20 -d 64", apart=True, most=1.25, lead=8, calls=0.04),
    Cell("1-16k", "1 connection, 16 KiB", "-c 1 -s 16k", apart=True, most=1.1, calls=2),
    Cell("1-1m", "1 connection, 1 MiB", "-c 1 -s 1m", apart=True, most=1.1, lead=1.5),
    Cell("10", "10 connections, 20 B", "-c 10 -s 20", most=1.05, calls=2),
    Cell("100", "100 connections, 20 B", "-c 100 -s 20", most=1.05, lead=1.5, calls=2),
    Cell("1000", "1,000 connections, 20 B", "-c 1000 -s 20", most=1.05),
    Cell("100-deep", "100 connections, 1 KiB, 16 in flight", "-c 100 -s 1k -d 16", most=1.25, lead=3.5, calls=0.3),
    Cell("16-64k", "16 connections, 64 KiB, 4 in flight", "-c 16 -s 64k -d 4", most=1.1),
    Cell("text", "1 connection, 1 KiB of mixed UTF-8, 16 in flight", "-c 1 -s 1k -d 16 --kind utf8", apart=True, most=1.25),
    Cell("tls-1", "TLS, 1 connection, 20 B", "-c 1 -s 20 --tls", needs="tls"),
    Cell("tls-100", "TLS, 100 connections, 20 B", "-c 100 -s 20 --tls", needs="tls"),
    Cell("deflate-256", "deflate, 256 B of JSON, 8 in flight", "-c 1 -s 256 -d 8 --kind json --deflate", needs="deflate", quick=False),
    Cell("deflate-4k", "deflate, 4 KiB of JSON, 8 in flight", "-c 1 -s 4k -d 8 --kind json --deflate", needs="deflate"),
    Cell("deflate-64k", "deflate, 64 KiB of JSON, 2 in flight", "-c 1 -s 64k -d 2 --kind json --deflate", needs="deflate", quick=False),
    # A message is one that arrives: each that is sent arrives on all connections.
    Cell("group-1000", "1,000 connections get what one says, 20 B", "-c 1000 -s 20 --group -d 4 -w 1 -t 2", needs="group", lead=1),
    Cell("group-100", "100 connections get what one says, 16 KiB", "-c 100 -s 16k --group -d 1 -w 1 -t 2", needs="group"),
    Cell("group-100-stuck", "the same, and one that never reads", "-c 101 -s 16k --group --stuck 1 -d 1 -w 1 -t 2", needs="stuck"),
]

IDLE = [
    Cell("idle-1000", "1,000 idle connections", "-c 1000 --idle"),
    Cell("idle-10000", "10,000 idle connections", "-c 10000 --idle", quick=False),
]


@dataclasses.dataclass(frozen=True)
class Client:
    name: str
    command: list


@dataclasses.dataclass(frozen=True)
class Exchange:
    """What a client does: `count` messages of `size` bytes, one in flight or as it pipelines them."""

    title: str
    size: int
    count: int
    mode: tuple = ()
    only: tuple = ()  # the clients that can do it, if not all


CLIENTS = [
    Client("wstrand", [EXAMPLES / "bench_client"]),
    Client("tungstenite", [BUILT / "rust/release/tungstenite_client"]),
    Client("Beast", [BUILT / "beast_client"]),
]

EXCHANGES = [
    Exchange("20 B, ping-pong", 20, 30_000),
    Exchange("20 B, pipelined", 20, 600_000, ("pipeline",)),
    Exchange("20 B, queued and flushed", 20, 600_000, ("queue",), only=("wstrand",)),
    Exchange("16 KiB, ping-pong", 16 << 10, 10_000),
    Exchange("1 MiB, ping-pong", 1 << 20, 300),
]


@dataclasses.dataclass(frozen=True)
class Server:
    """`command` gets the port at its end. `can` is what else it offers, with the arguments for it."""

    name: str
    command: list
    can: dict = dataclasses.field(default_factory=dict)
    ours: bool = False
    quick: bool = False
    only: tuple = ()  # the loads that it can bear in the time, if not all


TLS = ["--tls", BUILT / "cert.pem", BUILT / "key.pem"]
DEFLATE = ["--deflate"]
BOTH = {"tls": TLS, "deflate": DEFLATE}
GROUP = {"group": ["--group"], "stuck": ["--group"]}
PEERS = TOP / "benches/peers"

FLOOR = "floor, threads"

SERVERS = [
    Server(FLOOR, [BUILT / "floor", "threads"], quick=True),
    Server("floor, epoll", [BUILT / "floor", "epoll"]),
    Server("wstrand", [EXAMPLES / "echo_server"], {**BOTH, **GROUP}, ours=True, quick=True),
    Server("wstrand, C", [BUILT / "echo_server_c"], BOTH, ours=True, quick=True),
    Server("tungstenite", [BUILT / "rust/release/tungstenite_server"], {"tls": TLS[1:], "group": ["group"]}, quick=True),
    Server("Beast", [BUILT / "beast_server"], BOTH),
    Server("fastwebsockets", [BUILT / "rust/release/fastwebsockets_server"]),
    Server(
        "yawc",
        [BUILT / "rust/release/yawc_server"],
        {"deflate": []},
        only=("deflate-256", "deflate-4k", "deflate-64k"),
    ),
    Server("ws, Node.js", ["node", PEERS / "node/server.js"], BOTH),
    Server(
        "websockets, Python",
        [TOP / "target/peers/python/bin/python", PEERS / "python/server.py"],
        BOTH,
        only=("1", "1-deep", "100", "tls-1", "deflate-256", "deflate-4k", "deflate-64k"),
    ),
]
