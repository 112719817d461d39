/**
 * @file wstrand.h
 * wstrand: WebSocket (RFC 6455, RFC 7692) for programs that block.
 *
 * Hello world:
 *
 *     #include <stdio.h>
 *     #include <wstrand.h>
 *
 *     static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size,
 *                            void *userdata)
 *     {
 *         (void)kind, (void)userdata;
 *         printf("%.*s\n", (int)size, (const char *)data);
 *         wstrand_connection_close(connection, WSTRAND_CLOSE_NORMAL, "bye", NULL);
 *     }
 *
 *     int main(void)
 *     {
 *         wstrand_connection *connection;
 *         wstrand_error *error;
 *         wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
 *         wstrand_handler_set_on_message(handler, on_message);
 *         if (wstrand_connect("ws://127.0.0.1:9001/", NULL, handler, &connection, &error) == WSTRAND_OK) {
 *             wstrand_connection_send_string(connection, "Hello", NULL);
 *             wstrand_connection_wait_closed(connection, -1, NULL);
 *         } else {
 *             fprintf(stderr, "%s\n", wstrand_error_text(error));
 *         }
 *         wstrand_connection_free(connection);
 *         wstrand_handler_free(handler);
 *         wstrand_error_free(error);
 *         return 0;
 *     }
 *
 *     cc hello.c $(pkg-config --cflags --libs wstrand) -o hello
 *
 * The model. Calls do what they say before they return, or fail; there is no event loop to run. A connection
 * receives in one of three styles:
 *
 * - Pull. Connect without a handler, and call `wstrand_connection_receive`, with a timeout or for ever. Nothing
 *   runs while the program is away; pings are answered while it receives.
 * - Callbacks. Connect with a handler, as above: a thread of the connection's own receives and calls back.
 * - Queue. Give the handler `wstrand_handler_set_queue_bytes`: the thread receives, and the callbacks wait until
 *   the program calls `wstrand_connection_dispatch`, on the thread that it likes. For a program with a loop of
 *   its own there is a descriptor to poll, `wstrand_connection_event_descriptor`.
 *
 * Sending is the same in all of them: any number of threads send on a connection at the same time, inside
 * callbacks too, while another one receives; every message goes out whole. A server is a handler with an
 * address, and runs each connection on a thread of its own, which calls back; inside `on_connection` it may pull.
 * Every wait has a deadline, and every default is safe for a program that faces the network.
 *
 * The order of events of a connection, none of which overlap:
 *
 *     [on_request] [on_connection] on_open (on_message | on_ping | on_pong)* [on_error] on_close
 *
 * Those in brackets need not come; the first two are a server's. A client that goes during `on_request`, or
 * that it refuses, has no further events. Nothing comes after `on_close`, and nothing at
 * all once the program has freed a client's connection. A client that connects again, `wstrand_reconnect`, has one
 * connection after another, with `on_attempt` before each attempt and `on_down` after each.
 *
 * Who owns what:
 *
 *     type                made by                              freed by                  threads
 *     wstrand_options     wstrand_options_new                  wstrand_options_free      one at a time
 *     wstrand_cancel      wstrand_cancel_new                   wstrand_cancel_free       any, at once
 *     wstrand_handler     wstrand_handler_new                  wstrand_handler_free      one at a time
 *     wstrand_connection  wstrand_connect*; a server or        wstrand_connection_free,  any, at once;
 *                         wstrand_reconnect (lent),            once for each connect     one receives
 *                         wstrand_connection_retain            and each retain           or dispatches
 *     wstrand_writer      wstrand_connection_begin_message     wstrand_writer_free       one at a time
 *     wstrand_prepared    wstrand_prepared_new*                wstrand_prepared_free     any, at once
 *     wstrand_group       wstrand_group_new                    wstrand_group_free        any, at once
 *     wstrand_reconnecting
 *                         wstrand_reconnect                    wstrand_reconnecting_free any, at once
 *     wstrand_attempt     the library: lent to on_attempt      -                         that callback's
 *     wstrand_down        the library: lent to on_down         -                         that callback's
 *     wstrand_server      wstrand_server_new*                  wstrand_server_free       any, at once
 *     wstrand_error       a failed call, through `error`       wstrand_error_free        any, at once
 *                         (lent to on_error, on_down),
 *                         wstrand_error_copy
 *     wstrand_request     the library: lent to on_request,     -                         any, at once
 *                         wstrand_connection_request
 *     wstrand_response    the library: lent to on_request      -                         that callback's
 *     userdata            the program                          its userdata_free,        as the program
 *                                                              called once, last         sees fit
 *
 * (A name with * stands for all that begin so.) What is lent is not freed. Options and handlers may be freed as
 * soon as they were used, in any order and while connections go on. Text and bytes that a function returns
 * belong to the handle that they were asked of; text and bytes that a function takes are copied, or sent, before
 * it returns.
 *
 * What holds for every function:
 *
 * - A function that can fail returns a code, WSTRAND_OK (0) or a positive number. Results go to `out`
 *   pointers, which are written on success only; but a pointer to a handle becomes NULL on failure.
 * - A last parameter `wstrand_error **error` may be NULL. Else it is set to NULL on success, and on failure
 *   to an object that tells more, which the caller frees. It need not be initialised.
 * - Text is UTF-8 and is checked. Bytes are a pointer and a size; (NULL, 0) are no bytes, NULL with any other
 *   size is WSTRAND_INVALID_ARGUMENT, as is NULL for a handle. Functions that cannot fail take NULL
 *   too, and say what they return for it.
 * - It blocks only if it says so. It may be called inside every callback, of the same connection too, unless it
 *   says otherwise; not in a signal handler. "Threads" says which threads may call it: "any" is at the same time
 *   as others, "one at a time" is for the program to see to.
 * - A bug of the library's that shows is caught, and any function that returns a code may return WSTRAND_PANIC
 *   for it. No function ends the process, raises SIGPIPE or touches the program's signals. The library's
 *   threads, on which callbacks run, take none: they block all but those that a thread raises by its own
 *   fault, and SIGPROF.
 * - A process that has connected or made a server may fork to exec: no descriptor of the library's gets through.
 *   A child that does not exec must leave all handles to its parent: every function returns WSTRAND_FORKED there,
 *   or what it returns for NULL. It frees nothing, takes over neither descriptor nor userdata, looks at no handle, and
 *   writes nothing but NULL to `*error`: where a result was to go there is what was there before. A process that forks
 *   before that may use the library after.
 * - `close` is the protocol's closing handshake, `shutdown` cuts a connection, `free` gives memory back.
 *
 * What is where, in the order of this file: constants, types of handles and callbacks; then the functions of
 * versions and codes, wstrand_error, wstrand_options (all ends; compression; dialling; TLS; reconnecting), wstrand_cancel,
 * wstrand_handler, connecting, sending, receiving, dispatching, closing, what a wstrand_connection knows,
 * wstrand_writer, wstrand_prepared, wstrand_group, wstrand_reconnecting, wstrand_attempt, wstrand_down,
 * wstrand_server, counters, wstrand_request, wstrand_response, the log.
 */

#ifndef WSTRAND_H
#define WSTRAND_H

/* Generated by cbindgen from ffi/src/. Do not edit: change the doc comments there. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The version of this header, its first number; `wstrand_version` tells that of the library. */
#define WSTRAND_VERSION_MAJOR 0
/** The second number. */
#define WSTRAND_VERSION_MINOR 1
/** The third number. */
#define WSTRAND_VERSION_PATCH 0

/** The number in the shared library's name: raised by what old programs could not run with. */
#define WSTRAND_ABI_VERSION 0

/** @def WSTRAND_NODISCARD
 * The compiler warns where the result of the function is ignored. */
#if (defined(__cplusplus) && __cplusplus >= 201703L) \
    || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
# define WSTRAND_NODISCARD [[nodiscard]]
#elif defined(__GNUC__)
# define WSTRAND_NODISCARD __attribute__((warn_unused_result))
#else
# define WSTRAND_NODISCARD
#endif


/**
 * It worked.
 */
#define WSTRAND_OK 0

/**
 * An argument cannot be used: NULL, not UTF-8, out of its range, against the protocol. Nothing was done.
 */
#define WSTRAND_INVALID_ARGUMENT 1

/**
 * The call is right at another time, or for a connection of another style. Nothing was done.
 */
#define WSTRAND_INVALID_STATE 2

/**
 * The time for this call is over. Nothing is lost, and a connection is as it was: call again.
 */
#define WSTRAND_TIMEOUT 3

/**
 * The peer did not answer a ping or Close, or did not take what was sent, in time. The connection has
 * failed.
 */
#define WSTRAND_UNRESPONSIVE 4

/**
 * The connection is closed cleanly; of a call that sends: it is closing or closed.
 */
#define WSTRAND_CLOSED 5

/**
 * The connection ended without a closing handshake, as when the peer's process dies (close code 1006).
 */
#define WSTRAND_LOST 6

/**
 * There is no room in the send buffer, or for a client that connects again no connection and no room in its queue.
 * Nothing was sent.
 */
#define WSTRAND_FULL 7

/**
 * Another thread is using what only one thread at a time may use. Nothing was done.
 */
#define WSTRAND_BUSY 8

/**
 * The call would wait for the callback that it is made in. Nothing was done.
 */
#define WSTRAND_WOULD_DEADLOCK 9

/**
 * The operating system or the network failed: `wstrand_error_os_code`.
 */
#define WSTRAND_IO 10

/**
 * The server refused the opening handshake, `wstrand_error_http_status`, or does not speak WebSocket.
 */
#define WSTRAND_HANDSHAKE 11

/**
 * The peer broke the protocol. The connection was failed with `wstrand_error_close_code`.
 */
#define WSTRAND_PROTOCOL 12

/**
 * There is no memory for a message. One that was to be sent was not; else the connection has failed.
 */
#define WSTRAND_OUT_OF_MEMORY 13

/**
 * A bug in the library was caught. The handle should be freed.
 */
#define WSTRAND_PANIC 14

/**
 * TLS failed: the server's certificate is not to be trusted, the two could not agree, or a certificate or key of
 * the program's cannot be used. Also where the library was built without TLS.
 */
#define WSTRAND_TLS 15

/**
 * The proxy did not open a way to the server, or TLS with it failed: `wstrand_error_http_status` tells 407 where it
 * asks for credentials.
 */
#define WSTRAND_PROXY 16

/**
 * Connecting was given up, by `wstrand_cancel_trigger` or `wstrand_reconnecting_close`.
 */
#define WSTRAND_CANCELLED 17

/**
 * This process was forked from one that had a connection or a server. Nothing was done: see the top of this header.
 */
#define WSTRAND_FORKED 18

/**
 * TLS 1.2 (RFC 5246).
 */
#define WSTRAND_TLS_1_2 12

/**
 * TLS 1.3 (RFC 8446).
 */
#define WSTRAND_TLS_1_3 13

/**
 * A message of UTF-8 text.
 */
#define WSTRAND_TEXT 1

/**
 * A message of any bytes.
 */
#define WSTRAND_BINARY 2

/**
 * The purpose of the connection is fulfilled (RFC 6455, section 7.4.1, as the following).
 */
#define WSTRAND_CLOSE_NORMAL 1000

/**
 * The end goes away: a server stops, a page is left.
 */
#define WSTRAND_CLOSE_GOING_AWAY 1001

/**
 * The other end broke the protocol.
 */
#define WSTRAND_CLOSE_PROTOCOL_ERROR 1002

/**
 * The end cannot take this kind of data.
 */
#define WSTRAND_CLOSE_UNSUPPORTED_DATA 1003

/**
 * Only reported: the peer's Close had no code.
 */
#define WSTRAND_CLOSE_NO_STATUS 1005

/**
 * Only reported: the connection ended without a Close from the peer.
 */
#define WSTRAND_CLOSE_ABNORMAL 1006

/**
 * A message is not what its type says, such as text that is not UTF-8.
 */
#define WSTRAND_CLOSE_INVALID_PAYLOAD 1007

/**
 * A message breaks the end's policy.
 */
#define WSTRAND_CLOSE_POLICY_VIOLATION 1008

/**
 * A message is too big.
 */
#define WSTRAND_CLOSE_MESSAGE_TOO_BIG 1009

/**
 * The client wanted an extension that the server did not negotiate.
 */
#define WSTRAND_CLOSE_MANDATORY_EXTENSION 1010

/**
 * The end met a condition that it did not expect.
 */
#define WSTRAND_CLOSE_INTERNAL_ERROR 1011

/**
 * The server restarts (IANA's registry, as the following).
 */
#define WSTRAND_CLOSE_SERVICE_RESTART 1012

/**
 * The server is overloaded.
 */
#define WSTRAND_CLOSE_TRY_AGAIN_LATER 1013

/**
 * A gateway got a bad answer.
 */
#define WSTRAND_CLOSE_BAD_GATEWAY 1014

/**
 * The longest close reason, in bytes.
 */
#define WSTRAND_CLOSE_REASON_MAX 123

/**
 * The connection is being opened. No connection that a program sees is in this state.
 */
#define WSTRAND_CONNECTING 0

/**
 * Messages may be sent.
 */
#define WSTRAND_OPEN 1

/**
 * The closing handshake has begun, or the connection has failed.
 */
#define WSTRAND_CLOSING 2

/**
 * The connection has ended.
 */
#define WSTRAND_ENDED 3

/**
 * A member of a group that does not keep up is closed with code 1013, "too slow", and leaves.
 */
#define WSTRAND_OVERFLOW_CLOSE 1

/**
 * A member of a group that does not keep up misses messages, without being told.
 */
#define WSTRAND_OVERFLOW_DROP 2

/**
 * There will be another attempt.
 */
#define WSTRAND_STOP_NOT 0

/**
 * There will be none: `wstrand_reconnecting_close` was called.
 */
#define WSTRAND_STOP_CLOSED 1

/**
 * `wstrand_attempt_give_up` was called.
 */
#define WSTRAND_STOP_GIVEN_UP 2

/**
 * The HTTP status or the close code in the error is final, or the code with which the session was closed here.
 */
#define WSTRAND_STOP_ANSWER 3

/**
 * The URL or a header field that `on_attempt` set cannot be used.
 */
