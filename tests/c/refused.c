/* A program that does all for which the library starts threads, where one of those cannot be started (shim.c): whichever
   that is, there is an error and the next attempt goes well, or it is done without. Nothing hangs, nothing is lost. */
#include "check.h"

enum { CROWD = 33, PIECE = 64 * 1024, ATTEMPTS = 3 };

static wstrand_group *room;
static struct counter joined = COUNTER, arrived = COUNTER, go_on = COUNTER;
static atomic_int gathering, told;

/* Whether to go on. An error must be one of those that the lack of a thread comes to, here or at the server. */
static bool goes_on(int code, wstrand_error *error)
{
    const char *phase = wstrand_error_phase(error);
    if (code == WSTRAND_OK)
        return true;
    if (!CHECK((code == WSTRAND_IO && phase != NULL && strcmp(phase, "spawn") == 0)
               || (code == WSTRAND_HANDSHAKE && wstrand_error_http_status(error) == 503) || code == WSTRAND_CLOSED
               || code == WSTRAND_LOST || code == WSTRAND_IO))
        fprintf(stderr, "%d: %s\n", code, wstrand_error_text(error));
    wstrand_error_free(error);
    told++;
    return false;
}

static void on_server_open(wstrand_connection *connection, void *userdata)
{
    (void)userdata;
    if (gathering) {
        CHECK(wstrand_group_join(room, connection));
        counter_add(&joined, 1);
    }
}

static void on_server_message(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    if (kind == WSTRAND_BINARY)
        counter_add(&arrived, 1);
    else if (size == 4 && memcmp(data, "hold", 4) == 0)
        counter_reaches(&go_on, 1);
    else if (size == 4 && memcmp(data, "drop", 4) == 0)
        wstrand_connection_shutdown(connection);
    else
        echo(connection, kind, data, size, userdata);
}

static wstrand_options *pinging(int64_t interval_ms)
{
    wstrand_options *options = wstrand_options_new();
    CHECK_OK(wstrand_options_set_ping_interval_ms(options, interval_ms));
    CHECK_OK(wstrand_options_set_pong_timeout_ms(options, PATIENCE_MS));
    CHECK_OK(wstrand_options_set_reconnect_first_delay_ms(options, 1));
    CHECK_OK(wstrand_options_set_reconnect_max_delay_ms(options, 10));
    CHECK_OK(wstrand_options_set_reconnect_queue_bytes(options, 1000));
    return options;
}

static wstrand_server *start_server(const wstrand_options *options, char url[URL_SIZE])
{
    int attempt;
    for (attempt = 0; attempt < ATTEMPTS; attempt++) {
        wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
        wstrand_server *server;
        wstrand_error *error = NULL;
        int code;
        wstrand_handler_set_on_open(handler, on_server_open);
        wstrand_handler_set_on_message(handler, on_server_message);
        REQUIRE(wstrand_server_new("127.0.0.1:0", options, handler, &server, NULL) == WSTRAND_OK);
        wstrand_handler_free(handler);
        code = wstrand_server_start(server, &error);
        if (goes_on(code, error)) {
            snprintf(url, URL_SIZE, "ws://%s/", wstrand_server_address(server));
            return server;
        }
        wstrand_server_free(server);
    }
    REQUIRE(!"a server can be started");
    return NULL;
}

/* Sends a text, and receives it as it comes back. */
static bool comes_back(wstrand_connection *connection, const char *text)
{
    const void *data;
    size_t size;
    int kind;
    wstrand_error *error = NULL;
    int code = wstrand_connection_send_string(connection, text, &error);
    if (!goes_on(code, error))
        return false;
    code = wstrand_connection_receive(connection, PATIENCE_MS, &kind, &data, &size, &error);
    return goes_on(code, error) && CHECK(size == strlen(text) && memcmp(data, text, size) == 0);
}

/* A connection that is known to be served. */
static wstrand_connection *connect_anyway(const char *url, const wstrand_options *options)
{
    int attempt;
    for (attempt = 0; attempt < ATTEMPTS; attempt++) {
        wstrand_connection *connection;
        wstrand_error *error = NULL;
        const int code = wstrand_connect(url, options, NULL, &connection, &error);
        if (!goes_on(code, error))
            continue;
        if (comes_back(connection, "here"))
            return connection;
        wstrand_connection_free(connection);
    }
    REQUIRE(!"there is a connection");
    return NULL;
}

