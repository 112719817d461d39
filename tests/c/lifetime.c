/* Who lives how long: handles freed inside callbacks, while other threads send, early, late, twice
   referenced; userdata given back once and last; servers stopped and freed inside callbacks. */
#include "check.h"

enum event { OPEN, MESSAGE, PING, PONG, ERROR, CLOSE, EVENTS };

/* The userdata of one handler. */
struct trace {
    enum event free_in;
    int keeps_alive; /* freed in `free_in` this many times more, each after a retain */
    atomic_int calls, frees;
    atomic_bool is_done; /* freed its connection */
    struct counter freed;
};

static void trace_init(struct trace *trace, enum event free_in)
{
    const struct counter counter = COUNTER;
    memset(trace, 0, sizeof *trace);
    trace->free_in = free_in;
    trace->freed = counter;
}

static void trace_free(void *userdata)
{
    struct trace *trace = userdata;
    CHECK_INT(atomic_fetch_add(&trace->frees, 1), 0);
    counter_add(&trace->freed, 1);
}

static void happen(wstrand_connection *connection, enum event event, struct trace *trace)
{
    int i;
    CHECK_INT(atomic_load(&trace->frees), 0);
    CHECK(!atomic_load(&trace->is_done));
    atomic_fetch_add(&trace->calls, 1);
    if (event == trace->free_in) {
        atomic_store(&trace->is_done, true);
        CHECK_INT(wstrand_connection_wait_closed(connection, -1, NULL), WSTRAND_WOULD_DEADLOCK);
        for (i = 0; i < trace->keeps_alive; i++)
            CHECK(wstrand_connection_retain(connection) == connection);
        for (i = 0; i < trace->keeps_alive; i++)
            wstrand_connection_free(connection);
        wstrand_connection_free(connection);
        /* It lives until this returns. */
        CHECK(wstrand_connection_peer_address(connection) != NULL);
        CHECK(wstrand_connection_send_string(connection, "x", NULL) != WSTRAND_OK);
        CHECK_INT(atomic_load(&trace->frees), 0);
    }
}

static void on_open(wstrand_connection *connection, void *userdata)
{
    const struct trace *trace = userdata;
    happen(connection, OPEN, userdata);
    /* The later events need a push. */
    if (trace->free_in >= PONG && trace->free_in < EVENTS)
        CHECK_OK(wstrand_connection_ping(connection, "pong", 4, NULL));
    if (trace->free_in > PONG && trace->free_in < EVENTS)
        CHECK_OK(wstrand_connection_send_string(connection, "cut", NULL));
}
static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size,
                       void *userdata)
{
    (void)kind;
    happen(connection, MESSAGE, userdata);
    CHECK(size == 5 && memcmp(data, "hello", 5) == 0); /* still there */
}
static void on_ping(wstrand_connection *connection, const void *data, size_t size, void *userdata)
{
    happen(connection, PING, userdata);
    CHECK(size == 4 && memcmp(data, "ping", 4) == 0);
}
static void on_pong(wstrand_connection *connection, const void *data, size_t size, void *userdata)
{
    happen(connection, PONG, userdata);
    CHECK(size == 4 && memcmp(data, "pong", 4) == 0);
}
static void on_error(wstrand_connection *connection, const wstrand_error *error, void *userdata)
{
    happen(connection, ERROR, userdata);
    CHECK(wstrand_error_code(error) != WSTRAND_OK);
    CHECK(wstrand_error_text(error)[0] != '\0');
}
static void on_close(wstrand_connection *connection, uint16_t code, const char *reason, size_t reason_size,
                     bool was_clean, void *userdata)
{
    (void)code, (void)was_clean;
    happen(connection, CLOSE, userdata);
    CHECK_INT(strlen(reason), reason_size);
}

static wstrand_handler *traced(struct trace *trace)
{
    wstrand_handler *handler = wstrand_handler_new(trace, trace_free);
    wstrand_handler_set_on_open(handler, on_open);
    wstrand_handler_set_on_message(handler, on_message);
    wstrand_handler_set_on_ping(handler, on_ping);
    wstrand_handler_set_on_pong(handler, on_pong);
    wstrand_handler_set_on_error(handler, on_error);
    wstrand_handler_set_on_close(handler, on_close);
    return handler;
}

