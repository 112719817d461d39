/*
 * Says hello to an echo server: sends a text, a binary and a 1 MiB message, prints what comes back, and
 * closes.
 *
 *     hello URL [SUBPROTOCOL]
 *
 * Exits with 0 only after a clean close.
 */
#include <stdio.h>
#include <stdlib.h>
#include <wstrand.h>

static const char large[1024 * 1024];

static void on_open(wstrand_connection *connection, void *userdata)
{
    const char *subprotocol = wstrand_connection_subprotocol(connection);
    (void)userdata;
    printf("open subprotocol=%s\n", subprotocol ? subprotocol : "");
}

static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size,
                       void *userdata)
{
    (void)userdata;
    if (kind == WSTRAND_TEXT)
        printf("message text %zu bytes: %.*s\n", size, size < 40 ? (int)size : 40, (const char *)data);
    else
        printf("message binary %zu bytes\n", size);

    if (kind == WSTRAND_BINARY && size == sizeof large) /* the last of ours */
        wstrand_connection_close(connection, WSTRAND_CLOSE_NORMAL, "bye", NULL);
}

static void on_error(wstrand_connection *connection, const wstrand_error *error, void *userdata)
{
    (void)connection, (void)userdata;
    printf("error %s\n", wstrand_error_text(error));
}

static void on_close(wstrand_connection *connection, uint16_t code, const char *reason,
                     size_t reason_size, bool was_clean, void *userdata)
{
    (void)connection, (void)reason_size, (void)userdata;
    printf("close %u %s %s\n", (unsigned)code, reason, was_clean ? "clean" : "unclean");
}

int main(int argc, char **argv)
{
    wstrand_options *options = wstrand_options_new();
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_connection *connection;
    wstrand_error *error;
    bool was_clean;

    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: hello URL [SUBPROTOCOL]\n");
        return EXIT_FAILURE;
    }
    if (argc == 3)
        wstrand_options_add_subprotocol(options, argv[2]);
    wstrand_handler_set_on_open(handler, on_open);
    wstrand_handler_set_on_message(handler, on_message);
    wstrand_handler_set_on_error(handler, on_error);
    wstrand_handler_set_on_close(handler, on_close);

    if (wstrand_connect(argv[1], options, handler, &connection, &error) != WSTRAND_OK)
        fprintf(stderr, "hello: %s\n", wstrand_error_text(error));
    wstrand_error_free(error);
    wstrand_handler_free(handler);
    wstrand_options_free(options);
    if (connection == NULL)
        return EXIT_FAILURE;

    /* If one cannot be sent, on_error and on_close say why. */
    wstrand_connection_send_string(connection, "Hello, world!", NULL);
    wstrand_connection_send_binary(connection, "\0\1\2\3", 4, NULL);
    wstrand_connection_send_binary(connection, large, sizeof large, NULL);

    wstrand_connection_wait_closed(connection, -1, NULL);
    was_clean = wstrand_connection_was_clean(connection);
    wstrand_connection_free(connection);
    return was_clean ? EXIT_SUCCESS : EXIT_FAILURE;
}
