#!/usr/bin/env python3
"""Writes the seed corpora, fuzz/corpus/TARGET/NAME: a few inputs each, from which the fuzzer goes on."""

import base64
import hashlib
import pathlib
import shutil
import struct
import zlib

corpus = pathlib.Path(__file__).parent / "corpus"


def frame(opcode, payload, *, fin=True, rsv1=False, key=None):
    first = opcode | (0x80 if fin else 0) | (0x40 if rsv1 else 0)
    mask = 0x80 if key else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, mask | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, mask | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, mask | 127, len(payload))
    if key:
        payload = bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))
    return head + (key or b"") + payload


def deflate(*messages, final=False):
    """Payloads of permessage-deflate, each of which may refer to those before it."""
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    payloads = []
    for message in messages:
        data = stream.compress(message) + stream.flush(zlib.Z_FINISH if final else zlib.Z_SYNC_FLUSH)
        payloads.append(data if final else data.removesuffix(b"\0\0\xff\xff"))
    return payloads


def streams(key):
    """Settings and a seed, then frames. Settings: 1 deflate, 2 context taken over, 4 and 8 the size limit, 16 and
    32 the fragment limit."""
    one, two = deflate(b"Hello, hello, hello", b"Hello, hello again")
    [whole] = deflate(b"Hello", final=True)
    [bomb] = deflate(bytes(200_000))
    text = "\N{GREEK SMALL LETTER KAPPA}\u1f79\u03c3\u03bc\u03b5 \U0001f600".encode()
    f = lambda *args, **more: frame(*args, **more, key=key)
    closing = f(8, struct.pack("!H", 1000) + b"bye")
    yield "messages", b"\x3c\x07" + f(1, b"Hello") + f(2, bytes(range(200))) + f(9, b"ping") + f(10, b"") + closing
    yield "fragments", b"\x3c\x09" + f(1, text[:3], fin=False) + f(9, b"!") + f(0, text[3:], fin=False) + f(0, b"")
    yield "compressed", b"\x3f\x05" + f(1, one, rsv1=True) + f(2, b"as it is") + f(1, two, rsv1=True) + closing
    yield "in_pieces", b"\x3f\x05" + f(2, one[:5], fin=False, rsv1=True) + f(9, b"") + f(0, one[5:]) + closing
    yield "final_block", b"\x3d\x05" + f(1, whole, rsv1=True) + f(1, whole + b"\0", rsv1=True)
    yield "bomb", b"\x39\x05" + f(2, bomb, rsv1=True)
    yield "too_big", b"\x30\x05" + f(2, bytes(101))
    yield "too_many", b"\x1c\x05" + f(2, b"a", fin=False) + 3 * f(0, b"", fin=False)
    yield "long", b"\x3c\x03" + f(2, bytes(1500)) + f(1, b"\xff") + closing


accept = base64.b64encode(
    hashlib.sha1(base64.b64encode(bytes(16)) + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
).decode()
get = "GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\n"
upgrade = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
switching = f"HTTP/1.1 101 Switching Protocols\r\n{upgrade}Sec-WebSocket-Accept: {accept}\r\n"
masks = {"masked": b"\x37\xfa\x21\x3d", "plain": None}

seeds = {
    "frame_header": {
        "small": b"\0\x81\x85\x37\xfa\x21\x3d",
        "medium": b"\1\x82\x7e\x01\0",
        "large": b"\0\x02\xff\0\0\0\0\0\1\0\0\1\2\3\4",
        "compressed": b"\3\xc1\x05",
        "close": b"\1\x88\x02\x03\xe8",
        "too_long": b"\1\x82\x7f\x80\0\0\0\0\0\0\0",
    },
    "server_stream": dict(streams(None)),
    "client_stream": dict(streams(masks["masked"])),
    "http_request": {
        "upgrade": f"\x23\x05{get}{upgrade}{key}{offer}Sec-WebSocket-Protocol: chat, x\r\nOrigin: http://example.com\r\n\r\n\x81\0",
        "plain": f"\x03\x05{get}\r\n",
        "head": "\x07\x05HEAD http://example.com:80/ HTTP/1.1\r\nHost: example.com:80\r\nContent-Length: 0\r\n\r\n",
        "post": "\x03\x05POST / HTTP/1.1\r\nHost: [::1]:9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "origin": f"\x12\x05{get}{upgrade}{key}Origin: https://example.com:443\r\n\r\n",
        "options": "\x03\x05OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    },
    "http_response": {
        "accepted": f"\x07\x05{switching}Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n\x81\0",
        "bare": f"\x03\x05{switching}\r\n",
        "refused": "\x03\x05HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n",
        "chunked": "\x03\x05HTTP/1.1 500 \r\nTransfer-Encoding: gzip, chunked\r\n\r\n2;a=b\r\nno\r\n0\r\n\r\n",
        "proxy": "\x03\x05HTTP/1.0 200 Connection established\r\n\r\n",
    },
    "ext_header": {
        "bare": "\0\x3fpermessage-deflate",
        "windows": "\0\x3fpermessage-deflate; server_max_window_bits=10; client_max_window_bits",
        "flags": "\3\x12permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        "quoted": '\0\x3fpermessage-deflate; client_max_window_bits="\\9", other;a;b=c\nthird',
    },
    "inflate": {
        "hello": b"\x07\x05" + deflate(b"Hello")[0],
        "final": b"\x06\x05" + deflate(b"Hello", final=True)[0] + b"\0",
        "refers_back": b"\x07\x15" + deflate(b"ab" * 300)[0],
        "stored": b"\x06\x05" + zlib.compress(b"stored", level=0, wbits=-15),
        "bomb": b"\x04\x05" + deflate(bytes(100_000))[0],
    },
    "url": {
        "all": "wss://me:p%40ss@b\u00fccher.example:8443/a/../b%20?q=1\n/elsewhere",
        "bare": "ws://example.com\nhttps://example.com/x",
        "v6": "ws://[::1]:9001/?\nws://other/",
        "v4": "WS://0x7f.1:080/\n//me@example.com",
    },
    # Settings: 1 with a handler, 2 freed while the second thread goes on, 4 tight limits. Then how many calls
    # are for callbacks (high half) and for the second thread (low half); then two bytes a call, what and how.
    "c_api_ops": {
        "pull": bytes([0, 0x00, 0, 9, 7, 3, 1, 50, 7, 3, 16, 0, 5, 4, 14, 0x36, 9, 0, 10, 7]),
        "push": bytes([1, 0x32, 0, 5, 9, 0, 12, 0, 1, 90, 13, 1, 0, 7, 13, 2, 4, 0, 10, 3]),
        "cut": bytes([3, 0x23, 11, 0, 10, 1, 1, 200, 3, 200, 5, 3, 4, 0, 11, 0]),
        "tight": bytes([5, 0x12, 9, 2, 1, 60, 2, 30, 1, 40, 3, 40, 6, 0, 15, 1, 15, 4]),
        "streams": bytes([2, 0x02, 14, 0xFE, 14, 0x0D, 14, 0x3E, 0, 60, 8, 2, 14, 0x31, 16, 1]),
    },
}

shutil.rmtree(corpus, ignore_errors=True)
for target, inputs in seeds.items():
    (corpus / target).mkdir(parents=True)
    for name, content in inputs.items():
        if isinstance(content, str):
            content = content.encode()
        (corpus / target / name).write_bytes(content)