/* A server whose clients see every event: it pings, sends, answers a ping, and cuts the connection. */
static void greet(wstrand_connection *connection, void *userdata)
{
    (void)userdata;
    wstrand_connection_ping(connection, "ping", 4, NULL);
    wstrand_connection_send_string(connection, "hello", NULL);
}
static void cut(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    (void)kind, (void)data, (void)userdata;
    if (size == 3)
        wstrand_connection_shutdown(connection);
}

static wstrand_server *serve_greetings(char url[URL_SIZE])
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_handler_set_on_open(handler, greet);
    wstrand_handler_set_on_message(handler, cut);
    return serve(handler, NULL, url);
}

static void freed_inside_each_callback(const char *url)
{
    int event, keeps_alive;
    for (event = OPEN; event < EVENTS; event++) {
        for (keeps_alive = 0; keeps_alive < 2; keeps_alive++) {
            struct trace trace;
            wstrand_handler *handler;
            wstrand_connection *connection, *own;
            trace_init(&trace, (enum event)event);
            trace.keeps_alive = keeps_alive;
            handler = traced(&trace);
            connection = open_connection(url, NULL, NULL); /* one more, so that handles differ */
            own = open_connection(url, NULL, handler);
            wstrand_handler_free(handler);
            CHECK(own != connection); /* `own` belongs to the callback from now on */
            wstrand_connection_free(connection);
            if (!CHECK(counter_reaches(&trace.freed, 1)))
                fprintf(stderr, "in event %d\n", event);
            CHECK_INT(atomic_load(&trace.frees), 1);
            CHECK(atomic_load(&trace.is_done));
            CHECK(atomic_load(&trace.calls) >= 1);
        }
    }
}

/* The handler, the options and the connection are freed in every order that the header allows. */
static void freed_early_and_late(const char *url)
{
    struct trace trace;
    wstrand_options *options = wstrand_options_new();
    wstrand_handler *handler;
    wstrand_connection *connection, *second;

    /* Nothing is made with it. */
    trace_init(&trace, EVENTS);
    handler = traced(&trace);
    CHECK_INT(atomic_load(&trace.frees), 0);
    wstrand_handler_free(handler);
    CHECK_INT(atomic_load(&trace.frees), 1);

    /* What it was to be made with fails. */
    trace_init(&trace, EVENTS);
    handler = traced(&trace);
    CHECK(wstrand_connect("nonsense", NULL, handler, &connection, NULL) != WSTRAND_OK);
    CHECK_INT(atomic_load(&trace.frees), 0);
    wstrand_handler_free(handler);
    CHECK_INT(atomic_load(&trace.frees), 1);

    /* Two connections; the handler goes first, then the connections; then the userdata. */
    trace_init(&trace, EVENTS);
    handler = traced(&trace);
    CHECK_OK(wstrand_options_set_close_timeout_ms(options, 2000));
    connection = open_connection(url, options, handler);
    second = open_connection(url, options, handler);
    wstrand_options_free(options);
    CHECK_OK(wstrand_handler_set_on_ping(handler, NULL)); /* too late for both */
    wstrand_handler_free(handler);
    wstrand_connection_free(connection);
    CHECK_INT(atomic_load(&trace.frees), 0);
    wstrand_connection_free(second);
    CHECK_INT(atomic_load(&trace.frees), 1);

    /* The handler goes last. */
    trace_init(&trace, EVENTS);
    handler = traced(&trace);
    connection = open_connection(url, NULL, handler);
    wstrand_connection_free(connection);
    CHECK_INT(atomic_load(&trace.frees), 0);
    wstrand_handler_free(handler);
    CHECK_INT(atomic_load(&trace.frees), 1);
}

