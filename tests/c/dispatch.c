/* Events that wait in a queue until the program dispatches them: on which thread, in which order, when the
   descriptor is readable, what waits when the queue is full, and how it ends. */
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

enum { QUEUE = 1 << 20, PIECE = 64 * 1024 };

/* What the callbacks saw. */
struct seen {
    pthread_t dispatcher;
    int opens, messages, pings, pongs, errors, closes, freed;
    size_t bytes;
    int close_code;
    bool in_order;
    /* What on_message does, if anything. */
    void (*act)(wstrand_connection *connection, struct seen *seen);
};

static void count(struct seen *seen, int *what)
{
    CHECK(pthread_equal(pthread_self(), seen->dispatcher));
    CHECK_INT(seen->closes, 0);
    CHECK_INT(seen->freed, 0);
    ++*what;
}

static void on_open(wstrand_connection *connection, void *userdata)
{
    struct seen *seen = userdata;
    (void)connection;
    CHECK_INT(seen->messages, 0);
    count(seen, &seen->opens);
}

static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    struct seen *seen = userdata;
    CHECK_INT(seen->opens, 1);
    if (kind == WSTRAND_BINARY && size >= sizeof seen->messages)
        seen->in_order &= memcmp(data, &seen->messages, sizeof seen->messages) == 0;
    count(seen, &seen->messages);
    seen->bytes += size;
    if (seen->act != NULL)
        seen->act(connection, seen);
}

static void on_ping(wstrand_connection *connection, const void *data, size_t size, void *userdata)
{
    struct seen *seen = userdata;
    (void)connection;
    CHECK(size == 4 && memcmp(data, "ping", 4) == 0);
    count(seen, &seen->pings);
}

static void on_pong(wstrand_connection *connection, const void *data, size_t size, void *userdata)
{
    struct seen *seen = userdata;
    (void)connection, (void)data, (void)size;
    count(seen, &seen->pongs);
}

static void on_error(wstrand_connection *connection, const wstrand_error *error, void *userdata)
{
    struct seen *seen = userdata;
    wstrand_error *kept = wstrand_error_copy(error);
    (void)connection;
    CHECK_INT(wstrand_error_code(kept), WSTRAND_LOST);
    CHECK_TEXT(wstrand_error_text(kept), wstrand_error_text(error));
    wstrand_error_free(kept);
    count(seen, &seen->errors);
}

static void on_close(wstrand_connection *connection, uint16_t code, const char *reason, size_t reason_size,
                     bool was_clean, void *userdata)
{
    struct seen *seen = userdata;
    (void)connection, (void)was_clean;
    CHECK_INT(strlen(reason), reason_size);
    seen->close_code = code;
    count(seen, &seen->closes);
}

static void seen_free(void *userdata)
{
    ((struct seen *)userdata)->freed++;
}

static struct seen nothing_seen(void)
{
    struct seen seen = {.dispatcher = pthread_self(), .in_order = true};
    return seen;
}

static wstrand_connection *open_queued(const char *url, const wstrand_options *options, struct seen *seen,
                                       size_t bytes)
{
    wstrand_handler *handler = wstrand_handler_new(seen, seen_free);
    wstrand_connection *connection;
    wstrand_handler_set_on_open(handler, on_open);
    wstrand_handler_set_on_message(handler, on_message);
    wstrand_handler_set_on_ping(handler, on_ping);
    wstrand_handler_set_on_pong(handler, on_pong);
    wstrand_handler_set_on_error(handler, on_error);
    wstrand_handler_set_on_close(handler, on_close);
    CHECK_OK(wstrand_handler_set_queue_bytes(handler, bytes));
    connection = open_connection(url, options, handler);
    wstrand_handler_free(handler);
    return connection;
}

static int dispatch(wstrand_connection *connection, int64_t timeout_ms)
{
    wstrand_error *error;
    const int code = wstrand_connection_dispatch(connection, timeout_ms, &error);
    CHECK_INT(wstrand_error_code(error), code);
    wstrand_error_free(error);
    return code;
}

