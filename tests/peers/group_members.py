#!/usr/bin/env python3
"""Members of a group, by the Python package `websockets`.

usage: group_members.py URL MEMBERS MESSAGES

Every other member compresses. Each demands MESSAGES messages, the nth of which repeats its number, text and bytes by
turns; answers `all`, and closes. Exit status 0 says that everything matched.
"""

import asyncio
import sys

from websockets.asyncio.client import connect


async def member(ws, messages):
    for n in range(messages):
        message = await ws.recv()
        expected = f"{n} " * (20_000 if n % 10 == 0 else 30)
        if n % 2:
            expected = expected.encode()
        if message != expected:
            sys.exit(f"message {n} is {message[:40]!r}, {len(message)} long")
    await ws.send("all")
    await ws.close()


async def main(url, members, messages):
    async with asyncio.timeout(100):
        connections = []
        for number in range(members):
            compression = "deflate" if number % 2 else None
            connections.append(await connect(url, max_size=None, compression=compression))
        print("connected", flush=True)
        await asyncio.gather(*(member(ws, messages) for ws in connections))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
