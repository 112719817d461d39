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
