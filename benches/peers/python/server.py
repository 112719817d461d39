"""An echo server over the Python package `websockets`, on asyncio.

usage: python server.py PORT [--tls CERT.pem KEY.pem] [--deflate]
"""

import asyncio
import ssl
import sys

from websockets.asyncio.server import serve


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def main():
    port, *options = sys.argv[1:]
    context = None
    if "--tls" in options:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options[options.index("--tls") + 1 :][:2])
    compression = "deflate" if "--deflate" in options else None
    settings = {"compression": compression, "max_size": None, "ping_interval": None, "backlog": 4096, "ssl": context}
    async with serve(echo, "127.0.0.1", int(port), **settings) as server:
        await server.serve_forever()


asyncio.run(main())