static void two_references(const char *url)
{
    struct trace trace, own;
    wstrand_handler *handler;
    wstrand_connection *connection;

    trace_init(&trace, EVENTS);
    trace_init(&own, EVENTS);
    handler = traced(&trace);
    connection = open_connection(url, NULL, handler);
    wstrand_handler_free(handler);
    CHECK_OK(wstrand_connection_set_userdata(connection, &own, trace_free));
    CHECK(wstrand_connection_userdata(connection) == &own);
    CHECK(wstrand_connection_retain(connection) == connection);
    wstrand_connection_free(connection);
    CHECK_INT(wstrand_connection_ready_state(connection), WSTRAND_OPEN);
    CHECK_INT(atomic_load(&own.frees), 0);
    CHECK_OK(wstrand_connection_close(connection, 1000, NULL, NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, -1, NULL));

    /* Ended, and still good for questions. */
    CHECK_INT(wstrand_connection_ready_state(connection), WSTRAND_ENDED);
    CHECK_INT(wstrand_connection_close_code(connection), 1000);
    CHECK_TEXT(wstrand_connection_close_reason(connection, NULL), "");
    CHECK(wstrand_connection_peer_address(connection) != NULL);
    CHECK_INT(wstrand_connection_buffered_amount(connection), 0);
    CHECK_INT(wstrand_connection_send_string(connection, "x", NULL), WSTRAND_CLOSED);
    CHECK_OK(wstrand_connection_close(connection, 1000, NULL, NULL));
    CHECK_OK(wstrand_connection_shutdown(connection));
    CHECK_INT(atomic_load(&own.frees), 0);
    wstrand_connection_free(connection);
    CHECK_INT(atomic_load(&own.frees), 1);
    CHECK_INT(atomic_load(&trace.frees), 1);
}

static void *send_until_closed(void *argument)
{
    wstrand_connection *connection = argument;
    static const char data[3000];
    while (wstrand_connection_send_binary(connection, data, sizeof data, NULL) == WSTRAND_OK)
        ;
    wstrand_connection_free(connection);
    return NULL;
}

