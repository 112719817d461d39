/* TLS on a system whose calls are interrupted and move few bytes (shim.c): ten megabytes each way at once between a
   client and a server of the library's, both in this program, arrive as they were sent.

       faults_tls DIRECTORY */
#include "certs.h"

enum { TOTAL = 10 * 1000 * 1000, LONGEST = 100000 };

static struct counter arrived = COUNTER;
static long next;
static unsigned char expected[LONGEST], message[LONGEST];

/* From a byte to more than one TLS record, and more than one piece that is encrypted at once. */
static size_t size_of(long number)
{
    return 1 + (size_t)number * 7919 % LONGEST;
}

static void fill(unsigned char *bytes, long number)
{
    const size_t size = size_of(number);
    unsigned state = (unsigned)number + 1;
    size_t i;
    for (i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(state >> 24);
    }
}

static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    (void)connection, (void)userdata;
    fill(expected, next);
    CHECK_INT(kind, WSTRAND_BINARY);
    if (CHECK_INT(size, size_of(next)))
        CHECK(memcmp(data, expected, size) == 0);
    next++;
    counter_add(&arrived, (long)size);
}

int main(int argc, char **argv)
{
    wstrand_options *options = wstrand_options_new();
    wstrand_handler *echoing = wstrand_handler_new(NULL, NULL);
    wstrand_handler *checking = wstrand_handler_new(NULL, NULL);
    wstrand_connection *connection;
    wstrand_server *server;
    char url[URL_SIZE];
    long sent = 0, number;

    REQUIRE(argc == 2);
    certs = argv[1];
    identify(options, "server");
    wstrand_handler_set_on_message(echoing, echo);
    server = serve(echoing, options, url);
    secure_url(server, url);
    wstrand_options_free(options);

    options = wstrand_options_new();
    trust(options);
    wstrand_handler_set_on_message(checking, on_message);
    connection = open_connection(url, options, checking);
    wstrand_handler_free(checking);
    wstrand_options_free(options);

    for (number = 0; sent < TOTAL; number++) {
        fill(message, number);
        if (!CHECK_OK(wstrand_connection_send_binary(connection, message, size_of(number), NULL)))
            break;
        sent += (long)size_of(number);
    }
    CHECK(counter_reaches(&arrived, sent));
    CHECK_OK(wstrand_connection_close(connection, 1000, "done", NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    CHECK_INT(next, number);
    wstrand_connection_free(connection);
    end_server(server);
    return finish();
}