#define WSTRAND_STOP_MISUSE 4

/**
 * `wstrand_options_set_reconnect_max_attempts` was reached.
 */
#define WSTRAND_STOP_ATTEMPTS 5

/**
 * `wstrand_options_set_reconnect_give_up_after_ms` would be over before the next attempt.
 */
#define WSTRAND_STOP_TIME 6

/**
 * A bug in the library was caught.
 */
#define WSTRAND_STOP_PANIC 7

/**
 * Messages sent, one in fragments when its last one is. They count as soon as a call has accepted them.
 */
#define WSTRAND_STAT_MESSAGES_SENT 1

/**
 * Messages received, as they are handed out.
 */
#define WSTRAND_STAT_MESSAGES_RECEIVED 2

/**
 * Bytes of messages sent, before compression.
 */
#define WSTRAND_STAT_PAYLOAD_BYTES_SENT 3

/**
 * Bytes of messages received, after decompression.
 */
#define WSTRAND_STAT_PAYLOAD_BYTES_RECEIVED 4

/**
 * Bytes of frames sent: compressed, with headers, control frames too. Neither the opening handshake nor what
 * TLS adds.
 */
#define WSTRAND_STAT_WIRE_BYTES_SENT 5

/**
 * Bytes of frames received, likewise.
 */
#define WSTRAND_STAT_WIRE_BYTES_RECEIVED 6

/**
 * Bytes that wait to be handed to the operating system.
 */
#define WSTRAND_STAT_BUFFERED_BYTES 7

/**
 * The most bytes that have waited so on a connection.
 */
#define WSTRAND_STAT_MOST_BUFFERED_BYTES 8

/**
 * How long a connection's peer took to answer the last of the library's own pings, in microseconds; 0 if none was
 * answered yet.
 */
#define WSTRAND_STAT_ROUND_TRIP_US 9

/**
 * The same smoothed: an eighth of each round trip and seven of what was before (RFC 6298, section 2).
 */
#define WSTRAND_STAT_SMOOTHED_ROUND_TRIP_US 10

/**
 * A server's connections in their opening handshake, or with plain HTTP.
 */
#define WSTRAND_STAT_OPENING 11

/**
 * A server's connections that are open.
 */
#define WSTRAND_STAT_OPEN 12

/**
 * A server's connections in their closing handshake, or that have failed.
 */
#define WSTRAND_STAT_CLOSING 13

/**
 * Connections that a server ever opened.
 */
#define WSTRAND_STAT_ACCEPTED 14

/**
 * Requests that `on_request` answered itself: pages, health checks, refusals of its own.
 */
#define WSTRAND_STAT_ANSWERED 15

/**
 * Connections that found a server full, and got status 503.
 */
#define WSTRAND_STAT_REFUSED_FULL 16

/**
 * Connections that were cut because they took more than a second over their request, and others wanted the place.
 */
#define WSTRAND_STAT_REFUSED_SLOW 17

/**
 * Connections that took longer than the handshake timeout.
 */
#define WSTRAND_STAT_REFUSED_TIMEOUT 18

/**
 * Connections whose request was malformed, too large, no opening handshake, or one of another version.
 */
#define WSTRAND_STAT_REFUSED_REQUEST 19

/**
 * Connections from a page of an origin that is not allowed.
 */
#define WSTRAND_STAT_REFUSED_ORIGIN 20

/**
 * Connections with which TLS could not be agreed on.
 */
#define WSTRAND_STAT_REFUSED_TLS 21

/**
 * Connections that ended before the opening handshake was over: the peer left, the network failed, or the server
 * was stopped.
 */
#define WSTRAND_STAT_REFUSED_LOST 22

/**
 * Connections for which no thread could be started; they got status 503.
 */
#define WSTRAND_STAT_REFUSED_THREAD 23

/**
 * How often a server had to wait before it could accept, because the system was short of descriptors, memory or threads.
 */
#define WSTRAND_STAT_SHORTAGES 24

/**
 * No logging.
 */
#define WSTRAND_LOG_OFF 0

/**
 * What should not happen, such as a bug.
 */
#define WSTRAND_LOG_ERROR 1

/**
 * What an operator may want to do something about, such as a lack of descriptors.
 */
#define WSTRAND_LOG_WARN 2

/**
 * What is worth knowing.
 */
#define WSTRAND_LOG_INFO 3

/**
 * What helps to find out, such as why a client was refused.
 */
#define WSTRAND_LOG_DEBUG 4

/**
 * Everything.
 */
#define WSTRAND_LOG_TRACE 5

/**
 * An attempt to connect that is about to begin, lent to `on_attempt`.
 *
 * What is set lasts: for this attempt, and for those that follow until it is set again. What cannot be used, which is
 * seen when it is connected with, makes the client stop.
 */
typedef struct wstrand_attempt wstrand_attempt;

/**
 * Gives up connecting from another thread, whatever it is waiting for: the name, TCP, a proxy, TLS or the opening
 * handshake.
 *
 * Made by `wstrand_cancel_new`, freed by `wstrand_cancel_free`; `wstrand_options_set_cancel` says what it is for,
 * any number of connects. All functions may be called from any thread.
 */
typedef struct wstrand_cancel wstrand_cancel;

/**
 * A WebSocket connection, of a client or of a server.
 *
 * Made by `wstrand_connect`, or by a server or `wstrand_reconnect` and lent to its callbacks. It is counted by reference:
 * `wstrand_connect` and `wstrand_connection_retain` give the caller one reference each, and
 * `wstrand_connection_free` takes one back. All functions may be called from any thread that has a
 * reference, and inside callbacks; sending, receiving and closing go on at the same time.
 */
typedef struct wstrand_connection wstrand_connection;

/**
 * That there is no connection, why, and what comes next; lent to `on_down`.
 */
typedef struct wstrand_down wstrand_down;

/**
 * Why a call failed, in full.
 *
 * Made by functions whose last parameter is `wstrand_error **error`, where that is not NULL: they set `*error`
 * to a new object on failure, which the caller frees with `wstrand_error_free`, and to NULL on success. The
 * one that `on_error` gets belongs to the library; `wstrand_error_copy` keeps it. It does not change, so any
 * number of threads may look at it.
 */
typedef struct wstrand_error wstrand_error;

/**
 * Connections that are sent the same messages: a room, a channel, the subscribers of a topic.
 *
 * Made by `wstrand_group_new`, freed by `wstrand_group_free`. A connection is in any number of groups at once. It leaves
 * by `wstrand_group_leave`, or by itself as soon as nothing can be sent on it any more: when either side has sent
 * Close, it has failed, or the program has freed it. The group keeps no connection open.
 *
 * A message is framed once, and compressed once for all members that compress alike; a large one is shared by all
 * that still have to write it. (A client's connection masks each frame with a key of its own, so there it is framed
 * anew.) Each member's socket is given what it takes at once, by the calling thread, or by one of the group's where there
 * are many members. The rest waits, `max_buffered_bytes` for a member at the most, and is sent in the background. So no
 * member ever holds up a call, nor another member.
 *
 * All members get the messages of a group in the same order, however many threads send.
 */
typedef struct wstrand_group wstrand_group;

/**
 * The functions that are called back, and the pointer that they get.
 *
 * Made by `wstrand_handler_new`, freed by `wstrand_handler_free`. `wstrand_connect`, `wstrand_reconnect` and
 * `wstrand_server_new` copy it and hold on to its userdata, so it may be used again, changed and freed
 * right after; `userdata_free` is called when the handler and everything that was made with it are gone.
 *
 * What every callback may rely on:
 *
 * - The callbacks of one connection come one at a time, all from that connection's own thread, which is
 *   never the thread that called `wstrand_connect`; with a queue, from whichever thread dispatches. Those of
 *   different connections overlap.
 * - Their order is `on_open`, then any number of `on_message`, `on_ping` and `on_pong`, then `on_error`
 *   if the connection failed, then `on_close`, once; nothing comes after it.
 * - No lock of the library's is held, so each may call every function of this header. One that takes
 *   long holds up its own connection and no other.
 * - What it gets by pointer lives until it returns, and `connection` at least as long; see
 *   `wstrand_connection_retain`.
 * - It returns. A callback must not leave by `longjmp` or `pthread_exit`; a C++ exception that leaves it
 *   ends the process.
 */
typedef struct wstrand_handler wstrand_handler;

/**
 * Limits, deadlines, subprotocols, header fields, TLS and how to reach a peer, for clients and servers alike.
 *
 * Made by `wstrand_options_new`, freed by `wstrand_options_free`. The functions that connect or make a server
 * copy what they need, so it may be used again, changed and freed right after. NULL stands for the
 * defaults everywhere, and a new object has those defaults.
 *
 * The functions that change it return a code, which a program may ignore: what was refused is
 * remembered, and whoever is given the options then fails with the same code and a text that names it.
 *
 * Times are in milliseconds and at least 1; each is a deadline for the whole of what it names.
 */
typedef struct wstrand_options wstrand_options;

/**
 * A message to send to many connections: framed once, and compressed once for all those that compress alike.
 *
 * Made by `wstrand_prepared_new` or `wstrand_prepared_new_uncompressed`, freed by `wstrand_prepared_free`. It does not
 * change, so any number of threads may send it at once, any number of times.
 *
 * It saves work for a server's connections. A client masks each of its frames with a key of its own
 * (RFC 6455, section 5.3), so there it is sent like any other message.
 */
typedef struct wstrand_prepared wstrand_prepared;

/**
 * A client that connects again when its connection is lost.
 *
 * Made by `wstrand_reconnect`, freed by `wstrand_reconnecting_free`. All functions may be called from any thread, and
 * inside callbacks.
 */
typedef struct wstrand_reconnecting wstrand_reconnecting;

/**
 * What a client asked for: the request line and header fields of an opening handshake or of plain HTTP.
 *
 * Lent to `on_request` until it returns, and by `wstrand_connection_request` for as long as the connection
 * lives. All its text lives as long as itself. It does not change, so any number of threads may look.
 */
typedef struct wstrand_request wstrand_request;

/**
 * What a server answers to a request; lent to `on_request` until that returns.
 *
 * Untouched, opening handshakes are accepted, and plain requests are refused with status 426.
 * `wstrand_response_accept` and `wstrand_response_set_status` say otherwise; the last of them counts.
 */
typedef struct wstrand_response wstrand_response;

/**
 * A server, which runs each connection on its own thread.
 *
 * Made by `wstrand_server_new` and its neighbours, freed by `wstrand_server_free`; started once, by
 * `wstrand_server_start` or `wstrand_server_run`. All functions may be called from any thread, and inside
 * callbacks.
 */
typedef struct wstrand_server wstrand_server;

/**
 * A message that is sent in fragments as it is written (RFC 6455, section 5.4): one whose length is not
 * known beforehand, or that is too long to hold.
 *
 * Made by `wstrand_connection_begin_message`, ended by `wstrand_writer_finish`, freed by
 * `wstrand_writer_free`. It needs no reference to its connection.
 */
typedef struct wstrand_writer wstrand_writer;

/**
 * Gives back what `userdata` points to.
 *
 * Called exactly once for each pointer that was handed over together with this function, as the last
 * thing that happens to that pointer; from whichever thread that is. May call every function but those
 * on the handle that is going away.
 */
typedef void (*wstrand_free_fn)(void *userdata);

/**
 * The connection is open.
 */
typedef void (*wstrand_open_fn)(wstrand_connection *connection, void *userdata);

/**
 * A message came, whole, however many fragments it was sent in. `kind` is WSTRAND_TEXT, and the `size`
 * bytes at `data` are UTF-8, or WSTRAND_BINARY. They are not terminated by a NUL, and are gone when the
 * callback returns: print text with `printf("%.*s", (int)size, (const char *)data)`, and copy what is to
 * be kept.
 */
typedef void (*wstrand_message_fn)(wstrand_connection *connection,
                                   int kind,
                                   const void *data,
                                   size_t size,
                                   void *userdata);

/**
 * A ping came, whose answer is on the way, or a pong: also those that answer the library's own pings, of
 * 4 bytes. `size` is at most 125 (RFC 6455, section 5.5).
 */
typedef void (*wstrand_control_fn)(wstrand_connection *connection,
                                   const void *data,
                                   size_t size,
                                   void *userdata);

/**
 * The connection has failed; `on_close` follows. `error` belongs to the library.
 */
typedef void (*wstrand_error_fn)(wstrand_connection *connection,
                                 const wstrand_error *error,
                                 void *userdata);

/**
 * The connection has ended, and nothing follows. `code` is the one that the peer's Close had; 1005 if it
 * had none; 1006 if no Close came. `reason` is UTF-8 with a NUL behind it; `reason_size` tells its length
 * in case there is a NUL in it. `was_clean` tells whether both sides have sent Close
 * (RFC 6455, section 7.1).
 */
typedef void (*wstrand_close_fn)(wstrand_connection *connection,
                                 uint16_t code,
                                 const char *reason,
                                 size_t reason_size,
                                 bool was_clean,
                                 void *userdata);

/**
 * A client sent a request to the server; see `wstrand_handler_set_on_request`. Both pointers live until
 * the callback returns.
 */
typedef void (*wstrand_request_fn)(const wstrand_request *request,
                                   wstrand_response *response,
                                   void *userdata);

/**
 * A client has connected to the server, and this is the connection's own thread; see
 * `wstrand_handler_set_on_connection`.
 */
typedef void (*wstrand_connection_fn)(wstrand_connection *connection, void *userdata);

/**
 * A client that connects again is about to connect; see `wstrand_handler_set_on_attempt`. `attempt` lives until the
 * callback returns.
 */
typedef void (*wstrand_attempt_fn)(wstrand_attempt *attempt, void *userdata);

/**
 * A client that connects again has no connection; see `wstrand_handler_set_on_down`. `down` lives until the callback
 * returns.
 */
typedef void (*wstrand_down_fn)(const wstrand_down *down, void *userdata);

/**
 * A line of the log: `level` is WSTRAND_LOG_ERROR to WSTRAND_LOG_TRACE, `target` is the part of the library
 * that speaks, such as "wstrand", and `text` says what. Both live until the callback returns.
 *
 * It comes from whichever thread has something to say, from several at once too. No lock is held, and
 * it may call every function of this header; what those log meanwhile is dropped.
 */