static void freed_while_others_send(const char *url, int rounds)
{
    int round, i;
    for (round = 0; round < rounds; round++) {
        pthread_t threads[4];
        wstrand_connection *connection = open_connection(url, NULL, NULL);
        for (i = 0; i < 4; i++)
            threads[i] = start_thread(send_until_closed, wstrand_connection_retain(connection));
        CHECK_OK(round % 2 == 0 ? wstrand_connection_close(connection, 1000, NULL, NULL)
                                : wstrand_connection_shutdown(connection));
        wstrand_connection_free(connection);
        for (i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
}

/* The userdata of a connection that is freed at any moment: gone when wstrand_connection_free returns. */
struct guarded {
    int alive;
};

static void use(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    struct guarded *guarded = userdata;
    (void)connection, (void)kind, (void)data, (void)size;
    CHECK_INT(guarded->alive, 42);
}
static void use_at_close(wstrand_connection *connection, uint16_t code, const char *reason,
                         size_t reason_size, bool was_clean, void *userdata)
{
    (void)code, (void)reason, (void)reason_size, (void)was_clean;
    use(connection, 0, NULL, 0, userdata);
}

static void races(const char *url, int rounds)
{
    int round;
    for (round = 0; round < rounds; round++) {
        /* Not given back through userdata_free: the program frees it right after the connection. */
        struct guarded *guarded = malloc(sizeof *guarded);
        wstrand_handler *handler = wstrand_handler_new(guarded, NULL);
        wstrand_connection *connection;
        guarded->alive = 42;
        wstrand_handler_set_on_message(handler, use);
        wstrand_handler_set_on_close(handler, use_at_close);
        connection = open_connection(url, NULL, handler);
        wstrand_handler_free(handler);
        switch (round % 4) {
        case 1:
            wstrand_connection_close(connection, 1000, NULL, NULL);
            break;
        case 2:
            wstrand_connection_shutdown(connection);
            break;
        case 3:
            wstrand_connection_send_string(connection, "cut", NULL);
            break;
        }
        wstrand_connection_free(connection);
        guarded->alive = 0;
        free(guarded);
    }
}

/* Servers that end inside their own callbacks. */
struct ending {
    wstrand_server *server;
    bool stops, frees;
    struct counter ready, done, freed;
};

static void end_it(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    struct ending *ending = userdata;
    size_t busy = 99;
    (void)connection, (void)kind, (void)data, (void)size;
    REQUIRE(counter_reaches(&ending->ready, 1));
    if (ending->stops) {
        CHECK_OK(wstrand_server_stop(ending->server, PATIENCE_MS, &busy));
        CHECK_INT(wstrand_connection_send_string(connection, "x", NULL), WSTRAND_CLOSED);
    }
    if (ending->frees)
        wstrand_server_free(ending->server);
    counter_add(&ending->done, 1);
}

static void ending_free(void *userdata)
{
    struct ending *ending = userdata;
    CHECK_INT(counter_value(&ending->done), 1);
    counter_add(&ending->freed, 1);
}

static void servers_end_inside_callbacks(void)
{
    int i;
    for (i = 1; i < 4; i++) {
        const struct counter counter = COUNTER;
        struct ending ending = {NULL, (i & 1) != 0, (i & 2) != 0, counter, counter, counter};
        wstrand_handler *handler = wstrand_handler_new(&ending, ending_free);
        wstrand_connection *one, *two;
        char url[URL_SIZE];
        wstrand_handler_set_on_message(handler, end_it);
        ending.server = serve(handler, NULL, url);
        counter_add(&ending.ready, 1);
        one = open_connection(url, NULL, NULL);
        two = open_connection(url, NULL, NULL);
        CHECK_OK(wstrand_connection_send_string(one, "end", NULL));
        CHECK_OK(wstrand_connection_wait_closed(two, PATIENCE_MS, NULL));
        CHECK_OK(wstrand_connection_wait_closed(one, PATIENCE_MS, NULL));
        CHECK_INT(wstrand_connection_close_code(one), WSTRAND_CLOSE_GOING_AWAY);
        CHECK(counter_reaches(&ending.done, 1));
        if (!ending.frees)
            wstrand_server_free(ending.server);
        CHECK(counter_reaches(&ending.freed, 1));
        CHECK_INT(counter_value(&ending.freed), 1);
        wstrand_connection_free(one);
        wstrand_connection_free(two);
    }
}

/* A connection that outlives on_close and its server. */
static struct counter ended = COUNTER;
static wstrand_connection *kept;

static void keep(wstrand_connection *connection, uint16_t code, const char *reason, size_t reason_size,
                 bool was_clean, void *userdata)
{
    (void)code, (void)reason, (void)reason_size, (void)was_clean, (void)userdata;
    kept = wstrand_connection_retain(connection);
    wstrand_connection_free(connection); /* the one just taken */
    kept = wstrand_connection_retain(connection);
    counter_add(&ended, 1);
}

static void kept_after_the_end(void)
{
    struct trace own;
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_connection *connection;
    wstrand_server *server;
    char url[URL_SIZE];

    trace_init(&own, EVENTS);
    wstrand_handler_set_on_close(handler, keep);
    server = serve(handler, NULL, url);
    connection = open_connection(url, NULL, NULL);
    CHECK_OK(wstrand_connection_close(connection, 3000, "why", NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    wstrand_connection_free(connection);
    REQUIRE(counter_reaches(&ended, 1));
    end_server(server);
    CHECK_INT(wstrand_connection_close_code(kept), 3000);
    CHECK_TEXT(wstrand_connection_close_reason(kept, NULL), "why");
    CHECK(wstrand_connection_request(kept) != NULL);
    CHECK_TEXT(wstrand_request_path(wstrand_connection_request(kept)), "/");
    CHECK_INT(wstrand_connection_send_string(kept, "x", NULL), WSTRAND_CLOSED);
    CHECK_OK(wstrand_connection_set_userdata(kept, &own, trace_free));
    wstrand_connection_free(kept);
    CHECK_INT(atomic_load(&own.frees), 1);
}

int main(int argc, char **argv)
{
    const bool light = is_light(argc, argv);
    char url[URL_SIZE];
    wstrand_server *server = serve_greetings(url);
    freed_inside_each_callback(url);
    freed_early_and_late(url);
    two_references(url);
    freed_while_others_send(url, light ? 4 : 50);
    races(url, light ? 60 : 2000);
    end_server(server);
    servers_end_inside_callbacks();
    kept_after_the_end();
    return finish();
}
