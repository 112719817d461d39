/* What a program sees of a system whose calls fail (shim.c): an error, with a code that fits, or the right bytes; and no
   call that does not come back. "lenient" as the argument lets connections be lost. */
#include "check.h"

enum { ROUNDS = 30, MESSAGES = 20, SIZE = 20000 };

static bool lenient;

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

int main(int argc, char **argv)
{
    unsigned char *message = malloc(4 * SIZE);
    char url[URL_SIZE];
    wstrand_server *server = serve_echo(url);
    long echoes = 0;
    int i, rounds;
    lenient = argc > 1 && strcmp(argv[1], "lenient") == 0;
    rounds = lenient ? ROUNDS / 3 : ROUNDS; /* a reset takes a second to get over */
    for (i = 0; i < rounds; i++)
        echoes += converse(url, message);
    if (lenient)
        CHECK(echoes > 0 && echoes <= rounds * MESSAGES);
    else
        CHECK_INT(echoes, rounds * MESSAGES);
    free(message);
    end_server(server);
    return finish();
}