typedef void (*wstrand_log_fn)(int level, const char *target, const char *text, void *userdata);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Tells the version of the library that the program runs with, such as "0.1.0".
 *
 * The macros WSTRAND_VERSION_MAJOR, _MINOR and _PATCH are that of the header it was compiled with.
 *
 * Threads: any.
 *
 * @return Static text.
 */
const char *wstrand_version(void);

/**
 * Tells the ABI version of the library that the program runs with.
 *
 * A program that loads the library by itself compares it with WSTRAND_ABI_VERSION; others are kept
 * from a wrong one by its name, libwstrand.so.N.
 *
 * Threads: any.
 *
 * @return The number.
 */
int wstrand_abi_version(void);

/**
 * Says what a code means.
 *
 * Threads: any.
 *
 * @return Static text in English, without a full stop; "unknown code" for what is none.
 */
const char *wstrand_strerror(int code);

/**
 * Copies an error, as to keep the one that `on_error` gets.
 *
 * Threads: any.
 *
 * @return The copy, which the caller frees; NULL for NULL.
 */
WSTRAND_NODISCARD wstrand_error *wstrand_error_copy(const wstrand_error *error);

/**
 * Tells the code, the same that the function returned.
 *
 * Threads: any.
 *
 * @return One of the constants; WSTRAND_OK if `error` is NULL.
 */
int wstrand_error_code(const wstrand_error *error);

/**
 * Tells everything in words, such as "connect: Connection refused (os error 111)".
 *
 * Threads: any.
 *
 * @return Text in English, without a full stop, that lives as long as `error`; "no error" if that is NULL.
 */
const char *wstrand_error_text(const wstrand_error *error);

/**
 * Tells what was being done: "resolve", "connect", "proxy", "TLS handshake", "opening handshake", "receive",
 * "send", "wait for room to send", "keepalive ping", "closing handshake", "bind", "accept", "start a thread".
 *
 * Threads: any.
 *
 * @return Static text; "" if there is nothing to tell, or `error` is NULL.
 */
const char *wstrand_error_phase(const wstrand_error *error);

/**
 * Tells the operating system's error number, as in `errno`.
 *
 * Threads: any.
 *
 * @return The number; 0 if there is none, or `error` is NULL.
 */
int wstrand_error_os_code(const wstrand_error *error);

/**
 * Tells the close code: for WSTRAND_PROTOCOL the one that the peer was sent, for WSTRAND_CLOSED and
 * WSTRAND_LOST the one that the connection ended with (RFC 6455, section 7.4).
 *
 * Threads: any.
 *
 * @return The code; 0 if there is none, or `error` is NULL.
 */
uint16_t wstrand_error_close_code(const wstrand_error *error);

/**
 * Tells the HTTP status of a server that refused the opening handshake, such as 403; for WSTRAND_PROXY that of
 * a proxy that refused CONNECT, such as 407.
 *
 * Threads: any.
 *
 * @return The status; 0 if there was no such answer, or `error` is NULL.
 */
int wstrand_error_http_status(const wstrand_error *error);

/**
 * Tells a header field of the answer that refused the opening handshake, or CONNECT.
 *
 * Threads: any.
 *
 * @param name Upper and lower case are the same.
 * @param index 0 for the field's first value, 1 for the second if it is repeated, and so on.
 * @return Text that lives as long as `error`; NULL if there is no such field, or for NULL.
 */
const char *wstrand_error_http_header(const wstrand_error *error, const char *name, size_t index);

/**
 * Tells the body of the answer that refused the opening handshake, or CONNECT, its first 4 KiB.
 *
 * Threads: any.
 *
 * @param size Where the number of bytes goes, 0 if there is no body. May be NULL.
 * @return The bytes, and a NUL behind them, which live as long as `error`; NULL if there is no body, or
 * `error` is NULL.
 */
const void *wstrand_error_http_body(const wstrand_error *error,
                                    size_t *size);

/**
 * Frees an error object. NULL is fine.
 *
 * Threads: any, the last to use it. Not for the one that `on_error` gets.
 */
void wstrand_error_free(wstrand_error *error);

/**
 * Makes options that are all at their defaults.
 *
 * Threads: any. An options object is used by one thread at a time.
 *
 * @return The options, which the caller frees; never NULL but for a bug in the library.
 */
WSTRAND_NODISCARD wstrand_options *wstrand_options_new(void);

/**
 * Frees options. NULL is fine. What was made with them is not affected.
 *
 * Threads: any, the last to use them.
 */
void wstrand_options_free(wstrand_options *options);

/**
 * Adds a subprotocol (RFC 6455, section 1.9). A client offers them in this order; a server chooses the
 * first of its own that the client offers. None by default.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is not a token, or for NULL.
 */
int wstrand_options_add_subprotocol(wstrand_options *options,
                                    const char *subprotocol);

/**
 * Adds a header field to a client's request, such as Authorization or Origin. Servers ignore it.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the name is not a token, the value has anything but
 * printable ASCII (line ends above all), the handshake owns the field (Host, Upgrade, Sec-WebSocket-*), or
 * for NULL.
 */
int wstrand_options_add_header(wstrand_options *options,
                               const char *name,
                               const char *value);

/**
 * Sets how long connecting may take: resolving the name, TCP, the proxy, TLS, the opening handshake and all redirects
 * together. 20,000 ms by default. Servers ignore it.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `timeout_ms` is less than 1, or for NULL.
 */
int wstrand_options_set_connect_timeout_ms(wstrand_options *options,
                                           int64_t timeout_ms);

/**
 * Sets how long a received message may be, in bytes, over all its fragments and after decompressing. A longer
 * one fails the connection with code 1009. 16 MiB by default.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_max_message_bytes(wstrand_options *options,
                                          size_t bytes);

/**
 * Sets how many fragments a received message may have. More fail the connection with code 1008.
 * 131,072 by default.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is 0, or for NULL.
 */
int wstrand_options_set_max_fragments(wstrand_options *options, size_t fragments);

/**
 * Sets how long the peer's HTTP head may be in the opening handshake, in bytes. 16 KiB by default.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is 0, or for NULL.
 */
int wstrand_options_set_max_head_bytes(wstrand_options *options, size_t bytes);

/**
 * Sets how many bytes may wait to be sent on a connection. Above that, sending waits, and the functions
 * that only try return WSTRAND_FULL. One message may always wait, however long it is. 1 MiB by default.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is 0, or for NULL.
 */
int wstrand_options_set_max_buffered_bytes(wstrand_options *options,
                                           size_t bytes);

/**
 * Sets how long one call that sends may wait for room, and then again how long until the operating system
 * has taken the message, which it does as the peer takes what came before; and once more where it has begun to
 * write what others have sent meanwhile. What is sent in the background fails the connection where the system does
 * not take 64 KiB of it, or all, in that time. 30,000 ms by default.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `timeout_ms` is less than 1, or for NULL.
 */
int wstrand_options_set_send_timeout_ms(wstrand_options *options,
                                        int64_t timeout_ms);

/**
 * Sets how long the closing handshake may take, with what still waits to be sent before it; then the
 * connection is cut. 5,000 ms by default.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `timeout_ms` is less than 1, or for NULL.
 */
int wstrand_options_set_close_timeout_ms(wstrand_options *options,
                                         int64_t timeout_ms);

/**
 * Sets how often a ping is sent to see whether the peer is still there; 0 turns that off.
 * 20,000 ms by default.
 *
 * The peer is judged only while a thread waits for its data: a program that is busy in a callback, or
 * does not call `wstrand_connection_receive` for a while, is not taken for a dead peer.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `interval_ms` is negative, or for NULL.
 */
int wstrand_options_set_ping_interval_ms(wstrand_options *options,
                                         int64_t interval_ms);

/**
 * Sets how long after a ping the peer may stay silent; any byte from it counts. Then the connection
 * fails with WSTRAND_UNRESPONSIVE. 20,000 ms by default.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `timeout_ms` is less than 1, or for NULL.
 */
int wstrand_options_set_pong_timeout_ms(wstrand_options *options, int64_t timeout_ms);

/**
 * Sets whether TCP sends small messages at once (TCP_NODELAY), rather than let one wait until the peer has
 * acknowledged the one before. On by default.
 *
 * Threads: one at a time.
 *
 * @param nodelay 0 for off, any other number for on.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_tcp_nodelay(wstrand_options *options,
                                    int nodelay);

/**
 * Sets whether TCP asks a silent peer for a sign of life (SO_KEEPALIVE), in the system's own time: after two
 * hours, usually. On by default: it ends connections that have no pings and on which nothing is sent.
 *
 * Threads: one at a time.
 *
 * @param keepalive 0 for off, any other number for on.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_tcp_keepalive(wstrand_options *options,
                                      int keepalive);

/**
 * Lets web pages of this origin connect to a server, such as "https://example.com", besides those that
 * the server's own host and port serve (RFC 6455, section 10.2). Clients ignore it.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is not UTF-8, or for NULL. What is not an origin is
 * refused by `wstrand_server_start` and `wstrand_server_run`.
 */
int wstrand_options_add_allowed_origin(wstrand_options *options,
                                       const char *origin);

/**
 * Lets web pages of any origin connect to a server. Cookies are of no use to tell who the user is then:
 * any page can make the user's browser connect with them (RFC 6455, section 10.2). Clients ignore it.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_allow_any_origin(wstrand_options *options);

/**
 * Sets how many connections a server serves at once, opening handshakes included; clients beyond get
 * HTTP status 503. 1,024 by default. Clients ignore it.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_max_connections(wstrand_options *options,
                                        size_t connections);

/**
 * Sets how many clients may be slow over their opening handshakes with a server at once. Where so many have not
 * sent their request yet, or where `max_connections` is reached, each newcomer has the one cut that has taken longest,
 * if that is more than a second: so clients that connect and say nothing keep nobody out. 128 by default. Clients
 * ignore it.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_max_handshakes(wstrand_options *options,
                                       size_t clients);

/**
 * Sets how long a client may take for the opening handshake with a server, from its connecting on.
 * 10,000 ms by default. Clients ignore it.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `timeout_ms` is less than 1, or for NULL.
 */
int wstrand_options_set_handshake_timeout_ms(wstrand_options *options, int64_t timeout_ms);

/**
 * Sets the size of the stacks that a server's callbacks run on, in bytes. It is reserved, not used:
 * memory is taken as a stack grows. 512 KiB by default. Clients ignore it; theirs have 2 MiB.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_stack_bytes(wstrand_options *options, size_t bytes);

/**
 * Sets whether messages are compressed with peers that do so too (permessage-deflate, RFC 7692). Off by
 * default; `wstrand_connection_extensions` tells what was agreed on. The parameters below are kept while it is
 * off, and setting one does not turn it on.
 *
 * A connection that compresses takes 370 KiB to send and 47 KiB to receive, from its first message that is
 * compressed on. `wstrand_options_set_max_message_bytes` counts what comes out.
 *
 * A message that mixes a secret with something that an attacker may choose should go by
 * `wstrand_connection_send_uncompressed`, or be prepared by `wstrand_prepared_new_uncompressed`: how well it compresses
 * tells about the secret (CRIME, BREACH).
 *
 * Threads: one at a time.
 *
 * @param on 0 for off, any other number for on.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_deflate(wstrand_options *options,
                                int on);

/**
 * Sets how hard to compress, from 0, which only stores, to 9. 1 by default: it is several times as fast as
 * the levels above, and compresses nearly as well where messages resemble those before.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `level` is not 0 to 9, or for NULL.
 */
int wstrand_options_set_deflate_level(wstrand_options *options,
                                      int level);

/**
 * Sets the length in bytes from which on messages are compressed; shorter ones go as they are. 64 by default.
 * A message that is sent in fragments, as `wstrand_writer` does, is always compressed.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_deflate_threshold_bytes(wstrand_options *options,
                                                size_t bytes);

/**
 * Sets whether the server compresses each message on its own, which takes memory only while it does, and
 * compresses less (RFC 7692, section 7.1.1.1). A server does so; a client asks for it, and goes without
 * compression if the server will not. Off by default: a server does it for clients that ask.
 *
 * Threads: one at a time.
 *
 * @param on 0 for off, any other number for on.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_deflate_server_no_context_takeover(wstrand_options *options,
                                                           int on);

/**
 * Sets whether the client compresses each message on its own (RFC 7692, section 7.1.1.2). A client does so; a
 * server demands it. Off by default: a client does it for servers that demand it.
 *
 * Threads: one at a time.
 *
 * @param on 0 for off, any other number for on.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_deflate_client_no_context_takeover(wstrand_options *options,
                                                           int on);

/**
 * Limits the window that the server compresses with, to 2 to the power of `bits` bytes (RFC 7692, section
 * 7.1.2.1). A client asks for it, and goes without compression if the server will not. 15 by default.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `bits` is not 8 to 15, or for NULL.
 */
int wstrand_options_set_deflate_server_max_window_bits(wstrand_options *options,
                                                       int bits);

/**
 * Limits the window that the client compresses with, to 2 to the power of `bits` bytes (RFC 7692, section
 * 7.1.2.2). A server demands it of those clients that say they can. 15 by default.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `bits` is not 8 to 15, or for NULL.
 */
int wstrand_options_set_deflate_client_max_window_bits(wstrand_options *options,
                                                       int bits);

/**
 * Has a client go through this proxy. Servers, and what is connected already, ignore it.
 *
 * The certificate of an https:// proxy is verified by the same roots as a server's, and for the proxy's own name; the
 * lowest version of TLS and SNI are the same, too. All else about TLS is for the server alone: a proxy is shown no
 * identity, need not be pinned, and no option that is called dangerous lets it pass. Where TLS with it fails, that is
 * WSTRAND_PROXY.
 *
 * Threads: one at a time.
 *
 * @param url "http://HOST:PORT" or "https://HOST:PORT" for HTTP CONNECT (RFC 9110, section 9.3.6),
 * "socks5://HOST:PORT" for SOCKS5 (RFC 1928), with "USER:PASSWORD@" before the host if the proxy asks for
 * that. The proxy resolves the server's name. Ports by default: 80, 443, 1080.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is no such URL, https:// in a build without TLS, or for NULL.
 */
