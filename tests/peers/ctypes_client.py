"""The C library from Python, by ctypes alone: what the header says, as somebody's binding would take it.

    ctypes_client.py LIBRARY URL

Connects to an echo server in each of the three styles.
"""

import ctypes
import sys
import threading
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_int64, c_size_t, c_uint16, c_void_p

OK, TIMEOUT, CLOSED, TEXT, BINARY = 0, 3, 5, 1, 2
PATIENCE_MS = 100_000

lib = ctypes.CDLL(sys.argv[1])
URL = sys.argv[2].encode()

OPEN_FN = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
MESSAGE_FN = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_void_p, c_size_t, c_void_p)
CLOSE_FN = ctypes.CFUNCTYPE(None, c_void_p, c_uint16, c_char_p, c_size_t, c_bool, c_void_p)
FREE_FN = ctypes.CFUNCTYPE(None, c_void_p)


def function(name, result, *arguments):
    it = getattr(lib, "wstrand_" + name)
    it.restype, it.argtypes = result, arguments
    return it


error_text = function("error_text", c_char_p, c_void_p)
error_free = function("error_free", None, c_void_p)
handler_new = function("handler_new", c_void_p, c_void_p, FREE_FN)
handler_free = function("handler_free", None, c_void_p)
set_on_open = function("handler_set_on_open", c_int, c_void_p, OPEN_FN)
set_on_message = function("handler_set_on_message", c_int, c_void_p, MESSAGE_FN)
set_on_close = function("handler_set_on_close", c_int, c_void_p, CLOSE_FN)
set_queue_bytes = function("handler_set_queue_bytes", c_int, c_void_p, c_size_t)
connect = function("connect", c_int, c_char_p, c_void_p, c_void_p, POINTER(c_void_p), POINTER(c_void_p))
send_text = function("connection_send_text", c_int, c_void_p, c_char_p, c_size_t, POINTER(c_void_p))
send_binary = function("connection_send_binary", c_int, c_void_p, c_char_p, c_size_t, POINTER(c_void_p))
receive = function(
    "connection_receive", c_int, c_void_p, c_int64, POINTER(c_int), POINTER(c_void_p), POINTER(c_size_t), POINTER(c_void_p)
)
dispatch = function("connection_dispatch", c_int, c_void_p, c_int64, POINTER(c_void_p))
close = function("connection_close", c_int, c_void_p, c_uint16, c_char_p, POINTER(c_void_p))
wait_closed = function("connection_wait_closed", c_int, c_void_p, c_int64, POINTER(c_void_p))
was_clean = function("connection_was_clean", c_bool, c_void_p)
free = function("connection_free", None, c_void_p)


def check(call, *arguments, wanted=OK):
    error = c_void_p()
    code = call(*arguments, byref(error))
    text = error_text(error).decode()
    error_free(error)
    assert code == wanted, f"{call.__name__}: {code}: {text}"


def opened(handler=None):
    connection = c_void_p()
    check(connect, URL, None, handler, byref(connection))
    return connection


def pull():
    connection = opened()
    kind, data, size = c_int(), c_void_p(), c_size_t()
    check(receive, connection, 0, byref(kind), byref(data), byref(size), wanted=TIMEOUT)
    for message in "hello ✓".encode(), bytes(100_000):
        is_text = message.startswith(b"hello")
        check(send_text if is_text else send_binary, connection, message, len(message))
        check(receive, connection, PATIENCE_MS, byref(kind), byref(data), byref(size))
        assert kind.value == (TEXT if is_text else BINARY)
        assert ctypes.string_at(data, size.value) == message
    check(close, connection, 1000, b"bye")
    check(receive, connection, PATIENCE_MS, byref(kind), byref(data), byref(size), wanted=CLOSED)
    assert was_clean(connection)
    free(connection)


def called_back(queue_bytes):
    seen, threads = [], set()

    def note(what):
        seen.append(what)
        threads.add(threading.get_ident())

    def on_message(connection, kind, data, size, _userdata):
        note(ctypes.string_at(data, size))
        check(close, connection, 4000, b"enough")

    # Kept, as long as the library may call them.
    functions = (
        OPEN_FN(lambda connection, _: (note("open"), check(send_text, connection, b"x", 1))[0]),
        MESSAGE_FN(on_message),
        CLOSE_FN(lambda _c, code, reason, _size, clean, _u: note((code, reason, clean))),
        FREE_FN(lambda _: seen.append("freed")),
    )
    handler = handler_new(None, functions[3])
    for set_function, it in zip((set_on_open, set_on_message, set_on_close), functions):
        assert set_function(handler, it) == OK
    assert set_queue_bytes(handler, queue_bytes) == OK
    connection = opened(handler)
    handler_free(handler)
    if queue_bytes:
        assert seen == []
        while dispatch(connection, PATIENCE_MS, None) == OK:
            pass
    check(wait_closed, connection, PATIENCE_MS)
    free(connection)
    assert seen == ["open", b"x", (4000, b"enough", True), "freed"], seen
    assert (threads == {threading.get_ident()}) == bool(queue_bytes), threads


pull()
called_back(0)
called_back(1 << 20)
print("all well")