static void end_connection(wstrand_connection *connection)
{
    CHECK_OK(wstrand_connection_close(connection, 1000, "", NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    CHECK(wstrand_connection_was_clean(connection));
    wstrand_connection_free(connection);
}

static void on_event(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    (void)connection, (void)kind, (void)data, (void)size;
    counter_add(userdata, 1);
}

static void on_end(wstrand_connection *connection, uint16_t code, const char *reason, size_t size, bool was_clean,
                   void *userdata)
{
    (void)connection, (void)code, (void)reason, (void)size, (void)was_clean;
    counter_add(userdata, 1);
}

/* With a thread of the connection's own, and pings that are answered. */
static void call_back(const char *url, const wstrand_options *options)
{
    struct counter events = COUNTER;
    wstrand_handler *handler = wstrand_handler_new(&events, NULL);
    wstrand_connection *connection;
    int attempt;
    wstrand_handler_set_on_message(handler, on_event);
    wstrand_handler_set_on_close(handler, on_end);
    for (attempt = 0; attempt < ATTEMPTS; attempt++) {
        wstrand_error *error = NULL;
        const int code = wstrand_connect(url, options, handler, &connection, &error);
        if (goes_on(code, error))
            break;
    }
    REQUIRE(attempt < ATTEMPTS);
    CHECK_OK(wstrand_connection_send_text(connection, "here", 4, NULL));
    CHECK(counter_reaches(&events, 1));
    CHECK_INT(wstrand_connection_ready_state(connection), WSTRAND_OPEN);
    {
        const double until = now_s() + PATIENCE_S;
        while (wstrand_connection_round_trip_us(connection) == 0 && now_s() < until)
            sched_yield();
        CHECK(now_s() < until);
    }
    end_connection(connection);
    CHECK(counter_reaches(&events, 2));
    wstrand_handler_free(handler);
}

/* What was taken without waiting is written by somebody, though nothing more is sent. */
static void leave_the_rest(const char *url, const wstrand_options *options)
{
    static const char piece[PIECE];
    wstrand_connection *connection = connect_anyway(url, options);
    long taken = 0;
    int code;
    CHECK_OK(wstrand_connection_send_text(connection, "hold", 4, NULL));
    while ((code = wstrand_connection_try_send_binary(connection, piece, PIECE, NULL)) == WSTRAND_OK)
        taken++;
    CHECK_INT(code, WSTRAND_FULL);
    counter_add(&go_on, 1);
    CHECK(counter_reaches(&arrived, taken));
    end_connection(connection);
}

/* So many members that a thread writes to them. */
static void gather(const char *url, const wstrand_options *options)
{
    wstrand_connection *members[CROWD];
    const void *data;
    size_t size, queued;
    int i, kind;
    gathering = 1;
    for (i = 0; i < CROWD; i++)
        members[i] = connect_anyway(url, options);
    CHECK(counter_reaches(&joined, CROWD));
    CHECK_OK(wstrand_group_send_text(room, "all", 3, &queued, NULL));
    CHECK_INT(queued, CROWD);
    gathering = 0;
    for (i = 0; i < CROWD; i++) {
        if (CHECK_OK(wstrand_connection_receive(members[i], PATIENCE_MS, &kind, &data, &size, NULL)))
            CHECK(size == 3 && memcmp(data, "all", 3) == 0);
        /* Half of them without a word. */
        if (i % 2 == 0)
            end_connection(members[i]);
        else
            wstrand_connection_free(members[i]);
    }
}

static struct counter opened = COUNTER, echoes = COUNTER, queued_up = COUNTER, freed = COUNTER;
static wstrand_reconnecting *client;

/* The first connection is cut by the server. */
static void on_client_open(wstrand_connection *connection, void *userdata)
{
    (void)userdata;
    if (wstrand_connection_session(connection) == 1)
        CHECK_OK(wstrand_connection_send_text(connection, "drop", 4, NULL));
    counter_add(&opened, 1);
}

static void on_client_message(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    (void)connection, (void)kind, (void)data, (void)size, (void)userdata;
    counter_add(&echoes, 1);
}

/* What is sent now waits for the next connection. */
static void on_client_close(wstrand_connection *connection, uint16_t code, const char *reason, size_t size,
                            bool was_clean, void *userdata)
{
    (void)connection, (void)reason, (void)size, (void)userdata;
    if (was_clean && code == 1000)
        return;
    if (CHECK_OK(wstrand_reconnecting_send(client, WSTRAND_TEXT, "queued", 6, NULL)))
        counter_add(&queued_up, 1);
}

static void on_client_free(void *userdata)
{
    (void)userdata;
    counter_add(&freed, 1);
}

static void come_again(const char *url, const wstrand_options *options)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, on_client_free);
    int attempt;
    wstrand_handler_set_on_open(handler, on_client_open);
    wstrand_handler_set_on_message(handler, on_client_message);
    wstrand_handler_set_on_close(handler, on_client_close);
    for (attempt = 0; attempt < ATTEMPTS; attempt++) {
        wstrand_error *error = NULL;
        const int code = wstrand_reconnect(url, options, handler, &client, &error);
        if (goes_on(code, error))
            break;
    }
    REQUIRE(attempt < ATTEMPTS);
    wstrand_handler_free(handler);
    REQUIRE(counter_reaches(&opened, 2) && counter_reaches(&queued_up, 1));
    CHECK(counter_reaches(&echoes, 1));
    CHECK_OK(wstrand_reconnecting_close(client, 1000, "", NULL));
    CHECK_OK(wstrand_reconnecting_wait_closed(client, PATIENCE_MS, NULL));
    wstrand_reconnecting_free(client);
    CHECK(counter_reaches(&freed, 1));
}

int main(void)
{
    /* Pings have the rest written where there is no thread for it; elsewhere nothing is to come to their help. */
    wstrand_options *lively = pinging(50), *calm = pinging(0);
    char url[URL_SIZE], by_name[URL_SIZE];
    wstrand_server *server = start_server(calm, url);
    snprintf(by_name, sizeof by_name, "ws://localhost%s", strrchr(url, ':'));
    room = wstrand_group_new();
    end_connection(connect_anyway(by_name, calm));
    call_back(url, lively);
    gather(url, calm);
    come_again(by_name, calm);
    /* Last, because how many threads that takes differs from time to time: the numbers of the others do not. */
    leave_the_rest(url, lively);
    end_server(server);
    wstrand_group_free(room);
    wstrand_options_free(lively);
    wstrand_options_free(calm);
    /* One at the most could not be started. */
    CHECK(told <= 1);
    fprintf(stderr, "told %d times\n", told);
    return finish();
}