int wstrand_options_set_proxy(wstrand_options *options,
                              const char *url);

/**
 * Has a client go through the proxy that the environment names, if it does: `https_proxy` for wss://,
 * `http_proxy` for ws://, else `all_proxy`, except to hosts in `no_proxy`; in lower case before upper. `HTTP_PROXY` is
 * left out where REQUEST_METHOD is set: in a CGI program the client may have set it. It is asked at each connect. Off by
 * default. Servers, and what is connected already, ignore it.
 *
 * Threads: one at a time. No other thread may change the environment while one connects.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_use_proxy_of_environment(wstrand_options *options);

/**
 * Sets how many redirects of the server's a client follows; 0 by default. Never from wss:// to ws://, and never where a
 * proxy says so. Where the scheme, host or port changes, the URL's user name and password, Authorization and Cookie are
 * left behind. Servers, and what is connected already, ignore it.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_max_redirects(wstrand_options *options,
                                      size_t redirects);

/**
 * Sets the address of this machine that a client connects from, and so the address family. Any by default.
 * Servers, and what is connected already, ignore it.
 *
 * Threads: one at a time.
 *
 * @param address Such as "192.0.2.1" or "2001:db8::1", without a port.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is no such address, or for NULL.
 */
int wstrand_options_set_local_address(wstrand_options *options,
                                      const char *address);

/**
 * Lets other threads give up connecting, through `cancel`. Servers ignore it.
 *
 * Threads: one at a time.
 *
 * @param cancel May be freed before the options are.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_cancel(wstrand_options *options, const wstrand_cancel *cancel);

/**
 * Has a client trust these root certificates too, besides the system's. Servers ignore it.
 *
 * Threads: one at a time.
 *
 * @param pem One certificate or more in PEM, as in a file of certification authorities.
 * @param size In bytes.
 * @return WSTRAND_OK; WSTRAND_TLS if there is no certificate in it, or a bad one;
 * WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_add_tls_roots(wstrand_options *options, const void *pem, size_t size);

/**
 * Sets whether a client trusts only the roots that were added, and not the system's. Off by default. Servers
 * ignore it.
 *
 * Threads: one at a time.
 *
 * @param only 0 for off, any other number for on.
 * @return WSTRAND_OK; WSTRAND_TLS in a build without TLS; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_tls_only_added_roots(wstrand_options *options,
                                             int only);

/**
 * Sets the certificate and the private key of this end, in PEM. With it a server speaks TLS (wss://); without, it
 * does not. A client shows it to servers that ask for one.
 *
 * The key may be in PKCS#8, PKCS#1 (RSA PRIVATE KEY) or SEC1 (EC PRIVATE KEY) form, not encrypted. Text before the key
 * and the certificates does not matter.
 *
 * Threads: one at a time.
 *
 * @param chain The end's own certificate first, those that it was signed with after it.
 * @param chain_size In bytes.
 * @param key The first certificate's private key.
 * @param key_size In bytes.
 * @return WSTRAND_OK; WSTRAND_TLS if they cannot be read, or the key is another's;
 * WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_tls_identity(wstrand_options *options,
                                     const void *chain,
                                     size_t chain_size,
                                     const void *key,
                                     size_t key_size);

/**
 * Sets the certificate and the private key of this end as `wstrand_options_set_tls_identity` does, out of a
 * PKCS#12 archive (a .p12 or .pfx file).
 *
 * Threads: one at a time.
 *
 * @param size In bytes.
 * @param password NULL for none.
 * @return WSTRAND_OK; WSTRAND_TLS if it cannot be read, or the password is wrong;
 * WSTRAND_INVALID_ARGUMENT for NULL, or if the password is not UTF-8.
 */
int wstrand_options_set_tls_identity_pkcs12(wstrand_options *options,
                                            const void *archive,
                                            size_t size,
                                            const char *password);

/**
 * Sets the lowest version of TLS that a client speaks. WSTRAND_TLS_1_2 by default. Servers ignore it: theirs is
 * always that.
 *
 * Threads: one at a time.
 *
 * @param version WSTRAND_TLS_1_2 or WSTRAND_TLS_1_3.
 * @return WSTRAND_OK; WSTRAND_TLS in a build without TLS; WSTRAND_INVALID_ARGUMENT if it is neither, or for NULL.
 */
int wstrand_options_set_tls_min_version(wstrand_options *options,
                                        int version);

/**
 * Sets whether a client sends the host's name in the clear, for servers that have many (SNI, RFC 6066). On by
 * default. Servers ignore it.
 *
 * Threads: one at a time.
 *
 * @param sni 0 for off, any other number for on.
 * @return WSTRAND_OK; WSTRAND_TLS in a build without TLS; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_tls_sni(wstrand_options *options,
                                int sni);

/**
 * Has a client take only a server whose own certificate, in DER, has this SHA-256 digest, or one of several
 * that are added. All other checks stay. Servers ignore it.
 *
 * `openssl x509 -in cert.pem -noout -fingerprint -sha256` tells the digest.
 *
 * Threads: one at a time.
 *
 * @param sha256 32 bytes, not their digits.
 * @param size 32.
 * @return WSTRAND_OK; WSTRAND_TLS in a build without TLS; WSTRAND_INVALID_ARGUMENT for another size, or for NULL.
 */
int wstrand_options_add_tls_pin(wstrand_options *options,
                                const void *sha256,
                                size_t size);

/**
 * Has a client take any certificate, so that anyone on the way can read and change everything. For tests only;
 * each connection logs a warning. Servers ignore it.
 *
 * Threads: one at a time.
 *
 * @param accept 0 for off, any other number for on.
 * @return WSTRAND_OK; WSTRAND_TLS in a build without TLS; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_danger_accept_invalid_certs(wstrand_options *options,
                                                int accept);

/**
 * Has a client take valid certificates of other hosts, so that whoever has one can read and change everything. For
 * tests only; each connection logs a warning. Servers ignore it.
 *
 * Threads: one at a time.
 *
 * @param accept 0 for off, any other number for on.
 * @return WSTRAND_OK; WSTRAND_TLS in a build without TLS; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_danger_accept_invalid_hostnames(wstrand_options *options,
                                                    int accept);

/**
 * Sets the longest pause after the first attempt of a client that connects again, `wstrand_reconnect`. The longest
 * doubles with each attempt, up to that of `wstrand_options_set_reconnect_max_delay_ms`; how much of it a pause takes
 * is up to chance. 1,000 ms by default.
 *
 * Others ignore it, as they do all options of this name.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `delay_ms` is less than 1, or for NULL.
 */
int wstrand_options_set_reconnect_first_delay_ms(wstrand_options *options,
                                                 int64_t delay_ms);

/**
 * Sets the longest pause after any number of attempts; not less than that after the first, or `wstrand_reconnect` says
 * so. A server that asks for more, with Retry-After (RFC 9110, section 10.2.3), gets it, up to ten times this.
 * 30,000 ms by default.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `delay_ms` is less than 1, or for NULL.
 */
int wstrand_options_set_reconnect_max_delay_ms(wstrand_options *options,
                                               int64_t delay_ms);

/**
 * Sets how long a connection must stay up for the pauses, and what limits the attempts, to begin anew.
 * 10,000 ms by default.
 *
 * Threads: one at a time.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `uptime_ms` is less than 1, or for NULL.
 */
int wstrand_options_set_reconnect_stable_after_ms(wstrand_options *options,
                                                  int64_t uptime_ms);

/**
 * Stops after so many attempts in a row, the first one included, that brought no connection which stayed up for
 * `wstrand_options_set_reconnect_stable_after_ms`.
 *
 * Threads: one at a time.
 *
 * @param attempts 0 for no limit, the default.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_reconnect_max_attempts(wstrand_options *options,
                                               size_t attempts);

/**
 * Has no attempt begin later than this after a connection that had stayed up was lost, or after `wstrand_reconnect`.
 *
 * Threads: one at a time.
 *
 * @param time_ms 0 for no limit, the default.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `time_ms` is negative, or for NULL.
 */
int wstrand_options_set_reconnect_give_up_after_ms(wstrand_options *options,
                                                   int64_t time_ms);

/**
 * Has a client try again after this answer, which would else be final: 401 where `on_attempt` brings a fresh token, or
 * 1000. See `wstrand_reconnect`.
 *
 * Threads: one at a time.
 *
 * @param answer An HTTP status, 100 to 599, or a close code, 1000 to 4999.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `answer` is neither, or for NULL.
 */
int wstrand_options_add_reconnect_retry_on(wstrand_options *options,
                                           int answer);

/**
 * Has a client stop after this answer, after which it would else try again. See `wstrand_reconnect`.
 *
 * Threads: one at a time.
 *
 * @param answer An HTTP status, 100 to 599, or a close code, 1000 to 4999.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `answer` is neither, or for NULL.
 */
int wstrand_options_add_reconnect_stop_on(wstrand_options *options,
                                          int answer);

/**
 * Sets how many bytes of messages may wait while there is no connection; see `wstrand_reconnecting_send`.
 *
 * Threads: one at a time.
 *
 * @param bytes The payloads, and 16 bytes a message. 0, the default, for none: they are refused.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_options_set_reconnect_queue_bytes(wstrand_options *options,
                                              size_t bytes);

/**
 * Makes one that has not been triggered.
 *
 * Threads: any.
 *
 * @param cancel Where it goes, which the caller frees; NULL on failure.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_IO if there are no descriptors: it holds two until it is triggered;
 * WSTRAND_INVALID_ARGUMENT for NULL.
 */
WSTRAND_NODISCARD int wstrand_cancel_new(wstrand_cancel **cancel, wstrand_error **error);

/**
 * Makes every connect that was told of it fail with WSTRAND_CANCELLED, those to come too. Does nothing to a
 * connection that is open already. NULL is fine.
 *
 * Does not block. Not to be called by a signal handler.
 *
 * Threads: any.
 */
void wstrand_cancel_trigger(wstrand_cancel *cancel);

/**
 * Tells whether it was triggered.
 *
 * Threads: any.
 *
 * @return Whether it was; false for NULL.
 */
bool wstrand_cancel_is_triggered(const wstrand_cancel *cancel);

/**
 * Frees one, which triggers nothing. NULL is fine. Options that were told of it, and connects under way, go on.
 *
 * Threads: any, the last to use it.
 */
void wstrand_cancel_free(wstrand_cancel *cancel);

/**
 * Makes a handler without callbacks.
 *
 * Threads: any. A handler is used by one thread at a time.
 *
 * @param userdata Passed to every callback as it is. May be NULL.
 * @param userdata_free Called once with `userdata` when the handler has been freed and everything that
 * was made with it is gone: after the last callback, from the thread that lets go last. May be NULL.
 * @return The handler, which the caller frees; never NULL but for a bug in the library.
 */
WSTRAND_NODISCARD
wstrand_handler *wstrand_handler_new(void *userdata,
                                     wstrand_free_fn userdata_free);

/**
 * Frees a handler. NULL is fine. Connections and servers that were made with it go on with its callbacks;
 * if there are none any more, `userdata_free` is called inside this call.
 *
 * Threads: any, the last to use it.
 */
void wstrand_handler_free(wstrand_handler *handler);

/**
 * Sets what is called when a connection is open.
 *
 * Connections that exist already are not affected.
 *
 * Threads: one at a time.
 *
 * @param on_open NULL for none, the default.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
 */
int wstrand_handler_set_on_open(wstrand_handler *handler, wstrand_open_fn on_open);

/**
 * Sets what is called for every message.
 *
 * Connections that exist already are not affected.
 *
 * Threads: one at a time.
 *
 * @param on_message NULL for none, the default.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
 */
int wstrand_handler_set_on_message(wstrand_handler *handler, wstrand_message_fn on_message);

/**
 * Sets what is called for every ping of the peer's. They are answered without it.
 *
 * Connections that exist already are not affected.
 *
 * Threads: one at a time.
 *
 * @param on_ping NULL for none, the default.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
 */
int wstrand_handler_set_on_ping(wstrand_handler *handler, wstrand_control_fn on_ping);

/**
 * Sets what is called for every pong.
 *
 * Connections that exist already are not affected.
 *
 * Threads: one at a time.
 *
 * @param on_pong NULL for none, the default.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
 */
int wstrand_handler_set_on_pong(wstrand_handler *handler, wstrand_control_fn on_pong);

/**
 * Sets what is called when a connection fails, before `on_close`.
 *
 * Connections that exist already are not affected.
 *
 * Threads: one at a time.
 *
 * @param on_error NULL for none, the default.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
 */
int wstrand_handler_set_on_error(wstrand_handler *handler, wstrand_error_fn on_error);

/**
 * Sets what is called when a connection has ended, however that was.
 *
 * Connections that exist already are not affected.
 *
 * Threads: one at a time.
 *
 * @param on_close NULL for none, the default.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
 */
int wstrand_handler_set_on_close(wstrand_handler *handler, wstrand_close_fn on_close);

/**
 * Has the events of a client's connection wait in a queue until the program asks for them: callbacks come only
 * from inside `wstrand_connection_dispatch`, on the thread that calls it. For programs with a loop of their
 * own, such as a game or a window; `wstrand_connection_event_descriptor` tells a loop when to dispatch.
 *
 * The connection's own thread receives all the same, answers pings and keeps deadlines. When the queue is full it
 * stops reading, and so the peer has to wait, until there is room. What waits is copied. Events that have no
 * callback do not wait.
 *
 * Connections that exist already are not affected. A server refuses a handler with a queue.
 *
 * Threads: one at a time.
 *
 * @param bytes How much may wait: the payloads, and 64 bytes an event. One event may always wait, however large
 * it is. 0 for no queue, the default; 1 MiB is a good size.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
 */
int wstrand_handler_set_queue_bytes(wstrand_handler *handler,
                                    size_t bytes);

/**
 * Sets what decides over requests to a server: it may accept with a subprotocol and header fields, refuse,
 * or answer plain HTTP such as a page or a health check. What is no proper request, and opening handshakes
 * from pages of foreign origins, have been refused before. Clients ignore it.
 *
 * It runs on the connection's own thread, before there is a connection. If it does nothing to the
 * response, opening handshakes are accepted, and plain requests are refused with status 426.
 *
 * It may be all that comes of a client: one that it refuses, or that goes before it has the answer, becomes no
 * connection, and has no `on_close`. What `on_close` gives back is to be taken in `on_open` or `on_connection`.
 *
 * Connections that exist already are not affected.
 *
 * Threads: one at a time.
 *
 * @param on_request NULL for none, the default.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
 */
