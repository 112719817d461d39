/* What a program sees of a system whose calls fail (shim.c): an error, with a code that fits, or the right bytes; and no
   call that does not come back.

     faults           nothing may be lost
     faults resets    connections are, and not all of them
     faults threads   a server has no thread for every third of 300 clients: 100 are told, 200 served
     faults reach     names are not found, and addresses not reached */
#include "check.h"
#include <errno.h>

enum { ROUNDS = 30, MESSAGES = 20, SIZE = 20000 };

static bool lenient;
static long lost;

static bool is_lost(int code)
{
    return code == WSTRAND_IO || code == WSTRAND_LOST || code == WSTRAND_CLOSED || code == WSTRAND_HANDSHAKE;
}

/* Whether to go on. */
static bool went_well(int code, const char *call)
{
    if (code == WSTRAND_OK)
        return true;
    if (!CHECK(lenient && is_lost(code)))
        fprintf(stderr, "%s: %s\n", call, wstrand_strerror(code));
    lost++;
    return false;
}

static long converse(const char *url, unsigned char *message)
{
    wstrand_connection *connection;
    const void *data;
    size_t size;
    long echoes = 0;
    int i, kind;
    if (!went_well(wstrand_connect(url, NULL, NULL, &connection, NULL), "connect"))
        return 0;
    for (i = 0; i < MESSAGES; i++) {
        size_t length = (size_t)(i * SIZE / MESSAGES) * (i % 7 == 0 ? 4 : 1), j;
        for (j = 0; j < length; j++)
            message[j] = (unsigned char)(j * 31 + (size_t)i);
        if (!went_well(wstrand_connection_send_binary(connection, message, length, NULL), "send")
            || !went_well(wstrand_connection_receive(connection, PATIENCE_MS, &kind, &data, &size, NULL), "receive"))
            break;
        if (!CHECK_INT(size, length) || !CHECK(memcmp(data, message, length) == 0))
            break;
        echoes++;
    }
    if (i == MESSAGES) {
        CHECK_OK(wstrand_connection_close(connection, 1000, "done", NULL));
        went_well(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL), "wait_closed");
    }
    wstrand_connection_free(connection);
    return echoes;
}

static void conversations(const char *url, int rounds)
{
    unsigned char *message = malloc(4 * SIZE);
    long echoes = 0;
    int i;
    for (i = 0; i < rounds; i++)
        echoes += converse(url, message);
    if (lenient)
        CHECK(echoes > 0 && lost > 0);
    else
        CHECK_INT(echoes, rounds * MESSAGES);
    free(message);
}

/* One message there and back. */
static void be_served(wstrand_connection *connection)
{
    const void *data;
    size_t size;
    int kind;
    CHECK_OK(wstrand_connection_send_text(connection, "here", 4, NULL));
    if (CHECK_OK(wstrand_connection_receive(connection, PATIENCE_MS, &kind, &data, &size, NULL)))
        CHECK(size == 4 && memcmp(data, "here", 4) == 0);
    CHECK_OK(wstrand_connection_close(connection, 1000, "", NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    wstrand_connection_free(connection);
}

static void no_threads(const char *url, wstrand_server *server)
{
    double until;
    int i, served = 0, told = 0;
    for (i = 0; i < 300; i++) {
        wstrand_connection *connection;
        wstrand_error *error;
        if (wstrand_connect(url, NULL, NULL, &connection, &error) == WSTRAND_OK) {
            be_served(connection);
            served++;
        } else {
            told += CHECK_INT(wstrand_error_code(error), WSTRAND_HANDSHAKE)
                && CHECK_INT(wstrand_error_http_status(error), 503);
            wstrand_error_free(error);
        }
    }
    CHECK_INT(served, 200);
    CHECK_INT(told, 100);
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_REFUSED_THREAD), 100);
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_ACCEPTED), 200);
    /* It counts, and waits, when the client has been told. */
    until = now_s() + PATIENCE_S;
    while (wstrand_server_stat(server, WSTRAND_STAT_SHORTAGES) < 100 && now_s() < until)
        sched_yield();
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_SHORTAGES), 100);
}

static void ways_that_fail(const char *url)
{
    char by_name[URL_SIZE];
    int i, served = 0, not_found = 0, not_reached = 0;
    snprintf(by_name, sizeof by_name, "ws://localhost%s", strrchr(url, ':'));
    for (i = 0; i < 200; i++) {
        wstrand_connection *connection;
        wstrand_error *error;
        const int code = wstrand_connect(by_name, NULL, NULL, &connection, &error);
        const int os_code = wstrand_error_os_code(error);
        const char *phase = wstrand_error_phase(error);
        if (code == WSTRAND_OK) {
            be_served(connection);
            served++;
        } else if (CHECK_INT(code, WSTRAND_IO) && strcmp(phase, "resolve") == 0) {
            not_found++;
        } else {
            CHECK_TEXT(phase, "connect");
            not_reached += CHECK(os_code == ECONNREFUSED || os_code == ENETUNREACH || os_code == EADDRNOTAVAIL
                                 || os_code == ETIMEDOUT || os_code == EHOSTUNREACH);
        }
        wstrand_error_free(error);
    }
    CHECK(served > 50);
    CHECK(not_found > 20);
    CHECK(not_reached > 20);
    CHECK_INT(served + not_found + not_reached, 200);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    char url[URL_SIZE];
    wstrand_server *server = serve_echo(url);
    lenient = strcmp(what, "resets") == 0;
    if (strcmp(what, "threads") == 0)
        no_threads(url, server);
    else if (strcmp(what, "reach") == 0)
        ways_that_fail(url);
    else
        conversations(url, lenient ? ROUNDS / 3 : ROUNDS); /* a reset takes a second to get over */
    end_server(server);
    return finish();
}
