#!/usr/bin/env python3
"""Compares compressed messages with what zlib says, over a plain socket (standard library only).

usage: zlib_peer.py MESSAGES     prints `listening on ws://127.0.0.1:PORT/` and serves one client

MESSAGES is a file: for each message its length (32 bits), 1 for text or 2 for binary, and its bytes. The client must
send exactly those, compressed or not, in fragments or not; they are inflated by one zlib.decompressobj(-15) for all.
Meanwhile this side sends the same messages, deflated by one zlib.compressobj. Then the client closes. Exit status 0
says that everything matched; the last line counts.
"""

import base64
import hashlib
import random
import re
import socket
import struct
import sys
import threading
import zlib

DEADLINE_S = 100
TAIL = b"\x00\x00\xff\xff"
CONTINUATION, CLOSE = 0, 8


def read_messages(path):
    with open(path, "rb") as file:
        while head := file.read(5):
            length, opcode = struct.unpack(">IB", head)
            yield opcode, file.read(length)


def exactly(stream, length):
    data = stream.read(length)
    if len(data) != length:
        sys.exit("the connection ended inside a frame")
    return data


def read_frame(stream):
    first, second = exactly(stream, 2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", exactly(stream, 2))
    elif length == 127:
        (length,) = struct.unpack(">Q", exactly(stream, 8))
    if not second & 0x80:
        sys.exit("a client's frame is not masked")
    key = exactly(stream, 4)
    payload = exactly(stream, length)
    mask = (key * (length // 4 + 1))[:length]
    payload = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(length, "big")
    return first, payload


def frame(first, payload):
    length = len(payload)
    if length < 126:
        return struct.pack(">BB", first, length) + payload
    if length < 1 << 16:
        return struct.pack(">BBH", first, 126, length) + payload
    return struct.pack(">BBQ", first, 127, length) + payload


def send_all(connection, messages):
    """Sends every message: at several levels, some as they are, in fragments cut anywhere."""
    chance = random.Random(13)
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    for opcode, message in messages:
        compresses = chance.random() < 0.9
        payload = message
        if compresses:
            cut = chance.randrange(len(message) + 1)
            payload = deflate.compress(message[:cut])
            if chance.random() < 0.2:
                payload += deflate.flush(chance.choice((zlib.Z_SYNC_FLUSH, zlib.Z_PARTIAL_FLUSH)))
            payload += deflate.compress(message[cut:]) + deflate.flush(zlib.Z_SYNC_FLUSH)
            if not payload.endswith(TAIL):  # Nothing was left to flush.
                payload += b"\x00" + TAIL
            payload = payload[:-4]
        cuts = sorted(chance.randrange(len(payload) + 1) for _ in range(chance.choice((0, 0, 0, 1, 4))))
        pieces = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)])]
        for n, piece in enumerate(pieces):
            first = opcode | (0x40 if compresses else 0) if n == 0 else CONTINUATION
            connection.sendall(frame(first | (0x80 if n == len(pieces) - 1 else 0), piece))


def receive_all(stream, messages):
    inflate = zlib.decompressobj(-15)
    count = fragments = compressed = wire = 0
    for count, (opcode, wanted) in enumerate(messages, 1):
        payload, first = b"", None
        while True:
            head, piece = read_frame(stream)
            if head & 0x0F != (opcode if first is None else CONTINUATION) or first is not None and head & 0x40:
                sys.exit(f"message {count}: a frame begins with {head:#x}")
            first = head if first is None else first
            payload += piece
            fragments += 1
            if head & 0x80:
                break
        wire += len(payload)
        if first & 0x40:
            compressed += 1
            payload = inflate.decompress(payload + TAIL)
        if payload != wanted:
            sys.exit(f"message {count} of {len(wanted)} bytes differs")
    if inflate.unused_data or inflate.unconsumed_tail or inflate.eof:
        sys.exit("the client's stream has ended")
    print(f"{count} messages, {compressed} compressed, {fragments} fragments, {wire} bytes", flush=True)


def main():
    messages = list(read_messages(sys.argv[1]))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(DEADLINE_S)
    print(f"listening on ws://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    connection, _ = listener.accept()
    connection.settimeout(DEADLINE_S)
    stream = connection.makefile("rb")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += stream.readline()
    if not re.search(rb"(?i)sec-websocket-extensions: permessage-deflate", head):
        sys.exit("the client does not offer compression")
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", head).group(1)
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    sending = threading.Thread(target=send_all, args=(connection, messages), daemon=True)
    sending.start()
    receive_all(stream, messages)
    sending.join()
    first, payload = read_frame(stream)
    if first & 0x0F != CLOSE:
        sys.exit(f"a frame with {first:#x} instead of a close")
    connection.sendall(frame(0x80 | CLOSE, payload))
    connection.shutdown(socket.SHUT_WR)
    stream.read()


if __name__ == "__main__":
    main()