int wstrand_handler_set_on_request(wstrand_handler *handler,
                                   wstrand_request_fn on_request);

/**
 * Sets what is called for every connection to a server, on that connection's own thread and before
 * `on_open`. Clients ignore it.
 *
 * Until it returns, it has the connection to itself: it may give it a userdata, and may receive in pull
 * style, with `wstrand_connection_receive`, for as long as it likes. If the connection is open when it
 * returns, it goes on with `on_open`, `on_message`, `on_ping` and `on_pong` if any of those is set, and is
 * closed with code 1000 else. `on_close` comes in any case.
 *
 * Connections that exist already are not affected.
 *
 * Threads: one at a time.
 *
 * @param on_connection NULL for none, the default.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
 */
int wstrand_handler_set_on_connection(wstrand_handler *handler,
                                      wstrand_connection_fn on_connection);

/**
 * Sets what is called before each attempt of `wstrand_reconnect` to connect. It may change the URL and header fields, or
 * give up; it may take its time, as to fetch a token. Others ignore it.
 *
 * Clients that exist already are not affected.
 *
 * Threads: one at a time.
 *
 * @param on_attempt NULL for none, the default.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
 */
int wstrand_handler_set_on_attempt(wstrand_handler *handler,
                                   wstrand_attempt_fn on_attempt);

/**
 * Sets what is called where `wstrand_reconnect` has no connection: after an attempt that failed, and after a session has
 * ended and `on_close` has returned. It is told why, and what comes next. Others ignore it.
 *
 * Clients that exist already are not affected.
 *
 * Threads: one at a time.
 *
 * @param on_down NULL for none, the default.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
 */
int wstrand_handler_set_on_down(wstrand_handler *handler,
                                wstrand_down_fn on_down);

/**
 * Connects to a WebSocket server: resolves the name, connects, and does the opening handshake
 * (RFC 6455, section 4.1). What `wstrand_options_set_proxy` and its neighbours say comes in between.
 *
 * A name's addresses are tried one after another, IPv6 and IPv4 by turns, each 250 ms after the one before or as soon
 * as that has failed; the first that connects is taken (RFC 8305). With TLS, "http/1.1" is asked for by ALPN (RFC 7301).
 *
 * Blocks until the connection is open, for the connect timeout at the most: 20 s by default.
 *
 * With a handler, the connection's own thread receives and calls back from now on; `*connection` is set
 * before the first callback begins; or the callbacks wait until `wstrand_connection_dispatch`, if the handler
 * has a queue. Without one, the program receives with
 * `wstrand_connection_receive`; pings are answered, and deadlines kept, while it does.
 *
 * Threads: any.
 *
 * @param url "ws://host:port/path?query"; the port is 80 if there is none. "wss://" for TLS, verified by the
 * system's roots; the port is 443 then. In a build without TLS it cannot be used. An IPv6 address stands in brackets:
 * "ws://[::1]:9001/". "ws://user:password@host/" sends Basic credentials (RFC 7617), unless a header field
 * Authorization is set; in them "%40" stands for "@".
 * @param options NULL for the defaults. May be freed right after.
 * @param handler NULL to receive in pull style. May be freed right after.
 * @param connection Where the connection goes, which the caller frees; NULL on failure.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the URL or an option cannot be used, or for NULL:
 * nothing was sent; WSTRAND_IO or WSTRAND_TIMEOUT, with a phase; WSTRAND_TLS; WSTRAND_PROXY; WSTRAND_HANDSHAKE if
 * the server refused or does not speak WebSocket; WSTRAND_CANCELLED.
 */
WSTRAND_NODISCARD
int wstrand_connect(const char *url,
                    const wstrand_options *options,
                    const wstrand_handler *handler,
                    wstrand_connection **connection,
                    wstrand_error **error);

/**
 * Connects as `wstrand_connect` does, to a Unix domain socket. No proxy is asked and no redirect followed.
 *
 * Blocks as `wstrand_connect` does.
 *
 * Threads: any.
 *
 * @param path The socket's, in the file system.
 * @param url What to ask for: "ws://localhost/" will do. With "wss://" TLS is spoken.
 * @param options NULL for the defaults. May be freed right after.
 * @param handler NULL to receive in pull style. May be freed right after.
 * @param connection Where the connection goes, which the caller frees; NULL on failure.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_connect`.
 */
WSTRAND_NODISCARD
int wstrand_connect_unix(const char *path,
                         const char *url,
                         const wstrand_options *options,
                         const wstrand_handler *handler,
                         wstrand_connection **connection,
                         wstrand_error **error);

/**
 * Connects as `wstrand_connect` does, over a stream socket that is connected already, of whatever family. No proxy
 * is asked and no redirect followed.
 *
 * The descriptor belongs to the library from this call on, whatever it returns: it is closed with the
 * connection, or before a failure is returned. To keep one, hand in what `dup` made of it.
 *
 * Threads: any.
 *
 * @param descriptor The socket's, which nobody else uses or closes any more. Blocking or not does not matter.
 * @param url What to ask for: "ws://localhost/" will do. With "wss://" TLS is spoken.
 * @param options NULL for the defaults. May be freed right after.
 * @param handler NULL to receive in pull style. May be freed right after.
 * @param connection Where the connection goes, which the caller frees; NULL on failure.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_connect`; WSTRAND_INVALID_ARGUMENT also if the descriptor is not open.
 */
WSTRAND_NODISCARD
int wstrand_connect_over(int descriptor,
                         const char *url,
                         const wstrand_options *options,
                         const wstrand_handler *handler,
                         wstrand_connection **connection,
                         wstrand_error **error);

/**
 * Sends a text message (RFC 6455, section 5.6).
 *
 * Messages go out whole and in the order of the calls, however many threads send. Blocks until the message
 * is written, or queued behind what another thread is writing. Where more than `max_buffered_bytes` would
 * be waiting, it first waits for room. Each of the two takes the send timeout at the most, 30 s by default.
 *
 * Inside a callback, where more of what the peer sends has arrived already, the message goes out before the
 * connection is read again, after the callback has returned, or with `wstrand_connection_flush`.
 *
 * Threads: any, also several at once.
 *
 * @param text UTF-8, which needs no NUL at its end. NULL if `size` is 0. It is not needed after the call.
 * @param size In bytes.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is not UTF-8, or for NULL; WSTRAND_TIMEOUT if there
 * was no room: nothing was sent; WSTRAND_CLOSED once either side has sent Close; else how the connection
 * failed: WSTRAND_UNRESPONSIVE if the peer does not read, WSTRAND_LOST, WSTRAND_IO, WSTRAND_PROTOCOL,
 * WSTRAND_OUT_OF_MEMORY.
 */
int wstrand_connection_send_text(wstrand_connection *connection,
                                 const char *text,
                                 size_t size,
                                 wstrand_error **error);

/**
 * Sends a text message that ends in a NUL, which is not sent. As `wstrand_connection_send_text`.
 *
 * Threads: any, also several at once.
 *
 * @param text UTF-8 with a NUL at its end.
 * @return As `wstrand_connection_send_text`.
 */
int wstrand_connection_send_string(wstrand_connection *connection,
                                   const char *text,
                                   wstrand_error **error);

/**
 * Sends a binary message. As `wstrand_connection_send_text`.
 *
 * Threads: any, also several at once.
 *
 * @param data NULL if `size` is 0. It is not needed after the call.
 * @param size In bytes.
 * @return As `wstrand_connection_send_text`.
 */
int wstrand_connection_send_binary(wstrand_connection *connection,
                                   const void *data,
                                   size_t size,
                                   wstrand_error **error);

/**
 * Sends a message as it is, even where messages are compressed. As `wstrand_connection_send_text`.
 *
 * For a message that mixes a secret with something that an attacker may choose: how well that compresses
 * tells about the secret (CRIME, BREACH). One that must not wait, that goes with others, or to a group, is made by
 * `wstrand_prepared_new_uncompressed`.
 *
 * Threads: any, also several at once.
 *
 * @param kind WSTRAND_TEXT or WSTRAND_BINARY.
 * @param data UTF-8 if it is text. NULL if `size` is 0. It is not needed after the call.
 * @param size In bytes.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_connection_send_text`.
 */
int wstrand_connection_send_uncompressed(wstrand_connection *connection,
                                         int kind,
                                         const void *data,
                                         size_t size,
                                         wstrand_error **error);

/**
 * Sends a message with those that follow: it waits until 64 KiB have gathered, `wstrand_connection_flush` is called,
 * or something is sent otherwise. A burst of short messages takes one system call instead of one each.
 *
 * The end of a burst needs a flush; without it the messages may lie until something is received. Blocks as
 * `wstrand_connection_send_text` where it writes. What must not be compressed goes by
 * `wstrand_connection_queue_prepared`.
 *
 * Threads: any, also several at once.
 *
 * @param kind WSTRAND_TEXT or WSTRAND_BINARY.
 * @param data UTF-8 if it is text. NULL if `size` is 0. It is not needed after the call.
 * @param size In bytes.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_connection_send_text`.
 */
int wstrand_connection_queue(wstrand_connection *connection,
                             int kind,
                             const void *data,
                             size_t size,
                             wstrand_error **error);

/**
 * Sends a text message if that needs no waiting. Never blocks: what the network does not take at once is
 * copied and sent in the background. What must not be compressed goes by `wstrand_connection_try_send_prepared`.
 *
 * Threads: any, also several at once.
 *
 * @return WSTRAND_FULL if more than `max_buffered_bytes` would be waiting, or a message is being streamed:
 * nothing was sent. Else as `wstrand_connection_send_text`, but for WSTRAND_TIMEOUT.
 */
int wstrand_connection_try_send_text(wstrand_connection *connection,
                                     const char *text,
                                     size_t size,
                                     wstrand_error **error);

/**
 * Sends a binary message if that needs no waiting. As `wstrand_connection_try_send_text`.
 *
 * Threads: any, also several at once.
 *
 * @return As `wstrand_connection_try_send_text`.
 */
int wstrand_connection_try_send_binary(wstrand_connection *connection,
                                       const void *data,
                                       size_t size,
                                       wstrand_error **error);

/**
 * Sends a ping of the program's own (RFC 6455, section 5.5.2); `on_pong` gets the answer. To keep the
 * connection alive none is needed: see `wstrand_options_set_ping_interval_ms`.
 *
 * Blocks as `wstrand_connection_send_text` does.
 *
 * Threads: any, also several at once.
 *
 * @param data NULL if `size` is 0.
 * @param size In bytes, 125 at the most.
 * @return As `wstrand_connection_send_text`.
 */
int wstrand_connection_ping(wstrand_connection *connection,
                            const void *data,
                            size_t size,
                            wstrand_error **error);

/**
 * Sends now what a callback has gathered; see `wstrand_connection_send_text`, as which it blocks.
 *
 * Threads: any; it makes a difference inside the connection's own callbacks.
 *
 * @return As `wstrand_connection_send_text`.
 */
int wstrand_connection_flush(wstrand_connection *connection, wstrand_error **error);

/**
 * Receives the next message, whole, of a connection without a handler, or inside `on_connection`.
 *
 * Blocks until it is whole, the connection ends, or the time has passed. Pings are answered meanwhile.
 *
 * `*data` is lent: it lives until the next call of this function or `wstrand_connection_wait_closed` for
 * this connection, or until that is freed. Text is UTF-8; a NUL does not terminate it.
 *
 * Threads: one at a time. Others may send meanwhile.
 *
 * @param timeout_ms 0 not to wait at all, negative to wait for ever.
 * @param kind Where WSTRAND_TEXT or WSTRAND_BINARY goes.
 * @param data Where the pointer to the message goes, never NULL.
 * @param size Where its length in bytes goes.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_TIMEOUT if no message became whole in time: nothing is lost, call again;
 * WSTRAND_CLOSED if the connection has been closed cleanly, see `wstrand_connection_close_code`. Else how
 * it failed, which every later call returns again: WSTRAND_LOST, WSTRAND_IO, WSTRAND_PROTOCOL,
 * WSTRAND_UNRESPONSIVE, WSTRAND_OUT_OF_MEMORY. Misuse leaves it as it was: WSTRAND_INVALID_ARGUMENT for
 * NULL, WSTRAND_INVALID_STATE if the connection has a handler, WSTRAND_BUSY while another thread
 * receives.
 */
WSTRAND_NODISCARD
int wstrand_connection_receive(wstrand_connection *connection,
                               int64_t timeout_ms,
                               int *kind,
                               const void **data,
                               size_t *size,
                               wstrand_error **error);

/**
 * Calls back, on this thread and in order, for the events that wait in the connection's queue: see
 * `wstrand_handler_set_queue_bytes`. Those that come meanwhile are left to the next call.
 *
 * Blocks until there is an event, the connection has ended, or the time has passed; and for as long as the
 * callbacks take.
 *
 * Threads: any, one at a time. Inside the connection's own callbacks it does nothing.
 *
 * @param timeout_ms 0 not to wait at all, negative to wait for ever.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK if there were events; WSTRAND_TIMEOUT if none came in time: call again; WSTRAND_CLOSED
 * when `on_close` has been called, in this call or before, or a callback has freed the connection: nothing
 * follows. WSTRAND_INVALID_STATE if the connection has no queue, WSTRAND_BUSY while another thread dispatches,
 * WSTRAND_WOULD_DEADLOCK inside its own callbacks, WSTRAND_INVALID_ARGUMENT for NULL.
 */
WSTRAND_NODISCARD
int wstrand_connection_dispatch(wstrand_connection *connection,
                                int64_t timeout_ms,
                                wstrand_error **error);

