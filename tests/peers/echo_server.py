#!/usr/bin/env python3
"""An echo server of the Python package `websockets`, to be killed or asked to stop and started again.

usage: echo_server.py PORT     prints `listening on URL`; SIGTERM closes its connections with 1001
"""

import asyncio
import signal
import sys

from websockets.asyncio.server import serve


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def main(port):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(echo, "127.0.0.1", port) as listener:
        print(f"listening on ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}/", flush=True)
        await stop.wait()


asyncio.run(main(int(sys.argv[1])))
