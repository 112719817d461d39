#!/usr/bin/env python3
"""Takes the TLS off, in front of a program that speaks plain TCP on this machine.

usage: tls_wrapper.py PEM PORT     PEM has certificate and key; prints `listening on PORT`, which is one of 127.0.0.1
                                   and of 127.0.0.2
"""

import asyncio
import contextlib
import ssl
import sys


async def pump(reader, writer):
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, ssl.SSLError):
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()  # TLS has no half-closed connections here


async def main(pem, port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def handle(reader, writer):
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, behind_writer), pump(behind_reader, writer))
        behind_writer.close()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    own_port = server.sockets[0].getsockname()[1]
    other = await asyncio.start_server(handle, "127.0.0.2", own_port, ssl=context)
    print(f"listening on {own_port}", flush=True)
    await asyncio.gather(server.serve_forever(), other.serve_forever())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