/**
 * Tells a descriptor that is readable while an event waits in the connection's queue: for `poll`, `select`,
 * `epoll`, and the loops of Qt and GLib. When it is, call `wstrand_connection_dispatch` with a timeout of 0.
 *
 * It belongs to the connection, and is closed with it: take it out of the loop before
 * `wstrand_connection_free`, or when dispatching returns WSTRAND_CLOSED. Neither read from it nor write to it.
 * It is close-on-exec, and always the same.
 *
 * Does not block.
 *
 * Threads: any.
 *
 * @param descriptor Where it goes; -1 on failure.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_STATE if the connection has no queue; WSTRAND_IO if the process has no
 * descriptors left; WSTRAND_INVALID_ARGUMENT for NULL.
 */
WSTRAND_NODISCARD
int wstrand_connection_event_descriptor(wstrand_connection *connection,
                                        int *descriptor,
                                        wstrand_error **error);

/**
 * Starts the closing handshake (RFC 6455, section 7): Close goes out behind everything that was sent before.
 *
 * Never blocks. Messages go on being received until the peer answers, for the close timeout at the most; then
 * come `on_close`, and WSTRAND_CLOSED from `wstrand_connection_receive` and `wstrand_connection_dispatch`. If
 * the connection is closing or has ended already, nothing happens.
 *
 * Threads: any.
 *
 * @param code 1000, 1001, 1003, 1007 to 1014, or 3000 to 4999. The W3C WebSocket API leaves to pages 1000 and
 * those from 3000 on; 1002 is for the library to say, and the others never go over the wire.
 * @param reason UTF-8 with a NUL at its end, of 123 bytes at the most; NULL for none.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the code or the reason may not be sent, or `connection` is
 * NULL.
 */
int wstrand_connection_close(wstrand_connection *connection,
                             uint16_t code,
                             const char *reason,
                             wstrand_error **error);

/**
 * Waits until the connection has ended, in whatever way: `wstrand_connection_was_clean` tells.
 *
 * It does not close: meant for after `wstrand_connection_close`, when the close timeout bounds it, or to
 * wait for the peer to close. With a handler it waits until `on_close` has returned; if that has a queue, it
 * dispatches until then. Without a handler it receives, and throws away the messages that come.
 *
 * Threads: any; without a handler or with a queue, one at a time that waits, receives or dispatches.
 *
 * @param timeout_ms 0 not to wait at all, negative to wait for ever.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK if it has ended; WSTRAND_TIMEOUT if it has not yet; WSTRAND_WOULD_DEADLOCK inside its
 * own callbacks, except `on_connection`, or if one of those waits for the callback that this is called
 * in; WSTRAND_BUSY while another thread receives or dispatches; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_connection_wait_closed(wstrand_connection *connection,
                                   int64_t timeout_ms,
                                   wstrand_error **error);

/**
 * Cuts the connection at once, the hard way: without a closing handshake, and what was not sent yet is
 * lost. Whoever is blocked in it wakes; `on_close` reports code 1006.
 *
 * Never blocks. The handle stays, and is freed as ever.
 *
 * Threads: any.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_connection_shutdown(wstrand_connection *connection);

/**
 * Takes one more reference, so that the connection may be used after a callback has returned or from
 * another thread.
 *
 * Threads: any.
 *
 * @return `connection`; NULL for NULL.
 */
wstrand_connection *wstrand_connection_retain(wstrand_connection *connection);

/**
 * Gives back one reference. NULL is fine.
 *
 * The last one of a client's connection closes it, with code 1000, if it is still open: no callback begins any
 * more, not `on_close` either, events in a queue are thrown away, and the closing handshake goes on in the
 * background for the close timeout at the most. A server's connection, and one of `wstrand_reconnect`, goes on: close
 * it with `wstrand_connection_close`.
 *
 * Blocks, where it is the last one of a client's connection, until the callback that is running has
 * returned: after it nothing of the program's is used any more. It does not wait for that inside this
 * connection's own callbacks, nor where two callbacks would wait for each other, each freeing the
 * other's connection; what is left then goes when the callback returns, and the pointer of
 * `wstrand_connection_set_userdata` when the connection has ended.
 *
 * Threads: any.
 */
void wstrand_connection_free(wstrand_connection *connection);

/**
 * Gives the connection a pointer of the program's. The one that it had is given back first.
 *
 * Threads: any, but a thread that still uses the former pointer should not be surprised.
 *
 * @param userdata What `wstrand_connection_userdata` will return. May be NULL.
 * @param userdata_free Called once with `userdata` when it is replaced, or when nobody can ask for it any more: all
 * references to the connection are given back, and it is lent to no callback now or later. Of a client's connection
 * that is so when the last `wstrand_connection_free` returns, which see for the exception. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `connection` is NULL: `userdata_free` is not called then.
 */
int wstrand_connection_set_userdata(wstrand_connection *connection,
                                    void *userdata,
                                    wstrand_free_fn userdata_free);

/**
 * Tells the pointer of `wstrand_connection_set_userdata`.
 *
 * Threads: any.
 *
 * @return The pointer; NULL if none was set, or for NULL.
 */
void *wstrand_connection_userdata(const wstrand_connection *connection);

/**
 * Tells which connection of a client that connects again this is.
 *
 * Threads: any.
 *
 * @return The number of the session, from 1 on; 1 for all other connections; 0 for NULL.
 */
uint64_t wstrand_connection_session(const wstrand_connection *connection);

/**
 * Tells how far the connection has come, as the W3C WebSocket API's `readyState`.
 *
 * Threads: any.
 *
 * @return WSTRAND_OPEN, WSTRAND_CLOSING or WSTRAND_ENDED, which is also for NULL.
 */
int wstrand_connection_ready_state(const wstrand_connection *connection);

/**
 * Tells how many bytes wait to be handed to the operating system, frame headers included.
 *
 * Threads: any.
 *
 * @return The number; 0 for NULL.
 */
size_t wstrand_connection_buffered_amount(const wstrand_connection *connection);

/**
 * Tells how long the peer took to answer the last of the library's own pings.
 *
 * Threads: any.
 *
 * @return Microseconds; 0 if none was answered yet, or for NULL.
 */
uint64_t wstrand_connection_round_trip_us(const wstrand_connection *connection);

/**
 * Tells the subprotocol that client and server have agreed on (RFC 6455, section 1.9).
 *
 * Threads: any.
 *
 * @return Text that lives as long as the connection; NULL if there is none, or for NULL.
 */
const char *wstrand_connection_subprotocol(const wstrand_connection *connection);

/**
 * Tells the extensions that client and server have agreed on, as the server put it in Sec-WebSocket-Extensions
 * (RFC 6455, section 9.1): "permessage-deflate" with its parameters where messages are compressed.
 *
 * Threads: any.
 *
 * @return Text that lives as long as the connection, "" if there are none; NULL for NULL.
 */
const char *wstrand_connection_extensions(const wstrand_connection *connection);

/**
 * Tells a header field of the peer's half of the opening handshake: of the server's answer on a client's
 * connection, of the client's request on a server's.
 *
 * Threads: any.
 *
 * @param name Upper and lower case are the same.
 * @param index 0 for the field's first value, 1 for the second if it is repeated, and so on.
 * @return Text that lives as long as the connection; NULL if there is no such field, or for NULL.
 */
const char *wstrand_connection_header(const wstrand_connection *connection,
                                      const char *name,
                                      size_t index);

/**
 * Tells what the client asked for when it connected to the server: path, query, header fields.
 *
 * Threads: any.
 *
 * @return The request, which lives as long as the connection; NULL on a client's connection, or for NULL.
 */
const wstrand_request *wstrand_connection_request(const wstrand_connection *connection);

/**
 * Tells the peer's address, such as "192.0.2.1:51234" or "[2001:db8::1]:51234".
 *
 * Threads: any.
 *
 * @return Text that lives as long as the connection; NULL if it is not known, or for NULL.
 */
const char *wstrand_connection_peer_address(const wstrand_connection *connection);

/**
 * Tells the address of this end.
 *
 * Threads: any.
 *
 * @return Text that lives as long as the connection; NULL if it is not known, or for NULL.
 */
const char *wstrand_connection_local_address(const wstrand_connection *connection);

/**
 * Tells the close code that the connection ended with: the one that the peer's Close had; 1005 if it had
 * none; 1006 if no Close came (RFC 6455, section 7.1.5).
 *
 * Threads: any.
 *
 * @return The code; 0 as long as the connection has not ended, and for NULL.
 */
uint16_t wstrand_connection_close_code(const wstrand_connection *connection);

/**
 * Tells the close reason that came with the close code.
 *
 * Threads: any.
 *
 * @param size Where its length in bytes goes, in case there is a NUL in it. May be NULL.
 * @return UTF-8 with a NUL behind it, which lives as long as the connection; NULL as long as the connection
 * has not ended, and for NULL.
 */
const char *wstrand_connection_close_reason(const wstrand_connection *connection,
                                            size_t *size);

/**
 * Tells whether the connection ended with both sides having sent Close (RFC 6455, section 7.1.4).
 *
 * Threads: any.
 *
 * @return true if it did; false as long as it has not ended, and for NULL.
 */
bool wstrand_connection_was_clean(const wstrand_connection *connection);

/**
 * Begins a message that is sent as it is written. Until it is finished, other messages wait; pings and
 * Close pass.
 *
 * Blocks until no other message is being streamed, for the send timeout at the most. A thread that
 * streams a message and sends another one meanwhile waits for itself, until the send timeout.
 *
 * Threads: any.
 *
 * @param kind WSTRAND_TEXT or WSTRAND_BINARY.
 * @param writer Where the writer goes, which the caller frees; NULL on failure.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_connection_send_text`.
 */
WSTRAND_NODISCARD
int wstrand_connection_begin_message(wstrand_connection *connection,
                                     int kind,
                                     wstrand_writer **writer,
                                     wstrand_error **error);

/**
 * Has the message go as it is, even where messages are compressed: see
 * `wstrand_connection_send_uncompressed`. Before anything of it is written.
 *
 * Never blocks.
 *
 * Threads: one at a time.
 *
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_STATE once `wstrand_writer_write`, flush or finish was called;
 * WSTRAND_BUSY while another thread uses the writer; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_writer_set_uncompressed(wstrand_writer *writer,
                                    wstrand_error **error);

/**
 * Adds bytes to the message. They are collected up to 16 KiB, which go out as one fragment.
 *
 * Blocks as `wstrand_connection_send_text` does, for each fragment that fills up.
 *
 * If it fails, a part of the bytes may be gone already, so the message cannot go on: it is abandoned, as
 * by `wstrand_writer_free`. Only misuse leaves it as it was: NULL, WSTRAND_BUSY.
 *
 * Threads: one at a time.
 *
 * @param data NULL if `size` is 0. It is not needed after the call.
 * @param size In bytes.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the message is text and this is not, or for NULL;
 * WSTRAND_INVALID_STATE once the message is finished or abandoned; WSTRAND_BUSY while another thread uses
 * the writer; WSTRAND_UNRESPONSIVE if the peer does not read; else as `wstrand_connection_send_text`.
 */
int wstrand_writer_write(wstrand_writer *writer,
                         const void *data,
                         size_t size,
                         wstrand_error **error);

/**
 * Sends what was written so far, without ending the message.
 *
 * Blocks as `wstrand_connection_send_text` does. If it fails, the message is abandoned.
 *
 * Threads: one at a time.
 *
 * @return As `wstrand_writer_write`.
 */
int wstrand_writer_flush(wstrand_writer *writer, wstrand_error **error);

/**
 * Sends what was written and ends the message. The writer is of no more use, and still to be freed.
 *
 * Blocks as `wstrand_connection_send_text` does. If it fails, the message is abandoned: also if it is text
 * and ends inside a character, WSTRAND_INVALID_ARGUMENT.
 *
 * Threads: one at a time.
 *
 * @return As `wstrand_writer_write`.
 */
int wstrand_writer_finish(wstrand_writer *writer,
                          wstrand_error **error);

/**
 * Frees a writer. NULL is fine. A message that was begun and is not finished cannot be taken back: its
 * connection is closed with code 1011, unless nothing of it was sent yet.
 *
 * Never blocks.
 *
 * Threads: any, the last to use it.
 */
void wstrand_writer_free(wstrand_writer *writer);

/**
 * Prepares a message: copies it. It is framed, and compressed, as it is first sent.
 *
 * Does not block.
 *
 * Threads: any.
 *
 * @param kind WSTRAND_TEXT or WSTRAND_BINARY.
 * @param data UTF-8 if it is text. NULL if `size` is 0. It is not needed after the call.
 * @param size In bytes.
 * @param prepared Where it goes, which the caller frees; NULL on failure.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the kind is neither, text is not UTF-8, or for NULL;
 * WSTRAND_OUT_OF_MEMORY.
 */
WSTRAND_NODISCARD
int wstrand_prepared_new(int kind,
                         const void *data,
                         size_t size,
                         wstrand_prepared **prepared,
                         wstrand_error **error);

/**
 * Prepares a message that goes as it is, even where messages are compressed, by whatever function it is sent. Else as
 * `wstrand_prepared_new`.
 *
 * It is for what `wstrand_connection_send_uncompressed` is for, a secret beside something that an attacker may choose,
 * where the call must not wait, or the message goes with others or to a group.
 *
 * Threads: any.
 *
 * @param kind WSTRAND_TEXT or WSTRAND_BINARY.
 * @param data UTF-8 if it is text. NULL if `size` is 0. It is not needed after the call.
 * @param size In bytes.
 * @param prepared Where it goes, which the caller frees; NULL on failure.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_prepared_new`.
 */
WSTRAND_NODISCARD
int wstrand_prepared_new_uncompressed(int kind,
                                      const void *data,
                                      size_t size,
                                      wstrand_prepared **prepared,
                                      wstrand_error **error);

/**
 * Sends a prepared message. As `wstrand_connection_send_text`.
 *
 * A connection that compresses with what it sent before starts anew after a prepared message.
 *
 * Threads: any, also several at once.
 *
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_connection_send_text`.
 */
int wstrand_connection_send_prepared(wstrand_connection *connection,
                                     const wstrand_prepared *prepared,
                                     wstrand_error **error);

/**
 * Sends a prepared message with those that follow. As `wstrand_connection_queue`.
 *
 * Threads: any, also several at once.
 *
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_connection_send_text`.
 */
int wstrand_connection_queue_prepared(wstrand_connection *connection,
                                      const wstrand_prepared *prepared,
                                      wstrand_error **error);