static void on_the_thread_that_dispatches(const char *url)
{
    struct seen seen = nothing_seen();
    wstrand_connection *connection = open_queued(url, NULL, &seen, QUEUE);
    CHECK_OK(dispatch(connection, PATIENCE_MS));
    CHECK_INT(seen.opens, 1);
    CHECK_INT(dispatch(connection, 0), WSTRAND_TIMEOUT);
    CHECK_INT(dispatch(connection, 1), WSTRAND_TIMEOUT);
    CHECK_OK(wstrand_connection_send_string(connection, "one", NULL));
    CHECK_OK(wstrand_connection_ping(connection, "x", 1, NULL));
    while (seen.messages < 1 || seen.pongs < 1)
        REQUIRE(dispatch(connection, PATIENCE_MS) == WSTRAND_OK);
    CHECK_INT(seen.bytes, 3);
    CHECK_OK(wstrand_connection_close(connection, 4321, NULL, NULL));
    CHECK_INT(dispatch(connection, PATIENCE_MS), WSTRAND_CLOSED);
    CHECK_INT(seen.closes, 1);
    CHECK_INT(seen.close_code, 4321);
    CHECK_INT(seen.freed, 1);
    CHECK_INT(dispatch(connection, -1), WSTRAND_CLOSED);
    CHECK_OK(wstrand_connection_wait_closed(connection, -1, NULL));
    wstrand_connection_free(connection);
    CHECK_INT(seen.freed, 1);

    /* One that is cut tells of the error first. */
    seen = nothing_seen();
    connection = open_queued(url, NULL, &seen, QUEUE);
    CHECK_OK(wstrand_connection_shutdown(connection));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    CHECK_INT(seen.opens + seen.errors + seen.closes, 3);
    CHECK_INT(seen.close_code, WSTRAND_CLOSE_ABNORMAL);
    wstrand_connection_free(connection);
    CHECK_INT(seen.freed, 1);
}

static bool is_readable(int descriptor, int timeout_ms)
{
    struct pollfd events = {.fd = descriptor, .events = POLLIN};
    int ready;
    do
        ready = poll(&events, 1, timeout_ms);
    while (ready == -1 && errno == EINTR);
    return ready == 1 && events.revents == POLLIN;
}

static void the_descriptor(const char *url)
{
    struct seen seen = nothing_seen();
    wstrand_connection *connection = open_queued(url, NULL, &seen, QUEUE);
    int descriptor, again, round;
    CHECK_OK(wstrand_connection_event_descriptor(connection, &descriptor, NULL));
    CHECK_OK(wstrand_connection_event_descriptor(connection, &again, NULL));
    CHECK_INT(descriptor, again);
    CHECK((fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0);
    for (round = 0; round < 100; round++) {
        CHECK_OK(wstrand_connection_send_string(connection, "x", NULL));
        while (seen.messages <= round) {
            REQUIRE(is_readable(descriptor, PATIENCE_MS));
            CHECK_OK(dispatch(connection, 0));
        }
        CHECK(!is_readable(descriptor, 0));
        CHECK_INT(dispatch(connection, 0), WSTRAND_TIMEOUT);
    }
    CHECK_OK(wstrand_connection_close(connection, 1000, NULL, NULL));
    CHECK(is_readable(descriptor, PATIENCE_MS));
    CHECK_INT(dispatch(connection, 0), WSTRAND_CLOSED);
    CHECK(!is_readable(descriptor, 0));
    wstrand_connection_free(connection);
}

static struct counter ponged = COUNTER, sent = COUNTER;

/* Pings, then sends numbered messages until there is no room anywhere. */
static void flood(wstrand_connection *connection, void *userdata)
{
    static char piece[PIECE];
    int i, code = WSTRAND_OK;
    (void)userdata;
    CHECK_OK(wstrand_connection_ping(connection, "ping", 4, NULL));
    for (i = 0; i < 10000; i++) {
        memcpy(piece, &i, sizeof i);
        code = wstrand_connection_try_send_binary(connection, piece, PIECE, NULL);
        if (code != WSTRAND_OK)
            break;
    }
    CHECK_INT(code, WSTRAND_FULL);
    counter_add(&sent, i);
}

static void flood_on_pong(wstrand_connection *connection, const void *data, size_t size, void *userdata)
{
    (void)connection, (void)userdata;
    CHECK(size == 4 && memcmp(data, "ping", 4) == 0);
    counter_add(&ponged, 1);
}

/* The peer waits while the queue is full; nothing is lost, and pings before were answered. */
static void the_peer_waits(void)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    struct seen seen = nothing_seen();
    wstrand_connection *connection;
    wstrand_options *options = wstrand_options_new();
    wstrand_server *server;
    char url[URL_SIZE];
    int wanted;
    /* No ping of the library's own brings the answers along. */
    CHECK_OK(wstrand_options_set_ping_interval_ms(options, 0));
    wstrand_handler_set_on_open(handler, flood);
    wstrand_handler_set_on_pong(handler, flood_on_pong);
    server = serve(handler, options, url);
    connection = open_queued(url, options, &seen, 2 * PIECE);
    CHECK(counter_reaches(&sent, 1));
    CHECK(counter_reaches(&ponged, 1));
    CHECK_INT(seen.opens + seen.messages + seen.pings, 0);
    wanted = (int)counter_value(&sent);
    while (seen.messages < wanted)
        REQUIRE(dispatch(connection, PATIENCE_MS) == WSTRAND_OK);
    CHECK_INT(seen.pings, 1);
    CHECK(seen.in_order);
    CHECK_INT(seen.bytes, (long long)wanted * PIECE);
    wstrand_connection_free(connection);
    CHECK_INT(seen.closes, 0);
    CHECK_INT(seen.freed, 1);

    /* Freed while the queue is full: the connection's own thread, which waits for room, ends all the same. */
    seen = nothing_seen();
    connection = open_queued(url, options, &seen, 1);
    CHECK(counter_reaches(&ponged, 2));
    wstrand_connection_free(connection);
    CHECK_INT(seen.opens + seen.messages + seen.closes, 0);
    CHECK_INT(seen.freed, 1);
    wstrand_options_free(options);
    end_server(server);
}

