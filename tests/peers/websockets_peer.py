#!/usr/bin/env python3
"""One conversation through the Python package `websockets` with an echoing wstrand peer.

usage: websockets_peer.py client URL SCENARIO [CA.pem]      connects to an echo server
       websockets_peer.py server SCENARIO [CERTKEY.pem]     prints `listening on ws://127.0.0.1:PORT/` (wss:// with a
                                                            certificate and its key) and serves one echo client

In both roles this side leads: it sends, and demands back what an echo must be.
Exit status 0 says that everything matched; anything else is told on stderr.
"""

import asyncio
import logging
import ssl
import sys
import traceback

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

DEADLINE_S = 100
MIXED = "aé漢🦀\0"  # UTF-8 of every length
PATTERN = bytes(range(256))


class Mismatch(Exception):
    pass


def show(value):
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({type(value).__name__}, {len(value)} long)"


def check(what, got, wanted):
    # `==` alone would take b"" for a str nowhere, but True for 1.
    if type(got) is not type(wanted) or got != wanted:
        raise Mismatch(f"{what}: got {show(got)}, wanted {show(wanted)}{difference(got, wanted)}")


def difference(got, wanted):
    """Where two long messages part; the ends that `show` gives would look alike."""
    if not isinstance(got, (str, bytes)) or type(got) is not type(wanted):
        return ""
    same = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
    return f", alike up to {same}"


def text_of(length):
    """Text of exactly `length` bytes with characters of every width."""
    unit = MIXED.encode()
    text = (unit * (length // len(unit))).decode()
    return text + "x" * (length % len(unit))


def binary_of(length):
    return (PATTERN * (length // 256 + 1))[:length]


async def echoed(ws, message):
    await ws.send(message)
    check("echo", await ws.recv(), message)


async def text(ws):
    for length in (1, 11, 125, 126, 127, 65535, 65536):
        await echoed(ws, text_of(length))
    await echoed(ws, MIXED)


async def binary(ws):
    for length in (1, 125, 126, 127, 65535, 65536):
        await echoed(ws, binary_of(length))


async def empty(ws):
    for message in ("", b"", "", b""):
        await echoed(ws, message)


async def large(ws):
    await echoed(ws, text_of((1 << 20) + 1))
    await echoed(ws, binary_of((1 << 20) + 1))


async def huge(ws):
    await echoed(ws, text_of(16 << 20))


async def fragmented(ws):
    # Cut inside characters: every fragment but the first starts where it likes.
    whole = (MIXED * 5).encode()
    await ws.send([whole[i : i + 1] for i in range(len(whole))], text=True)
    check("text in fragments", await ws.recv(), whole.decode())
    await ws.send([b"", binary_of(70000), b"", b"end", b""])
    check("binary in fragments", await ws.recv(), binary_of(70000) + b"end")

    # A ping between two fragments is answered before the message is whole.
    answered = asyncio.Event()

    async def parts():
        yield "before "
        await (await ws.ping(b"in between"))
        answered.set()
        yield "after"

    await ws.send(parts())
    check("pong between fragments", answered.is_set(), True)
    check("text around a ping", await ws.recv(), "before after")


async def ping(ws):
    for payload in (b"", b"hello", binary_of(125)):
        await (await ws.ping(payload))
    await ws.pong(b"not asked for")
    await echoed(ws, "still here")


async def sequence(ws):
    for number in range(200):
        await echoed(ws, f"message {number}" if number % 2 else number.to_bytes(4, "big"))


async def pipelined(ws):
    count = 20000

    async def send():
        for number in range(count):
            await ws.send(f"{number}")

    sending = asyncio.create_task(send())
    try:
        for number in range(count):
            check(f"message {number}", await ws.recv(), f"{number}")
        await sending
    finally:
        sending.cancel()


async def subprotocol(ws):
    # This side offers or serves (nope, demo); wstrand knows (other, demo).
    check("subprotocol", ws.subprotocol, "demo")
    await echoed(ws, "agreed")


async def no_subprotocol(ws):
    # No common one: the connection opens all the same, without.
    check("subprotocol", ws.subprotocol, None)
    await echoed(ws, "agreed on none")


async def close_here(ws):
    await echoed(ws, "last words")
    await ws.close(4003, "this side is done ✓")
    check("close code of the answer", ws.close_code, 4003)


async def close_there(ws):
    await ws.send("/close 4001 the server is done ✓")
    await expect_close(ws, 4001, "the server is done ✓")


async def going_away(ws):
    await echoed(ws, "still here")
    print("connected", flush=True)  # The test stops the server now.
    await expect_close(ws, 1001)


async def drop(ws):
    await echoed(ws, "soon gone")
    ws.transport.abort()
    await ws.wait_closed()


async def expect_close(ws, code, reason=None):
    try:
        check("message instead of a close", await ws.recv(), None)
    except websockets.ConnectionClosed as closed:
        if closed.rcvd is None:
            raise Mismatch("the connection ended without a Close frame") from closed
        check("close code", int(closed.rcvd.code), code)
        if reason is not None:
            check("close reason", closed.rcvd.reason, reason)


SCENARIOS = {
    f.__name__: f
    for f in (text, binary, empty, large, huge, fragmented, ping, sequence, pipelined)
    + (subprotocol, no_subprotocol, close_here, close_there, going_away, drop)
}
ENDS_ITSELF = {"close_here", "close_there", "going_away", "drop"}
OFFERED = {"subprotocol": ["nope", "demo"], "no_subprotocol": ["nope"]}
SERVED = {"subprotocol": ["nope", "demo"]}  # With a list and nothing in common, this server answers 400.


async def converse(ws, scenario):
    await SCENARIOS[scenario](ws)
    if scenario not in ENDS_ITSELF:
        await ws.close(1000, "done")
        check("close code of the answer", ws.close_code, 1000)


async def client(url, scenario, ca=None):
    options = {"ssl": ssl.create_default_context(cafile=ca)} if ca else {}
    async with asyncio.timeout(DEADLINE_S):
        async with connect(url, max_size=None, subprotocols=OFFERED.get(scenario), **options) as ws:
            await converse(ws, scenario)


async def server(scenario, pem=None):
    options, scheme = {}, "ws"
    if pem:
        scheme = "wss"
        options["ssl"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        options["ssl"].load_cert_chain(pem)
    options["subprotocols"] = SERVED.get(scenario)
    outcome = asyncio.get_running_loop().create_future()

    async def handle(ws):
        try:
            await converse(ws, scenario)
        except BaseException as error:
            if not outcome.done():
                outcome.set_exception(error)
        else:
            if not outcome.done():
                outcome.set_result(None)

    async with asyncio.timeout(DEADLINE_S):
        async with serve(handle, "127.0.0.1", 0, max_size=None, **options) as listener:
            print(f"listening on {scheme}://127.0.0.1:{listener.sockets[0].getsockname()[1]}/", flush=True)
            await outcome


def main():
    role, rest = sys.argv[1], sys.argv[2:]
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    try:
        asyncio.run({"client": client, "server": server}[role](*rest))
    except Mismatch as mismatch:
        sys.exit(f"websockets {websockets.__version__}, {' '.join(sys.argv[1:])}: {mismatch}")
    except Exception:
        traceback.print_exc()
        sys.exit(f"websockets {websockets.__version__}, {' '.join(sys.argv[1:])}: failed")


if __name__ == "__main__":
    main()