/**
 * Sends a prepared message if that needs no waiting: a broadcast never waits for one slow peer. Never
 * blocks. As `wstrand_connection_try_send_text`.
 *
 * Threads: any, also several at once.
 *
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_connection_try_send_text`.
 */
int wstrand_connection_try_send_prepared(wstrand_connection *connection,
                                         const wstrand_prepared *prepared,
                                         wstrand_error **error);

/**
 * Frees a prepared message. NULL is fine. What was sent of it goes out all the same.
 *
 * Threads: any, the last to use it.
 */
void wstrand_prepared_free(wstrand_prepared *prepared);

/**
 * Makes an empty group.
 *
 * Threads: any.
 *
 * @return The group, which the caller frees; NULL in a forked child.
 */
WSTRAND_NODISCARD wstrand_group *wstrand_group_new(void);

/**
 * Frees a group. NULL is fine. Its connections stay open, and what was sent goes out all the same.
 *
 * Threads: any, the last to use it.
 */
void wstrand_group_free(wstrand_group *group);

/**
 * Sets what becomes of a member for which more than `max_buffered_bytes` would be waiting, from now on.
 *
 * WSTRAND_OVERFLOW_CLOSE, the default: a member gets all messages or learns that it does not, and what waits for it is
 * freed, after its close timeout at the latest. WSTRAND_OVERFLOW_DROP is for messages that the next one supersedes:
 * `wstrand_group_dropped` counts those that were missed.
 *
 * Threads: any.
 *
 * @param policy WSTRAND_OVERFLOW_CLOSE or WSTRAND_OVERFLOW_DROP.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is neither, or for NULL.
 */
int wstrand_group_set_overflow(wstrand_group *group,
                               int policy);

/**
 * Adds a connection: it gets the messages that are sent from now on.
 *
 * Does not block.
 *
 * Threads: any, also several at once.
 *
 * @return Whether it was added; false if it is in the group already or no longer open, and for NULL.
 */
bool wstrand_group_join(wstrand_group *group,
                        wstrand_connection *connection);

/**
 * Removes a connection. What was sent to it before still goes out.
 *
 * Does not block.
 *
 * Threads: any, also several at once.
 *
 * @return Whether it was removed; false if it was not in the group, as after it was closed, and for NULL.
 */
bool wstrand_group_leave(wstrand_group *group,
                         wstrand_connection *connection);

/**
 * Tells whether a connection is in the group.
 *
 * Threads: any.
 *
 * @return Whether it is; false for NULL.
 */
bool wstrand_group_contains(const wstrand_group *group, const wstrand_connection *connection);

/**
 * Tells how many connections are in the group.
 *
 * Threads: any.
 *
 * @return Their number; 0 for NULL.
 */
size_t wstrand_group_count(const wstrand_group *group);

/**
 * Tells how many messages members have missed under WSTRAND_OVERFLOW_DROP, also for want of memory, each counted for
 * each of them.
 *
 * Threads: any.
 *
 * @return Their number; 0 for NULL.
 */
uint64_t wstrand_group_dropped(const wstrand_group *group);

/**
 * Sends a text message to all members. Never blocks on one of them: see `wstrand_group`.
 *
 * Inside a callback, the message goes out to the connection whose callback it is as `wstrand_connection_send_text`
 * says. What must not be compressed goes by `wstrand_group_send_prepared`.
 *
 * Threads: any, also several at once.
 *
 * @param text UTF-8, which needs no NUL at its end. NULL if `size` is 0. It is not needed after the call.
 * @param size In bytes.
 * @param queued For how many members it was written or queued. May be NULL.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK, also where nobody is in the group or one of them does not keep up; WSTRAND_INVALID_ARGUMENT if
 * it is not UTF-8, or for NULL.
 */
int wstrand_group_send_text(wstrand_group *group,
                            const char *text,
                            size_t size,
                            size_t *queued,
                            wstrand_error **error);

/**
 * Sends a binary message to all members. As `wstrand_group_send_text`.
 *
 * Threads: any, also several at once.
 *
 * @param data NULL if `size` is 0. It is not needed after the call.
 * @param size In bytes.
 * @param queued For how many members it was written or queued. May be NULL.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_group_send_text`.
 */
int wstrand_group_send_binary(wstrand_group *group,
                              const void *data,
                              size_t size,
                              size_t *queued,
                              wstrand_error **error);

/**
 * Sends a text message to all members but one: the one that it came from, usually. As `wstrand_group_send_text`.
 *
 * Threads: any, also several at once.
 *
 * @param except It need not be a member.
 * @param text UTF-8, which needs no NUL at its end. NULL if `size` is 0. It is not needed after the call.
 * @param size In bytes.
 * @param queued For how many members it was written or queued. May be NULL.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_group_send_text`.
 */
int wstrand_group_send_text_except(wstrand_group *group,
                                   const wstrand_connection *except,
                                   const char *text,
                                   size_t size,
                                   size_t *queued,
                                   wstrand_error **error);

/**
 * Sends a binary message to all members but one. As `wstrand_group_send_text_except`.
 *
 * Threads: any, also several at once.
 *
 * @param except It need not be a member.
 * @param data NULL if `size` is 0. It is not needed after the call.
 * @param size In bytes.
 * @param queued For how many members it was written or queued. May be NULL.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_group_send_text`.
 */
int wstrand_group_send_binary_except(wstrand_group *group,
                                     const wstrand_connection *except,
                                     const void *data,
                                     size_t size,
                                     size_t *queued,
                                     wstrand_error **error);

/**
 * Sends a prepared message to all members: one that goes to several groups, or that
 * `wstrand_prepared_new_uncompressed` has made. As `wstrand_group_send_text`.
 *
 * Threads: any, also several at once.
 *
 * @param queued For how many members it was written or queued. May be NULL.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK, as `wstrand_group_send_text`; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_group_send_prepared(wstrand_group *group,
                                const wstrand_prepared *prepared,
                                size_t *queued,
                                wstrand_error **error);

/**
 * Sends a prepared message to all members but one. As `wstrand_group_send_prepared`.
 *
 * Threads: any, also several at once.
 *
 * @param except It need not be a member.
 * @param queued For how many members it was written or queued. May be NULL.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_group_send_prepared`.
 */
int wstrand_group_send_prepared_except(wstrand_group *group,
                                       const wstrand_connection *except,
                                       const wstrand_prepared *prepared,
                                       size_t *queued,
                                       wstrand_error **error);

/**
 * Connects to a WebSocket server, and connects again when the connection is lost, until there is a reason to stop.
 *
 * Does not block: it connects on a thread of its own, on which all callbacks come. `*reconnecting` is set before the
 * first of them begins.
 *
 * Each connection is a session, with a number from 1 on, and calls back as any other, from `on_open` to `on_close`; its
 * handle is lent to these callbacks, `wstrand_connection_retain` keeps it, and `wstrand_connection_session` tells the
 * number. Around them come `on_attempt`, before each attempt to connect, and `on_down`, after each one that failed and
 * after each session:
 *
 *     (on_attempt [on_open ... on_close] on_down)*
 *
 * Between attempts there are pauses, of a length by chance from nothing up to a longest one, which begins with
 * `wstrand_options_set_reconnect_first_delay_ms` and doubles with each attempt, until a connection has stayed up for
 * some time: a server that accepts and drops is not hammered. Retry-After (RFC 9110, section 10.2.3) is honoured.
 *
 * It stops, and the last `on_down` says so:
 *
 * - after `wstrand_reconnecting_close` or `wstrand_attempt_give_up`;
 * - after an answer that nothing changes by itself: an HTTP status of 4xx but 408 and 429; the close codes 1000, 1002,
 *   1003, 1007, 1008, 1009 and 1010, also where this end has failed the connection with them; 3000 and 3003, which are
 *   for close what 401 and 403 are for HTTP. Of a session that the program closes, with `wstrand_connection_close`, its
 *   own code counts, whatever the peer answers. `wstrand_options_add_reconnect_retry_on` and
 *   `wstrand_options_add_reconnect_stop_on` choose otherwise;
 * - where `wstrand_attempt_set_url` or `wstrand_attempt_set_header` was given what cannot be used;
 * - after `wstrand_options_set_reconnect_max_attempts` or `wstrand_options_set_reconnect_give_up_after_ms`.
 *
 * Everything else is tried again: names that are not found, TLS that fails, other statuses and close codes, connections
 * that end without Close, peers that vanish.
 *
 * Threads: any.
 *
 * @param url As for `wstrand_connect`.
 * @param options NULL for the defaults. May be freed right after. `wstrand_options_set_cancel` is not looked at.
 * @param handler What is called back, which has no queue. May be freed right after.
 * @param reconnecting Where it goes, which the caller frees; NULL on failure.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the URL or an option cannot be used, if the handler has a queue, or
 * for NULL; WSTRAND_IO if there are no descriptors (it holds two) or no thread can be started. That the server cannot
 * be reached is for `on_down` to say.
 */
WSTRAND_NODISCARD
int wstrand_reconnect(const char *url,
                      const wstrand_options *options,
                      const wstrand_handler *handler,
                      wstrand_reconnecting **reconnecting,
                      wstrand_error **error);

/**
 * Frees it. NULL is fine.
 *
 * If it has not stopped, it is closed with code 1000: no callback begins any more, messages that wait are thrown away,
 * and the closing handshake goes on in the background for the close timeout at the most.
 *
 * Blocks until the callback that is running has returned: after it nothing of the program's is used any more. The
 * pointer that `wstrand_connection_set_userdata` has given to a connection goes too, or else with the last reference
 * that the program has to that connection. It does not wait inside its own callbacks, nor where two callbacks would
 * wait for each other; what is left then goes when the callback returns, and such a pointer when the connection has
 * ended.
 *
 * Threads: any, the last to use it.
 */
void wstrand_reconnecting_free(wstrand_reconnecting *reconnecting);

/**
 * Sends a message.
 *
 * Over a connection that is open it goes as by `wstrand_connection_send_text`, and blocks as that does. While there is
 * none, and until `on_open` has returned and what was queued before is sent, it waits in a queue, if
 * `wstrand_options_set_reconnect_queue_bytes` gives it room; that does not block. In callbacks of a session, send on
 * that connection: in `on_open` that goes before what waits.
 *
 * A message is never sent twice, and so may be lost: one that was handed to a connection does not come back when that
 * fails, whether the peer had received it or not, for nobody knows. Where that matters, the peer has to acknowledge.
 * What waits is sent in order, and before what is sent later on; `wstrand_down_lost_messages` counts what is known not
 * to have been.
 *
 * Where the connection compresses, so does this. What must not be compressed is sent in callbacks of a session, on that
 * connection.
 *
 * Threads: any, also several at once.
 *
 * @param kind WSTRAND_TEXT or WSTRAND_BINARY.
 * @param data UTF-8 if it is text. NULL if `size` is 0. It is not needed after the call.
 * @param size In bytes.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_FULL if there is no connection and no room: nothing was sent; WSTRAND_INVALID_ARGUMENT
 * for what is no such message, or for NULL; WSTRAND_CLOSED or WSTRAND_LOST once it was closed or has stopped; else as
 * `wstrand_connection_send_text`, and the message does not wait.
 */
int wstrand_reconnecting_send(wstrand_reconnecting *reconnecting,
                              int kind,
                              const void *data,
                              size_t size,
                              wstrand_error **error);

/**
 * Sends a message if that needs no waiting, or has it wait in the queue. Never blocks.
 *
 * Threads: any, also several at once.
 *
 * @return As `wstrand_reconnecting_send`; WSTRAND_FULL also if the connection that there is has no room.
 */
int wstrand_reconnecting_try_send(wstrand_reconnecting *reconnecting,
                                  int kind,
                                  const void *data,
                                  size_t size,
                                  wstrand_error **error);

/**
 * Tells the last session that there was.
 *
 * Threads: any.
 *
 * @return Its number, from 1 on; 0 if there was none yet, or for NULL.
 */
uint64_t wstrand_reconnecting_session(const wstrand_reconnecting *reconnecting);

/**
 * Connects no more, and starts the closing handshake of the connection that there is, as `wstrand_connection_close`
 * does. Pauses and attempts end at once. What waits in the queue is lost. `on_down` comes last.
 *
 * Never blocks. A second call does nothing.
 *
 * Threads: any.
 *
 * @param code As for `wstrand_connection_close`.
 * @param reason As for `wstrand_connection_close`.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_connection_close`.
 */
int wstrand_reconnecting_close(wstrand_reconnecting *reconnecting,
                               uint16_t code,
                               const char *reason,
                               wstrand_error **error);

/**
 * Waits until it has stopped, in whatever way, and the last `on_down` has returned. It does not close.
 *
 * Threads: any.
 *
 * @param timeout_ms 0 not to wait at all, negative to wait for ever.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK if it has stopped; WSTRAND_TIMEOUT if it has not yet; WSTRAND_WOULD_DEADLOCK inside its own
 * callbacks, or if one of those waits for the callback that this is called in; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_reconnecting_wait_closed(wstrand_reconnecting *reconnecting,
                                     int64_t timeout_ms,
                                     wstrand_error **error);

/**
 * Tells which attempt in a row this is.
 *
 * Threads: the callback's.
 *
 * @return 1 for the first, and where the last connection has stayed up; 0 for NULL.
 */
size_t wstrand_attempt_number(const wstrand_attempt *attempt);

/**
 * Tells which session the attempt would bring.
 *
 * Threads: the callback's.
 *
 * @return Its number, from 1 on; 0 for NULL.
 */
uint64_t wstrand_attempt_session(const wstrand_attempt *attempt);

/**
 * Tells the URL to connect to.
 *
 * Threads: the callback's.
 *
 * @return Text that lives until the URL is set or the callback returns; NULL for NULL.
 */
const char *wstrand_attempt_url(const wstrand_attempt *attempt);

/**
 * Connects to another URL, with the same header fields: also to another host.
 *
 * Threads: the callback's.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is not UTF-8, or for NULL.
 */
int wstrand_attempt_set_url(wstrand_attempt *attempt, const char *url);

/**
 * Sends this header field in place of those of that name: such as Authorization, with a fresh token.
 *
 * Threads: the callback's.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if something is not UTF-8, or for NULL.
 */
