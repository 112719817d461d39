/*
 * One loop for two things: sends what comes in on standard input, line by line, and prints what the server
 * sends. The program waits in poll; callbacks come from the one thread that it has.
 *
 *     poll_loop URL
 *
 * Ends with standard input. Exits with 0 only after a clean close.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wstrand.h>

static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size,
                       void *userdata)
{
    (void)connection, (void)userdata;
    if (kind == WSTRAND_TEXT)
        printf("%.*s\n", (int)size, (const char *)data);
    else
        printf("%zu bytes\n", size);
    fflush(stdout);
}

static void on_close(wstrand_connection *connection, uint16_t code, const char *reason,
                     size_t reason_size, bool was_clean, void *userdata)
{
    (void)connection, (void)reason_size, (void)userdata;
    printf("closed %u %s %s\n", (unsigned)code, reason, was_clean ? "clean" : "unclean");
}

static void send_line(wstrand_connection *connection, const char *line, size_t size)
{
    wstrand_error *error;
    if (wstrand_connection_send_text(connection, line, size, &error) != WSTRAND_OK)
        fprintf(stderr, "poll_loop: %s\n", wstrand_error_text(error));
    wstrand_error_free(error);
}

/* Sends the lines that are whole, and at the end of the input the rest, and closes. Returns whether there is more to
   come. */
static bool read_lines(wstrand_connection *connection)
{
    static char line[4096];
    static size_t filled;
    const ssize_t got = read(STDIN_FILENO, line + filled, sizeof line - filled);
    char *end;
    if (got < 0 && errno == EINTR)
        return true;
    if (got <= 0) {
        if (got < 0)
            perror("poll_loop: standard input");
        if (filled > 0)
            send_line(connection, line, filled);
        wstrand_connection_close(connection, WSTRAND_CLOSE_NORMAL, "bye", NULL);
        return false;
    }
    filled += (size_t)got;
    while ((end = memchr(line, '\n', filled)) != NULL || filled == sizeof line) {
        const size_t size = end != NULL ? (size_t)(end - line) : filled;
        const size_t used = end != NULL ? size + 1 : size;
        send_line(connection, line, size);
        filled -= used;
        memmove(line, line + used, filled);
    }
    return true;
}

int main(int argc, char **argv)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_connection *connection = NULL;
    wstrand_error *error = NULL;
    struct pollfd waiting[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};
    int code = WSTRAND_OK;
    bool was_clean;

    if (argc != 2) {
        fprintf(stderr, "usage: poll_loop URL\n");
        return EXIT_FAILURE;
    }
    wstrand_handler_set_on_message(handler, on_message);
    wstrand_handler_set_on_close(handler, on_close);
    wstrand_handler_set_queue_bytes(handler, 1024 * 1024);
    if (wstrand_connect(argv[1], NULL, handler, &connection, &error) != WSTRAND_OK
        || wstrand_connection_event_descriptor(connection, &waiting[1].fd, &error) != WSTRAND_OK) {
        fprintf(stderr, "poll_loop: %s\n", wstrand_error_text(error));
        wstrand_error_free(error);
        wstrand_connection_free(connection);
        wstrand_handler_free(handler);
        return EXIT_FAILURE;
    }
    wstrand_handler_free(handler);

    while (code != WSTRAND_CLOSED) {
        if (poll(waiting, 2, -1) < 0) {
            if (errno == EINTR)
                continue; /* a signal */
            perror("poll_loop: poll");
            break;
        }
        if (waiting[0].revents != 0 && !read_lines(connection))
            waiting[0].fd = -1; /* poll passes over it */
        if (waiting[1].revents != 0)
            code = wstrand_connection_dispatch(connection, 0, NULL);
    }

    was_clean = wstrand_connection_was_clean(connection);
    wstrand_connection_free(connection);
    return was_clean ? EXIT_SUCCESS : EXIT_FAILURE;
}
