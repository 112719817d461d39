#!/usr/bin/env python3
"""Compressed messages through the Python package `websockets`, with an echoing wstrand peer.

usage: deflate_peer.py client SETTINGS URL     connects to an echo server
       deflate_peer.py server SETTINGS         prints `listening on ws://127.0.0.1:PORT/` and serves one echo client

SETTINGS is a JSON object with the arguments of the package's factory for permessage-deflate, or null for none. In both
roles this side leads: it sends, and demands the echo back. It prints what it takes for agreed, then `bytes N`: how long
all messages together were. Exit status 0 says that everything matched; anything else is told on stderr.
"""

import asyncio
import json
import logging
import random
import sys
import traceback

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.extensions import permessage_deflate

DEADLINE_S = 100
TEXT = "the window slides, and é漢🦀 with it; "


def messages():
    chance = random.Random(7)
    text = (TEXT * (1 << 15))[: 1 << 20]
    yield from ("", b"", "x", b"\0", text, text.encode()[: 1 << 20], chance.randbytes(5 << 20))
    for number in range(500):
        yield f'{{"number":{number},"what":"{TEXT * chance.randrange(4)}"}}'
        if number % 10 == 0:
            yield chance.randbytes(chance.randrange(3000))


def fragments(message):
    """In pieces, an empty one among them."""
    third = len(message) // 3
    return [message[:third], message[:0], message[third : 2 * third], message[2 * third :]]


async def converse(ws):
    agreed = [extension for extension in ws.protocol.extensions if extension.name == "permessage-deflate"]
    print("agreed", agreed or None, flush=True)
    total = 0
    for number, message in enumerate(messages()):
        await ws.send(fragments(message) if number % 3 == 0 else message)
        echo = await ws.recv()
        if type(echo) is not type(message) or echo != message:
            sys.exit(f"message {number} of {len(message)} does not come back")
        total += len(message.encode() if isinstance(message, str) else message)
    # And without waiting for each: the context goes on all the same.
    many = [f"{TEXT}{number}" for number in range(2000)]

    async def send():
        for message in many:
            await ws.send(message)

    sending = asyncio.create_task(send())
    for message in many:
        if await ws.recv() != message:
            sys.exit(f"{message} does not come back")
        total += len(message.encode())
    await sending
    print(f"bytes {total}", flush=True)
    await ws.close(1000, "done")
    if ws.close_code != 1000:
        sys.exit(f"the answer to Close has {ws.close_code}")


def extensions(factory, settings):
    return None if settings is None else [factory(**settings)]


async def client(settings, url):
    factory = permessage_deflate.ClientPerMessageDeflateFactory
    async with asyncio.timeout(DEADLINE_S):
        offered = extensions(factory, settings)
        async with connect(url, max_size=None, compression=None, extensions=offered) as ws:
            await converse(ws)


async def server(settings):
    outcome = asyncio.get_running_loop().create_future()

    async def handle(ws):
        try:
            await converse(ws)
        except BaseException as error:
            if not outcome.done():
                outcome.set_exception(error)
        else:
            if not outcome.done():
                outcome.set_result(None)

    factory = permessage_deflate.ServerPerMessageDeflateFactory
    served = extensions(factory, settings)
    async with asyncio.timeout(DEADLINE_S):
        async with serve(handle, "127.0.0.1", 0, max_size=None, compression=None, extensions=served) as listener:
            print(f"listening on ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}/", flush=True)
            await outcome


def main():
    role, settings, *rest = sys.argv[1:]
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    try:
        asyncio.run({"client": client, "server": server}[role](json.loads(settings), *rest))
    except Exception:
        traceback.print_exc()
        sys.exit(f"websockets {websockets.__version__}, {' '.join(sys.argv[1:])}: failed")


if __name__ == "__main__":
    main()