int wstrand_attempt_set_header(wstrand_attempt *attempt,
                               const char *name,
                               const char *value);

/**
 * Does not connect, not later either.
 *
 * Threads: the callback's.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
 */
int wstrand_attempt_give_up(wstrand_attempt *attempt);

/**
 * Tells everything in words, such as "connect: Connection refused (os error 111); again in 2.1 s".
 *
 * Threads: the callback's, as for all that follow.
 *
 * @return Text in English, without a full stop, that lives until the callback returns; NULL for NULL.
 */
const char *wstrand_down_text(const wstrand_down *down);

/**
 * Tells why: how the attempt failed or the session ended, with the phase. Where a session has ended cleanly the code
 * is WSTRAND_CLOSED; where this end gave up before there was a connection, WSTRAND_CANCELLED.
 *
 * Threads: the callback's.
 *
 * @return The error, which lives until the callback returns, `wstrand_error_copy` keeps it; NULL for NULL.
 */
const wstrand_error *wstrand_down_error(const wstrand_down *down);

/**
 * Tells whether, and why, there will be no further attempt. If so, this is the last callback.
 *
 * Threads: the callback's.
 *
 * @return WSTRAND_STOP_NOT if there will be one, also for NULL; else one of the other WSTRAND_STOP_ constants. There
 * may be more of them one day.
 */
int wstrand_down_stop(const wstrand_down *down);

/**
 * Tells how long the pause before the next attempt is.
 *
 * Threads: the callback's.
 *
 * @return Milliseconds; 0 if there will be none, or for NULL.
 */
uint64_t wstrand_down_delay_ms(const wstrand_down *down);

/**
 * Tells the last session that there was.
 *
 * Threads: the callback's.
 *
 * @return Its number, from 1 on; 0 if there was none, or for NULL.
 */
uint64_t wstrand_down_session(const wstrand_down *down);

/**
 * Tells how many attempts in a row have brought no connection that stayed up.
 *
 * Threads: the callback's.
 *
 * @return The number; 0 after a connection that did, or for NULL.
 */
size_t wstrand_down_attempts(const wstrand_down *down);

/**
 * Tells how many messages that waited will not be sent any more: those that were being handed to a connection when it
 * failed, and where it stops those that wait. See `wstrand_reconnecting_send`.
 *
 * Threads: the callback's.
 *
 * @return The number; 0 for NULL.
 */
size_t wstrand_down_lost_messages(const wstrand_down *down);

/**
 * Makes a server and binds its address: clients can connect from now on, and wait until it is started.
 *
 * Blocks while a host name is resolved; an address needs no resolving.
 *
 * Threads: any.
 *
 * @param address "HOST:PORT" such as "127.0.0.1:9001", "[::1]:9001" or "localhost:9001"; "[::]:9001" for all
 * addresses of the machine; a bare "9001" is on 127.0.0.1. Port 0 takes any free port.
 * @param options NULL for the defaults. May be freed right after. With `wstrand_options_set_tls_identity` the
 * server speaks TLS.
 * @param handler What is called back. May be freed right after.
 * @param server Where the server goes, which the caller frees; NULL on failure.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the address or an option cannot be used, or for NULL;
 * WSTRAND_IO if the address cannot be bound; WSTRAND_TLS if the certificate cannot be used.
 */
WSTRAND_NODISCARD
int wstrand_server_new(const char *address,
                       const wstrand_options *options,
                       const wstrand_handler *handler,
                       wstrand_server **server,
                       wstrand_error **error);

/**
 * Makes a server as `wstrand_server_new` does, and binds a Unix domain socket.
 *
 * A socket of that name that nobody listens on any more is replaced; the name stays behind when the server
 * has stopped.
 *
 * Does not block.
 *
 * Threads: any.
 *
 * @param path The socket's, in the file system. Who may connect is up to the permissions there.
 * @param options NULL for the defaults. May be freed right after.
 * @param handler What is called back. May be freed right after.
 * @param server Where the server goes, which the caller frees; NULL on failure.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_server_new`.
 */
WSTRAND_NODISCARD
int wstrand_server_new_unix(const char *path,
                            const wstrand_options *options,
                            const wstrand_handler *handler,
                            wstrand_server **server,
                            wstrand_error **error);

/**
 * Makes a server as `wstrand_server_new` does, of a stream socket that is listening already, of whatever family.
 *
 * The descriptor belongs to the library from this call on, whatever it returns: it is closed when the server has
 * stopped or is freed, or before a failure is returned. To keep one, hand in what `dup` made of it.
 *
 * Does not block.
 *
 * Threads: any.
 *
 * @param descriptor The socket's, which nobody else accepts on or closes any more. Blocking or not does not
 * matter.
 * @param options NULL for the defaults. May be freed right after.
 * @param handler What is called back. May be freed right after.
 * @param server Where the server goes, which the caller frees; NULL on failure.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return As `wstrand_server_new`; WSTRAND_INVALID_ARGUMENT also if the descriptor is not open.
 */
WSTRAND_NODISCARD
int wstrand_server_new_over(int descriptor,
                            const wstrand_options *options,
                            const wstrand_handler *handler,
                            wstrand_server **server,
                            wstrand_error **error);

/**
 * Frees a server. NULL is fine.
 *
 * If it has not been stopped, it is stopped the hard way: connections are sent code 1001 and cut at once.
 * Call `wstrand_server_stop` before for an orderly end.
 *
 * Blocks until all callbacks have returned: after it nothing of the program's is used any more. Inside a
 * callback it does not wait for that, but for a quarter of a second at the most, and the callbacks of its
 * own connection go on to `on_close`.
 *
 * Threads: any, the last to use it; it need not have returned from `wstrand_server_run`.
 */
void wstrand_server_free(wstrand_server *server);

/**
 * Tells the address that the server is bound to, with the port that was found for port 0.
 *
 * Threads: any.
 *
 * @return Text such as "127.0.0.1:9001", which lives as long as the server; "" for a Unix domain socket; NULL for
 * NULL.
 */
const char *wstrand_server_address(const wstrand_server *server);

/**
 * Tells the port that the server is bound to.
 *
 * Threads: any.
 *
 * @return The port; 0 for a Unix domain socket, or for NULL.
 */
uint16_t wstrand_server_port(const wstrand_server *server);

/**
 * Serves in the background, on threads of the library's own.
 *
 * Does not block.
 *
 * Threads: any.
 *
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if an option cannot be used, or for NULL;
 * WSTRAND_INVALID_STATE if it was started before; WSTRAND_IO if no thread can be started.
 */
WSTRAND_NODISCARD int wstrand_server_start(wstrand_server *server, wstrand_error **error);

/**
 * Serves, with the calling thread to accept connections.
 *
 * Blocks until `wstrand_server_stop` or `wstrand_server_free` has done its work.
 *
 * Threads: any.
 *
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK once it was stopped; WSTRAND_INVALID_ARGUMENT if an option cannot be used, or for
 * NULL; WSTRAND_INVALID_STATE if it was started before; WSTRAND_IO if the listening socket fails.
 */
WSTRAND_NODISCARD
int wstrand_server_run(wstrand_server *server,
                       wstrand_error **error);

/**
 * Shows another certificate to those who connect to a server from now on, as when the old one is about to expire.
 * Connections that are open go on.
 *
 * Does not block.
 *
 * Threads: any, while the server runs, before and after.
 *
 * @param options Their `wstrand_options_set_tls_identity` is what counts; nothing else in them does. May be freed
 * right after.
 * @param error Where the reason of a failure goes; NULL on success. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the options have no identity, or for NULL;
 * WSTRAND_INVALID_STATE if the server does not speak TLS; WSTRAND_TLS if the certificate cannot be used: the
 * old one stays.
 */
WSTRAND_NODISCARD
int wstrand_server_renew_tls(wstrand_server *server,
                             const wstrand_options *options,
                             wstrand_error **error);

/**
 * Stops a server: it accepts nobody any more, closes every connection with code 1001, waits until all have
 * ended, and after `drain_ms` cuts those that are left. It cannot be started again.
 *
 * Blocks until then, a quarter of a second longer than `drain_ms` at the most. Inside a callback it does not
 * wait for that callback's own connection, nor for those of others that are stopping the server. A second
 * call waits like the first. Not to be called by a signal handler: block the signal before there are other
 * threads, and have one wait for it with `sigwait`.
 *
 * Threads: any.
 *
 * @param drain_ms 0 to cut at once, negative to wait for as long as it takes.
 * @param busy Where the number of threads goes on which callbacks, or a logger, have not returned yet: 0 unless one
 * takes longer. Inside a callback its own is not counted, nor are others that are stopping the server. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `server` is NULL.
 */
int wstrand_server_stop(wstrand_server *server,
                        int64_t drain_ms,
                        size_t *busy);

/**
 * Tells how many connections are being served, opening and closing handshakes included.
 *
 * Threads: any.
 *
 * @return The number; 0 for NULL.
 */
size_t wstrand_server_connection_count(const wstrand_server *server);

/**
 * Tells a counter of the connection, as of now; after its end as of then. Payload over wire bytes tells how well
 * messages compress.
 *
 * Threads: any.
 *
 * @param stat WSTRAND_STAT_MESSAGES_SENT or another of those constants.
 * @return The number; 0 for one that only a server has or that this library does not know, and for NULL.
 */
uint64_t wstrand_connection_stat(const wstrand_connection *connection,
                                 int stat);

/**
 * Tells a counter of the server and all its connections, those that have ended included, as of now.
 *
 * It looks at each connection, which takes microseconds for hundreds of them.
 *
 * Threads: any.
 *
 * @param stat WSTRAND_STAT_MESSAGES_SENT or another of those constants.
 * @return The number; 0 for one that only a connection has or that this library does not know, and for NULL.
 */
uint64_t wstrand_server_stat(const wstrand_server *server,
                             int stat);

/**
 * Tells the method: "GET" for an opening handshake (RFC 6455, section 4.1).
 *
 * Threads: any.
 *
 * @return The method; NULL for NULL.
 */
const char *wstrand_request_method(const wstrand_request *request);

/**
 * Tells the path, such as "/chat", with percent encoding as it came.
 *
 * Threads: any.
 *
 * @return The path; NULL for NULL.
 */
const char *wstrand_request_path(const wstrand_request *request);

/**
 * Tells the query, what follows the first "?", with percent encoding as it came.
 *
 * Threads: any.
 *
 * @return The query; NULL if there is none, or for NULL.
 */
const char *wstrand_request_query(const wstrand_request *request);

/**
 * Tells the origin of the web page that connects, such as "https://example.com" (RFC 6455, section 10.2).
 *
 * Threads: any.
 *
 * @return The origin; NULL if no browser connects, or for NULL.
 */
const char *wstrand_request_origin(const wstrand_request *request);

/**
 * Tells the address of the client, or of the proxy before it, such as "192.0.2.1:51234".
 *
 * Threads: any.
 *
 * @return The address; NULL if it is not known, or for NULL.
 */
const char *wstrand_request_peer_address(const wstrand_request *request);

/**
 * Tells a header field.
 *
 * Threads: any.
 *
 * @param name Upper and lower case are the same.
 * @param index 0 for the field's first value, 1 for the second if it is repeated, and so on.
 * @return The value; NULL if there is no such field, or for NULL.
 */
const char *wstrand_request_header(const wstrand_request *request, const char *name, size_t index);

/**
 * Tells a subprotocol that the client offers, in its order of preference.
 *
 * Threads: any.
 *
 * @param index 0 for the first.
 * @return The subprotocol; NULL if it offers no more, or for NULL.
 */
const char *wstrand_request_subprotocol(const wstrand_request *request, size_t index);

/**
 * Tells whether this is an opening handshake, rather than plain HTTP.
 *
 * Threads: any.
 *
 * @return true if it asks for WebSocket; false for NULL.
 */
bool wstrand_request_is_upgrade(const wstrand_request *request);

/**
 * Accepts the opening handshake. A plain request is refused all the same.
 *
 * Threads: that of `on_request`.
 *
 * @param subprotocol One that the client offers, see `wstrand_request_subprotocol`: with another it gets
 * status 500. NULL for the first of the server's own that it offers, if there is one.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the subprotocol is not a token, or `response` is NULL.
 */
int wstrand_response_accept(wstrand_response *response,
                            const char *subprotocol);

/**
 * Answers with plain HTTP of this status: a page, a health check, a refusal. The connection is closed after
 * it.
 *
 * Threads: that of `on_request`.
 *
 * @param status 200 to 599.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for another status, or if `response` is NULL.
 */
int wstrand_response_set_status(wstrand_response *response,
                                int status);

/**
 * Adds a header field to the answer, whichever it is.
 *
 * Threads: that of `on_request`.
 *
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the name is not a token, the value has anything but
 * printable ASCII (line ends above all), the library owns the field (Connection, Content-Length,
 * Sec-WebSocket-*), or for NULL.
 */
int wstrand_response_add_header(wstrand_response *response,
                                const char *name,
                                const char *value);

/**
 * Sets the body of a plain answer, whose status is 200 if none was set.
 *
 * Threads: that of `on_request`.
 *
 * @param content_type Such as "text/html; charset=utf-8"; NULL for none.
 * @param data Copied. NULL if `size` is 0.
 * @param size In bytes.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the content type may not stand in a header field, or for
 * NULL.
 */
int wstrand_response_set_body(wstrand_response *response,
                              const char *content_type,
                              const void *data,
                              size_t size);

/**
 * Sets what is called for every line of the log, for the whole process. By default there is none.
 *
 * Does not block. The callback before may still be running on other threads for a moment; its
 * `userdata_free` is called after that.
 *
 * Threads: any.
 *
 * @param log NULL for none.
 * @param max_level The finest level to be told of; WSTRAND_LOG_OFF for nothing.
 * @param userdata Passed to every call as it is. May be NULL.
 * @param userdata_free Called once with `userdata`, after the last call of `log`. May be NULL.
 * @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the level is none, WSTRAND_INVALID_STATE if a Rust
 * program around the library has a logger of its own: `userdata_free` is not called then.
 */
int wstrand_set_log(wstrand_log_fn log,
                    int max_level,
                    void *userdata,
                    wstrand_free_fn userdata_free);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* WSTRAND_H */
