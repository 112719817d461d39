/* Groups: who gets what, who leaves, in callbacks and from several threads, and a member that never reads. */
#include "check.h"

enum { CLIENTS = 3, THREADS = 2, EACH = 200 };

static wstrand_group *room;
static struct counter joined = COUNTER;
static struct counter left = COUNTER;

static void join(wstrand_connection *connection, void *userdata)
{
    (void)userdata;
    CHECK(wstrand_group_join(room, connection));
    CHECK(!wstrand_group_join(room, connection));
    counter_add(&joined, 1);
}

static void tell(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    size_t queued = 0;
    (void)userdata;
    if (kind == WSTRAND_TEXT) {
        CHECK_OK(wstrand_group_send_text(room, data, size, &queued, NULL));
        CHECK_INT(queued, CLIENTS);
    } else {
        CHECK_OK(wstrand_group_send_binary_except(room, connection, data, size, &queued, NULL));
        CHECK_INT(queued, CLIENTS - 1);
    }
}

static void gone(wstrand_connection *connection, uint16_t code, const char *reason, size_t size, bool was_clean,
                 void *userdata)
{
    (void)code, (void)reason, (void)size, (void)was_clean, (void)userdata;
    CHECK(!wstrand_group_contains(room, connection));
    CHECK(!wstrand_group_join(room, connection));
    counter_add(&left, 1);
}

static void hears(wstrand_connection *connection, int kind, const char *text)
{
    const void *data;
    size_t size;
    int got;
    REQUIRE(wstrand_connection_receive(connection, PATIENCE_MS, &got, &data, &size, NULL) == WSTRAND_OK);
    CHECK_INT(got, kind);
    CHECK(size == strlen(text) && memcmp(data, text, size) == 0);
}

static void *speak(void *nothing)
{
    int i;
    for (i = 0; i < EACH; i++)
        CHECK_OK(wstrand_group_send_binary(room, &i, sizeof i, NULL, NULL));
    return nothing;
}

/* Each hears all of what both threads say, in the same order. */
static void in_one_order(wstrand_connection *const clients[CLIENTS])
{
    static int heard[CLIENTS][THREADS * EACH];
    pthread_t threads[THREADS];
    const void *data;
    size_t size;
    int i, j, kind;

    for (i = 0; i < THREADS; i++)
        threads[i] = start_thread(speak, NULL);
    for (i = 0; i < CLIENTS; i++)
        for (j = 0; j < THREADS * EACH; j++) {
            REQUIRE(wstrand_connection_receive(clients[i], PATIENCE_MS, &kind, &data, &size, NULL) == WSTRAND_OK);
            REQUIRE(size == sizeof(int));
            memcpy(&heard[i][j], data, size);
        }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (i = 1; i < CLIENTS; i++)
        CHECK(memcmp(heard[i], heard[0], sizeof heard[0]) == 0);
}

/* It is closed as too slow when its bound is reached; the others notice nothing. */
static void too_slow(wstrand_connection *const clients[CLIENTS])
{
    static char bytes[64 * 1024];
    const void *data;
    size_t queued = CLIENTS, size;
    int i, kind, code = WSTRAND_OK;

    for (i = 0; queued == CLIENTS && i < 10000; i++) {
        CHECK_OK(wstrand_group_send_binary(room, bytes, sizeof bytes, &queued, NULL));
        REQUIRE(wstrand_connection_receive(clients[0], PATIENCE_MS, &kind, &data, &size, NULL) == WSTRAND_OK);
        REQUIRE(wstrand_connection_receive(clients[1], PATIENCE_MS, &kind, &data, &size, NULL) == WSTRAND_OK);
    }
    CHECK_INT(queued, CLIENTS - 1);
    CHECK_INT(wstrand_group_count(room), CLIENTS - 1);
    while (code == WSTRAND_OK)
        code = wstrand_connection_receive(clients[2], PATIENCE_MS, &kind, &data, &size, NULL);
    CHECK_INT(code, WSTRAND_CLOSED);
    CHECK_INT(wstrand_connection_close_code(clients[2]), WSTRAND_CLOSE_TRY_AGAIN_LATER);
    CHECK(counter_reaches(&left, 1));
}

int main(void)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_connection *clients[CLIENTS];
    wstrand_server *server;
    wstrand_group *others;
    char url[URL_SIZE];
    int i;

    room = wstrand_group_new();
    REQUIRE(room != NULL);
    wstrand_handler_set_on_open(handler, join);
    wstrand_handler_set_on_message(handler, tell);
    wstrand_handler_set_on_close(handler, gone);
    server = serve(handler, NULL, url);
    for (i = 0; i < CLIENTS; i++)
        clients[i] = open_connection(url, NULL, NULL);
    CHECK(counter_reaches(&joined, CLIENTS));
    CHECK_INT(wstrand_group_count(room), CLIENTS);
    CHECK_OK(wstrand_connection_send_text(clients[0], "to all", 6, NULL));
    for (i = 0; i < CLIENTS; i++)
        hears(clients[i], WSTRAND_TEXT, "to all");
    CHECK_OK(wstrand_connection_send_binary(clients[1], "to others", 9, NULL));
    hears(clients[0], WSTRAND_BINARY, "to others");
    hears(clients[2], WSTRAND_BINARY, "to others");

    /* Clients are members too; one that is freed leaves by itself. */
    others = wstrand_group_new();
    CHECK(wstrand_group_join(others, clients[0]) && wstrand_group_join(others, clients[1]));
    CHECK_OK(wstrand_group_send_text_except(others, clients[0], "from one", 8, NULL, NULL));
    for (i = 0; i < CLIENTS; i++)
        hears(clients[i], WSTRAND_TEXT, "from one");
    CHECK(wstrand_group_leave(others, clients[1]) && !wstrand_group_leave(others, clients[1]));

    in_one_order(clients);
    too_slow(clients);
    wstrand_connection_free(clients[0]);
    CHECK_INT(wstrand_group_count(others), 0);
    wstrand_connection_free(clients[1]);
    wstrand_connection_free(clients[2]);
    CHECK(counter_reaches(&left, CLIENTS));
    CHECK_INT(wstrand_group_count(room), 0);
    CHECK_INT(wstrand_group_dropped(room), 0);
    wstrand_group_free(others);
    end_server(server);
    wstrand_group_free(room);
    return finish();
}
