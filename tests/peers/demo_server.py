#!/usr/bin/env python3
"""The server of `make demo`, made of the Python package `websockets`: one conversation with examples/c/hello.c.

Prints `listening on URL`, then what it sees. It waits for a text message and sends it back, sends messages of its own,
small and large, and closes with 1000. Exit status 0 says that the client kept to the protocol all the way.
"""

import asyncio
import sys

import websockets
from websockets.asyncio.server import serve

DEADLINE_S = 60
LARGE = (1 << 20) + 1


def tell(line):
    print(line, flush=True)


async def converse(ws):
    tell(f"a client has connected; subprotocol {ws.subprotocol}")
    greeting = await ws.recv()
    if not isinstance(greeting, str):
        raise ValueError("the first message is not text")
    tell(f"it says {greeting!r}; sending that back")
    await ws.send(greeting)
    tell("sending text and binary messages of 1 MiB and one byte, and a small binary one")
    await ws.send("wstrand, " * (LARGE // 9) + "." * (LARGE % 9))
    await ws.send(bytes(range(256)) * (LARGE // 256) + b"!")
    await ws.send(b"\x00\x01\x02\xfe\xff")
    tell("closing with 1000")
    await ws.close(1000, "goodbye")
    if ws.close_code != 1000:
        raise ValueError(f"the client answered the close with {ws.close_code}")
    tell("the client has answered the close with 1000")


async def main():
    outcome = asyncio.get_running_loop().create_future()

    async def handle(ws):
        try:
            await converse(ws)
        except Exception as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(None)

    async with asyncio.timeout(DEADLINE_S):
        async with serve(handle, "127.0.0.1", 0, subprotocols=["demo"]) as listener:
            tell(f"listening on ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}/")
            await outcome


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print(websockets.__version__)
    else:
        try:
            asyncio.run(main())
        except Exception as error:
            sys.exit(f"failed: {type(error).__name__} {error}")
