/*
 * Frees connections at every stage of their lives, while callbacks run and messages fly, and checks that
 * no callback sees a userdata that is gone. Made for AddressSanitizer and valgrind.
 *
 *     lifetimes [ROUNDS]
 *
 * A round is four connections.
 */
#include "check.h"

/* What a client's callbacks get: freed by userdata_free, poisoned before. */
struct client {
    unsigned char alive; /* 0xA5, or nothing is to be called any more */
    atomic_bool is_closed;
    int free_at; /* which callback frees the connection: 'o', 'm', 'c', or 0 for none */
};

static atomic_int live_clients;

static void free_client(void *userdata)
{
    struct client *client = userdata;
    CHECK(client->alive == 0xA5);
    memset(client, 0xDD, sizeof *client);
    free(client);
    atomic_fetch_sub(&live_clients, 1);
}

static void called(struct client *client, int event, wstrand_connection *connection)
{
    CHECK(client->alive == 0xA5);
    CHECK(!atomic_load(&client->is_closed));
    if (client->free_at == event) {
        wstrand_connection_free(connection);
        CHECK(client->alive == 0xA5); /* until the callback has returned */
    }
}

static void on_open(wstrand_connection *connection, void *userdata)
{
    wstrand_connection_send_string(connection, "from on_open", NULL);
    called(userdata, 'o', connection);
}

static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size,
                       void *userdata)
{
    unsigned char *copy = malloc(size + 1);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    if (kind == WSTRAND_TEXT)
        wstrand_connection_send_text(connection, (const char *)copy, size, NULL);
    else
        wstrand_connection_close(connection, 1000, "enough", NULL);
    free(copy);
    called(userdata, 'm', connection);
}

static void on_close(wstrand_connection *connection, uint16_t code, const char *reason,
                     size_t reason_size, bool was_clean, void *userdata)
{
    struct client *client = userdata;
    (void)code, (void)was_clean;
    CHECK(strlen(reason) == reason_size);
    called(client, 'c', connection);
    atomic_store(&client->is_closed, true);
}

/* A connection that somebody frees: one of its callbacks, or the caller if `free_at` is 0. */
static wstrand_connection *connect_to(const char *url, int free_at)
{
    struct client *client = calloc(1, sizeof *client);
    wstrand_handler *handler = wstrand_handler_new(client, free_client);
    wstrand_connection *connection;
    REQUIRE(client != NULL);
    client->alive = 0xA5;
    client->free_at = free_at;
    atomic_fetch_add(&live_clients, 1);
    wstrand_handler_set_on_open(handler, on_open);
    wstrand_handler_set_on_message(handler, on_message);
    wstrand_handler_set_on_close(handler, on_close);
    REQUIRE(wstrand_connect(url, NULL, handler, &connection, NULL) == WSTRAND_OK);
    wstrand_handler_free(handler);
    return connection;
}

/* Sends on a reference of its own until the connection is closed. */
static void *send_to_the_end(void *argument)
{
    wstrand_connection *connection = argument;
    int code;
    do
        code = wstrand_connection_send_binary(connection, "x", 1, NULL);
    while (code == WSTRAND_OK);
    CHECK(code == WSTRAND_CLOSED || code == WSTRAND_LOST || code == WSTRAND_IO);
    wstrand_connection_free(connection);
    return NULL;
}

/* Lets the others go on for a moment, another one each time. */
static void let_others_go_on(int round)
{
    int i;
    for (i = 0; i < round * 7 % 50; i++)
        sched_yield();
}

int main(int argc, char **argv)
{
    static const int callbacks[] = {'o', 'm'};
    int rounds = argc > 1 ? atoi(argv[1]) : 100;
    char url[URL_SIZE];
    wstrand_server *server = serve_echo(url);
    double until;
    int round;

    for (round = 0; round < rounds; round++) {
        wstrand_connection *connection;
        pthread_t thread;

        /* By one of its callbacks. */
        connect_to(url, callbacks[round % 2]);

        /* By its last callback. */
        connection = wstrand_connection_retain(connect_to(url, 'c'));
        CHECK(connection != NULL);
        wstrand_connection_send_binary(connection, "x", 1, NULL);
        CHECK(wstrand_connection_wait_closed(connection, 20000, NULL) == WSTRAND_OK);
        wstrand_connection_free(connection);

        /* At any moment. */
        connection = connect_to(url, 0);
        let_others_go_on(round);
        wstrand_connection_free(connection);

        /* With another thread that sends. */
        connection = connect_to(url, 0);
        wstrand_connection_retain(connection);
        thread = start_thread(send_to_the_end, connection);
        let_others_go_on(round);
        wstrand_connection_close(connection, 1000, NULL, NULL);
        wstrand_connection_free(connection);
        pthread_join(thread, NULL);
    }

    /* Those that their callbacks free may take a moment. */
    for (until = now_s() + PATIENCE_S; atomic_load(&live_clients) > 0 && now_s() < until;)
        sched_yield();
    CHECK_INT(atomic_load(&live_clients), 0);
    end_server(server);
    return finish();
}