static void *dispatch_elsewhere(void *connection)
{
    CHECK_INT(dispatch(connection, 0), WSTRAND_BUSY);
    CHECK_INT(wstrand_connection_wait_closed(connection, 0, NULL), WSTRAND_BUSY);
    return NULL;
}

static void call_everything(wstrand_connection *connection, struct seen *seen)
{
    pthread_t other = start_thread(dispatch_elsewhere, connection);
    (void)seen;
    pthread_join(other, NULL);
    CHECK_INT(dispatch(connection, -1), WSTRAND_WOULD_DEADLOCK);
    CHECK_INT(wstrand_connection_wait_closed(connection, -1, NULL), WSTRAND_WOULD_DEADLOCK);
    CHECK_OK(wstrand_connection_close(connection, WSTRAND_CLOSE_INTERNAL_ERROR, "mine", NULL));
}

static void free_it(wstrand_connection *connection, struct seen *seen)
{
    wstrand_connection_free(connection);
    CHECK_INT(seen->freed, 0); /* this callback still has it */
}

static void inside_callbacks(const char *url)
{
    struct seen seen = nothing_seen();
    wstrand_connection *connection = open_queued(url, NULL, &seen, QUEUE);
    seen.act = call_everything;
    CHECK_OK(wstrand_connection_send_string(connection, "x", NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    CHECK_INT(seen.messages, 1);
    CHECK_INT(seen.close_code, WSTRAND_CLOSE_INTERNAL_ERROR);
    wstrand_connection_free(connection);

    seen = nothing_seen();
    connection = open_queued(url, NULL, &seen, QUEUE);
    seen.act = free_it;
    CHECK_OK(wstrand_connection_send_string(connection, "x", NULL));
    CHECK_OK(wstrand_connection_send_string(connection, "y", NULL));
    while (seen.messages == 0)
        REQUIRE(dispatch(connection, PATIENCE_MS) != WSTRAND_TIMEOUT);
    CHECK_INT(seen.messages, 1);
    CHECK_INT(seen.closes, 0);
    CHECK_INT(seen.freed, 1);
}

struct waiter {
    wstrand_connection *connection;
    struct seen *seen;
};

static void *wait_for_the_end(void *argument)
{
    const struct waiter *waiter = argument;
    wstrand_connection *connection = waiter->connection;
    waiter->seen->dispatcher = pthread_self();
    while (dispatch(connection, -1) == WSTRAND_OK)
        ;
    CHECK_INT(waiter->seen->opens, 1);
    return NULL;
}

/* A thread that waits for events wakes when another one closes. */
static void on_another_thread(const char *url)
{
    struct seen seen = nothing_seen();
    wstrand_connection *connection = open_queued(url, NULL, &seen, QUEUE);
    struct waiter waiter = {connection, &seen};
    pthread_t thread = start_thread(wait_for_the_end, &waiter);
    CHECK_OK(wstrand_connection_close(connection, 1000, NULL, NULL));
    pthread_join(thread, NULL);
    CHECK_INT(seen.closes, 1);
    wstrand_connection_free(connection);
}

static void without_a_queue(const char *url)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_connection *connection = open_connection(url, NULL, NULL);
    wstrand_server *server;
    int descriptor;
    CHECK_INT(dispatch(connection, 0), WSTRAND_INVALID_STATE);
    CHECK_INT(wstrand_connection_event_descriptor(connection, &descriptor, NULL), WSTRAND_INVALID_STATE);
    CHECK_INT(descriptor, -1);
    wstrand_connection_free(connection);
    CHECK_OK(wstrand_handler_set_queue_bytes(handler, 1));
    CHECK_INT(wstrand_server_new("0", NULL, handler, &server, NULL), WSTRAND_INVALID_ARGUMENT);
    /* Off again. */
    CHECK_OK(wstrand_handler_set_queue_bytes(handler, 0));
    REQUIRE(wstrand_server_new("0", NULL, handler, &server, NULL) == WSTRAND_OK);
    wstrand_server_free(server);
    wstrand_handler_free(handler);
}

int main(void)
{
    char url[URL_SIZE];
    wstrand_server *server = serve_echo(url);
    on_the_thread_that_dispatches(url);
    the_descriptor(url);
    the_peer_waits();
    inside_callbacks(url);
    on_another_thread(url);
    without_a_queue(url);
    end_server(server);
    return finish();
}
